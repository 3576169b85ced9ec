//! What is told about places, against what happens where one is made.

use std::path::PathBuf;

use ampoule_cgroups::{
    Bytes, Controllers, Error, Group, Hierarchies, Life, Limits, Place, Placement, Prospect,
    owned_name,
};

fn limits() -> Limits {
    Limits::default().memory_max(Bytes::mib(64)).pids_max(64)
}

/// A group with limits in the place that is taken, made and removed.
fn attempt(hierarchies: &Hierarchies) -> Result<(Vec<PathBuf>, bool), Error> {
    let place = Place::choose(hierarchies, &Placement::Auto, &limits(), Controllers::empty())?;
    let name = owned_name(Some("prospect"), Life::WithOwner)?;
    let group = Group::create_in(&place, &name, &limits(), Controllers::empty())?;
    group.remove()?;
    Ok((place.paths().map(PathBuf::from).collect(), place.unit().is_some()))
}

/// What was told is what happens; looking made nothing.
pub(crate) fn it_is_what_happens() {
    let hierarchies = Hierarchies::detect().expect("control groups are mounted");
    let prospect = Prospect::of(&hierarchies);
    assert_eq!(Prospect::of(&hierarchies), prospect, "a look changes nothing");
    let shown = prospect.to_string();
    match (&prospect, attempt(&hierarchies)) {
        (Prospect::Delegated(sites) | Prospect::Managed(sites, _), Ok((paths, false))) => {
            assert!(shown.starts_with("below /"), "{shown}");
            for path in &paths {
                let site = sites.iter().find(|site| path.starts_with(&site.path));
                assert!(site.is_some(), "{} in {shown}", path.display());
            }
            let limited = Controllers::MEMORY | Controllers::PIDS;
            assert!(prospect.controllers().is_some_and(|all| all.contains(limited)), "{shown}");
        }
        (Prospect::Scope, Ok((_, true))) => assert_eq!(shown, "in a transient scope of systemd"),
        (Prospect::Nowhere(error, not_asked), Err(refused)) => {
            assert_eq!(error.kind(), refused.kind(), "{refused}");
            let reasons = [error, not_asked].map(ToString::to_string);
            assert!(reasons.iter().all(|reason| shown.contains(reason)), "{shown}");
        }
        (_, outcome) => panic!("{shown}: {outcome:?}"),
    }
}
