//! `oci-runtime` below Buildah, from Debian's package.
//!
//! By root. Invariant: as in `podman`.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod podman;

use std::process::{Command, Output};

use podman::{Engine, place};

/// Buildah with the storage and the namespaces of an engine.
fn buildah(engine: &Engine, arguments: &[&str]) -> Output {
    let mut command: Command = engine.inside("buildah");
    command.args(["--storage-driver", "vfs"]);
    for (option, name) in [("--root", "root"), ("--runroot", "runroot")] {
        command.arg(option).arg(engine.path("own").join(name));
    }
    command.args(arguments).output().expect("buildah")
}

#[track_caller]
fn ok(engine: &Engine, arguments: &[&str]) -> String {
    let output = buildah(engine, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn steps_of_a_build_run() {
    let engine = Engine::new();
    let container = ok(&engine, &["from", "--pull-never", podman::IMAGE]);
    let runtime = place::example("oci-runtime");
    let start = ["run", "--isolation", "oci", "--network", "none", "--runtime"];
    let start = [&start[..], &[runtime.to_str().unwrap()]].concat();
    let run = |options: &[&str], script: &str| {
        let words = [container.as_str(), "/bin/sh", "-c", script];
        buildah(&engine, &[&start, options, &words].concat())
    };
    let output = run(&[], "id -u; echo built > /built; exit 3");
    assert_eq!(output.stdout, b"0\n", "{output:?}");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    // What a step wrote is there for the next one, whoever runs it.
    let output = run(&["--user", "12:13"], "id -u; cat /built; echo x > /built");
    assert_eq!(output.stdout, b"12\nbuilt\n", "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("Permission denied"), "{output:?}");
    let output = run(&["--cap-drop", "all"], "grep CapEff /proc/self/status");
    assert_eq!(output.stdout, b"CapEff:\t0000000000000000\n", "{output:?}");
    let volume = engine.path("volume");
    std::fs::create_dir(&volume).unwrap();
    std::fs::write(volume.join("file"), "data\n").unwrap();
    let output = run(&["-v", &format!("{}:/v:ro", volume.display())], "cat /v/file; >/v/x");
    assert_eq!(output.stdout, b"data\n", "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("Read-only"), "{output:?}");
    ok(&engine, &["rm", &container]);
}
