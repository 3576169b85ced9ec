//! `oci-runtime --systemd-cgroup`, for root under systemd on pure cgroup v2.
//!
//! Kernel objects: scopes and containers. Invariant: nothing of them is left, in the tree or in systemd.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod runtime;

use std::path::{Path, PathBuf};
use std::process::Command;

use runtime::Scene;
use serde_json::json;

/// What systemd says of a unit.
fn property(unit: &str, name: &str) -> String {
    let mut command = Command::new("systemctl");
    let output = command.args(["show", "--value", "--property", name, unit]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn is_gone(unit: &str) -> bool {
    property(unit, "ActiveState") == "inactive" && property(unit, "LoadState") == "not-found"
}

/// The group of a container, as the kernel says it of its process.
fn group(scene: &Scene) -> PathBuf {
    let pid = scene.state("one")["pid"].to_string();
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    Path::new("/sys/fs/cgroup").join(text.trim_end().strip_prefix("0::/").unwrap())
}

#[test]
fn the_container_is_in_the_scope_that_engines_look_for() {
    let scene = Scene::new("scope", "exec sleep 1000");
    let name = format!("t{}", std::process::id());
    let unit = format!("libpod-{name}.scope");
    // A dash in the name of a slice is a step down (systemd.slice(5)).
    scene.change("/linux/cgroupsPath", json!(format!("machine-pod.slice:libpod:{name}")));
    scene.change("/linux/resources", json!({ "memory": { "limit": 64 << 20 } }));
    scene.ok(&["--systemd-cgroup", "create", "one"]);
    let scope = Path::new("/sys/fs/cgroup/machine.slice/machine-pod.slice").join(&unit);
    assert_eq!(group(&scene), scope.join("container"));
    for (name, value) in
        [("ActiveState", "active"), ("Slice", "machine-pod.slice"), ("Delegate", "yes")]
    {
        assert_eq!(property(&unit, name), value, "{name}");
    }
    // What kept the scope until the container was in it has ended.
    assert!(!scope.join("keeper").exists());
    scene.ok(&["start", "one"]);
    let limit = |file: &str| std::fs::read_to_string(scope.join("container").join(file)).unwrap();
    assert_eq!(limit("memory.max"), format!("{}\n", 64 << 20));
    scene.ok(&["--systemd-cgroup", "update", "--memory", "32m", "--pids-limit", "20", "one"]);
    assert_eq!((limit("memory.max"), limit("pids.max")), ("33554432\n".into(), "20\n".into()));
    // systemd keeps its hands off, also where it applies everything again.
    assert!(Command::new("systemctl").arg("daemon-reload").status().unwrap().success());
    assert_eq!(limit("memory.max"), "33554432\n");
    assert_eq!(scene.ok(&["exec", "one", "cat", "/proc/self/cgroup"]), "0::/\n");
    scene.ok(&["--systemd-cgroup", "delete", "--force", "one"]);
    scene.until("systemd has forgotten it", |_| is_gone(&unit));
    assert!(!scope.exists());
}

#[test]
fn without_a_path_the_scope_is_named_after_the_container() {
    let scene = Scene::new("named", "exit 5");
    scene.remove("/linux/cgroupsPath");
    assert_eq!(scene.call(&["--cgroup-manager", "systemd", "run", "--keep", "one"]).code, Some(5));
    let unit = "ampoule-one.scope";
    scene.until("it ended with its container", |_| is_gone(unit));
    // The name is free again while the container is not deleted yet.
    assert_eq!(scene.state("one")["status"], "stopped");
    scene.ok(&["delete", "one"]);
}

#[test]
fn what_cannot_be_is_an_error_and_leaves_nothing() {
    let scene = Scene::new("refused", "true");
    let said = scene.fails(&["--systemd-cgroup", "create", "one"]);
    assert!(said.contains("slice:prefix:name"), "{said}");
    // Two dashes would be a slice without a name in between.
    scene.change("/linux/cgroupsPath", json!("a--b.slice:libpod:refused"));
    let said = scene.fails(&["--systemd-cgroup", "create", "one"]);
    assert!(said.contains("systemd, StartTransientUnit"), "{said}");
    scene.change("/linux/cgroupsPath", json!("machine.slice:libpod:all.slice"));
    let said = scene.fails(&["--systemd-cgroup", "create", "one"]);
    assert!(said.contains("linux.cgroupsPath"), "{said}");
    assert_eq!(scene.ok(&["list", "-q"]), "");
    assert!(is_gone("libpod-refused.scope"));
}
