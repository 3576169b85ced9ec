//! The labels of a process.
//!
//! Kernel objects: `attr/` in procfs (proc_pid_attr(5)). Invariant: what is written is read back, through a directory
//! that is known to be procfs.

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, fstatfs, openat};
use rustix::io::write;

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::selinuxfs::{answer, is, parse, text};

/// `PROC_SUPER_MAGIC`.
const MAGIC: u64 = 0x9fa0;

/// A label of a process or thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Attribute {
    /// The context that it is in.
    Current,
    /// The context that the next program gets; unset by it.
    Exec,
    /// The label of files that it makes.
    FsCreate,
    /// The label of keys that it makes.
    KeyCreate,
    /// The label of sockets that it makes.
    SockCreate,
}

impl Attribute {
    /// The name of its file in `attr/`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Exec => "exec",
            Self::FsCreate => "fscreate",
            Self::KeyCreate => "keycreate",
            Self::SockCreate => "sockcreate",
        }
    }

    /// Of the calling thread; `None` if it is unset.
    ///
    /// # Errors
    /// [`ErrorKind::FileSystem`] where `/proc` is not procfs, [`ErrorKind::Malformed`] for what is no context of
    /// SELinux, [`ErrorKind::System`] where no security module has labels of processes (`EINVAL`).
    pub fn of_this_thread(self) -> Result<Option<Context>> {
        self.of("thread-self")
    }

    /// Of the process with this id, in the caller's pid namespace.
    ///
    /// # Errors
    /// As [`Self::of_this_thread`], and [`ErrorKind::System`] when there is no such process.
    pub fn of_process(self, pid: u32) -> Result<Option<Context>> {
        self.of(&pid.to_string())
    }

    /// Sets or, with `None`, unsets it for the calling thread and no other.
    ///
    /// This is for programs that start others by themselves; a container gets the same as steps
    /// ([`prepared`](crate::prepared)).
    ///
    /// # Errors
    /// [`ErrorKind::UnknownContext`], [`ErrorKind::Denied`] by the policy, and those of [`Self::of_this_thread`].
    pub fn set_for_this_thread(self, context: Option<&Context>) -> Result<()> {
        let path = format!("thread-self/attr/{}", self.name());
        let failed = |errno| Error::on("write", Path::new(&path), errno);
        let bytes = context.map(ToString::to_string).unwrap_or_default();
        let file = open(&path, OFlags::WRONLY)?;
        match write(&file, bytes.as_bytes()) {
            Err(rustix::io::Errno::INVAL) if context.is_some() => {
                Err(context.map_or_else(Error::disabled, Error::unknown))
            }
            other => other.map(drop).map_err(failed),
        }
    }

    pub(crate) fn of_this_thread_text(self) -> Result<String> {
        self.read("thread-self").map(|bytes| text(&bytes))
    }

    fn of(self, process: &str) -> Result<Option<Context>> {
        let bytes = self.read(process)?;
        if text(&bytes).is_empty() {
            return Ok(None);
        }
        parse(Path::new(self.name()), &bytes).map(Some)
    }

    fn read(self, process: &str) -> Result<Vec<u8>> {
        let path = format!("{process}/attr/{}", self.name());
        let file = open(&path, OFlags::RDONLY)?;
        answer(&file).map_err(|errno| Error::on("read", Path::new(&path), errno))
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Opens a file of procfs.
fn open(path: &str, flags: OFlags) -> Result<OwnedFd> {
    let on = |errno| Error::on("open", Path::new(path), errno);
    let proc = procfs()?;
    openat(&proc, path, flags | OFlags::CLOEXEC, Mode::empty()).map_err(on)
}

/// `/proc`, checked.
pub(crate) fn procfs() -> Result<OwnedFd> {
    let place = Path::new("/proc");
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let on = |errno| Error::on("open", place, errno);
    let proc = openat(CWD, place, flags, Mode::empty()).map_err(on)?;
    let kind = fstatfs(&proc).map_err(on)?.f_type;
    if is(kind, MAGIC) {
        return Ok(proc);
    }
    Err(Error::at(ErrorKind::FileSystem, place))
}
