//! Which settings of the host a network changes, and that they are as before with its last user; router advertisements.
//! Needs root, unshare(1) and ip(8).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod host;

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::time::{Duration, Instant};

use ampoule_net::{Families, Netns, Reach, Veth};
use host::{endpoint, inside, ip, network, settings, within};

/// What differs of the settings that are there before and after, with the new value, below `/proc/sys/net`.
fn changed(before: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let now = settings();
    let differs = |(name, value): &(&String, &String)| now.get(*name) != Some(*value);
    let name = |path: &String| path.trim_start_matches("/proc/sys/net/").to_owned();
    let value = |path: &String| now.get(path).cloned().unwrap_or_default();
    before.iter().filter(differs).map(|(path, _)| (name(path), value(path))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut all: Vec<_> =
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    all.sort();
    all
}

/// What the kernel changes with `ip_forward`.
const FORWARDING: [(&str, &str); 5] = [
    ("ipv4/conf/all/accept_redirects", "0"),
    ("ipv4/conf/all/forwarding", "1"),
    ("ipv4/conf/default/forwarding", "1"),
    ("ipv4/conf/lo/forwarding", "1"),
    ("ipv4/ip_forward", "1"),
];

/// And with its sibling.
const FORWARDING_6: [(&str, &str); 3] = [
    ("ipv6/conf/all/forwarding", "1"),
    ("ipv6/conf/default/forwarding", "1"),
    ("ipv6/conf/lo/forwarding", "1"),
];

#[test]
fn root_what_a_network_needs_is_changed_until_its_last_user_goes() {
    inside("root_what_a_network_needs_is_changed_until_its_last_user_goes", || {
        let host = host::host();
        let before = settings();
        let mut netns = [(); 3].map(|()| Netns::create().unwrap());
        let [one, two, three] = &mut netns;
        // To nobody else than the host: nothing of it is changed.
        let closed = network("closed").reach(Reach::Internal).families(Families::Both);
        let inner = host.attach(&closed, &endpoint(), one).unwrap();
        assert_eq!(changed(&before), []);
        let first = host.attach(&network("web"), &endpoint(), two).unwrap();
        assert_eq!(changed(&before), pairs(&FORWARDING));
        let state = fs::read_to_string(host.directory().join("state")).unwrap();
        assert!(state.contains(r#""net/ipv4/ip_forward":{"before":"0""#), "{state}");
        let both = network("both").families(Families::Both);
        let second = host.attach(&both, &endpoint(), three).unwrap();
        assert_eq!(changed(&before), pairs(&[&FORWARDING[..], &FORWARDING_6].concat()));
        // The last user of the one is not that of the other.
        first.detach().unwrap();
        assert_eq!(changed(&before), pairs(&[&FORWARDING[..], &FORWARDING_6].concat()));
        second.detach().unwrap();
        assert_eq!(changed(&before), []);
        inner.detach().unwrap();
    });
}

#[test]
fn root_what_the_host_had_set_itself_stays() {
    inside("root_what_the_host_had_set_itself_stays", || {
        let forward = "/proc/sys/net/ipv4/ip_forward";
        fs::write(forward, "1").unwrap();
        let before = settings();
        let mut netns = Netns::create().unwrap();
        let attachment = host::host().attach(&network("web"), &endpoint(), &mut netns).unwrap();
        assert_eq!(changed(&before), []);
        drop(attachment);
        assert_eq!(fs::read_to_string(forward).unwrap(), "1\n");
        fs::write(forward, "0").unwrap();
    });
}

#[test]
fn root_a_host_that_listens_to_routers_goes_on_to_do_so() {
    inside("root_a_host_that_listens_to_routers_goes_on_to_do_so", || {
        let mut beyond = Netns::create().unwrap();
        let uplink = Veth::new("uplink", "eth0").unwrap().connect(&mut beyond).unwrap();
        let accepts = || fs::read_to_string("/proc/sys/net/ipv6/conf/uplink/accept_ra").unwrap();
        assert_eq!(accepts(), "1\n");
        let mut netns = Netns::create().unwrap();
        let both = network("both").families(Families::Both);
        let attachment = host::host().attach(&both, &endpoint(), &mut netns).unwrap();
        // A router listens with 2 only.
        assert_eq!(accepts(), "2\n");
        drop(attachment);
        assert_eq!(accepts(), "1\n");
        uplink.disconnect().unwrap();
    });
}

/// Tells everybody on a link, as a router does (RFC 4861), of the prefix 2001:db8:77::/64.
fn advertise(link: &str) {
    use rustix::net::{AddressFamily, SocketType, ipproto, socket, sockopt};
    let raw = socket(AddressFamily::INET6, SocketType::RAW, Some(ipproto::ICMPV6)).unwrap();
    sockopt::set_ipv6_multicast_hops(&raw, 255).unwrap();
    let index = ip(&["-oneline", "link", "show", link]);
    let index = index.split(':').next().unwrap().parse().unwrap();
    // Type 134; the sum is the kernel's; lifetime 1800 s. Option 3 of 4 words: on the link, for addresses, 600 s.
    let mut packet = vec![134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    packet.extend([3, 4, 64, 0xc0, 0, 0, 2, 88, 0, 0, 2, 88, 0, 0, 0, 0]);
    packet.extend("2001:db8:77::".parse::<Ipv6Addr>().unwrap().octets());
    let everybody = SocketAddrV6::new("ff02::1".parse().unwrap(), 0, 0, index);
    UdpSocket::from(raw).send_to(&packet, everybody).unwrap();
}

#[test]
fn root_who_advertises_a_route_is_not_heard() {
    inside("root_who_advertises_a_route_is_not_heard", || {
        let (mut deaf, mut listens) = (Netns::create().unwrap(), Netns::create().unwrap());
        let both = network("both").families(Families::Both);
        let attach = |netns: &mut Netns| host::host().attach(&both, &endpoint(), netns).unwrap();
        let attached = (attach(&mut deaf), attach(&mut listens));
        within(&listens, || fs::write("/proc/sys/net/ipv6/conf/eth0/accept_ra", "1").unwrap());
        let heard = |netns: &Netns| {
            let all = within(netns, || ip(&["-6", "address"]) + &ip(&["-6", "route"]));
            all.contains("2001:db8:77:")
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !heard(&listens) && Instant::now() < deadline {
            advertise(both.bridge().name().as_str());
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(heard(&listens), "nothing was advertised");
        assert!(!heard(&deaf));
        drop(attached);
    });
}

#[test]
fn root_no_link_of_a_container_listens_to_routers() {
    inside("root_no_link_of_a_container_listens_to_routers", || {
        let (mut one, mut two) = (Netns::create().unwrap(), Netns::create().unwrap());
        let both = network("both").families(Families::Both);
        let attachment = host::host().attach(&both, &endpoint(), &mut one).unwrap();
        let veth = Veth::new("mine", "eth0").unwrap().connect(&mut two).unwrap();
        let read = |name: &str| {
            let path = format!("/proc/sys/net/ipv6/conf/{name}/accept_ra");
            fs::read_to_string(path).unwrap()
        };
        for netns in [&one, &two] {
            let found = within(netns, || ["default", "eth0"].map(read));
            assert_eq!(found, ["0\n", "0\n"]);
        }
        // Nor does the bridge.
        assert_eq!(read(both.bridge().name().as_str()), "0\n");
        drop((attachment, veth));
    });
}
