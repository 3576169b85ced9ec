//! `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` of a container that is connected to something.
//!
//! Kernel objects: none; files of the root, written as [`Builder::file`] writes them. Invariant: a file or a mount that
//! the caller named is not replaced; the host's files are read, never shown.

use std::fmt::Write;
use std::fs::File as HostFile;
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use ampoule_net::{Cidr, Reach};
use ampoule_overlay::File;

use super::{Network, Networking};
use crate::builder::Builder;
use crate::error::Problem;
use crate::origin::{Defaults, Origin};
use crate::validate::DEFAULT_HOSTNAME;

/// What the open `/etc/hosts` is called among a launch's descriptors.
pub(super) const HOSTS_FILE: u32 = 6;

const HOSTS_PATH: &str = "/etc/hosts";
const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";

/// Where the host's name servers are; with systemd-resolved the first file names only a server on the host's loopback.
const RESOLV_CONF: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/// So much of a file of the host is read, in bytes.
const READ_MAX: u64 = 64 << 10;

/// Most names of one entry's line come from elsewhere.
const NAME_MAX: usize = 253;

/// The files that the networks need.
pub(crate) fn name_files(builder: &Builder) -> Vec<File> {
    let networking = &builder.networking;
    let named = networking.networks.iter().any(|network| *network != Network::None);
    let asked = !(networking.hosts.is_empty() && networking.dns.is_empty());
    let usual = builder.defaults == Defaults::Usual;
    if builder.origin == Origin::Bare || !(named && usual || asked) {
        return Vec::new();
    }
    let shares_host = networking.networks.contains(&Network::Host);
    let files = [
        (HOSTS_PATH, hosts(builder)),
        ("/etc/hostname", format!("{}\n", hostname(builder))),
        ("/etc/resolv.conf", resolv_conf(networking)),
    ];
    let is_free = |path: &str| {
        let path = Path::new(path);
        !builder.mounts.iter().any(|mount| mount.target == path)
    };
    let wanted = files.into_iter().filter(|(path, _)| is_free(path));
    // The host's name is the host's.
    let wanted = wanted.filter(|(path, _)| !(shares_host && *path == "/etc/hostname"));
    wanted.map(|(path, text)| File::new(path, text, 0o644)).collect()
}

fn hostname(builder: &Builder) -> &str {
    let joined = builder.networking.hostname.as_deref();
    builder.hostname.as_deref().or(joined).unwrap_or(DEFAULT_HOSTNAME)
}

/// The one of them that is written again at each launch, when the addresses are known: [`Hosts::write`].
pub(crate) fn later_file(builder: &Builder) -> Option<PathBuf> {
    let gives = |network: &Network| network.is_attached() && !matches!(network, Network::User(_));
    let path = Path::new(HOSTS_PATH);
    let is_ours = || name_files(builder).iter().any(|file| file.path == path);
    let of_caller = || builder.files.iter().any(|file| file.path == path);
    let later = builder.networking.networks.iter().any(gives) && is_ours() && !of_caller();
    later.then(|| path.to_owned())
}

/// What `/etc/hosts` says, but for the container's own addresses.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    before: String,
    name: String,
    after: String,
}

impl Hosts {
    pub(super) fn of(builder: &Builder) -> Self {
        let networking = &builder.networking;
        let shared = networking.networks.contains(&Network::Host);
        let before = match shared.then(|| read(Path::new(HOSTS_PATH))).flatten() {
            Some(of_host) if of_host.ends_with('\n') => of_host,
            Some(of_host) => of_host + "\n",
            None => HOSTS.to_owned(),
        };
        let mut after = String::new();
        networking.hosts.iter().for_each(|(address, name)| write_entry(&mut after, *address, name));
        Self { before, name: hostname(builder).to_owned(), after }
    }

    fn text(&self, own: &[IpAddr]) -> String {
        let mut text = self.before.clone();
        own.iter().for_each(|address| write_entry(&mut text, *address, &self.name));
        text + &self.after
    }

    /// Puts the addresses into the container's file; without any, it stays as it is.
    pub(super) fn write(&self, file: OwnedFd, own: &[IpAddr]) -> io::Result<()> {
        if own.is_empty() {
            return Ok(());
        }
        let (file, text) = (HostFile::from(file), self.text(own));
        file.write_all_at(text.as_bytes(), 0)?;
        file.set_len(u64::try_from(text.len()).unwrap_or_default())
    }
}

fn hosts(builder: &Builder) -> String {
    let mut own = own_addresses(&builder.networking);
    if own.is_empty() {
        // As Debian does for a name whose address is found later.
        own.push(IpAddr::from([127, 0, 1, 1]));
    }
    Hosts::of(builder).text(&own)
}

/// Those that are known before it starts.
fn own_addresses(networking: &Networking) -> Vec<IpAddr> {
    let wanted = networking.networks.iter().flat_map(|network| match network {
        Network::Bridge { endpoint: Some(endpoint), .. } => endpoint.addresses().to_vec(),
        Network::Veth(veth) => veth.addresses().iter().map(Cidr::address).collect(),
        _ => Vec::new(),
    });
    networking.own.iter().copied().chain(wanted).collect()
}

fn write_entry(text: &mut String, address: IpAddr, name: &str) {
    // Writing to a text does not fail.
    let _written = writeln!(text, "{address}\t{name}");
}

fn resolv_conf(networking: &Networking) -> String {
    let shared = networking.networks.contains(&Network::Host);
    let outside = |network: &Network| match network {
        Network::Bridge { network, .. } => network.leads() == Reach::Outside,
        network => *network != Network::None,
    };
    let found = match networking.dns.is_empty() && networking.networks.iter().any(outside) {
        true => host_servers(shared),
        false => Found::default(),
    };
    let servers = found.servers.iter().chain(&networking.dns);
    let mut text = String::new();
    servers.for_each(|server| _ = writeln!(text, "nameserver {server}"));
    let search = match networking.dns_search.is_empty() {
        true => found.search,
        false => networking.dns_search.join(" "),
    };
    if !search.is_empty() {
        _ = writeln!(text, "search {search}");
    }
    text
}

/// What the host's files say.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    servers: Vec<IpAddr>,
    search: String,
}

/// The host's name servers; those on its loopback device are out of reach elsewhere.
fn host_servers(shared: bool) -> Found {
    let mut first = None;
    for path in RESOLV_CONF {
        let Some(text) = read(Path::new(path)) else { continue };
        let mut found = parse(&text);
        if !shared {
            found.servers.retain(|server| !server.is_loopback());
        }
        if !found.servers.is_empty() {
            return found;
        }
        first.get_or_insert(found);
    }
    first.unwrap_or_default()
}

/// Reads resolv.conf(5); a server with a zone (`fe80::1%eth0`) is of one link of the host.
fn parse(text: &str) -> Found {
    let mut found = Found::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => {
                found.servers.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok()));
            }
            // The last one counts.
            Some("search" | "domain") => found.search = words.collect::<Vec<_>>().join(" "),
            _ => {}
        }
    }
    found
}

fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    HostFile::open(path).ok()?.take(READ_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Names that would be more than a name in such a file.
pub(super) fn problems(networking: &Networking) -> Vec<Problem> {
    let bad = |name: &str| {
        let odd = |character: char| {
            character.is_whitespace() || character.is_control() || character == '#'
        };
        name.is_empty() || name.len() > NAME_MAX || name.contains(odd)
    };
    let hosts = networking.hosts.iter().map(|(_, name)| ("host_entry", name));
    let search = networking.dns_search.iter().map(|name| ("dns_search", name));
    let wrong = hosts.chain(search).filter(|(_, name)| bad(name));
    wrong.map(|(setting, name)| Problem::new(setting, format!("{name:?} is no name"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::Container;

    #[test]
    fn resolv_conf_is_read() {
        let text = "# a\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\nnameserver 10.0.0.1\n\
                    search a b\noptions edns0\ndomain c\n";
        let found = parse(text);
        assert_eq!(found.servers, ["127.0.0.53".parse::<IpAddr>().unwrap(), [10, 0, 0, 1].into()]);
        assert_eq!(found.search, "c");
    }

    #[test]
    fn only_what_is_connected_gets_files_and_none_twice() {
        assert!(name_files(&Container::host_view()).is_empty());
        assert!(name_files(&Container::host_view().network(Network::None)).is_empty());
        let bridge = || Network::bridge("a").unwrap();
        assert!(name_files(&Container::bare().network(bridge())).is_empty());
        let builder = Container::host_view().network(bridge()).hostname("web");
        let builder = builder.host_entry([10, 0, 0, 2].into(), "db").dns([10, 0, 0, 1].into());
        let files = name_files(&builder.bind_to("/dev/null", "/etc/hostname"));
        let text = |at: usize| String::from_utf8(files[at].bytes.clone()).unwrap();
        assert_eq!(files.len(), 2);
        assert!(text(0).ends_with("127.0.1.1\tweb\n10.0.0.2\tdb\n"), "{}", text(0));
        assert_eq!(text(1), "nameserver 10.0.0.1\n");
    }

    #[test]
    fn a_name_has_the_address_that_was_wished() {
        let endpoint = ampoule_net::Endpoint::new("eth0").unwrap().address([10, 0, 0, 9].into());
        let network = ampoule_net::BridgeNetwork::new("a").unwrap();
        let network = Network::Bridge { network, endpoint: Some(endpoint) };
        let builder = Container::host_view().network(network).hostname("web");
        let text = String::from_utf8(name_files(&builder)[0].bytes.clone()).unwrap();
        assert!(text.ends_with("ip6-loopback\n10.0.0.9\tweb\n"), "{text}");
    }

    #[test]
    fn a_name_is_not_a_line() {
        let builder = Container::host_view().host_entry([10, 0, 0, 2].into(), "db\n1.2.3.4 evil");
        assert_eq!(problems(&builder.dns_search("a b").networking).len(), 2);
    }
}
