//! The directory of one container: its lock, its file, its socket.
//!
//! Kernel objects: a directory of mode 0700, flock(2) on it, `state.json`, `start` (a socket), `exit`. Invariant:
//! `state.json` is the old one or the new one, never a part; whoever has the lock has the directory that the name names.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, SystemTime};

use rustix::fs::{
    AtFlags, FlockOperation, Mode, OFlags, flock, fstat, mkdirat, openat, renameat, statat,
    unlinkat,
};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};

use crate::error::{Error, ErrorKind, Stage};
use crate::state::record::Record;

const STATE: &str = "state.json";
const NEW: &str = "state.json.new";
const START: &str = "start";
const EXIT: &str = "exit";

/// The directory of a container, opened.
#[derive(Debug)]
pub(crate) struct Folder(OwnedFd);

/// A directory whose lock is held.
#[derive(Debug)]
pub(crate) struct Locked(pub(crate) Folder);

fn failed(what: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| match errno {
        Errno::ROFS | Errno::NOSPC | Errno::DQUOT => {
            let kind =
                if errno == Errno::ROFS { ErrorKind::FileSystem } else { ErrorKind::ResourceLimit };
            Error::call(Stage::Launch, what, errno).with_kind(kind)
        }
        errno => Error::call(Stage::Launch, what, errno),
    }
}

/// There is no such container.
pub(crate) fn not_found(id: &str) -> Error {
    Error::new(ErrorKind::NotFound, Stage::Running).about(format!("{id:?}"))
}

impl Folder {
    /// Makes the directory of a new container.
    pub(crate) fn make(root: &OwnedFd, id: &str) -> Result<Locked, Error> {
        mkdirat(root, id, Mode::RWXU).map_err(|errno| match errno {
            Errno::EXIST => Error::new(ErrorKind::Exists, Stage::Launch).about(format!("{id:?}")),
            errno => failed("mkdir")(errno),
        })?;
        // Somebody who clears up may have been faster with the lock, and then takes it away.
        match Self::open(root, id).and_then(|folder| folder.lock(root, id)) {
            Ok(locked) if !locked.0.has(STATE) => Ok(locked),
            Ok(_) => Err(Error::new(ErrorKind::Exists, Stage::Launch).about(format!("{id:?}"))),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn open(root: &OwnedFd, id: &str) -> Result<Self, Error> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match openat(root, id, flags, Mode::empty()) {
            Ok(fd) => Ok(Self(ampoule_init::above_stdio(fd)?)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Err(not_found(id)),
            Err(errno) => Err(failed("open")(errno)),
        }
    }

    /// Waits for the lock.
    pub(crate) fn lock(self, root: &OwnedFd, id: &str) -> Result<Locked, Error> {
        rustix::io::retry_on_intr(|| flock(&self.0, FlockOperation::LockExclusive))
            .map_err(failed("flock"))?;
        self.is_named(root, id).then_some(Locked(self)).ok_or_else(|| not_found(id))
    }

    /// Takes the lock if nobody has it.
    pub(crate) fn try_lock(self, root: &OwnedFd, id: &str) -> Option<Locked> {
        flock(&self.0, FlockOperation::NonBlockingLockExclusive).ok()?;
        self.is_named(root, id).then_some(Locked(self))
    }

    /// Whether the name still names this directory.
    fn is_named(&self, root: &OwnedFd, id: &str) -> bool {
        match (fstat(&self.0), statat(root, id, AtFlags::SYMLINK_NOFOLLOW)) {
            (Ok(own), Ok(named)) => (own.st_dev, own.st_ino) == (named.st_dev, named.st_ino),
            _ => false,
        }
    }

    /// Whether it has no state file.
    pub(crate) fn is_bare(&self) -> bool {
        !self.has(STATE)
    }

    fn has(&self, name: &str) -> bool {
        statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// What the file says.
    pub(crate) fn read(&self) -> Result<Record, Error> {
        Record::decode(&self.text()?)
    }

    /// The file's bytes.
    pub(crate) fn text(&self) -> Result<Vec<u8>, Error> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = match openat(&self.0, STATE, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => {
                return Err(Error::new(ErrorKind::StateFile, Stage::Running)
                    .about("it has no state file: whoever made it was ended meanwhile")
                    .with_hint("StateDirectory::reconcile removes it"));
            }
            Err(errno) => return Err(failed("open")(errno)),
        };
        let mut text = Vec::new();
        let read = File::from(file).read_to_end(&mut text);
        read.map_err(|error| Error::io(Stage::Running, "read", &error))?;
        Ok(text)
    }

    /// How the payload ended, as its init wrote it.
    pub(crate) fn exit_text(&self) -> Option<String> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = openat(&self.0, EXIT, flags, Mode::empty()).ok()?;
        let mut text = String::new();
        File::from(file).take(64).read_to_string(&mut text).ok()?;
        (!text.is_empty()).then_some(text)
    }

    /// When init wrote that.
    pub(crate) fn exit_time(&self) -> Option<SystemTime> {
        let found = statat(&self.0, EXIT, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let since = u64::try_from(found.st_mtime).ok().filter(|_| found.st_size > 0)?;
        let nanos = u32::try_from(found.st_mtime_nsec).unwrap_or_default();
        SystemTime::UNIX_EPOCH.checked_add(Duration::new(since, nanos))
    }

    /// The path of a name in it: a socket's address is too short for some directories.
    fn path(&self, name: &str) -> String {
        format!("/proc/self/fd/{}/{name}", self.0.as_fd().as_raw_fd())
    }

    fn socket() -> Result<OwnedFd, Error> {
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        Ok(ampoule_init::above_stdio(socket.map_err(failed("socket"))?)?)
    }

    /// The socket on which a created container waits; none when nobody waits there.
    pub(crate) fn connect(&self) -> Result<Option<OwnedFd>, Error> {
        let socket = Self::socket()?;
        let address = SocketAddrUnix::new(self.path(START).as_str()).map_err(failed("connect"))?;
        match connect(&socket, &address) {
            Ok(()) => Ok(Some(socket)),
            Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(None),
            Err(errno) => Err(failed("connect")(errno)),
        }
    }
}

impl Locked {
    /// Writes the file anew.
    pub(crate) fn write(&self, record: &Record) -> Result<(), Error> {
        let Folder(folder) = &self.0;
        let text = record.encode()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let flags = flags | OFlags::NOFOLLOW;
        let file = openat(folder, NEW, flags, Mode::RUSR | Mode::WUSR).map_err(failed("open"))?;
        let written = File::from(file).write_all(&text);
        written.map_err(|error| {
            let errno = error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
            failed("write of the state file")(errno)
        })?;
        renameat(folder, NEW, folder, STATE).map_err(failed("rename"))
    }

    /// Makes the socket that a created container waits on.
    pub(crate) fn listen(&self) -> Result<OwnedFd, Error> {
        let socket = Folder::socket()?;
        let path = self.0.path(START);
        let address = SocketAddrUnix::new(path.as_str()).map_err(failed("bind"))?;
        bind(&socket, &address).map_err(failed("bind"))?;
        listen(&socket, 8).map_err(failed("listen"))?;
        Ok(socket)
    }

    /// Makes the file that init writes the payload's end to.
    pub(crate) fn exit_file(&self) -> Result<OwnedFd, Error> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(&self.0.0, EXIT, flags, Mode::RUSR | Mode::WUSR);
        Ok(ampoule_init::above_stdio(file.map_err(failed("open"))?)?)
    }

    /// Removes the directory; the state file last, so that what is left half is found again.
    pub(crate) fn remove(self, root: &OwnedFd, id: &str) -> Result<(), Error> {
        for name in [NEW, START, EXIT, STATE] {
            match unlinkat(&self.0.0, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(failed("unlink")(errno)),
            }
        }
        match unlinkat(root, id, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(failed("rmdir")(errno)),
        }
    }
}
