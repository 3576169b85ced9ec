//! Every setting of every kind of namespace, for a host that is root.
//!
//! Kernel objects: namespaces (namespaces(7)). Invariant: what was joined is compared by inode, and the host keeps its
//! own.

mod oracle;
mod scene;

use std::os::fd::OwnedFd;

use ampoule::{
    Builder, Container, ErrorKind, IdMapping, Namespace, Setting, Stage, Target, TimeOffset,
    TimeOffsets,
};
use oracle::{fixture, tier, unchanged};
use scene::look::own_namespace;
use scene::{Look, is_error, print, refused, rooted};

/// The kinds that a container with a root of its own can join.
const JOINABLE: [Namespace; 7] = [
    Namespace::Cgroup,
    Namespace::Ipc,
    Namespace::Net,
    Namespace::Pid,
    Namespace::Time,
    Namespace::User,
    Namespace::Uts,
];

fn inode(fd: &OwnedFd) -> u64 {
    rustix::fs::fstat(fd).expect("a namespace").st_ino
}

/// A container whose namespaces, all eight, are its own.
fn neighbour() -> Container {
    let builder = Container::host_view().time_offsets(TimeOffsets::default()).hostname("neighbour");
    builder.idle().expect("a container")
}

#[test]
fn each_kind_can_be_the_hosts() {
    tier::root();
    unchanged(|| {
        let root = fixture::rootfs();
        for kind in JOINABLE {
            for builder in [Container::host_view(), rooted(&root)] {
                let look = Look::at(builder.share(kind));
                for other in Namespace::ALL {
                    let shared = look.namespace(other) == own_namespace(other);
                    assert_eq!(
                        shared,
                        other == kind || other == Namespace::Time,
                        "{other} with {kind}"
                    );
                }
            }
        }
    });
}

#[test]
fn all_kinds_but_mount_can_be_the_hosts_together() {
    tier::root();
    unchanged(|| {
        let root = fixture::rootfs();
        let builder = JOINABLE.into_iter().fold(rooted(&root), Builder::share);
        let look = Look::at(builder);
        assert_ne!(look.namespace(Namespace::Mount), own_namespace(Namespace::Mount));
        assert!(look.text("stat").contains("(sh)"));
    });
}

#[test]
fn each_kind_can_be_new_alone() {
    tier::root();
    unchanged(|| {
        for kind in Namespace::ALL {
            let look = Look::at(Container::bare().namespace(kind, Setting::New));
            for other in Namespace::ALL {
                let own = look.namespace(other) == own_namespace(other);
                assert_eq!(own, other != kind, "{other} with new {kind}");
            }
        }
    });
}

#[test]
fn each_kind_can_be_joined_by_process_path_and_descriptor() {
    tier::root();
    unchanged(|| {
        let neighbour = neighbour();
        for kind in JOINABLE {
            let wanted = inode(&neighbour.namespace(kind).expect("a namespace"));
            assert_ne!(wanted, own_namespace(kind), "{kind}");
            let path = format!("/proc/{}/ns/{kind}", neighbour.pid());
            for target in [Target::Pid(neighbour.pid()), Target::Path(path.into())] {
                let builder = Container::host_view().namespace(kind, Setting::Join(target.clone()));
                assert_eq!(Look::at(builder).namespace(kind), wanted, "{kind} by {target:?}");
            }
            let builder = Container::host_view().namespace(kind, Setting::Join(Target::AtLaunch));
            let plan = scene::shell(builder, Look::script()).plan().expect("a plan");
            let error = refused(plan.launch().spawn());
            is_error(&error, ErrorKind::InvalidSettings, Stage::Plan, &["join", kind.proc_name()]);
            let launch = plan.launch().join(kind, neighbour.namespace(kind).expect("a namespace"));
            let look = Look::parse(&scene::printed(launch.output().expect("a run")));
            assert_eq!(look.namespace(kind), wanted, "{kind} at launch");
        }
    });
}

#[test]
fn a_whole_container_can_be_joined() {
    tier::root();
    unchanged(|| {
        let neighbour = neighbour();
        let join = |builder: Builder, kind| {
            builder.namespace(kind, Setting::Join(Target::Pid(neighbour.pid())))
        };
        let look = Look::at(Namespace::ALL.into_iter().fold(Container::bare(), join));
        for kind in Namespace::ALL {
            let wanted = inode(&neighbour.namespace(kind).expect("a namespace"));
            assert_eq!(look.namespace(kind), wanted, "{kind}");
        }
        assert_eq!(look.text("hostname"), "neighbour");
        assert_eq!(look.text("first"), "ampoule-init");
        assert!(look.mount("/").has("ro"));
        assert!(!look.root().contains(&"home"), "{:?}", look.root());
    });
}

#[test]
fn a_namespace_of_another_kind_is_refused() {
    tier::root();
    unchanged(|| {
        let target = Target::Path("/proc/self/ns/uts".into());
        let builder = Container::host_view().namespace(Namespace::Net, Setting::Join(target));
        assert_eq!(refused(builder.command("true").plan()).stage(), Stage::Plan);
        for path in ["/dev/null", "/nowhere", "/etc/passwd", "/proc/self/ns"] {
            let setting = Setting::Join(Target::Path(path.into()));
            let builder = Container::host_view().namespace(Namespace::Net, setting);
            let error = refused(builder.command("true").plan());
            assert_eq!(error.stage(), Stage::Plan, "{path}: {error}");
        }
        let builder =
            Container::host_view().namespace(Namespace::Net, Setting::Join(Target::AtLaunch));
        let uts = std::fs::File::open("/proc/self/ns/uts").expect("a namespace");
        let plan = builder.command("true").plan().expect("a plan");
        let error = refused(plan.launch().join(Namespace::Net, uts).spawn());
        is_error(&error, ErrorKind::System, Stage::Namespaces, &["setns"]);
        assert_eq!(error.errno(), Some(22));
    });
}

#[test]
fn clocks_can_be_set_off() {
    tier::root();
    unchanged(|| {
        let offset = 1_000_000;
        let offsets = TimeOffsets {
            boottime: TimeOffset::seconds(offset),
            monotonic: TimeOffset { seconds: 5000, nanos: 500_000_000 },
        };
        let builder = Container::host_view().time_offsets(offsets);
        let seen = print(builder, "cut -d. -f1 /proc/uptime; cat /proc/self/timens_offsets");
        let own = std::fs::read_to_string("/proc/uptime").expect("the uptime");
        let seconds =
            |text: &str| text.split(['.', '\n']).next().and_then(|n| n.parse::<i64>().ok());
        let (inside, outside) = (seconds(&seen).expect("a time"), seconds(&own).expect("a time"));
        assert!((offset - 2..=offset + 2).contains(&(inside - outside)), "{seen} {own}");
        let words: Vec<_> = seen.split_whitespace().skip(1).collect();
        assert_eq!(words, ["monotonic", "5000", "500000000", "boottime", "1000000", "0"]);
    });
}

#[test]
fn host_and_domain_names() {
    tier::root();
    unchanged(|| {
        let longest = "h".repeat(64);
        let builder = Container::host_view().hostname(longest.as_str()).domainname("d.example");
        let look = Look::at(builder);
        assert_eq!(
            (look.text("hostname"), look.text("domainname")),
            (longest.as_str(), "d.example")
        );
    });
}

#[test]
fn sysctls_of_the_new_namespaces() {
    tier::root();
    unchanged(|| {
        let settings = [
            ("net.ipv4.ip_forward", "1"),
            ("net.ipv4.ip_local_port_range", "40000\t41000"),
            ("net.ipv4.ping_group_range", "0\t65535"),
            ("net.core.somaxconn", "77"),
            ("kernel.shmmni", "123"),
            ("kernel.msgmax", "4096"),
        ];
        let paths = settings.map(|(name, _)| format!("/proc/sys/{}", name.replace('.', "/")));
        let before = paths.each_ref().map(|path| std::fs::read(path).expect("a sysctl"));
        let set = |builder: Builder, (name, value): (&str, &str)| builder.sysctl(name, value);
        let builder = settings.into_iter().fold(Container::host_view(), set);
        let seen = print(builder, &format!("cat {}", paths.join(" ")));
        let wanted = settings.map(|(_, value)| value);
        assert_eq!(seen.lines().collect::<Vec<_>>(), wanted);
        assert_eq!(paths.map(|path| std::fs::read(path).expect("a sysctl")), before);
    });
}

#[test]
fn sysctls_that_would_change_the_host_are_refused() {
    tier::root();
    unchanged(|| {
        let shared =
            Container::host_view().share(Namespace::Net).sysctl("net.ipv4.ip_forward", "1");
        let error = refused(shared.command("true").plan());
        is_error(&error, ErrorKind::InvalidSettings, Stage::Plan, &["sysctl", "ip_forward"]);
        for name in
            ["vm.swappiness", "kernel.core_pattern", "net/../kernel/core_pattern", "", "net..x"]
        {
            let error = refused(Container::host_view().sysctl(name, "1").command("true").plan());
            is_error(&error, ErrorKind::InvalidSettings, Stage::Plan, &["sysctl"]);
        }
        let absent = Container::host_view().sysctl("net.ipv4.not_there", "1").command("true");
        is_error(&refused(absent.spawn()), ErrorKind::System, Stage::Setup, &["not_there"]);
        let value = Container::host_view().sysctl("net.ipv4.ip_forward", "many").command("true");
        is_error(&refused(value.spawn()), ErrorKind::System, Stage::Setup, &["ip_forward"]);
    });
}

#[test]
fn a_payload_in_a_shared_pid_namespace_is_ended_with_its_descendants() {
    tier::root();
    unchanged(|| {
        let script = "setsid sleep 1000 & (setsid sleep 1000 &) ; sleep 0.2; exit 3";
        let output = scene::run(Container::host_view().share(Namespace::Pid), script);
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(scene::outside::descendants(), 0);
        let joined = neighbour();
        let setting = Setting::Join(Target::Pid(joined.pid()));
        let builder = Container::host_view().namespace(Namespace::Pid, setting);
        assert_eq!(scene::run(builder, "exit 4").status.code(), Some(4));
    });
}

#[test]
fn dropping_kills_descendants_in_a_shared_pid_namespace() {
    tier::root();
    unchanged(|| {
        let script = "setsid sleep 1000 & (setsid sleep 1000 &) ; sleep 1000";
        let builder = Container::host_view().share(Namespace::Pid);
        let container = scene::shell(builder, script).spawn().expect("a container");
        assert!(scene::soon(|| scene::outside::descendants() >= 5));
        drop(container);
        assert!(
            scene::soon(|| scene::outside::descendants() == 0),
            "{}",
            scene::outside::descendants()
        );
    });
}

#[test]
fn a_namespace_that_needs_a_user_namespace_needs_no_map_of_the_host() {
    tier::root();
    unchanged(|| {
        let map = ampoule::IdMap::single(0, 0, 0, 0);
        let builder = Container::host_view().id_mapping(IdMapping::Explicit(map));
        let look = Look::at(builder.user(ampoule::User::ids(0, 0)));
        assert_eq!(look.status().uid, [0; 4]);
        assert_eq!(look.map("uid_map").len(), 1);
    });
}
