//! A network namespace that is configured from outside.
//!
//! Kernel objects: a network namespace, one rtnetlink and one netfilter socket that were made in it. A netlink socket
//! speaks to the namespace in which it was made, so that this process never enters another one: a process of some
//! milliseconds does, and sends the sockets. Invariant: when a function returns, that process has ended.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use ampoule_init::steps::{file, launch, process};
use ampoule_init::sys::ns_ioctl;
use ampoule_init::{
    Arg, Draft, Launch, PidNamespace, Program, Slot, Started, Step, above_stdio, start,
};
use rustix::fs::{CWD, Mode, OFlags, StatVfsMountFlags, openat, statvfs};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, getegid, geteuid, getpid, pidfd_open};

use crate::cidr::Cidr;
use crate::error::{Error, Result};
use crate::link;
use crate::name::LinkName;
use crate::socket::Socket;
use crate::statistics::Statistics;

/// How long entering may take.
const LIMIT: Duration = Duration::from_secs(60);

const NEW_NET: u64 = 0x4000_0000;
const NEW_USER: u64 = 0x1000_0000;
const NEW_PID: u64 = 0x2000_0000;

/// Whether links that come later take router advertisements.
const ACCEPT_RA: &str = "/proc/sys/net/ipv6/conf/default/accept_ra";

/// What the process sends.
const NAMESPACE: u32 = 0;
const ROUTE: u32 = 1;
const NETFILTER: u32 = 2;

/// A network namespace that was entered for its sockets. From then on, links that come into it take no router
/// advertisements (`net.ipv6.conf.default.accept_ra` is 0).
#[derive(Debug)]
pub struct Netns {
    namespace: OwnedFd,
    pub(crate) route: Socket,
    pub(crate) netfilter: Socket,
}

impl Netns {
    /// Makes a new one, which lives as long as this value and the processes in it; `lo` is up. Without
    /// `CAP_SYS_ADMIN`, it belongs to a new user namespace in which the caller is 0.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) where namespaces are not allowed.
    pub fn create() -> Result<Self> {
        let mut draft = Draft::default();
        let user = if is_privileged() { 0 } else { NEW_USER };
        let names = if user == 0 { "CLONE_NEWNET" } else { "CLONE_NEWUSER|CLONE_NEWNET" };
        draft.launcher(launch::clone_first(NEW_NET | NEW_PID | user, names, None));
        let proc = draft.inherit(open_proc()?);
        if user != 0 {
            let map = |id: u32| format!("0 {id} 1\n").into_bytes();
            draft.launcher(launch::child_file(proc, c"setgroups", b"deny"));
            draft.launcher(launch::child_file(proc, c"uid_map", &map(geteuid().as_raw())));
            draft.launcher(launch::child_file(proc, c"gid_map", &map(getegid().as_raw())));
        }
        draft.launcher(launch::release());
        draft.first_all([launch::wait_for_release()]);
        let namespace = draft.slots.take();
        const READ: u64 = 0o2_000_000;
        draft.first_all([
            file::open(proc, c"self/ns/net", READ, 0, namespace),
            launch::send_fd(NAMESPACE, namespace),
        ]);
        let mut sent = run(draft)?;
        let namespace = take(&mut sent, NAMESPACE)?;
        let mut made = Self::of(namespace, &mut sent)?;
        made.set_loopback_up()?;
        Ok(made)
    }

    /// That of a process.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when there is no such process; [`Denied`](crate::ErrorKind::Denied) when
    /// the caller may not enter its namespaces.
    pub fn of_pid(pid: u32) -> Result<Self> {
        Self::open(Path::new(&format!("/proc/{pid}/ns/net")))
    }

    /// That of a file, such as `/run/netns/NAME` or `/proc/PID/ns/net`.
    ///
    /// # Errors
    /// As [`Self::of_pid`]; a file that is no network namespace is `EINVAL`.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let namespace = openat(CWD, path, flags, Mode::empty());
        Self::from_fd(namespace.map_err(|errno| Error::at("open", path, errno))?)
    }

    /// That of a descriptor.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_fd(namespace: OwnedFd) -> Result<Self> {
        let mut draft = Draft::default();
        let kind = ns_ioctl::kind(namespace.as_fd());
        if kind.ok().map(u64::from) != Some(NEW_NET) {
            return Err(Error::system("setns", "not a network namespace", Errno::INVAL));
        }
        if !is_privileged() {
            let owner = ns_ioctl::owning_user_namespace(namespace.as_fd())
                .map_err(|error| Error::io("NS_GET_USERNS", Path::new("net"), &error))?;
            let owner = draft.inherit(owner);
            draft.launcher(launch::join(owner, NEW_USER, "CLONE_NEWUSER"));
        }
        let joined = rustix::io::fcntl_dupfd_cloexec(&namespace, 3)
            .map_err(|errno| Error::system("fcntl", "F_DUPFD_CLOEXEC", errno))?;
        let joined = draft.inherit(joined);
        draft.launcher(launch::join(joined, NEW_NET, "CLONE_NEWNET"));
        draft.launcher(launch::clone_first(NEW_PID, "CLONE_NEWPID", None));
        draft.launcher(launch::release());
        draft.first_all([launch::wait_for_release()]);
        let mut sent = run(draft)?;
        Self::of(namespace, &mut sent)
    }

    /// From a namespace and sockets that were made in it: one of `NETLINK_ROUTE`, one of `NETLINK_NETFILTER`. For who
    /// has a process in the namespace that can make and send them.
    ///
    /// # Errors
    /// [`System`](crate::ErrorKind::System) when a descriptor is no socket.
    pub fn from_parts(namespace: OwnedFd, route: OwnedFd, netfilter: OwnedFd) -> Result<Self> {
        Ok(Self { namespace, route: Socket::of(route)?, netfilter: Socket::of(netfilter)? })
    }

    fn of(namespace: OwnedFd, sent: &mut Vec<(u32, OwnedFd)>) -> Result<Self> {
        Self::from_parts(namespace, take(sent, ROUTE)?, take(sent, NETFILTER)?)
    }

    /// Sets `lo` up.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied) without `CAP_NET_ADMIN` over the namespace.
    pub fn set_loopback_up(&mut self) -> Result<()> {
        /// The kernel gives it this number in every namespace.
        const LOOPBACK: u32 = 1;
        self.route.send(vec![link::set_up(LOOPBACK)])
    }

    /// The names of its links, in the kernel's order.
    ///
    /// # Errors
    /// [`System`](crate::ErrorKind::System) when the list cannot be read.
    pub fn links(&mut self) -> Result<Vec<String>> {
        Ok(link::list(&mut self.route)?.into_iter().map(|link| link.name).collect())
    }

    /// What one of its links has counted.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), [`InvalidName`](crate::ErrorKind::InvalidName).
    pub fn statistics(&mut self, link: &str) -> Result<Statistics> {
        link::statistics(&mut self.route, &LinkName::new(link)?)
    }

    /// Adds addresses and routes to a link and sets it up, in this order, in one message.
    pub(crate) fn configure(
        &mut self,
        name: &LinkName,
        addresses: &[Cidr],
        routes: &[(Cidr, Option<std::net::IpAddr>)],
    ) -> Result<()> {
        let index = link::require(&mut self.route, name)?;
        let mut requests: Vec<_> =
            addresses.iter().map(|address| link::add_address(index, *address)).collect();
        requests.push(link::set_up(index));
        requests.extend(routes.iter().map(|(to, via)| link::add_route(index, *to, *via)));
        self.route.send(requests)
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }
}

/// Whether the caller may enter namespaces as it is.
pub(crate) fn is_privileged() -> bool {
    let needed = rustix::thread::CapabilitySet::SYS_ADMIN;
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(needed))
}

fn open_proc() -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, "/proc", flags, Mode::empty())
        .map_err(|errno| Error::at("open", Path::new("/proc"), errno))
}

/// Whether there is IPv6, with settings that can be written.
fn has_ipv6_settings() -> bool {
    statvfs(ACCEPT_RA).is_ok_and(|mount| !mount.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Runs the process, which at last makes and sends the sockets.
fn run(mut draft: Draft) -> Result<Vec<(u32, OwnedFd)>> {
    if has_ipv6_settings() {
        let proc = draft.inherit(open_proc()?);
        draft.first_all([file::write_existing(proc, c"sys/net/ipv6/conf/default/accept_ra", b"0")]);
    }
    let route = draft.slots.take();
    let netfilter = draft.slots.take();
    draft.first_all([
        socket(libc::NETLINK_ROUTE, "NETLINK_ROUTE", route),
        launch::send_fd(ROUTE, route),
        socket(libc::NETLINK_NETFILTER, "NETLINK_NETFILTER", netfilter),
        launch::send_fd(NETFILTER, netfilter),
        process::undumpable(),
        launch::become_reaper(None),
    ]);
    let program = Program::seal(draft)?;
    // It ends with this process, should that be killed meanwhile.
    let host = pidfd_open(getpid(), PidfdFlags::empty())
        .map_err(|errno| Error::system("pidfd_open", "", errno))?;
    let host = above_stdio(host)?;
    let launch = Launch::idle(host.as_fd(), PidNamespace::New, Instant::now() + LIMIT);
    let started = start(&program, &launch)?;
    end(&started)?;
    Ok(started.fds)
}

fn end(started: &Started) -> Result<()> {
    let ended = ampoule_init::process::end(&started.pidfd, Instant::now() + LIMIT);
    match ended {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::system("end", "process", Errno::TIMEDOUT)),
        Err(error) => {
            Err(Error::system("end", "process", Errno::from_io_error(&error).unwrap_or(Errno::IO)))
        }
    }
}

pub(crate) fn socket(protocol: i32, name: &str, slot: Slot) -> Step {
    const RAW_CLOEXEC: u64 = 0o2_000_003;
    let protocol = Arg::Named(u64::try_from(protocol).unwrap_or_default(), name.to_owned());
    let family = Arg::Named(16, "AF_NETLINK".to_owned());
    let kind = Arg::Named(RAW_CLOEXEC, "SOCK_RAW|SOCK_CLOEXEC".to_owned());
    Step::call("socket", libc::SYS_socket, vec![family, kind, protocol]).save(slot)
}

pub(crate) fn take(sent: &mut Vec<(u32, OwnedFd)>, what: u32) -> Result<OwnedFd> {
    let position = sent.iter().position(|(kind, _)| *kind == what);
    let missing = || Error::system("receive", "descriptor", Errno::BADMSG);
    Ok(sent.swap_remove(position.ok_or_else(missing)?).1)
}
