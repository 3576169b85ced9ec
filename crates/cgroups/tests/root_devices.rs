//! Device rules on a real v2 group. Needs root and a kernel with `CONFIG_CGROUP_BPF`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod group;

use std::fs::File;

use ampoule_cgroups::devices::{attach, attached, detach};
use ampoule_cgroups::{DeviceAccess, DeviceRule, ErrorKind};
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
    assert!(!can(&group, READ_NULL) && can(&group, READ_ZERO));
}

#[test]
fn what_is_no_v2_group_is_an_error() {
    let not_a_group = File::open("/proc").unwrap();
    let error = attach(&not_a_group, &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::System, "{error}");
    assert!(error.to_string().starts_with("bpf("), "{error}");
}
