//! `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` of containers with a network.
//!
//! Kernel objects: containers in a network namespace that stands in for the host, roots of an attacker, a canary outside.
//! Invariant: the files are written inside the root only, whatever stands in their place.

mod oracle;
mod scene;

use std::path::Path;

use ampoule::net::{BridgeNetwork, Veth};
use ampoule::{Builder, Container, Root, Stdio};
use oracle::fixture::{self, Canary, Rootfs, Tree};
use oracle::{alone_with, tier};
use rustix::fs::FileType;
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
fn its_name_is_each_address_that_it_was_given() {
    tier::root();
    alone_with(elsewhere, || {
        clean(|| {
            let web = BridgeNetwork::new("web").expect("a name");
            let web = web.subnet("10.77.1.0/24".parse().expect("a subnet"));
            let web = web.subnet("fd00:77::/64".parse().expect("a subnet"));
            let veth = Veth::new("outer0", "eth2").expect("names");
            let veth = veth.address("10.77.3.9/24".parse().expect("an address"));
            let connected = |builder: Builder| {
                let builder = builder.network(web.clone()).network(bridge("back", "10.77.2.0/24"));
                let builder = builder.network(veth.clone()).hostname("shop");
                builder.host_entry([192, 0, 2, 7].into(), "db.test")
            };
            let root = fixture::rootfs();
            let rooted = ROOTS.map(|kind| rooted(&root).root(kind()));
            let view = || Container::host_view();
            let tmpfs = view().tmpfs("/etc", ampoule::Bytes::mib(1));
            let all = rooted.into_iter().chain([view(), view().root(ROOTS[1]()), tmpfs]);
            for builder in all {
                let said = print(connected(builder), "cat /etc/hosts");
                let own = "\n10.77.1.2\tshop\nfd00:77::2\tshop\n10.77.2.2\tshop\n10.77.3.9\tshop\n";
                assert!(said.ends_with(&format!("{own}192.0.2.7\tdb.test\n")), "{said}");
                assert!(said.starts_with("127.0.0.1\tlocalhost\n"), "{said}");
            }
        });
    });
}

#[test]
fn each_launch_of_a_plan_has_its_own() {
    tier::root();
    alone_with(elsewhere, || {
        clean(|| {
            let wait = "cat /etc/hosts; echo; read end; echo more >>/etc/hosts";
            let plan = scene::shell(connected(Container::host_view()), wait).plan();
            let plan = plan.expect("a plan");
            let start = || plan.launch().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
            let mut both = [start().expect("a container"), start().expect("a container")];
            for (container, address) in both.iter_mut().zip(["10.77.1.2", "10.77.1.3"]) {
                let said =
                    scene::read_until(container.stdout.as_mut().expect("a pipe"), "db.test\n\n");
                assert_eq!(said.matches("shop").count(), 1, "{said}");
                assert!(said.contains(&format!("\n{address}\tshop\n")), "{said}");
                // It is not the payload's to write.
                assert!(!container.wait().expect("a status").success());
            }
            let said = print(connected(Container::host_view()), SHOW);
            let expected = "\n10.77.1.2\tshop\n192.0.2.7\tdb.test\nshop\nnameserver 192.0.2.53\n";
            assert!(said.ends_with(expected), "{said}");
        });
    });
}

/// Each file is a link to the same thing outside.
fn linked(root: Rootfs, target: impl AsRef<Path>) -> Rootfs {
    let link = |root: Rootfs, name: &str| root.with_symlink(format!("etc/{name}"), &target);
    NAMES.into_iter().fold(root, link)
}

/// What the attacker, or a distribution, puts in the place of the files.
fn others(canary: &Canary) -> Vec<Rootfs> {
    let up = |path: &Path| format!("../../../../../../../../..{}", path.display());
    let far = Path::new("/proc/self/root/..").join(canary.open_file());
    let each = |put: fn(Rootfs, String) -> Rootfs| {
        let paths = NAMES.map(|name| format!("etc/{name}"));
        paths.into_iter().fold(fixture::rootfs(), put)
    };
    let null =
        |root: Rootfs, path| root.with_device(path, FileType::CharacterDevice, 0o666, (1, 3));
    let inside = fixture::rootfs().with_file("run/real", "of the image\n", 0o644);
    vec![
        linked(fixture::rootfs(), canary.open_file()),
        linked(fixture::rootfs(), up(&canary.open_file())),
        linked(fixture::rootfs(), canary.secret_file()),
        linked(fixture::rootfs(), canary.open_dir()),
        // Loops of one and of two, and the links of a procfs.
        each(|root, path| root.with_symlink(&path, Path::new("/").join(&path))),
        linked(fixture::rootfs(), "hosts"),
        linked(fixture::rootfs(), far),
        linked(fixture::rootfs(), "/proc/1/root/etc/hostname"),
        linked(fixture::rootfs(), "/proc/self/fd/0"),
        // As Debian and Ubuntu have it with systemd-resolved; nothing of that directory is in the image.
        linked(fixture::rootfs(), "../run/systemd/resolve/stub-resolv.conf"),
        linked(inside, "../run/real"),
        each(|root, path| root.with_fifo(path, 0o644)),
        each(|root, path| root.with_socket(path)),
        each(null),
        each(|root, path| root.with_file(path, "a".repeat(9000), 0o000)),
    ]
}

#[test]
fn whatever_stands_there_is_replaced() {
    tier::root();
    alone_with(elsewhere, || {
        clean(|| {
            let canary = fixture::canary();
            for kind in ROOTS {
                for root in others(&canary) {
                    let before = Tree::record(root.path());
                    let said = print(connected(rooted(&root).root(kind())), SHOW);
                    canary.assert_unseen(&said);
                    let own = "\tshop\n192.0.2.7\tdb.test\nshop\nnameserver 192.0.2.53\n";
                    assert!(said.ends_with(own) && said.starts_with("127.0.0.1\t"), "{said}");
                    // Nor is anything of the image changed, in place either.
                    before.assert_untouched();
                }
            }
            canary.assert_untouched();
        });
    });
}

#[test]
fn a_directory_in_its_place_is_an_error() {
    tier::root();
    alone_with(elsewhere, || {
        clean(|| {
            for (kind, name) in ROOTS.iter().flat_map(|kind| NAMES.map(|name| (kind, name))) {
                let root = fixture::rootfs().without(format!("etc/{name}"));
                let root = root.with_file(format!("etc/{name}/kept"), "kept\n", 0o644);
                let command = scene::shell(connected(rooted(&root).root(kind())), SHOW);
                let error = scene::refused(command.spawn());
                assert_eq!(error.errno(), Some(21), "{error}");
                assert!(error.to_string().contains(name), "{error}");
                assert_eq!(root.read(format!("etc/{name}/kept")).as_deref(), Some("kept\n"));
            }
        });
    });
}

/// A bind mount of the caller's whose link leads nowhere, as `/etc` of many a host.
#[test]
fn a_bound_directory_with_such_a_link() {
    tier::root();
    alone_with(elsewhere, || {
        clean(|| {
            let canary = fixture::canary();
            let open = canary.open_file();
            for target in [Path::new("../run/none"), open.as_path(), Path::new("hosts")] {
                let (root, below) = (linked(fixture::rootfs(), target), fixture::rootfs());
                let before = Tree::record(root.path());
                for builder in [
                    rooted(&below).bind_to(root.at("etc"), "/etc"),
                    rooted(&below).bind_rw_to(root.at("etc"), "/etc"),
                ] {
                    let said = print(connected(builder), SHOW);
                    assert!(said.ends_with("db.test\nshop\nnameserver 192.0.2.53\n"), "{said}");
                    assert!(said.contains("\n10.77.1.2\tshop\n"), "{said}");
                }
                before.assert_untouched();
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
