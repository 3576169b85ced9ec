//! Who the payload is: user, groups, capabilities and the id maps that make it so.
//!
//! Kernel objects: `/etc/passwd` and `/etc/group` of the container's root, id ranges of the host. Invariant: a name
//! is resolved inside the root only, and a number is never looked up by name.

use std::path::{Path, PathBuf};

use ampoule_ns::auto_range::Reservation;
use ampoule_ns::layered_root::LayeredRoot;
use ampoule_ns::prepared::credentials::Groups;
use ampoule_ns::prepared::id_maps::{Writer, writer};
use ampoule_ns::user::{PasswdContent, PasswdSource};
use ampoule_ns::{
    Capabilities, CapabilitySet, IdKind, IdMap, IdMapping, Namespace, NamespaceSet, ResolvedUser,
    Setting, User,
};
use ampoule_overlay::Root;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{getegid, geteuid};

use crate::builder::Builder;
use crate::error::{Error, ErrorKind, Problem, Stage, kind_of_errno};
use crate::host::{self, Privilege};
use crate::joined_user::JoinedUser;
use crate::origin::Origin;

/// Whether capabilities can be taken from the bounding set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bounding {
    /// They can.
    Settable,
    /// They cannot: the caller has no `CAP_SETPCAP` in the user namespace that it shares with the payload.
    Fixed,
}

/// Who the payload is.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) user: ResolvedUser,
    pub(crate) capabilities: Capabilities,
    pub(crate) bounding: Bounding,
    /// Those that were asked for, for whatever user.
    pub(crate) asked: Option<Capabilities>,
    /// The maps of a new user namespace, and who writes them.
    pub(crate) maps: Option<(IdMap, Writer)>,
    /// What is known of a user namespace that is joined.
    joined: Option<JoinedUser>,
    pub(crate) groups: Groups,
    /// Keeps the range of host ids for as long as the plan lives.
    pub(crate) reservation: Option<Reservation>,
}

impl Identity {
    /// Resolves everything.
    pub(crate) fn resolve(
        builder: &Builder,
        namespaces: &NamespaceSet,
        privilege: Privilege,
    ) -> Result<Self, Error> {
        let user = resolve_user(builder, privilege)?;
        let fits = |set: CapabilitySet| set.intersection(CapabilitySet::supported().unwrap_or(set));
        let mut capabilities =
            builder.capabilities.unwrap_or_else(|| default_capabilities(user.uid));
        capabilities.bounding = fits(capabilities.bounding);
        capabilities.validate().map_err(|error| Error::from_ns(Stage::Plan, error))?;
        let bounding = match namespaces.get(Namespace::User) {
            Setting::Host => host_bounding(&capabilities),
            Setting::New | Setting::Join(_) => Bounding::Settable,
        };
        let mut identity = Self {
            user,
            capabilities,
            bounding,
            asked: builder.capabilities,
            maps: None,
            joined: None,
            groups: Groups::Settable,
            reservation: None,
        };
        match namespaces.get(Namespace::User) {
            Setting::New => identity.map(builder, privilege)?,
            Setting::Host if privilege == Privilege::None || host::denies_setgroups() => {
                identity.groups = Groups::Fixed;
            }
            Setting::Join(target) => {
                let joined = JoinedUser::look(target, privilege);
                identity.groups = joined.groups;
                identity.joined = Some(joined);
            }
            Setting::Host => {}
        }
        identity.check_mapped(&identity.user)?;
        Ok(identity)
    }

    /// Chooses the maps of a new user namespace.
    fn map(&mut self, builder: &Builder, privilege: Privilege) -> Result<(), Error> {
        let (euid, egid) = (geteuid().as_raw(), getegid().as_raw());
        let invalid = |error| Error::from_ns(Stage::Plan, error).with_kind(ErrorKind::IdMap);
        let map = match (&builder.id_mapping, privilege) {
            (IdMapping::Explicit(map), _) => map.clone(),
            (IdMapping::SubIds, _) => ampoule_ns::sub_id::caller_map().map_err(invalid)?,
            (_, Privilege::Full) => {
                let reservation = Reservation::acquire().map_err(invalid)?;
                self.reservation.insert(reservation).id_map()
            }
            (_, Privilege::None) => IdMap::single(self.user.uid, self.user.gid, euid, egid),
        };
        map.validate().map_err(invalid)?;
        let most = if privilege == Privilege::Full { Writer::Privileged } else { Writer::OwnId };
        let who = writer(&map, most, euid, egid);
        if who == Writer::OwnId {
            self.groups = Groups::Fixed;
        }
        self.maps = Some((map, who));
        Ok(())
    }

    /// A process's ids must exist in the new user namespace.
    pub(crate) fn check_mapped(&self, user: &ResolvedUser) -> Result<(), Error> {
        let Some(map) = self.known_map() else { return Ok(()) };
        let missing = |kind, id| map.to_host(kind, id).is_none();
        let mut problems = Vec::new();
        if missing(IdKind::Uid, user.uid) {
            problems.push(Problem::new("user", format!("user id {} is not mapped", user.uid)));
        }
        if missing(IdKind::Gid, user.gid) {
            problems.push(Problem::new("user", format!("group id {} is not mapped", user.gid)));
        }
        let groups = if self.groups == Groups::Settable { user.groups.as_slice() } else { &[] };
        let unmapped = groups.iter().filter(|gid| missing(IdKind::Gid, **gid));
        problems.extend(
            unmapped.map(|gid| {
                Problem::new("user", format!("supplementary group {gid} is not mapped"))
            }),
        );
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Error::invalid(problems).with_kind(ErrorKind::IdMap))
        }
    }

    /// The capabilities as steps can set them, where the kernel knows these.
    pub(crate) fn settable_capabilities(&self, known: CapabilitySet) -> Capabilities {
        match self.bounding {
            Bounding::Settable => self.capabilities,
            Bounding::Fixed => Capabilities { bounding: known, ..self.capabilities },
        }
    }

    /// Whether id 0 exists in the container's user namespace.
    pub(crate) fn has_root(&self) -> bool {
        self.known_map().is_none_or(|map| {
            map.to_host(IdKind::Uid, 0).is_some() && map.to_host(IdKind::Gid, 0).is_some()
        })
    }

    /// The host's ids of user and group 0 in a new user namespace.
    pub(crate) fn root_ids(&self) -> Option<(u32, u32)> {
        let (map, _) = self.maps.as_ref()?;
        Some((map.to_host(IdKind::Uid, 0)?, map.to_host(IdKind::Gid, 0)?))
    }

    /// Whether the container's root has the ids of this process.
    pub(crate) fn root_is_caller(&self) -> bool {
        self.known_map().is_some_and(|map| {
            map.to_host(IdKind::Uid, 0) == Some(geteuid().as_raw())
                && map.to_host(IdKind::Gid, 0) == Some(getegid().as_raw())
        })
    }

    /// The maps of a user namespace other than the host's, as far as they are known.
    fn known_map(&self) -> Option<&IdMap> {
        let joined = self.joined.as_ref().and_then(|joined| joined.maps.as_ref());
        self.maps.as_ref().map(|(map, _)| map).or(joined)
    }

    /// Whether this group exists in the container's user namespace.
    pub(crate) fn has_group(&self, gid: u32) -> bool {
        match (self.known_map(), &self.joined) {
            (Some(map), _) => map.to_host(IdKind::Gid, gid).is_some(),
            (None, joined) => joined.is_none() && host::has_group(gid),
        }
    }

    /// The payload's home directory.
    pub(crate) fn home(&self) -> PathBuf {
        home(&self.user)
    }
}

/// Whether the bounding set is as wanted without a change, or this thread may change it.
fn host_bounding(wanted: &Capabilities) -> Bounding {
    use rustix::thread::CapabilitySet as Held;
    let held = rustix::thread::capabilities(None).map(|sets| sets.effective);
    let may = held.is_ok_and(|held| held.contains(Held::SETPCAP));
    let all = CapabilitySet::supported().unwrap_or(wanted.bounding);
    if may || all.difference(wanted.bounding).is_empty() {
        Bounding::Settable
    } else {
        Bounding::Fixed
    }
}

/// A user's home directory.
pub(crate) fn home(user: &ResolvedUser) -> PathBuf {
    let fallback = if user.uid == 0 { "/root" } else { "/" };
    user.home.clone().unwrap_or_else(|| fallback.into())
}

/// The usual set, without what the payload's user could never use.
pub(crate) fn default_capabilities(uid: u32) -> Capabilities {
    if uid == 0 { Capabilities::default() } else { Capabilities::drop_all() }
}

/// The user that was asked for, or the default of the origin.
fn resolve_user(builder: &Builder, privilege: Privilege) -> Result<ResolvedUser, Error> {
    let own = || User::ids(geteuid().as_raw(), getegid().as_raw());
    let roots = open_roots(builder)?;
    let layers = LayeredRoot::new(roots.iter().map(std::os::fd::AsFd::as_fd));
    let user = match (&builder.user, &builder.origin, privilege) {
        (Some(user), _, _) => user.clone(),
        (None, Origin::Directory(_) | Origin::Layers(_), _) => User::ids(0, 0),
        (None, Origin::HostView, Privilege::Full) => return unused_user(&layers),
        (None, Origin::HostView | Origin::Bare, _) => own(),
    };
    user.resolve(&layers).map_err(|error| Error::from_ns(Stage::Plan, error))
}

/// The directories in which names are resolved, the uppermost first.
fn open_roots(builder: &Builder) -> Result<Vec<std::os::fd::OwnedFd>, Error> {
    let mut paths = Vec::new();
    let lower = match &builder.origin {
        Origin::Directory(directory) => std::slice::from_ref(directory),
        Origin::Layers(layers) => layers.as_slice(),
        Origin::HostView | Origin::Bare => &[],
    };
    match &builder.root {
        // A first launch makes it; until then there is nothing to find in it.
        Root::Persistent(upper) if !lower.is_empty() => {
            paths.extend(upper.is_dir().then_some(upper.as_path()));
        }
        _ if lower.is_empty() => paths.push(Path::new("/")),
        _ => {}
    }
    paths.extend(lower.iter().map(PathBuf::as_path));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |path: &Path| {
        openat(CWD, path, flags, Mode::empty()).map_err(|errno| {
            let kind = match kind_of_errno(errno) {
                ErrorKind::ResourceLimit => ErrorKind::ResourceLimit,
                _ => ErrorKind::FileSystem,
            };
            Error::new(kind, Stage::Plan)
                .about(format!("root {}", path.display()))
                .with_errno(errno)
        })
    };
    paths.into_iter().map(open).collect()
}

/// An id that no account has: what a payload gets that runs on the host's files as root's child.
fn unused_user(roots: &LayeredRoot<'_>) -> Result<ResolvedUser, Error> {
    const FIRST: u32 = 60_600;
    let failed = |error| Error::from_ns(Stage::Plan, error);
    let passwd = roots.passwd().map_err(failed)?;
    let group = roots.group().map_err(failed)?;
    let has = |content: &[u8], id: u32| {
        let id = id.to_string();
        content
            .split(|&byte| byte == b'\n')
            .any(|line| line.split(|&byte| byte == b':').nth(2) == Some(id.as_bytes()))
    };
    let id = (FIRST..FIRST + 1000).find(|id| !has(&passwd, *id) && !has(&group, *id));
    let user = User::ids(id.unwrap_or(FIRST), id.unwrap_or(FIRST));
    user.resolve(&PasswdContent { passwd: &passwd, group: &group }).map_err(failed)
}
