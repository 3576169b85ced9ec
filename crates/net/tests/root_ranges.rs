//! Ranges of published ports, with TCP and with UDP: the first, one in the middle and the last, from everywhere. Needs
//! root, unshare(1) and ip(8).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod host;

use std::net::IpAddr;

use ampoule_net::{Endpoint, Netns};
use host::{Server, ask, ask_udp, endpoint, inside, network, outside, within};

/// What is asked from where, by name.
type From<'a> = (&'static str, Option<&'a Netns>, &'static str);

fn publish(ports: &[&str]) -> Endpoint {
    ports.iter().fold(endpoint(), |endpoint, port| endpoint.publish(port.parse().unwrap()))
}

/// Asks a port; gives who the server saw.
fn asked(
    (_, from, host): From<'_>,
    port: u16,
    ask: fn(&str) -> std::io::Result<IpAddr>,
) -> std::io::Result<IpAddr> {
    let address = format!("{host}:{port}");
    match from {
        Some(netns) => within(netns, || ask(&address)),
        None => ask(&address),
    }
}

/// Every port of a range is reached, and neither neighbour of the range.
fn is_reached(from: From<'_>, ports: [u16; 3], ask: fn(&str) -> std::io::Result<IpAddr>) {
    let [first, middle, last] = ports;
    for port in [first, middle, last] {
        let seen = asked(from, port, ask);
        let seen = seen.unwrap_or_else(|error| panic!("{} to {port}: {error}", from.0));
        if from.0 == "outside" {
            assert_eq!(seen.to_string(), "192.0.2.2", "the sender's own address");
        }
    }
    for port in [first - 1, last + 1] {
        assert!(asked(from, port, ask).is_err(), "{} to {port}", from.0);
    }
}

#[test]
fn root_every_port_of_a_range_is_reached_from_everywhere() {
    inside("root_every_port_of_a_range_is_reached_from_everywhere", || {
        let (beyond, uplink) = outside();
        let (mut netns, mut near, mut far) =
            (Netns::create().unwrap(), Netns::create().unwrap(), Netns::create().unwrap());
        let host = host::host();
        // Each with the same numbers inside, and with others.
        let ports = [
            "9000-9004:9000-9004",
            "9100-9104:7000-7004",
            "5000-5004:5000-5004/udp",
            "5100-5104:6000-6004/udp",
        ];
        let one = host.attach(&network("web"), &publish(&ports), &mut netns).unwrap();
        let two = host.attach(&network("web"), &endpoint(), &mut near).unwrap();
        let three = host.attach(&network("other"), &endpoint(), &mut far).unwrap();
        // Also beside the ranges: what is not published is served all the same.
        let around = |first: u16| [first - 1, first, first + 2, first + 4, first + 5];
        let at = |port: u16| format!("0.0.0.0:{port}");
        let tcp = [9000, 7000].into_iter().flat_map(around);
        let tcp: Vec<_> = tcp.map(|port| Server::tcp(&netns, &at(port))).collect();
        let udp = [5000, 6000].into_iter().flat_map(around);
        let udp: Vec<_> = udp.map(|port| Server::udp(&netns, &at(port))).collect();
        let from: [From<'_>; 6] = [
            ("the host's loopback", None, "127.0.0.1"),
            ("the host's address", None, "192.0.2.1"),
            ("a neighbour", Some(&near), "192.0.2.1"),
            ("another network", Some(&far), "192.0.2.1"),
            ("itself", Some(&netns), "192.0.2.1"),
            ("outside", Some(&beyond), "192.0.2.1"),
        ];
        for from in from {
            for first in [9000, 9100] {
                is_reached(from, [first, first + 2, first + 4], ask);
            }
            for first in [5000, 5100] {
                is_reached(from, [first, first + 2, first + 4], ask_udp);
            }
        }
        drop((tcp, udp, one, two, three));
        uplink.disconnect().unwrap();
    });
}

#[test]
fn root_a_range_is_taken_as_a_whole_and_given_back() {
    inside("root_a_range_is_taken_as_a_whole_and_given_back", || {
        let mut netns = Netns::create().unwrap();
        let host = host::host();
        let ports = publish(&["9000-9004:80-84", "5000-5004:53-57/udp"]);
        let attachment = host.attach(&network("web"), &ports, &mut netns).unwrap();
        let tcp = |port| std::net::TcpListener::bind(("127.0.0.1", port));
        let udp = |port| std::net::UdpSocket::bind(("127.0.0.1", port));
        for more in 0..5 {
            assert!(tcp(9000 + more).is_err() && udp(5000 + more).is_err(), "{more}");
        }
        assert!(tcp(9005).is_ok() && udp(5005).is_ok() && udp(9000).is_ok());
        drop(attachment);
        for more in 0..5 {
            assert!(tcp(9000 + more).is_ok() && udp(5000 + more).is_ok(), "{more}");
        }
        // One port of it is a program's: none is taken.
        let taken = udp(5004).unwrap();
        let error = host.attach(&network("web"), &ports, &mut netns).unwrap_err();
        assert_eq!(error.kind(), ampoule_net::ErrorKind::PortInUse, "{error}");
        assert!(error.to_string().contains("5000-5004:53-57/udp"), "{error}");
        assert!(tcp(9000).is_ok() && udp(5000).is_ok() && netns.links().unwrap() == ["lo"]);
        drop(taken);
    });
}
