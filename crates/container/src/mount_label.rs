//! The SELinux label of the file systems that are made for a container.
//!
//! Kernel objects: selinuxfs. Invariant: a label that was asked for by name is on all that takes one, or an error.

use ampoule_overlay::MountLabel;
use ampoule_selinux::{Context, SelinuxFs, State};

use crate::builder::Builder;
use crate::error::{Error, ErrorKind, Stage};
use crate::levels::LeftOut;
use crate::report::Control;
use crate::selinux::{Labelling, from_selinux};

impl Builder {
    /// The SELinux label of the file systems that are made for it, such as those in memory (`context=`, mount(8));
    /// otherwise they have that of the container where its root is an overlay. Bind mounts keep their labels
    /// ([`Builder::bind_to`], [`Relabel`](crate::Relabel)), and so do procfs, sysfs and control groups.
    ///
    /// The plan fails with [`ErrorKind::Unsupported`] where SELinux is off, and with [`ErrorKind::Selinux`] where the policy
    /// does not have the label.
    #[must_use]
    pub fn mount_label(mut self, label: Context) -> Self {
        self.selinux.mounts = Some(Box::new(label));
        self
    }
}

/// What a plan gives to file systems.
pub(crate) fn planned(
    builder: &Builder,
    label: &Labelling,
    left_out: &mut Vec<LeftOut>,
) -> Result<Option<MountLabel>, Error> {
    let Some(asked) = &builder.selinux.mounts else {
        return Ok(label.mounts(builder).map(MountLabel::Parameter));
    };
    match known(asked) {
        Ok(label) => Ok(Some(MountLabel::Exact(label.to_string()))),
        Err(error) if builder.best_effort.contains(&Control::Selinux) => {
            left_out.push((Control::Selinux, error.to_string()));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The label as the policy writes it.
fn known(label: &Context) -> Result<Context, Error> {
    let failed = |error| from_selinux(Stage::Plan, error);
    let absent = || {
        Error::new(ErrorKind::Unsupported, Stage::Plan)
            .about("a label of mounts: SELinux is not enabled on this host".to_owned())
    };
    let selinux = SelinuxFs::open().map_err(failed)?.ok_or_else(absent)?;
    match selinux.state().map_err(failed)? {
        State::Disabled => Err(absent()),
        _ => selinux.validate(label).map_err(failed),
    }
}
