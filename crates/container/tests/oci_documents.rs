//! Configurations that become builders and configurations again.
//!
//! Kernel objects: none. Invariant: what a document says is not lost, or was refused by its place.

#![cfg(feature = "oci")]

use std::path::Path;

use ampoule::oci::Config;
use ampoule::oci::spec::Document;
use ampoule::{
    Builder, Bytes, Capabilities, Capability, Container, Mount, MountFlags, Namespace, Node,
    NodeKind, Pid1, Propagation, Resource, ResourceLimit, Rlimit, Root, Scheduler, SchedulerPolicy,
    Seccomp, Selinux, Setting, User,
};
use proptest::prelude::*;

const BUNDLES: [(&str, &str); 5] = [
    ("crun", include_str!("../../spec/tests/bundles/crun.json")),
    ("crun-rootless", include_str!("../../spec/tests/bundles/crun-rootless.json")),
    ("podman", include_str!("../../spec/tests/bundles/podman.json")),
    ("runc", include_str!("../../spec/tests/bundles/runc.json")),
    ("runc-rootless", include_str!("../../spec/tests/bundles/runc-rootless.json")),
];

fn read(json: &str) -> Result<Config, ampoule::Error> {
    let document = Document::parse(json.as_bytes()).expect("a document");
    Config::from_document(&document, Path::new("/bundle"))
}

#[test]
fn what_engines_write_comes_back() {
    for (name, json) in BUNDLES {
        let config = read(json).unwrap_or_else(|error| panic!("{name}: {error}"));
        let written = config.to_document().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(written.unsaid, [""; 0], "{name}");
        let back = Config::from_document(&written.document, Path::new("/")).expect("a builder");
        assert_eq!(back, config, "{name}");
    }
}

#[test]
fn what_is_not_honoured_is_refused_by_its_place() {
    let error = read(include_str!("../../spec/tests/bundles/every-property.json"));
    let error = error.expect_err("not everything is honoured");
    let mut places: Vec<_> = error.problems().iter().map(|it| it.setting().to_owned()).collect();
    places.sort();
    let wanted = [
        "linux.intelRdt",
        "linux.netDevices",
        "process.scheduler.flags[3]",
        "process.scheduler.flags[4]",
        "process.scheduler.flags[5]",
        "process.scheduler.flags[6]",
    ];
    assert_eq!(places, wanted);
}

#[test]
fn what_the_features_name_is_honoured() {
    let said = ampoule::oci::features().expect("features");
    let said = serde_json::to_value(&said).expect("JSON");
    let whole: serde_json::Value =
        serde_json::from_str(include_str!("../../spec/tests/bundles/runc.json")).expect("JSON");
    let names = |value: &serde_json::Value| value.as_array().expect("a list").clone();
    let mut documents = Vec::new();
    for kind in names(&said["hooks"]) {
        let mut with = whole.clone();
        with["hooks"][kind.as_str().expect("a name")] = serde_json::json!([{"path": "/hook"}]);
        documents.push(with);
    }
    assert_eq!(documents.len(), 6);
    let policy = &said["linux"]["memoryPolicy"];
    for mode in names(&policy["modes"]) {
        let mut with = whole.clone();
        with["linux"]["memoryPolicy"] = match mode.as_str() {
            Some("MPOL_DEFAULT" | "MPOL_LOCAL") => serde_json::json!({"mode": mode}),
            _ => serde_json::json!({"mode": mode, "nodes": "0"}),
        };
        documents.push(with);
    }
    for flag in names(&policy["flags"]) {
        let mut with = whole.clone();
        with["linux"]["memoryPolicy"] =
            serde_json::json!({"mode": "MPOL_BIND", "nodes": "0", "flags": [flag]});
        documents.push(with);
    }
    assert_eq!(documents.len(), 16);
    for document in documents {
        let config = read(&document.to_string()).unwrap_or_else(|error| panic!("{error}"));
        let written = config.to_document().expect("a document");
        assert_eq!(written.unsaid, [""; 0], "{document}");
        let back = Config::from_document(&written.document, Path::new("/")).expect("a builder");
        assert_eq!(back, config);
    }
}

#[test]
fn maps_of_mounts_come_back_and_belong_to_bind_mounts() {
    let map = |host| serde_json::json!([{"containerID": 0, "hostID": host, "size": 10}]);
    let with = |mounts: serde_json::Value| {
        let json = include_str!("../../spec/tests/bundles/runc.json");
        let mut whole: serde_json::Value = serde_json::from_str(json).expect("JSON");
        whole["mounts"] = mounts;
        read(&whole.to_string())
    };
    let mount = |kind: &str, options: &[&str], host: u32| {
        serde_json::json!({"destination": "/a", "source": "/b", "type": kind, "options": options,
            "uidMappings": map(host), "gidMappings": map(1000)})
    };
    let config = with(serde_json::json!([
        mount("bind", &["rbind"], 1000),
        mount("none", &["rbind", "ridmap"], 2000),
        mount("bind", &["idmap", "ro"], 1000),
    ]));
    let written = config.as_ref().expect("a configuration").to_document().expect("a document");
    assert_eq!(written.unsaid, [""; 0]);
    let said = serde_json::to_value(written.document.spec()).expect("JSON");
    for (index, (option, host)) in
        [("idmap", 1000), ("ridmap", 2000), ("idmap", 1000)].iter().enumerate()
    {
        let mount = &said["mounts"][index];
        assert_eq!(mount["uidMappings"], map(*host), "{mount}");
        assert_eq!(mount["gidMappings"], map(1000), "{mount}");
        let options = mount["options"].as_array().expect("options");
        assert!(options.contains(&serde_json::json!(option)), "{mount}");
    }
    let back = Config::from_document(&written.document, Path::new("/")).expect("a builder");
    assert_eq!(back, config.expect("a configuration"));
    for kind in ["tmpfs", "proc", "overlay"] {
        let error = with(serde_json::json!([mount(kind, &[], 1000)])).expect_err("a refusal");
        let places: Vec<_> = error.problems().iter().map(|it| it.setting()).collect();
        assert_eq!(places, ["mounts[0].uidMappings"], "{kind}");
        let plain = serde_json::json!([{"destination": "/a", "source": "/b", "type": kind, "options": ["idmap"]}]);
        let error = with(plain).expect_err("a refusal");
        assert_eq!(error.problems()[0].setting(), "mounts[0].options", "{kind}");
    }
}

#[test]
fn a_label_of_mounts_comes_back() {
    let json = include_str!("../../spec/tests/bundles/runc.json");
    let mut whole: serde_json::Value = serde_json::from_str(json).expect("JSON");
    let label = serde_json::json!("system_u:object_r:container_file_t:s0:c1,c2");
    whole["linux"]["mountLabel"] = label.clone();
    let config = read(&whole.to_string()).expect("a configuration");
    let written = config.to_document().expect("a document");
    assert_eq!(written.unsaid, [""; 0]);
    let said = serde_json::to_value(written.document.spec()).expect("JSON");
    assert_eq!(said["linux"]["mountLabel"], label);
    let back = Config::from_document(&written.document, Path::new("/")).expect("a builder");
    assert_eq!(back, config);
}

#[test]
fn without_a_group_nothing_is_limited() {
    let with = |resources: serde_json::Value| {
        let json = include_str!("../../spec/tests/bundles/runc.json");
        let mut whole: serde_json::Value = serde_json::from_str(json).expect("JSON");
        whole["linux"]["resources"] = resources;
        whole["linux"]["cgroupsPath"] = serde_json::json!("/some/where");
        read(&whole.to_string()).expect("a configuration").without_group()
    };
    let deny = serde_json::json!({"devices": [{"allow": false, "access": "rwm"}]});
    let config = with(deny).expect("nobody can make nodes");
    let said = config.to_document().expect("a document").document;
    let linux = said.spec().linux().clone().expect("linux");
    assert!(linux.cgroups_path().is_none() && linux.resources().is_none(), "{linux:?}");
    for resources in [
        serde_json::json!({"pids": {"limit": 5}}),
        serde_json::json!({"devices": [{"allow": true, "type": "c", "major": 9, "access": "rwm"}]}),
    ] {
        let error = with(resources).expect_err("a limit");
        assert_eq!(error.problems()[0].setting(), "linux.resources");
    }
}

#[test]
fn all_problems_are_told_together() {
    let json = r#"{"ociVersion": "1.3.0", "root": {"path": "r"}, "x": 1,
        "process": {"user": {"uid": 0}, "args": ["a"], "cwd": "tmp"},
        "mounts": [{"destination": "/a", "type": "tmpfs", "options": ["remount"]}],
        "linux": {"namespaces": [{"type": "pid"}], "mountLabel": "l",
            "intelRdt": {"closID": "c"}, "netDevices": {"eth0": {}}}}"#;
    let error = read(json).expect_err("a refusal");
    let mut places: Vec<_> = error.problems().iter().map(|it| it.setting()).collect();
    places.sort_unstable();
    let wanted = [
        "linux.intelRdt",
        "linux.mountLabel",
        "linux.namespaces",
        "linux.netDevices",
        "mounts[0].options",
        "process.cwd",
    ];
    assert!(wanted.iter().all(|place| places.contains(place)), "{places:?}");
}

#[test]
fn what_a_document_cannot_say_is_listed() {
    let mut builder = Container::from_rootfs("/r").root(Root::InPlace).file("/a", "b");
    builder = builder.stop_signal(2).selinux(Selinux::Disabled).hostname("h");
    let mut limits = ampoule::Limits::default().memory_max(Bytes::mib(64));
    limits.memory.high = Some(Bytes::mib(32).into());
    let written = Config::new(builder.limits(limits), ["sh"]).to_document().expect("a document");
    assert_eq!(written.unsaid, ["files", "limits.memory", "pid1", "seccomp", "stop_signal"]);
    let ephemeral = Config::new(Container::from_rootfs("/r"), ["sh"]).to_document();
    assert!(ephemeral.expect("a document").unsaid.contains(&"root".to_owned()));
}

#[test]
fn a_command_becomes_the_process_of_a_document() {
    let builder = Container::from_rootfs("/r").root(Root::InPlace).env("A", "1").env("B", "2");
    let size = ampoule::WindowSize { rows: 30, columns: 90 };
    let command = builder.command("sh").arg("-c").env("B", "3").env_remove("A").tty(size);
    let config = Config::from(&command.current_dir("/srv"));
    assert_eq!(config.args, ["sh", "-c"]);
    let names: Vec<_> = config.env.iter().filter_map(|(name, _)| name.to_str()).collect();
    assert_eq!(names, ["PATH", "LANG", "B"]);
    assert_eq!(config.env[2].1, "3");
    assert_eq!((config.current_dir.as_path(), config.terminal), (Path::new("/srv"), Some(size)));
    let written = config.to_document().expect("a document");
    let back = Config::from_document(&written.document, Path::new("/")).expect("it is read");
    assert_eq!((back.args, back.env, back.current_dir), (config.args, config.env, "/srv".into()));
    let bare = Config::from(&Container::from_rootfs("/r").env("A", "1").command("sh").env_clear());
    assert_eq!((bare.env, bare.current_dir), (Vec::new(), "/".into()));
}

/// A builder whose every setting a document can say.
fn builders() -> impl Strategy<Value = Builder> {
    let flags = any::<u64>().prop_map(MountFlags::from_bits_truncate);
    let flags = flags.prop_map(|it| match it.contains(MountFlags::NOATIME) {
        true => it - MountFlags::STRICTATIME,
        false => it,
    });
    let mounts = prop_oneof![
        flags.clone().prop_map(|flags| Mount { flags, ..Mount::tmpfs("/t", 4096) }),
        flags.clone().prop_map(|flags| Mount { flags, ..Mount::proc() }),
        flags.clone().prop_map(|flags| Mount { flags, ..Mount::sysfs() }),
        (flags.clone(), flags).prop_map(|(flags, recursive)| Mount {
            flags,
            recursive,
            propagation: Some(Propagation::Slave),
            ..Mount::bind("/a", "/b")
        }),
    ];
    let node = (0u32..512, 0u32..512, 0u32..0o1000).prop_map(|(major, minor, mode)| Node {
        kind: NodeKind::Block { major, minor },
        mode,
        ..Node::char("/dev/x", 0, 0)
    });
    let limit = (0u64..9, 0u64..9).prop_map(|(soft, more)| ResourceLimit {
        resource: Resource::Nofile,
        limit: Rlimit::new(soft, soft + more),
    });
    let ids = (0u32..9, 0u32..9, 0u32..0o777);
    let many = (
        prop::collection::vec(mounts, 0..4),
        prop::collection::vec(node, 0..2),
        prop::option::of(limit),
        ids,
        prop::option::of(-1000i32..1000),
        prop::option::of(0i32..19),
        prop::sample::subsequence(Namespace::ALL.to_vec(), 0..8),
        any::<bool>(),
    );
    many.prop_map(|(mounts, nodes, limit, (uid, gid, mask), score, nice, shared, in_place)| {
        let root = if in_place { Root::InPlace } else { Root::ReadOnly };
        let mut builder = Container::from_rootfs("/r")
            .root(root)
            .seccomp(Seccomp::Unconfined)
            .selinux(Selinux::Disabled)
            .pid1(Pid1::Payload)
            .user(User::ids(uid, gid))
            .umask(mask)
            .capabilities(Capabilities::of([Capability::Chown].into_iter().collect()))
            .sysctl("kernel.shmmax", "1");
        builder = mounts.into_iter().fold(builder, Builder::mount);
        builder = nodes.into_iter().fold(builder, Builder::node);
        builder = limit.into_iter().fold(builder, Builder::rlimit);
        builder = score.into_iter().fold(builder, Builder::oom_score_adj);
        let scheduler = |nice| Scheduler { nice, ..Scheduler::new(SchedulerPolicy::Batch) };
        builder = nice.into_iter().map(scheduler).fold(builder, Builder::scheduler);
        let kept = [Namespace::Mount, Namespace::Uts, Namespace::Ipc];
        let shared = shared.into_iter().filter(|kind| !kept.contains(kind));
        shared.fold(builder, |builder, kind| builder.namespace(kind, Setting::Host))
    })
}

proptest! {
    #[test]
    fn builders_come_back(builder in builders()) {
        let written = Config::new(builder, ["sh"]).to_document().expect("a document");
        prop_assert_eq!(&written.unsaid, &[""; 0]);
        let back = Config::from_document(&written.document, Path::new("/")).expect("a builder");
        let again = back.to_document().expect("a document");
        prop_assert_eq!(again.document, written.document);
    }
}
