//! Which place is chosen: a group that was delegated, one that systemd makes, or the highest that can be written to.
//!
//! Kernel objects: as in `place.rs`. Invariant: a group is made only where the limits that are wanted can be had, and
//! nothing is asked of systemd where that is not needed.

use std::path::Path;

use rustix::fs::{AtFlags, CWD};

use crate::controller::Controllers;
use crate::delegation::{Ground, grounds};
use crate::error::{Error, ErrorKind, Result};
use crate::hierarchy::{Hierarchies, Hierarchy, Mode};
use crate::limits::Limits;
use crate::place::{self, Dir, Place};
use crate::placement::{Placement, Scope};
use crate::table::{self, Version, Write};
use crate::way::{self, HandDown, Way};

/// What groups in a place are to have.
#[derive(Clone, Copy, Debug)]
struct Wanted<'a> {
    /// What limits need.
    needs: &'a [Write],
    /// What is counted, as far as the place was given it.
    accounting: Controllers,
}

impl Wanted<'_> {
    /// Better a group that counts less than none.
    fn uncounted(self) -> Self {
        Self { accounting: Controllers::empty(), ..self }
    }
}

impl Place {
    /// The place that fits the caller: a group `ampoule` in the one that was delegated to it, or in the highest one that
    /// it may write to; for root where nothing was delegated that is `/ampoule`.
    ///
    /// Under systemd that is the caller's unit, for root only if systemd says that it was delegated (the attribute
    /// `user.delegate` of the group, since version 251). A group in which the caller itself runs cannot hand on
    /// controllers (the "no internal processes" rule of cgroups(7)): then it is taken only if there is no other one.
    ///
    /// # Errors
    /// [`NotDelegated`](crate::ErrorKind::NotDelegated), [`ReadOnly`](crate::ErrorKind::ReadOnly).
    pub fn find(hierarchies: &Hierarchies) -> Result<Self> {
        find(hierarchies, Wanted { needs: &[], accounting: Controllers::all() })
    }

    /// The place for groups without limits: `ampoule` in the caller's own group, so that what limits the caller limits
    /// them too. It is in one hierarchy, where a process can be born: v2, else the cheapest one of v1.
    ///
    /// # Errors
    /// As [`Place::open`]; of the first hierarchy when none can be used.
    pub fn within(hierarchies: &Hierarchies) -> Result<Self> {
        let mut all: Vec<&Hierarchy> = hierarchies.iter().collect();
        all.sort_by_key(|one| {
            let last = [Controllers::PIDS, Controllers::FREEZER];
            let v1 = last.iter().position(|wanted| one.controllers.contains(*wanted));
            (one.version == Version::V1, v1.unwrap_or(last.len()))
        });
        let mut refused = None;
        for hierarchy in all {
            match open_within(hierarchy) {
                Ok(dir) => return Ok(Self::new(vec![dir], None)),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Err(refused.unwrap_or_else(Error::no_cgroups))
    }

    /// The place that fits a placement, the limits that groups there are to have, and what they are to count.
    ///
    /// # Errors
    /// As [`Place::find`]; [`MissingController`](crate::ErrorKind::MissingController) when no place has what a limit
    /// needs. With [`Placement::Systemd`] [`NoSystemd`](crate::ErrorKind::NoSystemd),
    /// [`Systemd`](crate::ErrorKind::Systemd), [`Timeout`](crate::ErrorKind::Timeout) after 10 seconds, and those of a
    /// process that cannot be started.
    pub fn choose(
        hierarchies: &Hierarchies,
        placement: &Placement,
        limits: &Limits,
        accounting: Controllers,
    ) -> Result<Self> {
        // Nothing is asked of systemd for limits that cannot be.
        limits.validate()?;
        let hierarchy = match (placement, unified(hierarchies)) {
            (Placement::Systemd(scope), hierarchy) => {
                return crate::systemd::place(hierarchy, scope);
            }
            // What limits need of v1 is told by each of its hierarchies.
            (_, None) => return Self::find(hierarchies),
            (_, Some(hierarchy)) => hierarchy,
        };
        let wanted = Wanted { needs: &needs(limits)?, accounting };
        match placement {
            Placement::Auto => auto(hierarchy, wanted),
            _ => find(hierarchies, wanted),
        }
    }
}

/// The hierarchy of pure v2.
pub(crate) fn unified(hierarchies: &Hierarchies) -> Option<&Hierarchy> {
    hierarchies.iter().next().filter(|_| hierarchies.mode() == Mode::V2)
}

/// What limits need on v2; rules for devices are a program there, and need nothing.
fn needs(limits: &Limits) -> Result<Vec<Write>> {
    let limits = Limits { devices: Vec::new(), ..limits.clone() };
    table::writes(&limits, &|_| Version::V2)
}

fn find(hierarchies: &Hierarchies, wanted: Wanted<'_>) -> Result<Place> {
    let mut dirs = Vec::new();
    let mut refused = None;
    for hierarchy in hierarchies.iter() {
        let grounds = grounds(hierarchy);
        let made = first(hierarchy, &grounds, wanted)
            .or_else(|_| first(hierarchy, &grounds, wanted.uncounted()));
        match made {
            Ok(dir) => dirs.push(dir),
            // Another hierarchy may be enough.
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) if dirs.is_empty() => Err(error),
        _ => Ok(Place::new(dirs, None)),
    }
}

/// A delegated group, else systemd, else what systemd has not delegated, else a group that counts less.
fn auto(hierarchy: &Hierarchy, wanted: Wanted<'_>) -> Result<Place> {
    let all = grounds(hierarchy);
    let is_mine = |ground: &&Ground| matches!(ground, Ground::Delegated(_));
    let mine = all.iter().filter(is_mine).cloned().collect::<Vec<_>>();
    if !mine.is_empty()
        && let Ok(dir) = first(hierarchy, &mine, wanted)
    {
        return Ok(Place::new(vec![dir], None));
    }
    let not_asked = match crate::systemd::place(Some(hierarchy), &Scope::default()) {
        Ok(place) => return Ok(place),
        Err(error) => error,
    };
    let direct = first(hierarchy, &all, wanted);
    match direct.or_else(|_| first(hierarchy, &all, wanted.uncounted())) {
        Ok(dir) => Ok(Place::new(vec![dir], None)),
        Err(error) => Err(Error::unplaced(error, not_asked)),
    }
}

/// The directory in the own group; one that is the root hands controllers down where it can.
fn open_within(hierarchy: &Hierarchy) -> Result<Dir> {
    let own = &hierarchy.own;
    if hierarchy.version == Version::V2 {
        // A process is born into a group by whoever may move it out of the own one.
        let file = own.join("cgroup.procs");
        let access =
            rustix::fs::accessat(CWD, &file, rustix::fs::Access::WRITE_OK, AtFlags::EACCESS);
        access.map_err(|errno| Error::not_delegated(own.clone(), errno))?;
    }
    let ours = |hand_down| Way::to_ours(hierarchy, own, hand_down).open();
    let all = (*own == hierarchy.mount).then(|| ours(HandDown::All));
    match all {
        Some(Ok(dir)) => Ok(dir),
        _ => ours(HandDown::Nothing),
    }
    .and_then(place::writable)
}

/// The first ground that will do; the first error if none does.
fn first(hierarchy: &Hierarchy, grounds: &[Ground], wanted: Wanted<'_>) -> Result<Dir> {
    let mut refused = None;
    for ground in grounds {
        match on_ground(hierarchy, ground.path(), wanted) {
            Ok(dir) => return Ok(dir),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    match refused {
        Some(error) => Err(error),
        // The kernel says why not.
        None => on_ground(hierarchy, &hierarchy.own, wanted.uncounted()),
    }
}

fn on_ground(hierarchy: &Hierarchy, top: &Path, wanted: Wanted<'_>) -> Result<Dir> {
    let fd = way::open_top(top)?;
    let occupied = match way::enable(hierarchy, &fd, top) {
        Ok(()) => None,
        Err(error) if error.kind() == ErrorKind::Busy => Some(top),
        Err(error) => return Err(error),
    };
    if hierarchy.version == Version::V2 {
        let had = way::controllers(hierarchy, &fd);
        let lacking = wanted.needs.iter().find(|write| !had.contains(write.controller));
        let uncounted = occupied.filter(|_| !wanted.accounting.is_empty());
        let missing = lacking
            .map(|write| (write.limit, write.controller))
            .or(uncounted.map(|_| ("accounting", wanted.accounting)));
        if let Some((limit, controllers)) = missing {
            return Err(Error::missing(limit, controllers, place::absence(top, occupied)));
        }
    }
    let ours = Way::to_ours(hierarchy, top, HandDown::All);
    let dir = ours.open_from(fd).and_then(place::writable)?;
    Ok(dir.below_occupied(occupied))
}
