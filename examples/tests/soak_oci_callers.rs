//! Many containers through `oci-runtime`, by several callers at once.
//!
//! By root. Kernel objects: containers. Invariant: no call fails, and nothing is left.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod runtime;

use std::sync::Barrier;

use runtime::{Scene, is_long};
use serde_json::json;

const CALLERS: usize = 8;

#[test]
fn callers_do_not_hinder_each_other() {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let scene = Scene::new("callers", "exec sleep 1000");
    let containers = if is_long() { 504 } else { 64 };
    let begin = Barrier::new(CALLERS);
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            // One configuration for each: two containers cannot have one group.
            scene.change("/linux/cgroupsPath", json!(format!("/{}/{caller}", scene.group())));
            let config = scene.path(&format!("config-{caller}"));
            std::fs::copy(scene.path("bundle/config.json"), &config).unwrap();
            let (scene, begin) = (&scene, &begin);
            scope.spawn(move || {
                begin.wait();
                for round in 0..containers / CALLERS {
                    life(scene, &format!("c-{caller}-{round}"), config.to_str().unwrap());
                }
            });
        }
    });
    assert_eq!(scene.ok(&["list", "--quiet"]), "");
    scene.assert_nothing_left("all are deleted");
}

/// A container from its creation to its deletion.
fn life(scene: &Scene, id: &str, config: &str) {
    scene.ok(&["create", "--config", config, id]);
    scene.ok(&["start", id]);
    assert_eq!(scene.ok(&["exec", id, "echo", id]), format!("{id}\n"));
    scene.ok(&["kill", id, "KILL"]);
    scene.until("stopped", |scene| scene.state(id)["status"] == "stopped");
    scene.ok(&["delete", id]);
}
