//! A network namespace that stands in for the host: each test runs itself again in one, with an empty `/run`.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ampoule_net::{BridgeNetwork, Endpoint, Host, Netns, Route, Veth};
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage};
use netlink_packet_netfilter::nftables::{NfTablesMessage, TableMessage};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};
use rustix::net::netlink::NETFILTER;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

const INSIDE: &str = "AMPOULE_TEST_INSIDE";

/// Runs `body` in a process of its own, in a network and a mount namespace of its own.
pub fn inside(test: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        let none = rustix::mount::MountFlags::empty();
        rustix::mount::mount("none", "/run", "tmpfs", none, None).unwrap();
        ip(&["link", "set", "lo", "up"]);
        // A new namespace has what the machine's has.
        fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
        let before = Picture::take();
        body();
        // The kernel deletes a pair some time after its namespace.
        let deadline = Instant::now() + Duration::from_secs(2);
        while Picture::take() != before && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        Picture::take().assert_equals(&before);
        return;
    }
    let before = Picture::take();
    let status = Command::new("unshare")
        .args(["--net", "--mount", "--propagation", "private", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{test} failed inside");
    // Other tests run beside this one.
    let after = Picture::take();
    assert_eq!((after.links, after.tables), (before.links, before.tables));
}

/// Everything that a network could leave behind.
#[derive(Debug, PartialEq, Eq)]
pub struct Picture {
    links: String,
    addresses: String,
    routes: String,
    tables: Vec<String>,
    sysctls: BTreeMap<String, String>,
    files: Vec<String>,
    descriptors: usize,
    children: String,
}

impl Picture {
    pub fn take() -> Self {
        let mut files = Vec::new();
        list(Path::new("/run/ampoule"), &mut files);
        let pid = std::process::id();
        Self {
            links: ip(&["-brief", "link"]),
            addresses: ip(&["-brief", "address"]),
            routes: ip(&["route", "show", "table", "all"]) + &ip(&["-6", "route"]),
            tables: tables(),
            sysctls: settings(),
            files,
            descriptors: fs::read_dir("/proc/self/fd").unwrap().count(),
            children: fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap(),
        }
    }

    pub fn assert_equals(&self, before: &Self) {
        for (name, value) in &self.sysctls {
            assert_eq!(before.sysctls.get(name), Some(value), "{name}");
        }
        assert_eq!(self, before);
    }
}

/// The settings of this network namespace, by path.
pub fn settings() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for root in ["/proc/sys/net/ipv4", "/proc/sys/net/ipv6"] {
        read_settings(Path::new(root), &mut found);
    }
    found
}

/// What counters are not.
fn read_settings(dir: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_settings(&path, found);
        } else if let Ok(value) = fs::read_to_string(&path) {
            found.insert(path.display().to_string(), value.trim_end().to_owned());
        }
    }
}

fn list(dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            list(&path, found);
        }
        found.push(path.display().to_string());
    }
    // The directory above all networks is nobody's.
    found.retain(|path| path != "/run/ampoule/net");
}

/// Runs ip(8).
pub fn ip(arguments: &[&str]) -> String {
    let output = Command::new("ip").args(arguments).output().unwrap();
    assert!(output.status.success(), "ip {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The names of all nftables tables.
pub fn tables() -> Vec<String> {
    let flags = SocketFlags::CLOEXEC;
    let family = AddressFamily::NETLINK;
    let socket = rustix::net::socket_with(family, SocketType::RAW, flags, Some(NETFILTER)).unwrap();
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, 0);
    let list = NfTablesMessage::GetTable(TableMessage { attributes: Vec::new() });
    let mut message = NetlinkMessage::from(NetfilterMessage::new(header, list));
    message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    rustix::net::send(&socket, &bytes, SendFlags::empty()).unwrap();
    let mut found = Vec::new();
    loop {
        let mut buffer = vec![0; 64 << 10];
        let (read, _) = rustix::net::recv(&socket, &mut buffer[..], RecvFlags::empty()).unwrap();
        let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
        let names = text.split('\0').filter(|word| word.starts_with("ampoule_"));
        found.extend(names.map(str::to_owned));
        // NLMSG_DONE is the last message.
        let mut rest = &buffer[..read];
        while rest.len() >= 16 {
            let length = u32::from_ne_bytes(rest[..4].try_into().unwrap()) as usize;
            if rest[4] == 3 {
                found.sort();
                return found;
            }
            rest = &rest[length.next_multiple_of(4).min(rest.len())..];
        }
    }
}

/// Runs `body` in a thread that is in the namespace.
pub fn within<T: Send>(netns: &Netns, body: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let run = || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(netns.as_fd(), kind).unwrap();
            body()
        };
        scope.spawn(run).join().unwrap()
    })
}

/// A server in a namespace that answers each connection with the address of who asked.
pub struct Server {
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    /// TCP in the namespace of a container.
    pub fn tcp(netns: &Netns, address: &str) -> Self {
        let address: SocketAddr = address.parse().unwrap();
        let listener = within(netns, move || TcpListener::bind(address).unwrap());
        listener.set_nonblocking(true).unwrap();
        Self::run(move || match listener.accept() {
            Ok((mut stream, from)) => drop(stream.write_all(from.ip().to_string().as_bytes())),
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        })
    }

    /// UDP in the namespace of a container.
    pub fn udp(netns: &Netns, address: &str) -> Self {
        let address: SocketAddr = address.parse().unwrap();
        let socket = within(netns, move || UdpSocket::bind(address).unwrap());
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        Self::run(move || {
            if let Ok((_, from)) = socket.recv_from(&mut [0; 8]) {
                socket.send_to(from.ip().to_string().as_bytes(), from).unwrap();
            }
        })
    }

    fn run(mut turn: impl FnMut() + Send + 'static) -> Self {
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let seen = stop.clone();
        let thread = std::thread::spawn(move || {
            while !seen.load(std::sync::atomic::Ordering::Relaxed) {
                turn();
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Connects from this namespace; gives who the server saw.
pub fn ask(address: &str) -> std::io::Result<IpAddr> {
    let limit = Duration::from_millis(700);
    let address: SocketAddr = address.parse().unwrap();
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.parse().unwrap())
}

/// As [`ask`] from a container.
pub fn ask_from(netns: &Netns, address: &str) -> std::io::Result<IpAddr> {
    within(netns, || ask(address))
}

/// One datagram to and fro.
pub fn ask_udp(address: &str) -> std::io::Result<IpAddr> {
    let address: SocketAddr = address.parse().unwrap();
    let own = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(own)?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(Duration::from_millis(700)))?;
    socket.send(b"?")?;
    let mut buffer = [0; 64];
    let read = socket.recv(&mut buffer)?;
    Ok(std::str::from_utf8(&buffer[..read]).unwrap().parse().unwrap())
}

/// A namespace beyond the host, at 192.0.2.2 and 2001:db8::2, that knows the way back to the host only.
pub fn outside() -> (Netns, ampoule_net::Connected) {
    let mut outside = Netns::create().unwrap();
    let veth = Veth::new("uplink", "eth0").unwrap();
    let veth = veth.host_address("192.0.2.1/24".parse().unwrap());
    let veth = veth.address("192.0.2.2/24".parse().unwrap());
    let veth = veth.host_address("2001:db8::1/64".parse().unwrap());
    let veth = veth.address("2001:db8::2/64".parse().unwrap());
    let connected = veth.connect(&mut outside).unwrap();
    (outside, connected)
}

/// A route.
pub fn route(destination: &str, gateway: &str) -> Route {
    Route::via(destination.parse().unwrap(), gateway.parse().unwrap())
}

pub fn host() -> Host {
    Host::new().unwrap()
}

pub fn network(name: &str) -> BridgeNetwork {
    BridgeNetwork::new(name).unwrap()
}

pub fn endpoint() -> Endpoint {
    Endpoint::new("eth0").unwrap()
}
