//! Networks of ordinary users, carried by pasta(1). Root makes a network that stands in for the host's, with a
//! `/dev/net/tun` for everybody, and becomes an ordinary user in it. Needs unshare(1), setpriv(1), ip(8), passt and
//! slirp4netns.
//!
//! Kernel objects: containers and a program beside each. Invariant: nothing is left of either.

mod oracle;
mod scene;

use std::process::Command;

use ampoule::net::{self, Egress};
use ampoule::{Builder, Container, ErrorKind, Network, OnDrop, Pod, Stage, WithHost};
use oracle::alone::after_shell;
use oracle::{alone_with, tier, unchanged};
use scene::networks::{fetch, fetches};
use scene::{print, refused, run, shell, soon};

/// Is set in the process of the ordinary user.
const ORDINARY: &str = "AMPOULE_TEST_ORDINARY";

/// An address of the host that no container has: pasta gives them that of the way out.
const HOST: [u8; 4] = [198, 51, 100, 1];

/// Root's first, the ordinary user's then.
fn both_tiers() {
    match std::env::var_os(ORDINARY) {
        None => tier::root(),
        Some(_) => tier::user(),
    }
}

/// For `alone_with`: the second process is an ordinary user's, in new network and mount namespaces.
fn ordinary(command: &mut Command, also: &str) {
    let user = "setpriv --reuid 65534 --regid 65534 --clear-groups";
    elsewhere(command, also, &format!("{user} env HOME=/tmp {ORDINARY}=1"));
}

fn elsewhere(command: &mut Command, also: &str, become_user: &str) {
    let setup = format!(
        "exec unshare --net --mount --propagation private -- /bin/sh -ec '\
         mount -t tmpfs none /run; mount -t tmpfs none /dev/net; mknod -m 666 /dev/net/tun c 10 200
         ip link set lo up; ip addr add 198.51.100.1/32 dev lo
         ip link add up0 type veth peer name up1; ip addr add 192.0.2.1/24 dev up0
         ip link set up0 up; ip link set up1 up; ip route add default via 192.0.2.2
         {also}
         exec {become_user} \"$0\" \"$@\"' \"$0\" \"$@\""
    );
    after_shell(command, &setup);
}

fn container() -> Builder {
    Container::host_view().network(Network::user().expect("a name"))
}

/// Serves `text` on port 8080 of the host.
fn published(text: &str) -> Container {
    let builder = container().publish("8080:80".parse().expect("a port"));
    let builder = builder.file("/srv/index.html", text);
    let served = shell(builder, "exec busybox httpd -f -p 80 -h /srv").spawn().expect("a server");
    assert!(soon(|| fetch((HOST, 8080).into()).is_some()), "nobody serves");
    served
}

/// The reason of an error of networks.
fn reason(error: &ampoule::Error) -> net::ErrorKind {
    let source = std::error::Error::source(error).expect("a reason");
    source.downcast_ref::<net::Error>().expect("of the network crate").kind()
}

#[test]
fn a_payload_fetches_from_another_container_through_its_published_port() {
    both_tiers();
    alone_with(
        |command| ordinary(command, ""),
        || {
            unchanged(|| {
                let served = published("from a container");
                for host in [HOST, [127, 0, 0, 1]] {
                    let fetched = fetch((host, 8080).into());
                    assert_eq!(fetched.as_deref(), Some("from a container"), "{host:?}");
                }
                let said = print(container(), &fetches((HOST, 8080)));
                assert_eq!(said, "from a container");
                // The host's loopback device is not the container's.
                let own = run(container(), &fetches(([127, 0, 0, 1], 8080)));
                assert!(!own.status.success());
                let error = refused(
                    shell(container().publish("8080:80".parse().expect("a port")), "true").spawn(),
                );
                assert_eq!(reason(&error), net::ErrorKind::ProgramFailed, "{error}");
                drop(served);
                assert_eq!(fetch((HOST, 8080).into()), None);
            });
        },
    );
}

#[test]
fn a_pod_has_one_published_port() {
    both_tiers();
    alone_with(
        |command| ordinary(command, ""),
        || {
            unchanged(|| {
                let pod = || {
                    let pod = Pod::builder().network(Network::user().expect("a name"));
                    pod.publish("8080:80".parse().expect("a port")).hostname("shop")
                };
                let mut first = pod().create().expect("a pod");
                let builder = Container::host_view().file("/srv/index.html", "of a pod");
                let server = shell(first.join(builder), "exec busybox httpd -f -p 80 -h /srv");
                first.start(server).expect("a server");
                assert!(soon(|| fetch((HOST, 8080).into()).as_deref() == Some("of a pod")));
                let other = first.join(Container::host_view());
                assert_eq!(print(other.clone(), &fetches(([127, 0, 0, 1], 80))), "of a pod");
                assert_eq!(print(other, &fetches((HOST, 8080))), "of a pod");
                assert_eq!(print(container(), &fetches((HOST, 8080))), "of a pod");
                let error = refused(pod().create());
                assert_eq!(reason(&error), net::ErrorKind::ProgramFailed, "{error}");
                drop(first);
                assert_eq!(fetch((HOST, 8080).into()), None);
                drop(pod().create().expect("the port is free"));
            });
        },
    );
}

#[test]
fn a_pod_over_the_other_program_has_a_way_out() {
    both_tiers();
    alone_with(
        |command| ordinary(command, "mount --bind /dev/null /usr/bin/pasta"),
        || {
            unchanged(|| {
                let user = Network::user().expect("a name");
                let pod = Pod::builder().network(user.clone()).create().expect("a pod");
                let inside = pod.join(Container::host_view());
                let addresses = print(inside, "busybox ip -o -4 addr show eth0");
                assert!(addresses.contains("10.0.2.100/24"), "{addresses}");
                let port = "8080:80".parse().expect("a port");
                let error = refused(Pod::builder().network(user).publish(port).create());
                assert_eq!(reason(&error), net::ErrorKind::ProgramMissing, "{error}");
            });
        },
    );
}

#[test]
fn root_may_have_it_as_well() {
    tier::root();
    alone_with(
        |command| elsewhere(command, "", ""),
        || {
            unchanged(|| {
                let served = published("of root");
                assert_eq!(print(container(), &fetches((HOST, 8080))), "of root");
                drop(served);
                assert_eq!(fetch((HOST, 8080).into()), None);
            });
        },
    );
}

#[test]
fn the_other_program_carries_it_but_publishes_nothing() {
    both_tiers();
    alone_with(
        |command| ordinary(command, "mount --bind /dev/null /usr/bin/pasta"),
        || {
            unchanged(|| {
                let addresses = print(container(), "busybox ip -o -4 addr show eth0");
                assert!(addresses.contains("10.0.2.100/24"), "{addresses}");
                let builder = container().publish("8080:80".parse().expect("a port"));
                let error = refused(shell(builder, "true").spawn());
                assert_eq!(reason(&error), net::ErrorKind::ProgramMissing, "{error}");
            });
        },
    );
}

#[test]
fn an_egress_policy_and_name_servers() {
    both_tiers();
    alone_with(
        |command| ordinary(command, ""),
        || {
            unchanged(|| {
                let _served = published("through");
                let rule = "198.51.100.1/32:8080/tcp".parse().expect("a rule");
                let allowed = container().egress(Egress::deny_all().allow(rule));
                assert_eq!(print(allowed, &fetches((HOST, 8080))), "through");
                let none = container().egress(Egress::deny_all());
                assert!(
                    !run(none, &format!("timeout 3 {}", fetches((HOST, 8080)))).status.success()
                );
                let named =
                    container().dns([192, 0, 2, 53].into()).host_entry(HOST.into(), "web.test");
                let said = print(
                    named,
                    "cat /etc/resolv.conf; busybox wget -q -O - http://web.test:8080/",
                );
                assert_eq!(said, "nameserver 192.0.2.53\nthrough");
            });
        },
    );
}

#[test]
fn without_a_program_the_error_names_the_package() {
    both_tiers();
    let hide = "for name in pasta slirp4netns; do \
        test ! -e /usr/bin/$name || mount --bind /dev/null /usr/bin/$name; done";
    alone_with(
        |command| ordinary(command, hide),
        || {
            unchanged(|| {
                let error = refused(shell(container(), "true").spawn());
                assert_eq!((error.kind(), error.stage()), (ErrorKind::Network, Stage::Setup));
                assert_eq!(reason(&error), net::ErrorKind::ProgramMissing);
                assert!(error.hint().is_some_and(|hint| hint.contains("passt")), "{error}");
            });
        },
    );
}

#[test]
fn what_cannot_be_is_found_before_anything_is_made() {
    let outlives = [container().on_drop(OnDrop::Detach), container().with_host(WithHost::Survives)];
    let two = container().network(Network::bridge("web").expect("a name"));
    for builder in outlives.into_iter().chain([two]) {
        let error = refused(shell(builder, "true").plan());
        assert_eq!(error.kind(), ErrorKind::InvalidSettings, "{error}");
        assert!(error.problems().iter().any(|problem| problem.setting() == "network"), "{error}");
    }
}
