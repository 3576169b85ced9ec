//! The labels of files.
//!
//! Kernel objects: the attribute `security.selinux` (xattr(7)). Invariant: a file is named by its descriptor only, which
//! may be one of `O_PATH`, so that no link is followed and nothing is opened that would notice it.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, StatxFlags, XattrFlags, getxattr, openat, setxattr, statx,
};
use rustix::io::Errno;

use crate::attribute::procfs;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::selinuxfs::text;

const NAME: &str = "security.selinux";
const LIMIT: usize = 4096;

/// Labels of open files.
///
/// They go through `/proc/thread-self/fd`: what a descriptor of `O_PATH` names has no calls of its own for attributes
/// before Linux 6.13.
#[derive(Debug)]
#[non_exhaustive]
pub struct FileLabels;

impl FileLabels {
    /// Checks what is needed to get at labels.
    ///
    /// # Errors
    /// [`ErrorKind::FileSystem`](crate::ErrorKind::FileSystem) where `/proc` is not procfs.
    pub fn open() -> Result<Self> {
        procfs().map(|_| Self)
    }

    /// The label of an open file; `None` if it has none.
    ///
    /// # Errors
    /// [`ErrorKind::LabelsUnsupported`](crate::ErrorKind::LabelsUnsupported), [`ErrorKind::Denied`] and
    /// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed).
    ///
    /// [`ErrorKind::Denied`]: crate::ErrorKind::Denied
    pub fn get(&self, file: impl AsFd) -> Result<Option<Context>> {
        let mut bytes = vec![0; LIMIT];
        match getxattr(way(&file), NAME, &mut *bytes) {
            Ok(length) => bytes.truncate(length),
            Err(Errno::NODATA) => return Ok(None),
            Err(errno) => return Err(Error::on("getxattr", &shown(&file), errno)),
        }
        let parsed = text(&bytes).parse();
        parsed.map(Some).map_err(|problem| Error::malformed(&shown(&file), problem))
    }

    /// Whether SELinux keeps labels on this file's file system, as its mount says (`seclabel` among the options in
    /// `/proc/self/mountinfo`): not on those without attributes, nor on those that have one label for all.
    ///
    /// # Errors
    /// [`ErrorKind::System`](crate::ErrorKind::System).
    pub fn can_be_set(&self, file: impl AsFd) -> Result<bool> {
        let found = statx(&file, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID);
        let mount = found.map_err(|errno| Error::on("statx", &shown(&file), errno))?.stx_mnt_id;
        let table = std::fs::read_to_string("/proc/thread-self/mountinfo").map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            Error::on("read", Path::new("mountinfo"), errno)
        })?;
        Ok(keeps_labels(&table, mount))
    }

    /// Sets the label of an open file.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownContext`](crate::ErrorKind::UnknownContext) to the loaded policy, [`ErrorKind::LabelsUnsupported`](crate::ErrorKind::LabelsUnsupported)
    /// and [`ErrorKind::Denied`](crate::ErrorKind::Denied).
    pub fn set(&self, file: impl AsFd, label: &Context) -> Result<()> {
        // With its NUL, as all tools write it.
        let mut bytes = label.to_string().into_bytes();
        bytes.push(0);
        match setxattr(way(&file), NAME, &bytes, XattrFlags::empty()) {
            Ok(()) => Ok(()),
            Err(Errno::INVAL) => Err(Error::unknown(label)),
            Err(errno) => Err(Error::on("setxattr", &shown(&file), errno)),
        }
    }
}

/// Whether the options of the file system of this mount have `seclabel`.
fn keeps_labels(table: &str, mount: u64) -> bool {
    let is_it = |line: &&str| line.split(' ').next().and_then(|id| id.parse().ok()) == Some(mount);
    let options = table.lines().find(is_it).and_then(|line| line.rsplit(' ').next());
    options.is_some_and(|options| options.split(',').any(|option| option == "seclabel"))
}

/// A path that leads to an open file, whatever it is.
fn way(file: &impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/thread-self/fd/{}", file.as_fd().as_raw_fd()))
}

/// Where an open file is, for messages.
pub(crate) fn shown(file: &impl AsFd) -> PathBuf {
    let link = way(file);
    std::fs::read_link(&link).unwrap_or(link)
}

/// Opens a file for its label, whatever it is; the last component is not followed.
pub(crate) fn open_path(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty()).map_err(|errno| Error::on("open", path, errno))
}

#[cfg(test)]
mod tests {
    use super::keeps_labels;

    #[test]
    fn the_mounts_own_line_says_it() {
        let table = "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/vda rw,seclabel,discard
22 21 0:5 / /seclabel rw - tmpfs seclabel rw,size=4k
30 21 0:6 / /x rw - 9p rw rw,context=system_u:object_r:t:s0\n";
        let kept: Vec<_> =
            [21, 22, 30, 2].into_iter().map(|mount| keeps_labels(table, mount)).collect();
        assert_eq!(kept, [true, false, false, false]);
    }
}
