//! Owner, attributes, permissions and times of what was made.
//!
//! Kernel objects: inodes. Invariant: the order is owner (which clears set-id bits and
//! capabilities), attributes (which need a writable file), permissions, times; and no link is
//! followed. See chown(2), xattr(7), utimensat(2).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::directories::Final;
use super::owning::Owning;
use crate::ids::MappedIds;
use crate::ids::hand_over::{CAPABILITY, Owners};
use crate::unpack::Unpack;
use crate::unpack::format::member::{Kind, Member, Timestamp};
use crate::unpack::options::AttributeFilter;
use crate::unpack::trouble::Trouble;

/// Where ownership is kept, as containers/storage and fuse-overlayfs do.
pub(crate) const OVERRIDE: &str = "user.containers.override_stat";

/// Bytes that the names of all attributes of a file have at most; see listxattr(2).
const LIST_MAX: usize = 65_536;

/// How metadata is set.
pub(crate) struct Metadata {
    owning: Owning,
    filter: AttributeFilter,
    ids: Option<MappedIds>,
    /// What files get when all are there.
    pub(crate) owners: Owners,
    /// Attributes that were not taken over.
    pub(crate) dropped: u64,
}

impl Metadata {
    pub(crate) fn new(unpack: &Unpack) -> Self {
        Self {
            owning: Owning::of(unpack),
            filter: unpack.attributes.clone(),
            ids: unpack.ids.clone(),
            owners: Owners::default(),
            dropped: 0,
        }
    }

    /// Owner and attributes of a file or directory.
    pub(crate) fn inode(&mut self, fd: BorrowedFd<'_>, member: &Member) -> Result<(), Trouble> {
        match self.owning {
            Owning::Later => {
                let stat = fs::fstat(fd).map_err(Trouble::of("fstat"))?;
                self.note(stat.st_ino, member)?;
            }
            Owning::Real => {
                let (uid, gid) = owner(member);
                fs::fchown(fd, uid, gid).map_err(Trouble::of("fchown"))?;
            }
            Owning::Single => {
                let value = override_stat(member);
                fs::fsetxattr(fd, OVERRIDE, value.as_bytes(), XattrFlags::empty())
                    .map_err(Trouble::of("fsetxattr"))?;
            }
        }
        self.attributes(member, |name, value| fs::fsetxattr(fd, name, value, XattrFlags::empty()))
    }

    /// Notes what a file gets when all are there.
    fn note(&mut self, inode: u64, member: &Member) -> Result<(), Trouble> {
        if let Some(ids) = &self.ids {
            let unmapped = |(kind, id, ranges)| Trouble::NotMapped { kind, id, ranges };
            ids.check(member.uid, member.gid).map_err(unmapped)?;
        }
        let mut attributes = member.attributes.iter();
        let capability = attributes.find(|attribute| attribute.name == CAPABILITY);
        let capability = capability.filter(|found| self.filter.allows(&found.name));
        self.owners.note(inode, member, capability.map(|found| found.value.as_slice()));
        Ok(())
    }

    /// Removes the attributes that an existing directory has from a lower layer.
    pub(crate) fn clear(&self, fd: BorrowedFd<'_>) -> Result<(), Trouble> {
        let mut names = vec![0_u8; LIST_MAX];
        let len = match fs::flistxattr(fd, names.as_mut_slice()) {
            Err(Errno::OPNOTSUPP) => return Ok(()),
            other => other.map_err(Trouble::of("flistxattr"))?,
        };
        names.truncate(len);
        for name in names.split(|byte| *byte == 0).filter(|name| self.filter.allows(name)) {
            fs::fremovexattr(fd, name).map_err(Trouble::of("fremovexattr"))?;
        }
        Ok(())
    }

    /// Owner, attributes, permissions and times of what cannot be opened: a link, FIFO or device.
    pub(crate) fn special(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        member: &Member,
    ) -> Result<(), Trouble> {
        match self.owning {
            Owning::Real => {
                let (uid, gid) = owner(member);
                fs::chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(Trouble::of("fchownat"))?;
            }
            Owning::Later => {
                let stat = fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
                self.note(stat.map_err(Trouble::of("fstatat"))?.st_ino, member)?;
            }
            Owning::Single => {}
        }
        let is_link = matches!(member.kind, Kind::Symlink { .. });
        if !is_link || !member.attributes.is_empty() {
            let fd = open_path(parent, name)?;
            let path = proc_path(fd.as_fd());
            self.attributes(member, |name, value| {
                fs::setxattr(path.as_str(), name, value, XattrFlags::empty())
            })?;
            if !is_link {
                chmod_path(fd.as_fd(), Mode::from_raw_mode(member.mode))?;
            }
        }
        let times = times(member);
        let times = Timestamps { last_access: times.0, last_modification: times.1 };
        fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(Trouble::of("utimensat"))
    }

    /// Permissions and times of a file that is complete.
    pub(crate) fn finish(fd: BorrowedFd<'_>, member: &Member) -> Result<(), Trouble> {
        fs::fchmod(fd, Mode::from_raw_mode(member.mode)).map_err(Trouble::of("fchmod"))?;
        let (last_access, last_modification) = times(member);
        let times = Timestamps { last_access, last_modification };
        fs::futimens(fd, &times).map_err(Trouble::of("futimens"))
    }

    fn attributes(
        &mut self,
        member: &Member,
        set: impl Fn(&[u8], &[u8]) -> Result<(), Errno>,
    ) -> Result<(), Trouble> {
        for attribute in &member.attributes {
            if !self.filter.allows(&attribute.name) {
                self.dropped += 1;
                continue;
            }
            if self.owning == Owning::Later && attribute.name == CAPABILITY {
                continue;
            }
            match set(&attribute.name, &attribute.value) {
                Ok(()) => {}
                // What this caller, this kind of file or this file system cannot have.
                Err(Errno::PERM | Errno::OPNOTSUPP) => self.dropped += 1,
                Err(errno) => return Err(Trouble::System("setxattr", errno)),
            }
        }
        Ok(())
    }
}

/// What a directory gets when it is closed.
pub(crate) fn final_of(member: &Member) -> Final {
    let (atime, mtime) = times(member);
    Final { mode: Mode::from_raw_mode(member.mode), atime, mtime }
}

/// Access and modification; the latter stands for the former where the layer does not say.
fn times(member: &Member) -> (Timespec, Timespec) {
    let timespec = |time: Timestamp| Timespec { tv_sec: time.sec, tv_nsec: time.nsec.into() };
    (timespec(member.atime.unwrap_or(member.mtime)), timespec(member.mtime))
}

fn owner(member: &Member) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(member.uid)), Some(Gid::from_raw(member.gid)))
}

/// `UID:GID:MODE:TYPE`.
fn override_stat(member: &Member) -> String {
    let Member { uid, gid, mode, .. } = member;
    let kind = match member.kind {
        Kind::Directory => "dir".to_owned(),
        Kind::File { .. } | Kind::HardLink { .. } => "file".to_owned(),
        Kind::Symlink { .. } => "symlink".to_owned(),
        Kind::Fifo => "pipe".to_owned(),
        Kind::CharDevice { major, minor } => format!("char-{major}-{minor}"),
        Kind::BlockDevice { major, minor } => format!("block-{major}-{minor}"),
    };
    format!("{uid}:{gid}:0{mode:o}:{kind}")
}

/// A descriptor that names, and opens nothing.
fn open_path(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Trouble> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(parent, name, flags, Mode::empty()).map_err(Trouble::of("openat"))
}

/// The path by which calls without an `AT_EMPTY_PATH` (which fchmodat has since Linux 6.6 only)
/// reach the very inode of a descriptor.
fn proc_path(fd: BorrowedFd<'_>) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Sets the permissions of what a descriptor of open(2)'s `O_PATH` names.
pub(crate) fn chmod_path(fd: BorrowedFd<'_>, mode: Mode) -> Result<(), Trouble> {
    fs::chmod(proc_path(fd).as_str(), mode).map_err(Trouble::of("chmod"))
}
