//! Into a running container from outside: its namespaces, its root, files in it.
//!
//! Kernel objects: descriptors that init opens of itself and sends, because an undumpable process's `/proc/PID` is
//! closed to a host without privilege. Invariant: a path is resolved with `RESOLVE_IN_ROOT` below the
//! container's root (openat2(2)), only regular files are read or written, and never more than the limit.

use ampoule_cgroups::Bytes;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use ampoule_init::reaper;
use ampoule_init::wire::open;
use ampoule_ns::Namespace;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};
use rustix::io::Errno;

use crate::container::Container;
use crate::create_file;
use crate::error::{Error, ErrorKind, Stage};
use crate::pid1::Pid1;

/// How long init may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

impl Container {
    /// Descriptor of one of the container's namespaces (namespaces(7)).
    ///
    /// # Errors
    /// [`ErrorKind::Ended`] when it has ended, [`ErrorKind::PermissionDenied`] where init is not
    /// there to answer and the host may not look.
    pub fn namespace(&self, kind: Namespace) -> Result<OwnedFd, Error> {
        match self.plan.pid1() {
            Pid1::Reaper if !self.is_reopened() => self.ask(namespace_number(kind)),
            _ => self.look(&format!("ns/{}", kind.proc_name()), OFlags::RDONLY),
        }
    }

    /// Descriptor of the container's root directory (`O_PATH`).
    ///
    /// # Errors
    /// As [`Container::namespace`].
    pub fn root_fd(&self) -> Result<OwnedFd, Error> {
        match self.plan.pid1() {
            Pid1::Reaper if !self.is_reopened() => self.ask(open::ROOT),
            _ => self.look("root", OFlags::PATH | OFlags::DIRECTORY),
        }
    }

    /// Reads a regular file of the container's root.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] past the limit, [`ErrorKind::FileSystem`] for what is not a regular file,
    /// [`ErrorKind::System`] and the others as open(2).
    pub fn read(&self, path: impl AsRef<Path>, limit: Bytes) -> Result<Vec<u8>, Error> {
        let file = self.open_file(path.as_ref(), OFlags::RDONLY)?;
        let mut bytes = Vec::new();
        let read = File::from(file).take(limit.get().saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| Error::io(Stage::Running, "read", &error))?;
        if bytes.len() as u64 > limit.get() {
            return Err(Error::new(ErrorKind::TooLarge, Stage::Running)
                .about(format!("{}, {limit}", path.as_ref().display())));
        }
        Ok(bytes)
    }

    /// Writes a regular file of the container's root, which is made (mode 0644) or replaced in place.
    ///
    /// # Errors
    /// [`ErrorKind::FileSystem`] for what is not a regular file; the others as open(2) and write(2).
    pub fn write(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
        let file =
            self.open_file(path.as_ref(), OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC)?;
        File::from(file)
            .write_all(bytes.as_ref())
            .map_err(|error| Error::io(Stage::Running, "write", &error))
    }

    /// Opens a regular file; a FIFO or device does not block and is refused.
    fn open_file(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Error> {
        let root = self.root_fd()?;
        let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let mode =
            if flags.contains(OFlags::CREATE) { Mode::from_raw_mode(0o644) } else { Mode::empty() };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let about = |error: Error| error.about(path.display().to_string());
        let file = match openat2(&root, path, flags, mode, resolve) {
            // The host's ids do not exist in a file system of the container's: one who has such ids makes the file.
            Err(Errno::OVERFLOW) if flags.contains(OFlags::CREATE) => {
                self.create(root, path).map_err(about)?
            }
            opened => {
                opened.map_err(|errno| about(Error::call(Stage::Running, "openat2", errno)))?
            }
        };
        let stat = fstat(&file).map_err(|errno| Error::call(Stage::Running, "fstat", errno))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
            return Ok(file);
        }
        Err(about(Error::new(ErrorKind::FileSystem, Stage::Running).with_errno(Errno::INVAL)))
    }

    /// Makes a file as the container's user 0, or as its payload's user.
    fn create(&self, root: OwnedFd, path: &Path) -> Result<OwnedFd, Error> {
        let identity = &self.plan.settings.identity;
        let owner =
            if identity.has_root() { (0, 0) } else { (identity.user.uid, identity.user.gid) };
        create_file::create(root, path, self.namespace(Namespace::User)?, owner)
    }

    /// Lets init open something of its own.
    fn ask(&self, what: u32) -> Result<OwnedFd, Error> {
        self.alive()?;
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = reaper::open(&self.control, what, Instant::now() + ANSWER_LIMIT, &mut early)?;
        Ok(ampoule_init::above_stdio(opened)?)
    }

    /// Opens a file of the payload's `/proc` directory; the process must still be alive afterwards, so that its id was
    /// not another's.
    fn look(&self, name: &str, flags: OFlags) -> Result<OwnedFd, Error> {
        let path = format!("/proc/{}/{name}", self.pid);
        let opened = openat(rustix::fs::CWD, path, flags | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| Error::call(Stage::Running, "open in /proc", errno))?;
        self.alive().map(|()| opened)
    }
}

/// What the reaper calls a kind.
fn namespace_number(kind: Namespace) -> u32 {
    let wanted = |path: &&std::ffi::CStr| {
        path.to_bytes().rsplit(|&byte| byte == b'/').next() == Some(kind.proc_name().as_bytes())
    };
    let position = open::NAMESPACES.iter().position(wanted).unwrap_or(open::NAMESPACES.len());
    u32::try_from(position).unwrap_or(u32::MAX).saturating_add(1)
}
