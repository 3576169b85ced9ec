//! Masquerade, published ports, isolation and egress policies. Needs root, unshare(1) and ip(8).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod host;

use ampoule_net::{Allow, Egress, Endpoint, ErrorKind, Families, Netns, Reach};
use host::{Server, ask, ask_from, ask_udp, endpoint, inside, network, outside, within};

fn publish(ports: &[&str]) -> Endpoint {
    ports.iter().fold(endpoint(), |endpoint, port| endpoint.publish(port.parse().unwrap()))
}

#[test]
fn root_what_leaves_has_the_hosts_address() {
    inside("root_what_leaves_has_the_hosts_address", || {
        let (beyond, uplink) = outside();
        let mut netns = Netns::create().unwrap();
        let network = network("web").families(Families::Both);
        let attachment = host::host().attach(&network, &endpoint(), &mut netns).unwrap();
        let _server = Server::tcp(&beyond, "0.0.0.0:80");
        assert_eq!(ask_from(&netns, "192.0.2.2:80").unwrap().to_string(), "192.0.2.1");
        let _six = Server::tcp(&beyond, "[::]:81");
        assert_eq!(ask_from(&netns, "[2001:db8::2]:81").unwrap().to_string(), "2001:db8::1");
        drop(attachment);
        uplink.disconnect().unwrap();
    });
}

#[test]
fn root_the_host_forwards_for_networks_only() {
    inside("root_the_host_forwards_for_networks_only", || {
        let (beyond, uplink) = outside();
        let mut other = Netns::create().unwrap();
        let veth = ampoule_net::Veth::new("other", "eth0").unwrap();
        let veth = veth.host_address("198.51.100.1/24".parse().unwrap());
        let veth = veth.address("198.51.100.2/24".parse().unwrap());
        let veth =
            veth.route(host::route("0.0.0.0/0", "198.51.100.1")).connect(&mut other).unwrap();
        within(&beyond, || host::ip(&["route", "add", "default", "via", "192.0.2.1"]));
        let mut netns = Netns::create().unwrap();
        let attachment = host::host().attach(&network("a"), &endpoint(), &mut netns).unwrap();
        let _server = Server::tcp(&beyond, "0.0.0.0:80");
        assert!(ask_from(&netns, "192.0.2.2:80").is_ok());
        assert!(ask_from(&other, "192.0.2.2:80").is_err());
        drop((attachment, veth, uplink));
    });
}

#[test]
fn root_published_ports_are_reached() {
    inside("root_published_ports_are_reached", || {
        let (beyond, uplink) = outside();
        let (mut netns, mut near, mut far) =
            (Netns::create().unwrap(), Netns::create().unwrap(), Netns::create().unwrap());
        let host = host::host();
        let ports = publish(&["8080:80", "5300:53/udp", "9000-9002:9000-9002"]);
        let one = host.attach(&network("web"), &ports, &mut netns).unwrap();
        let two = host.attach(&network("web"), &endpoint(), &mut near).unwrap();
        let three = host.attach(&network("other"), &endpoint(), &mut far).unwrap();
        let _servers = [Server::tcp(&netns, "0.0.0.0:80"), Server::tcp(&netns, "0.0.0.0:9001")];
        let _udp = Server::udp(&netns, "0.0.0.0:53");
        // From outside under the sender's own address, from the host, from containers, from itself.
        assert_eq!(ask_from(&beyond, "192.0.2.1:8080").unwrap().to_string(), "192.0.2.2");
        assert!(ask("127.0.0.1:8080").is_ok());
        assert!(ask("192.0.2.1:9001").is_ok());
        assert!(ask_from(&near, "192.0.2.1:8080").is_ok());
        assert!(ask_from(&far, "192.0.2.1:8080").is_ok());
        assert!(ask_from(&netns, "192.0.2.1:8080").is_ok());
        assert!(ask_udp("127.0.0.1:5300").is_ok());
        assert_eq!(within(&beyond, || ask_udp("192.0.2.1:5300")).unwrap().to_string(), "192.0.2.2");
        // Nobody else takes them, and what was not published is not reached.
        assert!(std::net::TcpListener::bind("0.0.0.0:8080").is_err());
        within(&beyond, || host::ip(&["route", "add", "10.89.0.0/16", "via", "192.0.2.1"]));
        assert!(ask_from(&beyond, &format!("{}:80", one.addresses()[0])).is_err());
        drop((one, two, three));
        uplink.disconnect().unwrap();
    });
}

#[test]
fn root_a_port_on_one_address_is_reached_there_only() {
    inside("root_a_port_on_one_address_is_reached_there_only", || {
        let (beyond, uplink) = outside();
        let mut netns = Netns::create().unwrap();
        let ports = publish(&["127.0.0.1:8080:80"]);
        let attachment = host::host().attach(&network("web"), &ports, &mut netns).unwrap();
        let _server = Server::tcp(&netns, "0.0.0.0:80");
        assert!(ask("127.0.0.1:8080").is_ok());
        assert!(ask_from(&beyond, "192.0.2.1:8080").is_err());
        drop(attachment);
        uplink.disconnect().unwrap();
    });
}

#[test]
fn root_a_port_that_is_used_is_refused() {
    inside("root_a_port_that_is_used_is_refused", || {
        let (mut one, mut two) = (Netns::create().unwrap(), Netns::create().unwrap());
        let host = host::host();
        let listener = std::net::TcpListener::bind("127.0.0.1:8080").unwrap();
        let error = host.attach(&network("web"), &publish(&["8080:80"]), &mut one).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PortInUse, "{error}");
        drop(listener);
        let attachment = host.attach(&network("web"), &publish(&["8080:80"]), &mut one).unwrap();
        let again = publish(&["8000-8100:1000-1100"]);
        let error = host.attach(&network("b"), &again, &mut two).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PortInUse, "{error}");
        assert_eq!(two.links().unwrap(), ["lo"]);
        drop(attachment);
    });
}

#[test]
fn root_networks_do_not_reach_each_other() {
    inside("root_networks_do_not_reach_each_other", || {
        let (beyond, uplink) = outside();
        let (mut one, mut two, mut three) =
            (Netns::create().unwrap(), Netns::create().unwrap(), Netns::create().unwrap());
        let host = host::host();
        let left = host.attach(&network("left"), &endpoint(), &mut one).unwrap();
        let right = host.attach(&network("right"), &endpoint(), &mut two).unwrap();
        let internal = network("internal").reach(Reach::Internal);
        let closed = host.attach(&internal, &endpoint(), &mut three).unwrap();
        let _servers = [Server::tcp(&one, "0.0.0.0:80"), Server::tcp(&beyond, "0.0.0.0:80")];
        let to = format!("{}:80", left.addresses()[0]);
        assert!(ask(&to).is_ok());
        assert!(ask_from(&two, &to).is_err());
        // A default route of its own making does not help.
        let gateway = closed.gateways()[0].address().to_string();
        within(&three, || host::ip(&["route", "add", "default", "via", &gateway]));
        assert!(ask_from(&three, "192.0.2.2:80").is_err());
        drop((left, right, closed));
        uplink.disconnect().unwrap();
    });
}

#[test]
fn root_egress_is_what_was_allowed() {
    inside("root_egress_is_what_was_allowed", || {
        let (beyond, uplink) = outside();
        let mut netns = Netns::create().unwrap();
        let network = network("web").families(Families::Both);
        let attachment = host::host().attach(&network, &endpoint(), &mut netns).unwrap();
        let _servers = [Server::tcp(&beyond, "0.0.0.0:80"), Server::tcp(&beyond, "0.0.0.0:90")];
        let _six = Server::tcp(&beyond, "[::]:81");
        let _own = Server::tcp(&netns, "0.0.0.0:70");
        assert_eq!(Egress::refused(&mut netns).unwrap_err().kind(), ErrorKind::NotFound);
        Egress::deny_all().enforce(&mut netns).unwrap();
        let error = ask_from(&netns, "192.0.2.2:80").unwrap_err();
        assert_ne!(error.kind(), std::io::ErrorKind::TimedOut, "{error}");
        assert!(ask_from(&netns, "127.0.0.1:70").is_ok());
        assert!(ask(&format!("{}:70", attachment.addresses()[0])).is_ok());
        let refused = Egress::refused(&mut netns).unwrap();
        assert!(refused.packets >= 1 && refused.bytes >= 40, "{refused:?}");
        let allow = |text: &str| text.parse::<Allow>().unwrap();
        let policy = Egress::deny_all().allow(allow("192.0.2.0/24:80-85/tcp"));
        policy.allow(allow("[2001:db8::/32]:81/tcp")).enforce(&mut netns).unwrap();
        assert!(ask_from(&netns, "192.0.2.2:80").is_ok());
        assert!(ask_from(&netns, "[2001:db8::2]:81").is_ok());
        assert!(ask_from(&netns, "192.0.2.2:90").is_err());
        Egress::lift(&mut netns).unwrap();
        assert!(ask_from(&netns, "192.0.2.2:90").is_ok());
        let many = (0..300).fold(Egress::deny_all(), |all, _| all.allow(allow("10.0.0.0/8")));
        assert_eq!(many.enforce(&mut netns).unwrap_err().kind(), ErrorKind::InvalidEgress);
        drop(attachment);
        uplink.disconnect().unwrap();
    });
}
