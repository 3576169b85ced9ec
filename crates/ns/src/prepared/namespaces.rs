//! Joined and new namespaces as steps.
//!
//! Kernel objects: namespace files (namespaces(7)). Invariant: what is joined is what the plan opened and checked;
//! a process id is used once, when the plan is made.

use std::os::fd::OwnedFd;

use ampoule_init::steps::{file, launch};
use ampoule_init::{Draft, Fd, Step};

use crate::error::Result;
use crate::namespace::{Namespace, NamespaceSet, Setting, Target};
use crate::time_offset::TimeOffsets;

/// Whose capabilities the launcher joins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// It may join everything as it is: a user namespace is joined last.
    Privileged,
    /// It gets capabilities by joining a user namespace, which therefore comes first.
    Unprivileged,
}

/// The steps for a set of namespaces.
#[derive(Debug)]
pub struct Prepared {
    /// Joins, for the launcher, in an order that the kernel permits.
    pub joins: Vec<Step>,
    /// `CLONE_NEW…` flags of the first process; a new time namespace is made later by [`time`].
    pub flags: u64,
    /// The flags as they are printed.
    pub names: String,
    /// Kinds whose descriptor comes with the launch, in the order of the launch's descriptors.
    pub at_launch: Vec<Namespace>,
}

/// Opens what is joined and makes the steps.
///
/// # Errors
/// What [`crate::list::open`] says of a process or [`crate::namespace`] file that cannot be opened or is of another kind.
pub fn prepare(
    set: &NamespaceSet,
    caller: Caller,
    draft: &mut Draft,
    first_launch_fd: u16,
) -> Result<Prepared> {
    let mut joins = Vec::new();
    let mut at_launch = Vec::new();
    for (kind, setting) in set.iter() {
        let Setting::Join(target) = setting else { continue };
        let fd = match open_target(target, kind)? {
            Some(fd) => draft.inherit(fd),
            None => {
                at_launch.push(kind);
                let position = u16::try_from(at_launch.len() - 1).unwrap_or(u16::MAX);
                Fd::Launch(first_launch_fd.saturating_add(position))
            }
        };
        joins.push((kind, launch::join(fd, kind.clone_flag(), &flag_name(kind))));
    }
    joins.sort_by_key(|(kind, _)| join_rank(*kind, caller));
    let new = |kind: &Namespace| *set.get(*kind) == Setting::New && *kind != Namespace::Time;
    let kinds: Vec<Namespace> = Namespace::ALL.into_iter().filter(new).collect();
    Ok(Prepared {
        joins: joins.into_iter().map(|(_, step)| step).collect(),
        flags: kinds.iter().fold(0, |flags, kind| flags | kind.clone_flag()),
        names: kinds.iter().map(|kind| flag_name(*kind)).collect::<Vec<_>>().join("|"),
        at_launch,
    })
}

/// The user namespace first or last; the mount namespace late, because it changes what paths mean.
fn join_rank(kind: Namespace, caller: Caller) -> u8 {
    match (kind, caller) {
        (Namespace::User, Caller::Unprivileged) => 0,
        (Namespace::User, Caller::Privileged) => 3,
        (Namespace::Mount, _) => 2,
        _ => 1,
    }
}

/// The kernel's name of a flag.
fn flag_name(kind: Namespace) -> String {
    match kind {
        Namespace::Mount => "CLONE_NEWNS".to_owned(),
        kind => format!("CLONE_NEW{}", kind.proc_name().to_uppercase()),
    }
}

fn open_target(target: &Target, kind: Namespace) -> Result<Option<OwnedFd>> {
    match target {
        Target::Path(path) => crate::list::open_path(path, kind).map(Some),
        Target::Pid(pid) => crate::list::open(*pid, kind).map(Some),
        Target::AtLaunch => Ok(None),
    }
}

/// Enters a new time namespace with these offsets (time_namespaces(7)); `proc` is a procfs in which the
/// process sees itself.
///
/// The offsets must be written before any process is in it, so it is made, written and then joined.
#[must_use]
pub fn time(offsets: &TimeOffsets, proc: Fd, draft: &mut Draft) -> Vec<Step> {
    let mut steps = vec![launch::unshare(Namespace::Time.clone_flag(), "CLONE_NEWTIME")];
    if !offsets.is_zero() {
        steps.push(file::write_existing(proc, c"self/timens_offsets", &offsets.to_bytes()));
    }
    let slot = draft.slots.take();
    steps.push(file::open(proc, c"self/ns/time_for_children", 0, 0, slot));
    steps.push(launch::join(slot.into(), Namespace::Time.clone_flag(), "CLONE_NEWTIME"));
    steps.push(file::close(slot));
    steps
}
