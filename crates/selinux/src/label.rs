//! The labels of files.
//!
//! Kernel objects: the attribute `security.selinux` (xattr(7)). Invariant: a file is named by its descriptor only, which
//! may be one of `O_PATH`, so that no link is followed and nothing is opened that would notice it.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, XattrFlags, getxattr, openat, setxattr};
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
