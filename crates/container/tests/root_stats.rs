//! Statistics of a container beside its limits: its network, block devices, age.
//!
//! Kernel objects: containers with groups of their own, a thread in the network of one. Invariant: what is asserted is
//! what the test itself made happen.

mod oracle;
mod scene;

use std::net::UdpSocket;
use std::time::Duration;

use ampoule::{Container, ErrorKind, Interfaces, Max, Namespace, OwnGroup, Setting, Stats};
use nix::sched::{CloneFlags, setns};
use oracle::{tier, unchanged};
use scene::{refused, shell};

/// Sends a datagram to itself in a network.
fn send(network: std::os::fd::OwnedFd, bytes: usize) {
    let sent = std::thread::spawn(move || {
        setns(network, CloneFlags::CLONE_NEWNET).expect("this tier is root's");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("the loopback device is up");
        let own = socket.local_addr().expect("an address");
        assert_eq!(socket.send_to(&vec![0; bytes], own).expect("a datagram"), bytes);
    });
    sent.join().expect("a thread");
}

#[test]
fn network_is_counted_by_interface() {
    tier::root();
    unchanged(|| {
        let container = shell(Container::host_view().pids_max(20), "sleep 100").spawn();
        let container = container.expect("a container");
        let before = container.stats().expect("statistics").network;
        assert_eq!(before.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["lo"]);
        send(container.namespace(Namespace::Net).expect("a network"), 5000);
        let after = container.stats().expect("statistics").network;
        let [before, after] = [before, after].map(|network| *network.get("lo").expect("lo"));
        assert!(after.received.bytes >= before.received.bytes + 5000, "{after:?}");
        assert!(after.sent.packets > before.sent.packets, "{after:?}");
    });
}

#[test]
fn a_network_of_the_host_is_not_the_containers() {
    tier::root();
    unchanged(|| {
        let builder = Container::host_view().pids_max(20).namespace(Namespace::Net, Setting::Host);
        let container = shell(builder, "sleep 100").spawn().expect("a container");
        assert_eq!(container.stats().expect("statistics").network, Interfaces::default());
    });
}

#[test]
fn everything_that_a_table_shows_is_counted() {
    tier::root();
    unchanged(|| {
        let builder = Container::host_view().pids_max(20);
        let container = shell(builder, "while :; do :; done").spawn().expect("a container");
        std::thread::sleep(Duration::from_millis(300));
        let stats = container.stats().expect("statistics");
        assert!(stats.age >= Duration::from_millis(300), "{:?}", stats.age);
        assert!(stats.memory.current > Some(0) && stats.pids.current > Some(0), "{stats:?}");
        assert!(stats.average_cpu_percent().is_some_and(|percent| percent > 1.0), "{stats:?}");
        let group = container.group().expect("a group");
        let counts_io = |path: std::path::PathBuf| {
            let file = |name| path.join(name).exists();
            file("io.stat") || file("blkio.throttle.io_service_bytes_recursive")
        };
        assert!(group.paths().any(counts_io), "{group}");
        let text = serde_json::to_string(&stats).expect("JSON");
        assert_eq!(serde_json::from_str::<Stats>(&text).expect("the same"), stats);
    });
}

#[test]
fn a_group_without_limits_counts() {
    tier::root();
    unchanged(|| {
        for own_group in [OwnGroup::Counted, OwnGroup::Always] {
            let builder = Container::host_view().own_group(own_group);
            let container = shell(builder, "sleep 100").spawn().expect("a container");
            let stats = container.stats().expect("statistics");
            assert!(stats.pids.current > Some(0), "{stats:?}");
            assert_eq!(stats.pids.max, Some(Max::Max));
        }
        let status = shell(Container::host_view().own_group(OwnGroup::Always), "exit 3").status();
        let status = status.expect("a run");
        assert_eq!(status.code(), Some(3));
        assert!(status.resources().memory_peak.is_some() && status.resources().cpu.is_some());
    });
}

#[test]
fn without_a_group_nothing_is_counted() {
    tier::root();
    unchanged(|| {
        let builder = Container::host_view().own_group(OwnGroup::WithLimits);
        let container = shell(builder, "sleep 100").spawn().expect("a container");
        assert_eq!(refused(container.stats()).kind(), ErrorKind::Limits);
    });
}

#[test]
fn the_network_is_counted_until_the_end() {
    tier::root();
    unchanged(scene::network::is_counted_until_the_end);
}
