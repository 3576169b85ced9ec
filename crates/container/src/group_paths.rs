//! The groups of one launch where a container without a cgroup namespace sees them.
//!
//! Kernel objects: paths of cgroupfs on the host. Invariant: a hierarchy in which the container has no group of its own
//! shows the one that it is in, which is the caller's.

use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use ampoule_cgroups::{Group, Hierarchies};
use ampoule_init::Parameter;

use crate::error::{Error, Stage};
use crate::group::Made;
use crate::plan::Prepared;

/// Their first position among a launch's parameters, behind the labels.
pub(crate) const FIRST: u16 = crate::selinux::MOUNT + 1;

/// Adds them to the parameters of a launch.
pub(crate) fn add(
    parameters: &mut Vec<Parameter>,
    plan: &Prepared,
    made: Option<&Made>,
) -> Result<(), Error> {
    let mounts = plan.settings.root.iter().flat_map(|root| &root.hierarchies);
    let mounts: Vec<&PathBuf> = mounts.collect();
    if mounts.is_empty() {
        return Ok(());
    }
    let failed = |error| Error::from_cgroups(Stage::Launch, error);
    let known = Hierarchies::detect().map_err(failed)?;
    let paths: Vec<PathBuf> =
        made.and_then(|made| made.group.as_ref()).into_iter().flat_map(Group::paths).collect();
    parameters.resize(usize::from(FIRST), Parameter::Number(0));
    parameters.extend(mounts.into_iter().map(|mount| text(&shown(mount, &paths, &known))));
    Ok(())
}

fn shown(mount: &Path, own: &[PathBuf], known: &Hierarchies) -> PathBuf {
    let own = own.iter().find(|path| path.starts_with(mount));
    let of_caller = || {
        let mut all = known.iter().chain(known.named());
        all.find(|one| one.mount == mount).map(|one| &one.own)
    };
    own.or_else(of_caller).map_or_else(|| mount.to_owned(), Clone::clone)
}

/// Paths that the kernel gave have no NUL in them.
fn text(path: &Path) -> Parameter {
    let bytes = path.as_os_str().to_owned().into_vec();
    Parameter::Text(CString::new(bytes).unwrap_or_default())
}
