//! `oci-runtime` on pure cgroup v2, where systemd is not process 1.
//!
//! Kernel objects: groups and containers. Invariant: nothing of them is left.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod runtime;

use runtime::Scene;
use serde_json::json;

#[test]
fn the_group_is_where_the_path_says() {
    let scene = Scene::new("v2", "exec sleep 1000");
    scene.change(
        "/linux/resources",
        json!({
            "memory": { "limit": 64 << 20 }, "pids": { "limit": 20 },
            "cpu": { "quota": 50_000, "period": 100_000 },
            "unified": { "memory.high": "50331648" },
        }),
    );
    scene.ok(&["run", "--detach", "one"]);
    let groups = scene.groups();
    let [group] = &groups[..] else { panic!("{groups:?}") };
    for (file, text) in [
        ("memory.max", "67108864\n"),
        ("memory.high", "50331648\n"),
        ("pids.max", "20\n"),
        ("cpu.max", "50000 100000\n"),
    ] {
        assert_eq!(std::fs::read_to_string(group.join(file)).unwrap(), text, "{file}");
    }
    scene.ok(&["pause", "one"]);
    assert!(std::fs::read_to_string(group.join("cgroup.events")).unwrap().contains("frozen 1"));
    scene.ok(&["resume", "one"]);
    scene.ok(&["delete", "--force", "one"]);
    assert!(scene.groups().is_empty());
}

#[test]
fn a_scope_needs_systemd() {
    let scene = Scene::new("none", "true");
    scene.change("/linux/cgroupsPath", json!("machine.slice:libpod:one"));
    for options in [&["--systemd-cgroup", "create", "one"] as &[&str], &["run", "one"]] {
        let said = scene.fails(options);
        assert!(said.contains("systemd cannot be asked"), "{said}");
    }
    assert_eq!(scene.ok(&["list", "-q"]), "");
}
