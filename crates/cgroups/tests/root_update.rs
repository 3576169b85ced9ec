//! Changes of a living group that fail: everything is as it was.
//!
//! Kernel objects: groups below `/ampoule-test`. Invariant: all files of the group say the same before and after.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ampoule_cgroups::limits::Switch;
use ampoule_cgroups::{
    Bytes, Controllers, Group, GroupPath, Hierarchies, Life, Limits, Mode, Place, owned_name,
};

fn hierarchies() -> Hierarchies {
    Hierarchies::detect().expect("control groups are mounted")
}

fn place() -> Place {
    let path = GroupPath::new("/ampoule-test").expect("a path");
    Place::open(&hierarchies(), &path).expect("this tier is root's")
}

fn name(what: &str) -> String {
    owned_name(Some(what), Life::WithOwner).expect("a name")
}

/// Every file that takes a limit, with its text; counters change by themselves.
fn settings(group: &Group) -> BTreeMap<PathBuf, String> {
    let is_setting = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let ends = ["max", "high", "low", "min", "_bytes", "weight", "oom_control", "list", "cpus"];
        let counts = ["usage_in_bytes", "memory.failcnt", "memory.max_usage_in_bytes"];
        ends.iter().any(|end| name.ends_with(end)) && !counts.iter().any(|end| name.ends_with(end))
    };
    let entries = group.paths().flat_map(|path| std::fs::read_dir(path).expect("the group"));
    let files = entries.map(|entry| entry.expect("a file").path()).filter(|path| is_setting(path));
    files.filter_map(|path| Some((path.clone(), std::fs::read_to_string(path).ok()?))).collect()
}

/// Everything that can be limited here, with an end that the kernel refuses.
fn all_but_the_last() -> Limits {
    let mut limits = Limits::default();
    limits.memory.max = Some(Bytes::mib(64).into());
    limits.memory.low = Some(Bytes::mib(1).into());
    limits.cpu.max = Some("0.25".parse::<ampoule_cgroups::Cpus>().expect("a number").into());
    limits.cpu.weight = Some(ampoule_cgroups::Weight::new(300).expect("a weight"));
    match hierarchies().mode() {
        Mode::V2 => limits.memory.oom_group = Some(Switch::On),
        _ => limits.memory.disable_oom_killer = Some(Switch::On),
    }
    limits.cpuset.cpus = Some("4000".parse().expect("a list"));
    limits
}

#[test]
fn a_failed_update_changes_nothing() {
    let mut first = Limits::default();
    first.memory.max = Some(Bytes::mib(128).into());
    first.cpuset.cpus = Some("0".parse().expect("a list"));
    let group =
        Group::create_in(&place(), &name("back"), &first, Controllers::CPU).expect("a group");
    let before = settings(&group);
    assert!(before.len() > 8, "{before:?}");
    let error = group.update(&all_but_the_last()).expect_err("there is no such CPU");
    assert_eq!(settings(&group), before, "{error}");
    group.remove().expect("an empty group");
}

fn rules(texts: &[&str]) -> Limits {
    let mut limits = Limits::default();
    limits.devices = texts.iter().map(|text| text.parse().expect("a rule")).collect();
    limits
}

#[test]
fn rules_for_devices_change_together() {
    if hierarchies().controllers().contains(Controllers::DEVICES) {
        rules_as_files();
    } else {
        rules_as_a_program();
    }
}

fn rules_as_files() {
    let above = name("above");
    // The group above allows only these.
    let none = Controllers::empty();
    Group::create_in(&place(), &above, &rules(&["allow c 1:* rwm"]), none).expect("a group");
    let path = GroupPath::new(format!("/ampoule-test/{above}")).expect("a path");
    let below = Place::open(&hierarchies(), &path).expect("a place");
    let group =
        Group::create_in(&below, "in", &rules(&["allow c 1:3 rwm"]), none).expect("a group");
    let before = settings(&group);
    let error = group.update(&rules(&["allow c 1:5 rwm", "allow c 5:* rwm"]));
    let error = error.expect_err("the group above does not allow it");
    assert!(error.to_string().contains("in/devices.allow"), "{error}");
    assert_eq!(settings(&group), before);
    let shown = || group.file("devices.list").expect("a file of v1");
    assert_eq!(shown(), "c 1:3 rwm\n");
    group.update(&rules(&["allow c 1:5 rwm"])).expect("rules that are allowed");
    assert_eq!(shown(), "c 1:5 rwm\n");
    Group::open(&place(), &above).and_then(|above| above.remove()).expect("empty groups");
    assert_eq!(below.paths().filter(|path| path.exists()).count(), 0);
}

fn rules_as_a_program() {
    let none = Controllers::empty();
    let made = Group::create_in(&place(), &name("rules"), &rules(&["allow c 1:3 rwm"]), none);
    let group = made.expect("a group");
    let path = group.paths().next().expect("its directory");
    let attached = || {
        let dir = std::fs::File::open(&path).expect("its directory");
        ampoule_cgroups::devices::attached(dir).expect("its programs")
    };
    let before = attached();
    let mut wrong = rules(&["allow c 1:5 rwm"]);
    wrong.cpuset.cpus = Some("4000".parse().expect("a list"));
    group.update(&wrong).expect_err("there is no such CPU");
    assert_eq!((attached(), before.len()), (before, 1));
    group.update(&rules(&["allow c 1:5 rwm"])).expect("rules that are allowed");
    assert_eq!(attached().len(), 1);
    group.remove().expect("an empty group");
}
