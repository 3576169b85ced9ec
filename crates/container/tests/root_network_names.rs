//! `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` of containers with a network.
//!
//! Kernel objects: containers in a network namespace that stands in for the host, roots of an attacker, a canary outside.
//! Invariant: the files are written inside the root only, whatever stands in their place.

mod oracle;
mod scene;

use std::path::Path;

use ampoule::net::{BridgeNetwork, Endpoint};
use ampoule::{Builder, Container, Network, Root};
use oracle::fixture::{self, Canary, Rootfs};
use oracle::{alone_with, tier};
use scene::networks::{bridge, clean, elsewhere};
use scene::{print, rooted, run};

const NAMES: [&str; 3] = ["hosts", "hostname", "resolv.conf"];

const ROOTS: [fn() -> Root; 3] =
    [|| Root::ReadOnly, || Root::Ephemeral { size: 8 << 20 }, || Root::InPlace];

const SHOW: &str = "cat /etc/hosts /etc/hostname /etc/resolv.conf";

/// Connected, with a line of its own in each file.
fn connected(builder: Builder) -> Builder {
    let builder = builder.network(bridge("web", "10.77.1.0/24")).hostname("shop");
    builder.dns([192, 0, 2, 53].into()).host_entry([192, 0, 2, 7].into(), "db.test")
}

#[test]
fn a_name_is_its_address_where_that_is_known() {
    tier::root();
    alone_with(elsewhere, || {
        clean(|| {
            let network = BridgeNetwork::new("web").expect("a name");
            let network = network.subnet("10.77.1.0/24".parse().expect("a subnet"));
            let endpoint = Endpoint::new("eth0").expect("a name").address([10, 77, 1, 9].into());
            let network = Network::Bridge { network, endpoint: Some(endpoint) };
            let builder = Container::host_view().network(network).hostname("shop");
            let said = print(builder, "cat /etc/hosts; busybox hostname -i");
            assert!(said.ends_with("\n10.77.1.9\tshop\n10.77.1.9\n"), "{said}");
            let said = print(connected(Container::host_view()), SHOW);
            let expected = "\n127.0.1.1\tshop\n192.0.2.7\tdb.test\nshop\nnameserver 192.0.2.53\n";
            assert!(said.ends_with(expected), "{said}");
        });
    });
}

/// Each file is a link to the same thing outside.
fn linked(root: Rootfs, target: impl AsRef<Path>) -> Rootfs {
    let link = |root: Rootfs, name: &str| root.with_symlink(format!("etc/{name}"), &target);
    NAMES.into_iter().fold(root, link)
}

/// What the attacker puts in the place of the files.
fn hostile(canary: &Canary) -> Vec<Rootfs> {
    let up = |path: &Path| format!("../../../../../../../../..{}", path.display());
    vec![
        linked(fixture::rootfs(), canary.open_file()),
        linked(fixture::rootfs(), up(&canary.open_file())),
        linked(fixture::rootfs(), canary.secret_file()),
    ]
}

/// What leads nowhere, or through the links of a procfs.
fn magic(canary: &Canary) -> Vec<Rootfs> {
    let far = Path::new("/proc/self/root/..").join(canary.open_file());
    vec![
        linked(fixture::rootfs(), "hosts"),
        linked(fixture::rootfs(), far),
        linked(fixture::rootfs(), "/proc/1/root/etc/hostname"),
    ]
}

#[test]
fn links_are_refused_or_replaced() {
    tier::root();
    alone_with(elsewhere, || {
        clean(|| {
            let canary = fixture::canary();
            let roots = || hostile(&canary).into_iter().chain(magic(&canary));
            let all = ROOTS.iter().flat_map(|kind| roots().map(move |root| (kind, root)));
            for (kind, root) in all {
                match scene::shell(connected(rooted(&root).root(kind())), SHOW).output() {
                    Ok(output) => {
                        canary.assert_unseen(&output.stdout);
                        assert!(output.status.success(), "{output:?}");
                    }
                    Err(error) => assert_eq!(error.errno(), Some(40), "{error}"),
                }
            }
            canary.assert_untouched();
        });
    });
}

#[test]
fn a_directory_that_leads_outside_leads_nowhere() {
    tier::root();
    alone_with(elsewhere, || {
        clean(|| {
            let canary = fixture::canary();
            let up = format!("../../../../../../..{}", canary.open_dir().display());
            for kind in ROOTS {
                for target in [canary.open_dir().display().to_string(), up.clone()] {
                    let root = fixture::rootfs().with_symlink("etc", target);
                    // Refused, or written inside.
                    let command = connected(rooted(&root).root(kind()));
                    match scene::shell(command, SHOW).output() {
                        Ok(output) => canary.assert_unseen(&output.stdout),
                        Err(error) => canary.assert_unseen(error.to_string()),
                    }
                }
            }
            canary.assert_untouched();
        });
    });
}

#[test]
fn files_of_the_caller_stay() {
    tier::root();
    alone_with(elsewhere, || {
        clean(|| {
            let builder = connected(Container::host_view()).file("/etc/hosts", "mine\n");
            let output = run(builder, "cat /etc/hosts");
            assert_eq!(String::from_utf8_lossy(&output.stdout), "mine\n");
        });
    });
}
