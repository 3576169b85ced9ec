//! Pods, with every privilege: as in the tier of users, and their limits and networks.

mod oracle;
mod scene;

use std::io::Write;

use ampoule::{Container, Limits, Max, Pod, Stdio};
use oracle::{alone_with, tier, unchanged};
use scene::networks::{bridge, clean, elsewhere, fetch};
use scene::{in_tier, print, shell, soon};

in_tier!(root, pods: share_their_network_and_name share_their_ipc stop_in_order);

#[test]
fn limits_hold_for_all_containers_together() {
    tier::root();
    unchanged(|| {
        let mut limits = Limits::default();
        limits.pids_max = Some(Max::Limit(12));
        let mut pod = Pod::builder().limits(limits).create().expect("a pod");
        for _ in 0..2 {
            let script = "while read more; do busybox sleep 100 & done";
            let command = shell(pod.join(Container::host_view()), script).stdin(Stdio::piped());
            pod.start(command).expect("a container");
        }
        let mut inputs: Vec<_> =
            pod.containers_mut().filter_map(|container| container.stdin.take()).collect();
        let now = || {
            let stat = pod.group().expect("a group").stat().expect("statistics");
            stat.pids.current.expect("a number")
        };
        // In turn, so that both have some and neither shell is refused before it is full.
        let mut turns = 0;
        while now() < 12 {
            let before = now();
            inputs[turns % 2].write_all(b"more\n").expect("it reads");
            assert!(soon(|| now() > before), "{before} processes after {turns} turns");
            turns += 1;
        }
        assert!(turns > 1, "neither alone");
        inputs[turns % 2].write_all(b"more\n").expect("it reads");
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert!(now() <= 12);
        drop(pod);
    });
}

#[test]
fn a_pod_has_one_address() {
    tier::root();
    alone_with(elsewhere, || {
        clean(|| {
            let pod = Pod::builder().network(bridge("web", "10.77.1.0/24"));
            let pod = pod.publish("8081:80".parse().expect("a port")).hostname("shop");
            let mut pod = pod.create().expect("a pod");
            let address = pod.addresses()[0];
            let files = Container::host_view().file("/srv/index.html", "of a pod");
            let server = shell(pod.join(files), "exec busybox httpd -f -p 80 -h /srv");
            pod.start(server).expect("a server");
            assert!(soon(|| fetch((address, 80).into()).as_deref() == Some("of a pod")));
            assert_eq!(fetch(([127, 0, 0, 1], 8081).into()).as_deref(), Some("of a pod"));
            let other = pod.join(Container::host_view());
            assert_eq!(print(other.clone(), "busybox wget -q -O - http://127.0.0.1/"), "of a pod");
            // Its name is its address, for all of it.
            let files = format!("\n{address}\tshop\nshop\n");
            assert!(print(other, "cat /etc/hosts /etc/hostname").ends_with(&files));
        });
    });
}
