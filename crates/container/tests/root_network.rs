//! Networks of containers: bridges, published ports, egress policies, links, devices, names.
//!
//! Kernel objects: containers in a network namespace that stands in for the host. Invariant: afterwards it is as before.

mod oracle;
mod scene;

use std::net::TcpListener;
use std::os::fd::AsFd;

use ampoule::net::{self, BridgeNetwork, Egress, Endpoint, LinkName, Reach, Veth};
use ampoule::{Container, ErrorKind, Namespace, Network, Stage};
use oracle::{alone_with, tier};
use scene::networks::{address, bridge, clean, elsewhere, fetch, fetches, ip, server};
use scene::{print, refused, run, shell};

/// The reason of an error of networks.
fn reason(error: &ampoule::Error) -> net::ErrorKind {
    let source = std::error::Error::source(error).expect("a reason");
    source.downcast_ref::<net::Error>().expect("of the network crate").kind()
}

#[test]
fn containers_of_a_bridge_reach_each_other() {
    tier::root();
    alone_with(elsewhere, || {
        clean(|| {
            let web = Container::host_view().network(bridge("web", "10.77.1.0/24"));
            let one = server(web.clone(), 80, "one");
            let at = address(&one);
            assert_eq!(at.to_string(), "10.77.1.2");
            let two = web.clone().host_entry(at, "one.test");
            assert_eq!(print(two, "busybox wget -q -O - http://one.test/"), "one");
            assert_eq!(fetch((at, 80).into()).as_deref(), Some("one"));
            let stats = print(web, "cat /proc/net/dev");
            assert!(stats.contains("eth0:"), "{stats}");
        });
    });
}

#[test]
fn a_published_port_works_from_everywhere() {
    tier::root();
    alone_with(elsewhere, || {
        clean(|| {
            let network = bridge("web", "10.77.1.0/24");
            let builder = Container::host_view().network(network.clone());
            let served = server(builder.publish("8080:80".parse().expect("a port")), 80, "served");
            let gateway = served.attachments().next().expect("one").gateways()[0].address();
            for host in ["127.0.0.1".parse().expect("an address"), gateway] {
                assert_eq!(fetch((host, 8080).into()).as_deref(), Some("served"), "{host}");
            }
            let other = Container::host_view().network(network);
            assert_eq!(print(other, &fetches((gateway, 8080))), "served");
            TcpListener::bind("0.0.0.0:8080").expect_err("it is taken");
            drop(served);
            assert_eq!(fetch(([127, 0, 0, 1], 8080).into()), None);
            drop(TcpListener::bind("0.0.0.0:8080").expect("it is free"));
        });
    });
}

#[test]
fn an_egress_policy_lets_out_what_it_allows() {
    tier::root();
    alone_with(elsewhere, || {
        clean(|| {
            let network = bridge("web", "10.77.1.0/24");
            let serve = |text| server(Container::host_view().network(network.clone()), 80, text);
            let (allowed, denied) = (serve("allowed"), serve("denied"));
            let to = format!("{}/32:80/tcp", address(&allowed)).parse().expect("a rule");
            let builder = Container::host_view().network(network.clone());
            let builder = builder.egress(Egress::deny_all().allow(to));
            let script = format!(
                "{}; {} 2>/dev/null || echo no; read end",
                fetches((address(&allowed), 80)),
                fetches((address(&denied), 80))
            );
            let mut payload = shell(builder, &script)
                .stdin(ampoule::Stdio::piped())
                .stdout(ampoule::Stdio::piped())
                .spawn()
                .expect("a container");
            let said = scene::read_until(payload.stdout.as_mut().expect("a pipe"), "no");
            assert_eq!(said.trim(), "allowedno");
            assert!(payload.egress_refused().expect("counters").packets > 0);
            payload.wait().expect("a status");
            assert_eq!(refused(allowed.egress_refused()).kind(), ErrorKind::Network);
        });
    });
}

#[test]
fn several_networks_one_way_out() {
    tier::root();
    alone_with(elsewhere, || {
        clean(|| {
            let inner = BridgeNetwork::new("inner").expect("a name").reach(Reach::Internal);
            let builder = Container::host_view()
                .network(inner.subnet("10.77.2.0/24".parse().expect("a subnet")))
                .network(bridge("front", "10.77.3.0/24"))
                .network(bridge("back", "10.77.4.0/24"));
            let routes = print(builder, "busybox ip route; busybox ip -o addr");
            assert_eq!(routes.matches("default via").count(), 1, "{routes}");
            assert!(routes.contains("default via 10.77.3.1 dev eth1"), "{routes}");
            for part in ["10.77.2.2/24", "10.77.3.2/24", "10.77.4.2/24", "eth2"] {
                assert!(routes.contains(part), "{part} in {routes}");
            }
        });
    });
}

#[test]
fn a_pair_of_links_and_a_device() {
    tier::root();
    alone_with(elsewhere, || {
        ip(&["link", "add", "own0", "type", "veth", "peer", "name", "own1"]);
        ip(&["link", "set", "own1", "up"]);
        ip(&["addr", "add", "10.77.9.9/24", "dev", "own0"]);
        ip(&["link", "set", "own0", "up"]);
        let before = ip(&["-brief", "-4", "addr", "show", "own0"]);
        let clean = |body: &dyn Fn()| oracle::unchanged(body);
        clean(&|| {
            let veth = Veth::new("outer0", "inner0").expect("names");
            let veth = veth
                .host_address("10.77.5.1/24".parse().expect("an address"))
                .address("10.77.5.2/24".parse().expect("an address"));
            let builder = Container::host_view()
                .network(veth)
                .network(Network::device("own0").expect("a name"));
            let container = shell(builder.clone(), "busybox ip -o -4 addr; read end")
                .stdin(ampoule::Stdio::piped())
                .stdout(ampoule::Stdio::piped());
            let mut container = container.spawn().expect("a container");
            let said = scene::read_until(container.stdout.as_mut().expect("a pipe"), "own0");
            assert!(said.contains("10.77.5.2/24"), "{said}");
            let links = ip(&["-brief", "link"]);
            assert!(links.contains("outer0") && !links.contains("own0"), "{links}");
            container.wait().expect("a status");
            assert_eq!(ip(&["-brief", "-4", "addr", "show", "own0"]), before);
            // The second link is not there: the first goes again, and the device stays.
            let twice = builder.network(Network::veth("outer1").expect("a name"));
            let twice = twice.network(Network::device("none0").expect("a name"));
            let error = refused(shell(twice, "true").spawn());
            assert_eq!((error.kind(), error.stage()), (ErrorKind::Network, Stage::Setup));
            assert_eq!(reason(&error), net::ErrorKind::NotFound);
            assert_eq!(ip(&["-brief", "-4", "addr", "show", "own0"]), before);
        });
    });
}

#[test]
fn what_cannot_be_is_an_error_and_leaves_nothing() {
    tier::root();
    alone_with(elsewhere, || {
        clean(|| {
            let web = || Container::host_view().network(bridge("web", "10.77.1.0/24"));
            let taken = TcpListener::bind("0.0.0.0:8080").expect("a free port");
            let builder = web().publish("8080:80".parse().expect("a port"));
            let error = refused(shell(builder, "true").spawn());
            assert_eq!(reason(&error), net::ErrorKind::PortInUse);
            drop(taken);
            // Everything is attached when this is found.
            let error = refused(web().command("/nowhere").spawn());
            assert_eq!(error.kind(), ErrorKind::ProgramNotFound);
            let running = shell(web(), "sleep 100").spawn().expect("a container");
            let other = Container::host_view().network(bridge("other", "10.77.1.128/25"));
            let error = refused(shell(other, "true").spawn());
            assert_eq!(reason(&error), net::ErrorKind::SubnetOverlaps);
            let endpoint = Endpoint::new("eth0").expect("a name").address(address(&running));
            let network = BridgeNetwork::new("web").expect("a name");
            let network = network.subnet("10.77.1.0/24".parse().expect("a subnet"));
            let same = Network::Bridge { network, endpoint: Some(endpoint) };
            let error = refused(shell(Container::host_view().network(same), "true").spawn());
            assert_eq!(reason(&error), net::ErrorKind::AddressInUse);
        });
    });
}

#[test]
fn a_pinned_network_is_seen_by_ip_and_joined() {
    tier::root();
    alone_with(elsewhere, || {
        clean(|| {
            let web = Container::host_view().network(bridge("web", "10.77.1.0/24"));
            let container = server(web, 80, "pinned");
            let pinned = container.pin_network("of-a-test").expect("a pin");
            assert!(ip(&["netns", "list"]).contains("of-a-test"));
            let shown = ip(&["netns", "exec", "of-a-test", "ip", "-o", "addr"]);
            assert!(shown.contains("10.77.1.2/24"), "{shown}");
            let joined = Container::bare().network(pinned.network());
            assert!(print(joined, "ip -o addr").contains("10.77.1.2/24"));
            pinned.unpin().expect("our pin");
            assert!(!ip(&["netns", "list"]).contains("of-a-test"));
            // ip(8) would make the directory a mount of its own.
            rustix::mount::unmount("/run/netns", rustix::mount::UnmountFlags::DETACH)
                .expect("ours");
        });
    });
}

#[test]
fn a_network_is_shared_with_a_container_and_with_the_host() {
    tier::root();
    alone_with(elsewhere, || {
        clean(|| {
            let first = shell(Container::host_view(), "sleep 100").spawn().expect("a container");
            let seen =
                print(Container::bare().network(Network::of(&first)), "readlink /proc/self/ns/net");
            let namespace = first.namespace(Namespace::Net).expect("a namespace");
            let inode = rustix::fs::fstat(namespace.as_fd()).expect("a file").st_ino;
            assert_eq!(seen.trim(), format!("net:[{inode}]"));
            let host = Container::host_view().network(Network::Host);
            assert!(print(host.clone(), "cat /proc/net/dev").contains("lo:"));
            assert!(run(host, "test -s /etc/resolv.conf -o -e /etc/hosts").status.success());
        });
    });
}

#[test]
fn an_existing_bridge_stays() {
    tier::root();
    alone_with(elsewhere, || {
        ip(&["link", "add", "theirs0", "type", "bridge"]);
        ip(&["link", "set", "theirs0", "up"]);
        oracle::unchanged(|| {
            let device = net::Device::Existing(LinkName::new("theirs0").expect("a name"));
            let network = BridgeNetwork::new("theirs").expect("a name").device(device);
            let network = network.subnet("10.77.6.0/24".parse().expect("a subnet"));
            let builder = Container::host_view().network(network);
            assert!(print(builder, "busybox ip -o addr").contains("10.77.6.2/24"));
        });
    });
}

#[test]
fn a_kept_container_has_its_networks_until_it_is_deleted() {
    tier::root();
    alone_with(elsewhere, || {
        clean(|| {
            let (_place, states) = scene::kept::states();
            let web = Container::host_view().network(bridge("web", "10.77.1.0/24"));
            let web = web.file("/srv/index.html", "kept");
            let command = shell(web, "exec busybox httpd -f -p 80 -h /srv");
            let null = ampoule::Stdio::null;
            let command = command.stdin(null()).stdout(null()).stderr(null());
            let made = states.create("a", command, ampoule::Details::default());
            made.expect("a container").start().expect("a start");
            let host = net::Host::new().expect("this one");
            host.reconcile().expect("nothing to do");
            assert_eq!(host.networks().expect("a list").len(), 1);
            let kept = states.get("a").expect("it");
            let container = kept.container().expect("it runs");
            let shown = container.exec("busybox").args(["ip", "-o", "-4", "addr", "show", "eth0"]);
            let shown = scene::printed(shown.output().expect("a run"));
            let address = shown.split(&[' ', '/'][..]).find(|word| word.starts_with("10.77.1."));
            let address: std::net::IpAddr = address.expect(&shown).parse().expect("an address");
            let said = || fetch((address, 80).into()).is_some_and(|text| text.contains("kept"));
            assert!(scene::soon(said), "nobody serves on {address}");
            states.delete("a", ampoule::Force::Yes).expect("a deletion");
            assert_eq!(host.networks().expect("a list"), Vec::new());
        });
    });
}
