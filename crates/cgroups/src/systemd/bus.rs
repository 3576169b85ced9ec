//! The connection to a bus: which one, and its socket.
//!
//! Kernel objects: one Unix socket, which never blocks. Invariant: no reactor. The one of tokio keeps a socket pair for
//! signals for the rest of the host's life, if anything in the program has turned on its feature `process`; so a socket
//! that is not ready is looked at again after a millisecond. A conversation has some eight messages.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    send, socket_with,
};
use zbus::address::Address;
use zbus::address::transport::{Transport, UnixSocket};
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};
use zbus::export::async_trait::async_trait;

use crate::error::{Error, NoSystemd, Result};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(1);

/// A connected socket, one half of it or both.
#[derive(Clone, Debug)]
pub(super) struct Bus(Arc<OwnedFd>);

/// Connects to the bus on which systemd answers this caller: the system's for root, else the user's own, also for the root
/// of that user's namespace.
pub(super) fn connect_to_systemd() -> Result<Bus> {
    let variable = |name: &str| std::env::var(name).ok();
    connect_to(&addresses(user(), variable))
}

/// The caller as whoever listens on a bus sees it: its id outside its user namespace.
pub(super) fn user() -> u32 {
    let own = rustix::process::geteuid().as_raw();
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    outside(own, &map).unwrap_or(own)
}

/// What an id is outside (user_namespaces(7)).
fn outside(id: u32, map: &str) -> Option<u32> {
    map.lines().find_map(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        let mut next = || numbers.next()?.ok();
        let (inside, outside, count) = (next()?, next()?, next()?);
        let above = id.checked_sub(inside).filter(|above| *above < count)?;
        outside.checked_add(above)
    })
}

/// The first bus that takes a connection.
fn connect_to(candidates: &[UnixSocket]) -> Result<Bus> {
    let mut refused = NoSystemd::NoBus;
    for socket in candidates {
        match open(socket) {
            Ok(fd) => return Ok(Bus(Arc::new(fd))),
            Err(errno) => refused = NoSystemd::Bus { path: shown(socket), errno },
        }
    }
    Err(Error::no_systemd(refused))
}

/// Where the bus may be (the D-Bus specification, "Well-known Message Bus Instances"; pam_systemd(8)).
fn addresses(user: u32, variable: impl Fn(&str) -> Option<String>) -> Vec<UnixSocket> {
    let (name, fallback) = if user == 0 {
        ("DBUS_SYSTEM_BUS_ADDRESS", PathBuf::from("/run/dbus/system_bus_socket"))
    } else {
        let runtime = variable("XDG_RUNTIME_DIR").filter(|dir| dir.starts_with('/'));
        let runtime = runtime.unwrap_or_else(|| format!("/run/user/{user}"));
        ("DBUS_SESSION_BUS_ADDRESS", PathBuf::from(runtime).join("bus"))
    };
    let set = variable(name).unwrap_or_default();
    let named = set.split(';').filter_map(|one| match one.parse::<Address>().ok()?.transport() {
        Transport::Unix(unix) => Some(unix.path().clone()),
        _ => None,
    });
    named.chain([UnixSocket::File(fallback)]).collect()
}

fn shown(socket: &UnixSocket) -> PathBuf {
    match socket {
        UnixSocket::File(path) | UnixSocket::Dir(path) | UnixSocket::TmpDir(path) => path.clone(),
        UnixSocket::Abstract(name) => PathBuf::from("@").join(name),
        _ => PathBuf::from("?"),
    }
}

fn open(socket: &UnixSocket) -> Result<OwnedFd, Errno> {
    let address = match socket {
        UnixSocket::File(path) => SocketAddrUnix::new(path)?,
        UnixSocket::Abstract(name) => SocketAddrUnix::new_abstract_name(name.as_bytes())?,
        // For servers only.
        _ => return Err(Errno::AFNOSUPPORT),
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let fd = ampoule_init::above_stdio(fd).map_err(|_| Errno::MFILE)?;
    connect(&fd, &address)?;
    Ok(fd)
}

impl Bus {
    /// For tests: a socket that is connected already.
    #[cfg(test)]
    pub(super) fn of(fd: OwnedFd) -> Self {
        Self(Arc::new(fd))
    }

    /// Repeats a call until the socket is ready for it; whoever waits sets the limit.
    async fn when_ready<T>(
        &self,
        mut call: impl FnMut(&OwnedFd) -> Result<T, Errno>,
    ) -> io::Result<T> {
        loop {
            match call(&self.0) {
                Err(Errno::AGAIN) => tokio::time::sleep(PAUSE).await,
                Err(Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }
}

impl Socket for Bus {
    type ReadHalf = Self;
    type WriteHalf = Self;

    fn split(self) -> Split<Self, Self> {
        Split::new(self.clone(), self)
    }
}

#[async_trait]
impl ReadHalf for Bus {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        let read = self.when_ready(|fd| recv(fd, &mut *buffer, RecvFlags::empty()));
        Ok((read.await?.0, Vec::new()))
    }
}

#[async_trait]
impl WriteHalf for Bus {
    async fn sendmsg(&mut self, buffer: &[u8], _fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
        self.when_ready(|fd| send(fd, buffer, SendFlags::NOSIGNAL)).await
    }

    async fn close(&mut self) -> io::Result<()> {
        // With the last half.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn found(user: u32, variables: &[(&str, &str)]) -> Vec<String> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let found = addresses(user, variable);
        found.iter().map(|socket| shown(socket).display().to_string()).collect()
    }

    #[test]
    fn root_asks_the_system_and_others_their_own() {
        assert_eq!(found(0, &[]), ["/run/dbus/system_bus_socket"]);
        let session = ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/run/s");
        assert_eq!(found(0, &[session]), ["/run/dbus/system_bus_socket"]);
        assert_eq!(found(7, &[session]), ["/run/s", "/run/user/7/bus"]);
        assert_eq!(found(7, &[]), ["/run/user/7/bus"]);
        assert_eq!(found(7, &[("XDG_RUNTIME_DIR", "/x")]), ["/x/bus"]);
        assert_eq!(found(7, &[("XDG_RUNTIME_DIR", "x")]), ["/run/user/7/bus"]);
    }

    #[test]
    fn the_root_of_a_users_namespace_is_that_user() {
        let rootless = "         0       1000          1\n         1     100000      65536\n";
        assert_eq!(outside(0, rootless), Some(1000));
        assert_eq!(outside(12, rootless), Some(100_011));
        assert_eq!(outside(65537, rootless), None);
        assert_eq!(outside(0, "0 0 4294967295"), Some(0));
        assert_eq!(outside(1000, "0 0 4294967295"), Some(1000));
        assert_eq!(outside(0, "0 4294967295 2\nx"), Some(u32::MAX));
        assert_eq!(outside(1, "0 4294967295 2"), None);
        assert_eq!(outside(0, ""), None);
    }

    #[test]
    fn an_address_is_a_list() {
        let guid = "0".repeat(32);
        let list =
            format!("tcp:host=h,port=1;unix:path=/a b;unix:abstract=/n,guid={guid};nonsense;");
        let found = found(7, &[("DBUS_SESSION_BUS_ADDRESS", &list)]);
        assert_eq!(found, ["/a b", "/n", "/run/user/7/bus"]);
    }

    #[test]
    fn no_bus_is_an_error_that_says_what_to_do() {
        let error = connect_to(&[UnixSocket::File("/none/bus".into())]).unwrap_err();
        assert_eq!((error.kind(), error.errno()), (ErrorKind::NoSystemd, Some(2)));
        assert_eq!(
            error.to_string(),
            "systemd cannot be asked: /none/bus: No such file or directory (os error 2)"
        );
        assert!(error.hint().is_some_and(|hint| hint.contains("-p Delegate=yes")));
        assert_eq!(connect_to(&[]).unwrap_err().kind(), ErrorKind::NoSystemd);
    }

    #[test]
    fn a_bus_that_takes_no_more_connections_does_not_block() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bus");
        let stream = (AddressFamily::UNIX, SocketType::STREAM);
        let listener = socket_with(stream.0, stream.1, SocketFlags::CLOEXEC, None).unwrap();
        rustix::net::bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        rustix::net::listen(&listener, 1).unwrap();
        let mut held = Vec::new();
        let ask = || connect_to(&[UnixSocket::File(path.clone())]);
        let refused = (0..10).find_map(|_| ask().map(|bus| held.push(bus)).err());
        assert_eq!(refused.expect("a full queue").errno(), Some(11));
    }
}
