//! What is refused by name and leaves nothing: full pools, names that are too long, rules that are none. And what is found
//! and set where nobody says: subnets, hardware addresses, routes. Needs root, unshare(1) and ip(8).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod host;

use ampoule_net::{
    Allow, BridgeNetwork, Device, Egress, Endpoint, ErrorKind, HostDevice, LinkName, Netns, Route,
    User, Veth,
};
use host::{Picture, Server, ask_from, ask_udp, endpoint, inside, ip, network, outside, within};

#[test]
fn root_a_full_pool_is_said_and_leaves_nothing() {
    inside("root_a_full_pool_is_said_and_leaves_nothing", || {
        let host = host::host();
        let small = network("small").subnet("10.7.1.0/29".parse().unwrap());
        let mut all: Vec<_> = (0..5)
            .map(|_| {
                let mut netns = Netns::create().unwrap();
                let attached = host.attach(&small, &endpoint(), &mut netns).unwrap();
                (netns, attached)
            })
            .collect();
        let mut late = Netns::create().unwrap();
        let state = || std::fs::read(host.directory().join("state")).unwrap();
        let (before, said) = (Picture::take(), state());
        let ports = endpoint().publish("8080:80".parse().unwrap());
        let error = host.attach(&small, &ports, &mut late).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PoolExhausted, "{error}");
        assert!(error.to_string().contains("10.7.1.1/29"), "{error}");
        assert!(error.hint().unwrap().contains("larger subnet"));
        Picture::take().assert_equals(&before);
        assert_eq!((state(), late.links().unwrap()), (said, vec!["lo".to_owned()]));
        // One address is free again: that one is given.
        let (_netns, gone) = all.remove(2);
        let free = gone.addresses()[0];
        gone.detach().unwrap();
        let attached = host.attach(&small, &ports, &mut late).unwrap();
        assert_eq!(attached.addresses(), [free]);
    });
}

#[test]
fn root_no_subnet_is_free() {
    inside("root_no_subnet_is_free", || {
        for route in ["10.89.0.0/16", "172.28.0.0/14"] {
            ip(&["route", "add", route, "dev", "lo"]);
        }
        let mut netns = Netns::create().unwrap();
        let before = Picture::take();
        let error = host::host().attach(&network("a"), &endpoint(), &mut netns).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PoolExhausted, "{error}");
        Picture::take().assert_equals(&before);
        for route in ["10.89.0.0/16", "172.28.0.0/14"] {
            ip(&["route", "del", route]);
        }
    });
}

#[test]
fn root_the_default_subnet_avoids_routes() {
    inside("root_the_default_subnet_avoids_routes", || {
        ip(&["link", "add", "dev9", "type", "veth", "peer", "name", "dev8"]);
        ip(&["address", "add", "10.89.0.9/24", "dev", "dev9"]);
        ip(&["link", "set", "dev9", "up"]);
        ip(&["route", "add", "10.89.2.0/23", "dev", "dev9"]);
        let subnet_of = |name: &str| {
            let mut netns = Netns::create().unwrap();
            let attached = host::host().attach(&network(name), &endpoint(), &mut netns).unwrap();
            (attached.gateways()[0].network().to_string(), netns, attached)
        };
        let (first, second) = (subnet_of("first"), subnet_of("second"));
        assert_eq!((first.0.as_str(), second.0.as_str()), ("10.89.1.0/24", "10.89.4.0/24"));
        drop((first, second));
        ip(&["link", "del", "dev9"]);
    });
}

#[test]
fn names_of_sixteen_bytes_are_refused() {
    let (long, most) = ("a234567890123456", "a23456789012345");
    let errors = [
        LinkName::new(long).unwrap_err(),
        Endpoint::new(long).unwrap_err(),
        Veth::new(long, "eth0").unwrap_err(),
        Veth::new("outer", long).unwrap_err(),
        HostDevice::new(long).unwrap_err(),
        User::new(long).unwrap_err(),
        "x".repeat(65).parse::<ampoule_net::NetworkName>().unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::InvalidName);
        assert!(error.to_string().contains("longer than"), "{error}");
    }
    for fine in [most, long] {
        // A network's name is not a link's: its bridge has another.
        assert!(BridgeNetwork::new(fine).unwrap().bridge().name().as_str().len() <= 15);
    }
    assert!(LinkName::new(most).is_ok());
}

#[test]
fn rules_that_are_none_are_named() {
    for rule in
        ["10.0.0.0/8:https", "10.0.0.0/40:443", "example.org:443", "10.0.0.0/8:0", "\u{1b}[2J"]
    {
        let error = rule.parse::<Allow>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidEgress, "{rule}");
        let said = error.to_string();
        assert!(said.starts_with("egress rule "), "{said}");
        assert!(said.contains(&format!("{rule:?}")), "{said} does not name {rule:?}");
        // As data it is refused, too.
        let text = serde_json::to_string(rule).unwrap();
        assert!(serde_json::from_str::<Egress>(&format!("[{text}]")).is_err());
    }
}

#[test]
fn root_an_endpoint_has_the_address_and_the_routes_that_were_asked_for() {
    inside("root_an_endpoint_has_the_address_and_the_routes_that_were_asked_for", || {
        let mut netns = Netns::create().unwrap();
        ip(&["link", "add", "br8", "type", "bridge"]);
        ip(&["link", "set", "br8", "up"]);
        let device = Device::Existing(LinkName::new("br8").unwrap());
        let network = network("a").device(device).subnet("10.7.1.0/24".parse().unwrap());
        let near = Route::on_link("10.9.0.0/24".parse().unwrap());
        let endpoint = endpoint()
            .mac("0a:00:00:00:00:09".parse().unwrap())
            .address("10.7.1.77".parse().unwrap())
            .route(host::route("10.8.0.0/16", "10.9.0.1"))
            .route(near);
        let attached = host::host().attach(&network, &endpoint, &mut netns).unwrap();
        let shown = within(&netns, || ip(&["link", "show", "eth0"]) + &ip(&["route"]));
        for part in [
            "0a:00:00:00:00:09",
            "10.8.0.0/16 via 10.9.0.1 dev eth0",
            "10.9.0.0/24 dev eth0",
            "default via 10.7.1.1 dev eth0",
            "src 10.7.1.77",
        ] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
        drop(attached);
        ip(&["link", "del", "br8"]);
    });
}

#[test]
fn root_a_policy_tells_protocols_apart() {
    inside("root_a_policy_tells_protocols_apart", || {
        let (beyond, uplink) = outside();
        let mut netns = Netns::create().unwrap();
        let attached = host::host().attach(&network("web"), &endpoint(), &mut netns).unwrap();
        let _servers = (Server::tcp(&beyond, "0.0.0.0:80"), Server::udp(&beyond, "0.0.0.0:80"));
        let mut reaches = |rules: &[&str]| {
            let policy = rules
                .iter()
                .fold(Egress::deny_all(), |policy, rule| policy.allow(rule.parse().unwrap()));
            policy.enforce(&mut netns).unwrap();
            let tcp = ask_from(&netns, "192.0.2.2:80").is_ok();
            let udp = within(&netns, || ask_udp("192.0.2.2:80")).is_ok();
            let ping = within(&netns, || {
                let ping = std::process::Command::new("busybox")
                    .args(["ping", "-c", "1", "-W", "2", "192.0.2.2"])
                    .output();
                ping.unwrap().status.success()
            });
            (tcp, udp, ping)
        };
        assert_eq!(reaches(&["192.0.2.2:80/tcp"]), (true, false, false));
        assert_eq!(reaches(&["192.0.2.2:80/udp"]), (false, true, false));
        assert_eq!(reaches(&["192.0.2.0/24/icmp"]), (false, false, true));
        assert_eq!(reaches(&["192.0.2.2:80"]), (true, true, false));
        assert_eq!(reaches(&["192.0.2.2"]), (true, true, true));
        assert_eq!(reaches(&["192.0.2.3", "192.0.2.2:81"]), (false, false, false));
        drop(attached);
        uplink.disconnect().unwrap();
    });
}
