//! Everything that can be wrong with a configuration is found, all of it together, at its place.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use ampoule_spec::{Document, Error, ErrorKind};
use serde_json::{Value, json};

/// A configuration that nothing is wrong with.
fn base() -> Value {
    serde_json::from_str(include_str!("bundles/every-property.json")).unwrap()
}

/// The problems after `value` was put at `pointer`; `null` takes away what is there.
fn with(changes: &[(&str, Value)]) -> Vec<String> {
    let mut config = base();
    for (pointer, value) in changes {
        put(&mut config, pointer, value.clone());
    }
    problems(&check(&config))
}

fn check(config: &Value) -> Error {
    let error = Document::check(config.to_string().as_bytes()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.problems().iter().all(|problem| problem.position.is_some()), "{error}");
    error
}

fn put(config: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match config.pointer_mut(parent).unwrap() {
        Value::Object(fields) if value.is_null() => drop(fields.remove(key).unwrap()),
        Value::Object(fields) => drop(fields.insert(key.to_owned(), value)),
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
        _ => panic!("nothing at {parent}"),
    }
}

fn problems(error: &Error) -> Vec<String> {
    error.problems().iter().map(|problem| format!("{}: {}", problem.path, problem.flaw)).collect()
}

/// One change, and what is wrong then.
type Case = (&'static str, fn() -> Value, &'static [&'static str]);

fn all(cases: &[Case]) {
    for (pointer, value, expected) in cases {
        let found = with(&[(pointer, value())]);
        assert_eq!(found, *expected, "{pointer} = {}", value());
    }
}

#[test]
#[rustfmt::skip]
fn top() {
    all(&[
        ("/ociVersion", || json!("2.0.0"), &["ociVersion: \"2.0.0\" is not a version from 1.0.0 to 1.3.x"]),
        ("/ociVersion", || json!("1.4.0"), &["ociVersion: \"1.4.0\" is not a version from 1.0.0 to 1.3.x"]),
        ("/ociVersion", || json!("1.3"), &["ociVersion: \"1.3\" is not a version from 1.0.0 to 1.3.x"]),
        ("/ociVersion", || json!(null), &["ociVersion: \"\" is not a version from 1.0.0 to 1.3.x"]),
        ("/ociVersion", || json!(1), &["ociVersion: invalid type: integer `1`, expected a string"]),
        ("/root", || json!(null), &["root: is missing"]),
        ("/root", || json!({}), &["root.path: is empty"]),
        ("/root/path", || json!("a\0b"), &["root.path: holds a NUL byte"]),
        ("/linux", || json!(null), &["hostname: needs a namespace of type \"uts\"", "domainname: needs a namespace of type \"uts\"", "linux: is missing"]),
        ("/hostname", || json!("x".repeat(65)), &["hostname: is longer than 64 bytes"]),
        ("/annotations/", || json!("x"), &["annotations[\"\"]: is empty"]),
        ("/annotations/a\0", || json!("x"), &["annotations[\"a\\0\"]: holds a NUL byte"]),
        ("/hooks/poststop/0/path", || json!("x"), &["hooks.poststop[0].path: \"x\" is not an absolute path"]),
        ("/hooks/poststart/0/timeout", || json!(0), &["hooks.poststart[0].timeout: 0 is not in 1..=9223372036854775807"]),
        ("/hooks/poststart/0/env", || json!(["A"]), &["hooks.poststart[0].env[0]: \"A\" is not NAME=value"]),
    ]);
}

#[test]
#[rustfmt::skip]
fn process() {
    all(&[
        ("/process/cwd", || json!("tmp"), &["process.cwd: \"tmp\" is not an absolute path"]),
        ("/process/cwd", || json!(null), &["process.cwd: is missing"]),
        ("/process/user", || json!(null), &["process.user: is missing"]),
        ("/process/user/uid", || json!(-1), &["process.user.uid: invalid value: integer `-1`, expected u32"]),
        ("/process/user/uid", || json!(4_294_967_295_u32), &["process.user.uid: 4294967295 is not in 0..=4294967294"]),
        ("/process/user/uid", || json!("0"), &["process.user.uid: invalid type: string \"0\", expected u32"]),
        ("/process/user/umask", || json!(512), &["process.user.umask: 512 is not in 0..=511"]),
        ("/process/args", || json!(null), &["process.args: is missing"]),
        ("/process/args", || json!([]), &["process.args: is empty"]),
        ("/process/args", || json!([""]), &["process.args[0]: is empty"]),
        ("/process/args/1", || json!("a\0"), &["process.args[1]: holds a NUL byte"]),
        ("/process/env/0", || json!("=x"), &["process.env[0]: \"=x\" is not NAME=value"]),
        ("/process/env/1", || json!(["A=b"]), &["process.env[1]: invalid type: sequence, expected a string"]),
        ("/process/oomScoreAdj", || json!(1001), &["process.oomScoreAdj: 1001 is not in -1000..=1000"]),
        ("/process/capabilities/effective/-", || json!("CAP_BPF"), &["process.capabilities.effective: is more than process.capabilities.permitted"]),
        ("/process/rlimits/1/soft", || json!(1), &["process.rlimits[1].soft: is more than process.rlimits[1].hard"]),
        ("/process/rlimits/1/type", || json!("RLIMIT_NOFILE"), &["process.rlimits[1].type: is the same as process.rlimits[0].type"]),
        ("/process/scheduler/runtime", || json!(3_000_000), &["process.scheduler.runtime: is more than process.scheduler.deadline"]),
        ("/process/scheduler/nice", || json!(20), &["process.scheduler.nice: 20 is not in -20..=19"]),
        ("/process/scheduler", || json!({"policy": "SCHED_RR"}), &["process.scheduler.priority: 0 is not in 1..=99"]),
        ("/process/scheduler", || json!({"policy": "SCHED_BATCH", "period": 1}), &["process.scheduler.period: cannot be had together with process.scheduler.policy"]),
        ("/process/ioPriority/priority", || json!(8), &["process.ioPriority.priority: 8 is not in 0..=7"]),
        ("/process/execCPUAffinity/final", || json!("3-1"), &["process.execCPUAffinity.final: \"3-1\" is not a list of numbers such as 0-3,7"]),
        ("/process/consoleSize/width", || json!(65536), &["process.consoleSize.width: 65536 is not in 0..=65535"]),
    ]);
}

#[test]
#[rustfmt::skip]
fn mounts() {
    all(&[
        ("/mounts/0/destination", || json!("../x"), &["mounts[0].destination: \"../x\" is not an absolute path"]),
        ("/mounts/0/destination", || json!(""), &["mounts[0].destination: is empty"]),
        ("/mounts/0/destination", || json!(null), &["mounts[0].destination: is missing"]),
        ("/mounts/0/destination", || json!(format!("/{}", "x".repeat(65_536))), &["mounts[0].destination: is longer than 4095 bytes"]),
        ("/mounts/0/type", || json!(null), &["mounts[0].type: is missing"]),
        ("/mounts/1/source", || json!(null), &["mounts[1].source: is missing"]),
        ("/mounts/1/gidMappings", || json!(null), &["mounts[1].gidMappings: is missing"]),
        ("/mounts/1/uidMappings/0/size", || json!(0), &["mounts[1].uidMappings[0]: maps no id, or one past 4294967294"]),
        ("/mounts/2/options/-", || json!(""), &["mounts[2].options[3]: is empty"]),
        ("/mounts/2/options/-", || json!("=1"), &["mounts[2].options[3]: \"=1\" is not a mount option"]),
    ]);
}

#[test]
#[rustfmt::skip]
fn namespaces() {
    all(&[
        ("/linux/namespaces/2/type", || json!("ipcs"), &["linux.namespaces[2].type: unknown variant `ipcs`, expected one of `mount`, `cgroup`, `uts`, `ipc`, `user`,…"]),
        ("/linux/namespaces/2/type", || json!("pid"), &["linux.namespaces[2].type: is the same as linux.namespaces[0].type", "linux.sysctl[\"fs.mqueue.msg_max\"]: needs a namespace of type \"ipc\"", "linux.sysctl[\"kernel.shm_rmid_forced\"]: needs a namespace of type \"ipc\""]),
        ("/linux/namespaces/1/path", || json!("run/netns"), &["linux.namespaces[1].path: \"run/netns\" is not an absolute path"]),
        ("/linux/namespaces/6/path", || json!("/proc/1/ns/user"), &["linux.uidMappings: cannot be had together with linux.namespaces[6].path", "linux.gidMappings: cannot be had together with linux.namespaces[6].path"]),
        ("/linux/namespaces/7/path", || json!("/proc/1/ns/time"), &["linux.timeOffsets: cannot be had together with linux.namespaces[7].path"]),
        ("/linux/uidMappings/-", || json!({"containerID": 65535, "hostID": 5, "size": 1}), &["linux.uidMappings[1]: overlaps with linux.uidMappings[0]"]),
        ("/linux/uidMappings/0/hostID", || json!(4_294_967_000_u32), &["linux.uidMappings[0]: maps no id, or one past 4294967294"]),
        ("/linux/timeOffsets/realtime", || json!({"secs": 1}), &["linux.timeOffsets.realtime: \"realtime\" is not a clock that can have an offset (monotonic, boottime)"]),
        ("/linux/timeOffsets/boottime/nanosecs", || json!(1_000_000_000), &["linux.timeOffsets.boottime.nanosecs: 1000000000 is not in 0..=999999999"]),
        ("/linux/sysctl/vm.swappiness", || json!("1"), &["linux.sysctl[\"vm.swappiness\"]: \"vm.swappiness\" is not a kernel parameter that belongs to a namespace"]),
        ("/linux/sysctl/net.~1..~1kernel.core_pattern", || json!("|/x"), &["linux.sysctl[\"net.~1..~1kernel.core_pattern\"]: \"net.~1..~1kernel.core_pattern\" is not a kernel parameter that belongs to a namespace"]),
        ("/linux/sysctl/net.ipv4.ip_forward", || json!("1\n2"), &["linux.sysctl[\"net.ipv4.ip_forward\"]: holds '\\n'"]),
        ("/linux/netDevices/eth2", || json!({"name": "lan0"}), &["linux.netDevices.eth2.name: is the same as linux.netDevices.eth0.name"]),
        ("/linux/netDevices/eth2", || json!({"name": "a b"}), &["linux.netDevices.eth2.name: \"a b\" is not a name of a network interface"]),
    ]);
}

#[test]
fn paths_of_groups() {
    for path in ["../x", "/", "a\nb", "a/../b", "/a/.", "x:y:", "a.slice:b:c d", "x.service:y:z"] {
        let found = with(&[("/linux/cgroupsPath", json!(path))]);
        let [only] = found.as_slice() else { panic!("{path:?}: {found:?}") };
        assert!(only.ends_with("is not a path of a group, or slice:prefix:name"), "{only}");
    }
    let found = with(&[("/linux/cgroupsPath", json!("x".repeat(4096)))]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(with(&[("/linux/cgroupsPath", json!(""))]), ["linux.cgroupsPath: is empty"]);
}

#[test]
#[rustfmt::skip]
fn linux() {
    all(&[
        ("/linux/devices/0/path", || json!("dev/x"), &["linux.devices[0].path: \"dev/x\" is not an absolute path"]),
        ("/linux/devices/0/major", || json!(4096), &["linux.devices[0].major: 4096 is not in 0..=4095"]),
        ("/linux/devices/0/type", || json!("a"), &["linux.devices[0].type: \"a\" is not a device node (b, c, u, p)"]),
        ("/linux/devices/1/path", || json!("/dev/fuse"), &["linux.devices[1].path: is the same as linux.devices[0].path"]),
        ("/linux/rootfsPropagation", || json!("public"), &["linux.rootfsPropagation: \"public\" is not a propagation (shared, slave, private, unbindable)"]),
        ("/linux/maskedPaths/-", || json!("proc"), &["linux.maskedPaths[1]: \"proc\" is not an absolute path"]),
        ("/linux/personality/flags", || json!(["X"]), &["linux.personality.flags[0]: \"X\" is not a flag of execution domains; there is none"]),
        ("/linux/memoryPolicy/mode", || json!("MPOL_LOCAL"), &["linux.memoryPolicy.nodes: cannot be had together with linux.memoryPolicy.mode"]),
        ("/linux/memoryPolicy/flags/-", || json!("MPOL_F_RELATIVE_NODES"), &["linux.memoryPolicy.flags[1]: cannot be had together with linux.memoryPolicy.flags[0]"]),
        ("/linux/intelRdt/closID", || json!("../x"), &["linux.intelRdt.closID: \"../x\" is not a name of a class of service"]),
        ("/linux/seccomp/syscalls/1/errnoRet", || json!(1), &["linux.seccomp.syscalls[1].errnoRet: cannot be had together with linux.seccomp.syscalls[1].action"]),
        ("/linux/seccomp/syscalls/0/names", || json!([]), &["linux.seccomp.syscalls[0].names: is empty"]),
        ("/linux/seccomp/syscalls/2/args/0/index", || json!(6), &["linux.seccomp.syscalls[2].args[0].index: 6 is not in 0..=5"]),
        ("/linux/seccomp/listenerPath", || json!(null), &["linux.seccomp.listenerMetadata: needs linux.seccomp.listenerPath", "linux.seccomp.syscalls[1].action: needs linux.seccomp.listenerPath"]),
    ]);
}

#[test]
#[rustfmt::skip]
fn resources() {
    all(&[
        ("/linux/resources/devices/1/access", || json!("rx"), &["linux.resources.devices[1].access: \"rx\" is not made of the letters r, w and m"]),
        ("/linux/resources/memory/limit", || json!(-2), &["linux.resources.memory.limit: -2 is not in -1..=9223372036854775807"]),
        ("/linux/resources/memory/swap", || json!(1), &["linux.resources.memory.limit: is more than linux.resources.memory.swap"]),
        ("/linux/resources/memory/reservation", || json!(600_000_000), &["linux.resources.memory.reservation: is more than linux.resources.memory.limit"]),
        ("/linux/resources/memory/swappiness", || json!(101), &["linux.resources.memory.swappiness: 101 is not in 0..=100"]),
        ("/linux/resources/cpu/quota", || json!(999), &["linux.resources.cpu.quota: 999 is not in 1000..=9223372036854775807", "linux.resources.cpu.burst: is more than linux.resources.cpu.quota"]),
        ("/linux/resources/cpu/period", || json!(999), &["linux.resources.cpu.period: 999 is not in 1000..=1000000"]),
        ("/linux/resources/cpu/cpus", || json!("a"), &["linux.resources.cpu.cpus: \"a\" is not a list of numbers such as 0-3,7"]),
        ("/linux/resources/cpu/idle", || json!(2), &["linux.resources.cpu.idle: 2 is not in 0..=1"]),
        ("/linux/resources/blockIO/weight", || json!(9), &["linux.resources.blockIO.weight: 9 is not in 10..=1000"]),
        ("/linux/resources/hugepageLimits/1/pageSize", || json!("2MB"), &["linux.resources.hugepageLimits[1].pageSize: is the same as linux.resources.hugepageLimits[0].pageSize"]),
        ("/linux/resources/hugepageLimits/1/pageSize", || json!("2 MB"), &["linux.resources.hugepageLimits[1].pageSize: \"2 MB\" is not a size of huge pages such as 2MB"]),
        ("/linux/resources/rdma/mlx5_1", || json!({}), &["linux.resources.rdma.mlx5_1: is empty"]),
        ("/linux/resources/unified/cgroup.procs", || json!("1"), &["linux.resources.unified[\"cgroup.procs\"]: \"cgroup.procs\" is not an interface file of a controller of cgroup v2"]),
        ("/linux/resources/unified/memory.x", || json!("\0"), &["linux.resources.unified[\"memory.x\"]: holds a NUL byte"]),
    ]);
    let mut config = base();
    let unified = config["linux"]["resources"]["unified"].as_object_mut().unwrap();
    unified.insert("../memory.max".to_owned(), json!("1"));
    assert_eq!(check(&config).problems().len(), 1);
}

/// serde takes a list for an object with its fields in order, and an object for the name of a variant.
#[test]
#[rustfmt::skip]
fn other_forms() {
    all(&[
        ("/root", || json!(["rootfs"]), &["root: has another form than the specification's"]),
        ("/mounts/0", || json!(["/x"]), &["mounts[0]: has another form than the specification's"]),
        ("/linux/namespaces/0/type", || json!({"pid": null}), &["linux.namespaces[0].type: has another form than the specification's"]),
        ("/linux/netDevices/eth1", || json!(["x"]), &["linux.netDevices.eth1: has another form than the specification's"]),
    ]);
    assert!(Document::parse(b"[\"1.0.0\", {\"path\": \"x\"}]").is_err());
}

/// What is of a wrong type does not hide what else is wrong, and keeps the places of its neighbours.
#[test]
fn everything_is_told_together() {
    let found = with(&[
        ("/process/user", json!(null)),
        ("/process/cwd", json!("x")),
        ("/linux/namespaces/0/type", json!("pidd")),
        ("/linux/namespaces/3/type", json!("mount")),
        ("/mounts/0", json!(7)),
        ("/mounts/2/destination", json!("../tmp")),
        ("/linux/resources/pids/limit", json!(-5)),
        ("/root", json!(7)),
    ]);
    let places: Vec<_> = found.iter().map(|line| line.split_once(": ").unwrap().0).collect();
    assert_eq!(
        places,
        [
            "linux.namespaces[0].type",
            "mounts[0]",
            "process.user",
            "root",
            "process.cwd",
            "mounts[2].destination",
            "linux.namespaces[4].type",
            "linux.resources.pids.limit",
        ],
        "{found:#?}"
    );
    assert_eq!(found[6], "linux.namespaces[4].type: is the same as linux.namespaces[3].type");
}
