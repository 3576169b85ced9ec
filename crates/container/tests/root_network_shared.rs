//! Networks that several know: joined by number, by descriptor, by name; a pod's without a process; what is counted.
//!
//! Kernel objects: containers in a network namespace that stands in for the host. Invariant: afterwards it is as before.

mod oracle;
mod scene;

use std::os::fd::AsFd;
use std::process::Command;

use ampoule::{Container, Namespace, Network, Pod, Target};
use oracle::{alone_with, tier};
use scene::networks::{address, bridge, clean, elsewhere, fetch, fetches, ip, server};
use scene::{print, printed, shell, soon};

fn web() -> Network {
    bridge("web", "10.77.1.0/24")
}

/// ip(8) would make the directory a mount of its own.
fn forget_pins() {
    rustix::mount::unmount("/run/netns", rustix::mount::UnmountFlags::DETACH).expect("ours");
}

#[test]
fn a_network_is_joined_by_number_by_descriptor_and_by_path() {
    tier::root();
    alone_with(elsewhere, || {
        clean(|| {
            let first = server(Container::host_view().network(web()), 80, "joined");
            let at = address(&first);
            let own = format!("{}; busybox ip -o -4 addr show eth0", fetches(([127, 0, 0, 1], 80)));
            let path = format!("/proc/{}/ns/net", first.pid());
            for target in [Target::Pid(first.pid()), Target::Path(path.into())] {
                let said = print(Container::host_view().network(Network::Join(target)), &own);
                assert!(said.starts_with("joined") && said.contains(&at.to_string()), "{said}");
            }
            let later = Container::host_view().network(Network::Join(Target::AtLaunch));
            let plan = shell(later, &own).plan().expect("a plan");
            let network = first.namespace(Namespace::Net).expect("a namespace");
            let said =
                printed(plan.launch().join(Namespace::Net, network).output().expect("a run"));
            assert!(said.starts_with("joined") && said.contains(&at.to_string()), "{said}");
        });
    });
}

#[test]
fn a_pin_outlives_its_container_and_a_pods_leads_back() {
    tier::root();
    alone_with(elsewhere, || {
        clean(|| {
            let container = shell(Container::host_view().network(Network::None), "sleep 100");
            let container = container.spawn().expect("a container");
            let network = container.namespace(Namespace::Net).expect("a namespace");
            let inode = rustix::fs::fstat(network.as_fd()).expect("a file").st_ino;
            let pinned = container.pin_network("stays").expect("a pin");
            drop((container, network));
            let script = "readlink /proc/self/ns/net; ip -o link show lo";
            let said = ip(&["netns", "exec", "stays", "sh", "-c", script]);
            assert!(said.starts_with(&format!("net:[{inode}]\n")) && said.contains("UP"), "{said}");
            let back = Container::host_view().network(pinned.network());
            assert_eq!(print(back, "readlink /proc/self/ns/net").trim(), format!("net:[{inode}]"));
            drop(pinned);

            let mut pod = Pod::builder().network(web()).create().expect("a pod");
            let pinned = pod.pin_network("of-a-pod").expect("a pin");
            let files = Container::host_view().file("/srv/index.html", "of a pod");
            pod.start(shell(pod.join(files), "exec busybox httpd -f -p 80 -h /srv")).expect("one");
            let wget = ["netns", "exec", "of-a-pod", "busybox", "wget", "-q", "-O", "-"];
            let get = || Command::new("ip").args(wget).arg("http://127.0.0.1/").output();
            assert!(soon(|| get().expect("ip(8)").stdout == b"of a pod"));
            pinned.unpin().expect("our pin");
            assert_eq!(ip(&["netns", "list"]), "");
            forget_pins();
        });
    });
}

#[test]
fn a_pod_has_no_process_of_its_own() {
    tier::root();
    alone_with(elsewhere, || {
        clean(|| {
            let before = scene::outside::descendants();
            let mut pod = Pod::builder().network(web()).create().expect("a pod");
            assert_eq!(scene::outside::descendants(), before, "a pause process");
            // Its network works without one, and goes on after the last of its containers.
            let at = pod.addresses()[0];
            for text in ["first", "second"] {
                let files = Container::host_view().file("/srv/index.html", text);
                let server = shell(pod.join(files), "exec busybox httpd -f -p 80 -h /srv");
                let container = pod.start(server).expect("a server");
                assert!(soon(|| fetch((at, 80).into()).as_deref() == Some(text)), "{text}");
                container.kill(9).expect("it runs");
                container.wait().expect("a status");
                assert_eq!(fetch((at, 80).into()), None);
            }
        });
    });
}

#[test]
fn what_a_link_counted_is_the_containers() {
    tier::root();
    alone_with(elsewhere, || {
        clean(|| {
            let served = server(Container::host_view().network(web()), 80, &"x".repeat(100_000));
            let counted = || *served.stats().expect("statistics").network.get("eth0").expect("it");
            let before = counted();
            assert_eq!(fetch((address(&served), 80).into()).map(|text| text.len()), Some(100_000));
            let after = counted();
            assert!(after.sent.bytes >= before.sent.bytes + 100_000, "{before:?} {after:?}");
            assert!(after.received.packets > before.received.packets, "{before:?} {after:?}");
        });
    });
}

#[test]
fn no_link_of_a_container_listens_to_routers() {
    tier::root();
    alone_with(elsewhere, || {
        clean(|| {
            let read = "cd /proc/sys/net/ipv6/conf; cat default/accept_ra eth*/accept_ra";
            let back = bridge("back", "10.77.2.0/24");
            let veth = ampoule::net::Veth::new("outer0", "eth2").expect("names");
            let builder = Container::host_view().network(web()).network(back).network(veth);
            assert_eq!(print(builder, read), "0\n".repeat(4));
            let none = Container::host_view().network(Network::None);
            assert_eq!(print(none, "cat /proc/sys/net/ipv6/conf/default/accept_ra"), "0\n");
        });
    });
}
