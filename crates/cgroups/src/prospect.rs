//! Where groups could be made, told without making one.
//!
//! Kernel objects: directories of cgroupfs, read only; one connection to a bus, closed at once. Invariant: nothing is
//! made or changed.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

use crate::choice;
use crate::controller::Controllers;
use crate::delegation::{Ground, grounds};
use crate::error::{Error, Result};
use crate::hierarchy::{Hierarchies, Hierarchy};
use crate::table::Version;
use crate::way;

/// Where groups with limits could be made ([`Placement::Auto`](crate::Placement::Auto)), as far as it can be told
/// without making one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Prospect {
    /// Below groups that were delegated to the caller, or that no service manager owns.
    Delegated(Vec<Site>),
    /// In a transient scope: systemd answers on its bus, and cgroup v2 is all that is mounted.
    Scope,
    /// Below groups that systemd owns, though the caller may write to them; why it cannot be asked for a scope.
    Managed(Vec<Site>, Error),
    /// Nowhere; why not below a group, and why systemd cannot be asked for a scope.
    Nowhere(Error, Error),
}

/// A directory below which groups could be made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Site {
    /// The directory.
    pub path: PathBuf,
    /// What groups below it could limit; none where processes in the directory stand in the way (the "no internal
    /// processes" rule of cgroups(7)).
    pub controllers: Controllers,
}

impl Prospect {
    /// Looks.
    #[must_use]
    pub fn of(hierarchies: &Hierarchies) -> Self {
        let unified = choice::unified(hierarchies);
        let all: Vec<(Site, bool)> = hierarchies.iter().filter_map(best).collect();
        let mine = |(site, delegated): &(Site, bool)| *delegated && !site.controllers.is_empty();
        // On v1 the hierarchies with controllers count; v2 beside them has none.
        if all.iter().any(mine) {
            return Self::Delegated(all.into_iter().map(|(site, _)| site).collect());
        }
        let not_asked = match crate::systemd::answers(unified) {
            Ok(()) => return Self::Scope,
            Err(error) => error,
        };
        match all.is_empty() {
            false => Self::Managed(all.into_iter().map(|(site, _)| site).collect(), not_asked),
            true => Self::Nowhere(refusal(hierarchies), not_asked),
        }
    }

    /// What groups could limit; `None` in a scope, whose controllers systemd chooses.
    #[must_use]
    pub fn controllers(&self) -> Option<Controllers> {
        match self {
            Self::Delegated(sites) | Self::Managed(sites, _) => {
                Some(sites.iter().map(|site| site.controllers).collect())
            }
            Self::Scope => None,
            Self::Nowhere(..) => Some(Controllers::empty()),
        }
    }
}

/// The best directory of a hierarchy, and whether it is the caller's own.
fn best(hierarchy: &Hierarchy) -> Option<(Site, bool)> {
    if hierarchy.read_only {
        return None;
    }
    let sites = grounds(hierarchy).into_iter().map(|ground| {
        let delegated = matches!(ground, Ground::Delegated(_));
        let controllers = handed_on(hierarchy, ground.path());
        (Site { path: ground.path().to_owned(), controllers }, delegated)
    });
    let sites: Vec<(Site, bool)> = sites.collect();
    let able = sites.iter().find(|(site, _)| !site.controllers.is_empty());
    able.or(sites.first()).cloned()
}

/// What groups in a directory have, or could have.
fn handed_on(hierarchy: &Hierarchy, path: &Path) -> Controllers {
    let text = |name: &str| std::fs::read_to_string(path.join(name)).unwrap_or_default();
    if hierarchy.version == Version::V1 {
        return hierarchy.controllers;
    }
    let enabled = Controllers::of_v2(&text(way::SUBTREE));
    // The root alone has no type, and may have processes beside groups with controllers.
    let occupied = path.join("cgroup.type").exists() && !text("cgroup.procs").trim().is_empty();
    match occupied || hierarchy.beside_v1 {
        true => enabled,
        false => enabled | Controllers::of_v2(&text("cgroup.controllers")),
    }
}

/// Why no group can be made in the own ones.
fn refusal(hierarchies: &Hierarchies) -> Error {
    let refused = hierarchies.iter().find_map(|one| may(&one.own).err());
    refused.unwrap_or_else(Error::no_cgroups)
}

fn may(path: &Path) -> Result<()> {
    let allowed = |path: &Path| accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS);
    let both = allowed(path).and_then(|()| allowed(&path.join("cgroup.procs")));
    both.map_err(|errno: Errno| Error::not_delegated(path.to_owned(), errno))
}

impl fmt::Display for Prospect {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delegated(sites) => write!(out, "below {}", Sites(sites)),
            Self::Scope => out.write_str("in a transient scope of systemd"),
            Self::Managed(sites, not_asked) => {
                write!(out, "below {}, though it was not delegated ({not_asked})", Sites(sites))
            }
            Self::Nowhere(error, not_asked) => write!(out, "NONE: {error}; {not_asked}"),
        }
    }
}

/// Several directories in one line.
struct Sites<'a>(&'a [Site]);

impl fmt::Display for Sites<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, site) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match site.controllers.is_empty() {
                true => write!(out, "{comma}{} (no controllers)", site.path.display())?,
                false => write!(out, "{comma}{} ({})", site.path.display(), site.controllers)?,
            }
        }
        Ok(())
    }
}
