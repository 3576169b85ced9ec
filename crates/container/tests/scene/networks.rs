//! A network and mount namespace that stands in for the host in tests of networks.
//!
//! Kernel objects: those of `unshare(1)`, with an empty `/run`. Invariant: packets go to addresses of namespaces only
//! that the test made itself, and nothing of the machine's network is changed.

use std::fs::{read_dir, read_to_string};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ampoule::net::{BridgeNetwork, Cidr};
use ampoule::{Builder, Container, Network};

use crate::oracle::alone::after_shell;
use crate::oracle::unchanged;
use crate::scene::{shell, soon};

/// For `alone_with`: the second process stands in new namespaces.
pub(crate) fn elsewhere(command: &mut Command) {
    let setup = "exec unshare --net --mount --propagation private -- /bin/sh -c \
        'mount -t tmpfs none /run && mkdir -p /run/ampoule/net && ip link set lo up && exec \"$0\" \"$@\"' \"$0\" \"$@\"";
    after_shell(command, setup);
}

/// Runs `body`; what it changed of the network, and what it left in `/run`, must be gone then.
#[track_caller]
pub(crate) fn clean(body: impl FnOnce()) {
    let before = settings();
    unchanged(body);
    assert_eq!(files(Path::new("/run/ampoule")), Vec::<String>::new());
    assert_eq!(settings(), before);
    assert_eq!(ip(&["route"]), "");
}

fn settings() -> Vec<String> {
    let names = ["ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv4/conf/all/route_localnet"];
    names
        .map(|name| read_to_string(Path::new("/proc/sys/net").join(name)).unwrap_or_default())
        .into()
}

/// Every file below a directory.
pub(crate) fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in read_dir(directory).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Runs ip(8).
pub(crate) fn ip(arguments: &[&str]) -> String {
    let output = Command::new("ip").args(arguments).output().expect("ip(8) of iproute2");
    assert!(output.status.success(), "ip {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// The tables of nftables that this library made, by name.
pub(crate) fn tables() -> Vec<String> {
    use rustix::net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send,
        socket_with,
    };
    /// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE`.
    const GET_TABLE: u16 = 0x0a01;
    /// `NLM_F_REQUEST | NLM_F_DUMP`.
    const DUMP: u16 = 0x301;
    const DONE: u16 = 3;
    let (kind, flags) = (SocketType::RAW, SocketFlags::CLOEXEC);
    let family = Some(netlink::NETFILTER);
    let socket = socket_with(AddressFamily::NETLINK, kind, flags, family).expect("a socket");
    // The header, and that of netfilter with no family.
    let mut request = 20_u32.to_ne_bytes().to_vec();
    request.extend([GET_TABLE, DUMP].map(u16::to_ne_bytes).concat());
    request.resize(20, 0);
    send(&socket, &request, SendFlags::empty()).expect("a request");
    let mut found = Vec::new();
    loop {
        let mut buffer = vec![0; 64 << 10];
        let (read, _) = recv(&socket, &mut buffer[..], RecvFlags::empty()).expect("an answer");
        let mut rest = &buffer[..read];
        while let Some(header) = rest.first_chunk::<6>() {
            let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
            if u16::from_ne_bytes([header[4], header[5]]) == DONE {
                found.sort();
                return found;
            }
            let message = String::from_utf8_lossy(&rest[..length]).into_owned();
            let names = message.split('\0').filter(|word| word.starts_with("ampoule_"));
            found.extend(names.map(str::to_owned));
            rest = &rest[length.next_multiple_of(4).min(rest.len())..];
        }
    }
}

/// A bridge network with a subnet of its own.
pub(crate) fn bridge(name: &str, subnet: &str) -> Network {
    let subnet: Cidr = subnet.parse().expect("a subnet");
    BridgeNetwork::new(name).expect("a name").subnet(subnet).into()
}

/// A container that serves `text` on a port until it is ended.
pub(crate) fn server(builder: Builder, port: u16, text: &str) -> Container {
    let builder = builder.file("/srv/index.html", text);
    let script = format!("exec busybox httpd -f -p {port} -h /srv");
    let container = shell(builder, &script).spawn().expect("a server");
    let serves = || fetch((address(&container), port).into()).is_some();
    assert!(soon(serves), "nobody serves on {}", address(&container));
    container
}

/// Its first address.
pub(crate) fn address(container: &Container) -> IpAddr {
    container.addresses()[0]
}

/// What is served there, if somebody does.
pub(crate) fn fetch(at: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&at, Duration::from_secs(2)).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

/// A shell command that prints what is served there.
pub(crate) fn fetches(at: impl Into<SocketAddr>) -> String {
    format!("busybox wget -q -O - http://{}/", at.into())
}
