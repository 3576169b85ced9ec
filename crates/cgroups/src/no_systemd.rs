//! What stands for systemd where the feature `systemd` is off: nothing can be asked of it.

use crate::error::{Error, NoSystemd, Result};
use crate::hierarchy::Hierarchy;
use crate::place::Place;
use crate::placement::Scope;

/// There is none.
#[derive(Debug)]
pub(crate) enum Held {}

impl Held {
    pub(crate) fn unit(&self) -> &str {
        match *self {}
    }
}

pub(crate) fn place(_hierarchy: Option<&Hierarchy>, _scope: &Scope) -> Result<Place> {
    Err(Error::no_systemd(NoSystemd::Feature))
}

pub(crate) fn answers(_hierarchy: Option<&Hierarchy>) -> Result<()> {
    Err(Error::no_systemd(NoSystemd::Feature))
}

#[cfg(test)]
mod tests {
    use crate::{Controllers, ErrorKind, Hierarchies, Limits, Place, Placement, Scope};

    #[test]
    fn the_error_names_the_feature() {
        let Ok(hierarchies) = Hierarchies::detect() else { panic!("no control groups") };
        let placement = Placement::Systemd(Scope::default());
        let error =
            Place::choose(&hierarchies, &placement, &Limits::default(), Controllers::empty())
                .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSystemd);
        assert!(error.to_string().contains("feature `systemd`"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("-p Delegate=yes")));
    }
}
