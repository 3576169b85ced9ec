//! Device rules on a real v2 group. Needs root and a kernel with `CONFIG_CGROUP_BPF`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod group;

use std::fs::File;
use std::process::{Command, Stdio};

use ampoule_cgroups::devices::{attach, attached, detach};
use ampoule_cgroups::{
    Controllers, DeviceAccess, DeviceRule, ErrorKind, Group, Hierarchies, Life, Limits, Place,
    owned_name,
};
use group::{Hierarchy, Shell, TestGroup};

fn rules(texts: &[&str]) -> Vec<DeviceRule> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Whether a process of the group can run the script, which is run by a shell that is in it.
fn can(group: &TestGroup, script: &str) -> bool {
    // The shell's own files are opened before it is in the group.
    let script = format!("echo ready; read line; {{ {script}; }} 2>&-");
    let mut shell = Shell::start([group].into_iter(), &script);
    shell.proceed();
    shell.status().success()
}

const READ_NULL: &str = ": < /dev/null";
const WRITE_NULL: &str = ": > /dev/null";
const READ_ZERO: &str = ": < /dev/zero";

#[test]
fn the_kernel_does_what_the_rules_say() {
    let group = TestGroup::new(Hierarchy::v2(), "devices");
    let dir = File::open(group.path()).unwrap();
    let allowed = || [READ_NULL, WRITE_NULL, READ_ZERO].map(|script| can(&group, script));
    assert_eq!(allowed(), [true, true, true]);
    let table = [
        (vec!["allow a *:* rwm"], [true, true, true]),
        (vec!["allow a *:* rwm", "deny c 1:3 rwm"], [false, false, true]),
        (vec!["allow c 1:3 rw"], [true, true, false]),
        (vec!["allow c 1:* rw", "deny c 1:3 w"], [true, false, true]),
        (vec!["allow c *:5 r", "allow c 1:3 w"], [false, true, true]),
        (vec!["allow b *:* rwm"], [false, false, false]),
        (vec![], [false, false, false]),
    ];
    for (texts, expected) in table {
        attach(&dir, &rules(&texts)).unwrap();
        assert_eq!(allowed(), expected, "{texts:?}");
        let programs = attached(&dir).unwrap();
        assert_eq!(programs.len(), 1, "replaced, not added: {programs:?}");
        assert!(programs[0].ours && programs[0].name.as_deref() == Some("ampoule_devices"));
    }
    detach(&dir).unwrap();
    assert_eq!(attached(&dir).unwrap(), []);
    assert_eq!(allowed(), [true, true, true]);
}

#[test]
fn making_a_node_is_an_access_too() {
    let group = TestGroup::new(Hierarchy::v2(), "devices-mknod");
    let dir = File::open(group.path()).unwrap();
    let target = tempfile::tempdir().unwrap();
    let mknod = |name: &str, minor: u32| {
        can(&group, &format!("mknod {}/{name} c 1 {minor}", target.path().display()))
    };
    attach(&dir, &rules(&["allow c 1:3 m", "allow c 1:5 rw"])).unwrap();
    assert!(mknod("null", 3));
    assert!(!mknod("zero", 5));
}

#[test]
fn the_verifier_takes_long_programs() {
    let group = TestGroup::new(Hierarchy::v2(), "devices-long");
    let dir = File::open(group.path()).unwrap();
    let access = |minor: u32| match minor % 3 {
        0 => DeviceAccess::READ,
        1 => DeviceAccess::WRITE,
        _ => DeviceAccess::READ | DeviceAccess::MKNOD,
    };
    let mut many: Vec<_> =
        (0..1000).map(|minor| DeviceRule::allow_char(7, minor, access(minor))).collect();
    many.extend(rules(&["allow c 1:* r", "deny c 1:3 r"]));
    attach(&dir, &many).unwrap();
    let described = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
    let mode = rustix::fs::Mode::empty();
    let path_only = rustix::fs::open(group.path(), described, mode).unwrap();
    assert_eq!(attached(&path_only).unwrap().len(), 1);
    attach(&path_only, &many).unwrap();
    assert!(!can(&group, READ_NULL) && can(&group, READ_ZERO));
}

#[test]
fn what_is_no_v2_group_is_an_error() {
    let not_a_group = File::open("/proc").unwrap();
    let error = attach(&not_a_group, &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::System, "{error}");
    assert!(error.to_string().starts_with("bpf("), "{error}");
}

/// Runs the test again in a mount namespace of its own where v1 has no devices controller to see.
fn without_v1_devices(test: &str, body: fn()) {
    const INSIDE: &str = "AMPOULE_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let script = "! mountpoint -q /sys/fs/cgroup/devices || umount /sys/fs/cgroup/devices; \
                  exec \"$@\"";
    // In another binary the test has another path.
    let test =
        module_path!().split_once("::").map_or(test.to_owned(), |(_, at)| format!("{at}::{test}"));
    let status = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-ec", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{test} failed inside");
}

#[test]
fn limits_of_a_group_attach_the_program() {
    without_v1_devices("limits_of_a_group_attach_the_program", || {
        let place = Place::find(&Hierarchies::detect().unwrap()).unwrap();
        let limits = |texts: &[&str]| {
            let mut limits = Limits::default();
            limits.devices = rules(texts);
            limits
        };
        let name = owned_name(Some("devices"), Life::WithOwner).unwrap();
        let limited = limits(&["allow c 1:* r"]);
        let group = Group::create_in(&place, &name, &limited, Controllers::empty()).unwrap();
        let can = |script: &str| {
            let script = format!("read line; {{ {script}; }} 2>&-");
            let mut command = Command::new("sh");
            let mut child = command.args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap();
            for path in group.paths() {
                std::fs::write(path.join("cgroup.procs"), child.id().to_string()).unwrap();
            }
            drop(child.stdin.take());
            child.wait().unwrap().success()
        };
        assert!(can(READ_NULL) && !can(WRITE_NULL));
        group.update(&limits(&["allow c 1:* rw", "deny c 1:5 r"])).unwrap();
        assert!(can(WRITE_NULL) && !can(READ_ZERO));
        let attached = |path| attached(File::open(path).unwrap());
        assert_eq!(group.paths().filter_map(|path| attached(path).ok()).flatten().count(), 1);
        group.remove().unwrap();
    });
}
