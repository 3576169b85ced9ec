//! What `oci-runtime` says of what cannot be done: exit code 1, a sentence on standard error and in the log, nothing left.
//!
//! By root. Kernel objects: containers that are not made, or are in another state. Invariant: the words are those by
//! which engines tell errors apart.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod runtime;

use std::fs;
use std::process::Command;

use runtime::Scene;
use serde_json::{Value, json};

/// Creation and run fail with these words, and nothing is left.
#[track_caller]
fn is_refused(scene: &Scene, words: &[&str]) {
    for verb in ["create", "run"] {
        let said = scene.fails(&[verb, "one"]);
        assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
        assert!(!said.trim_end().contains('\n'), "{said}");
        assert_eq!(scene.ok(&["list", "--quiet"]), "");
        assert!(scene.groups().is_empty(), "{words:?}");
    }
}

#[test]
fn documents_that_are_none() {
    let scene = Scene::new("documents", "true");
    let file = scene.path("bundle/config.json");
    let whole: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let whole = format!("{whole:#}");
    let cut = whole.find("\"args\"").unwrap() + "\"args\": [".len();
    let line = format!("line {}", whole[..cut].lines().count());
    fs::write(&file, &whole[..cut]).unwrap();
    is_refused(&scene, &["process.args", &line]);
    fs::write(&file, whole.replacen("\"cwd\": \"/\"", "\"cwd\": 7", 1)).unwrap();
    is_refused(&scene, &["process.cwd"]);
    fs::write(&file, whole.replacen("\"args\"", "args", 1)).unwrap();
    is_refused(&scene, &["process", "line"]);
    fs::write(&file, "").unwrap();
    is_refused(&scene, &["line 1"]);
    fs::remove_file(&file).unwrap();
    is_refused(&scene, &["config.json", "No such file or directory"]);
    let said = scene.fails(&["create", "--bundle", "/no/bundle", "one"]);
    assert!(said.contains("/no/bundle/config.json"), "{said}");
}

#[test]
fn documents_that_cannot_be_had() {
    let kinds = |kinds: &[&str]| {
        let kinds = kinds.iter().map(|kind| json!({ "type": kind }));
        Value::from_iter(kinds)
    };
    let map = json!([{ "containerID": 0, "hostID": 1000, "size": 1 }]);
    let cases: &[(&str, Value, &[&str])] = &[
        ("/ociVersion", json!("2.0.0"), &["ociVersion", "2.0.0"]),
        ("/ociVersion", json!("newest"), &["ociVersion", "newest"]),
        ("/linux/namespaces", kinds(&["mount", "pids"]), &["linux.namespaces[1].type", "pids"]),
        ("/linux/namespaces", kinds(&["mount", "pid", "pid"]), &["linux.namespaces[2].type"]),
        ("/linux/uidMappings", map, &["linux.uidMappings"]),
        ("/linux/sysctl", json!({ "kernel.panic": "1" }), &["linux.sysctl", "kernel.panic"]),
        ("/linux/intelRdt", json!({ "closID": "a" }), &["linux.intelRdt"]),
        ("/linux/cgroupsPath", json!("../other"), &["linux.cgroupsPath"]),
        ("/root/path", json!("nothing"), &["nothing", "No such file or directory"]),
        ("/process/cwd", json!("tmp"), &["process.cwd"]),
        ("/process/args", json!([]), &["process.args"]),
        ("/process/user/uid", json!(-1), &["process.user.uid"]),
        ("/process/args", json!(["/no/program"]), &["executable file not found in $PATH"]),
        ("/process/args", json!(["/tmp"]), &["is a directory", "Permission denied"]),
    ];
    for (pointer, value, words) in cases {
        let scene = Scene::new("refused", "true");
        scene.change(pointer, value.clone());
        is_refused(&scene, words);
    }
    let scene = Scene::new("no-process", "true");
    scene.change("/process", json!(null));
    is_refused(&scene, &["process"]);
}

#[test]
fn ids_that_are_none() {
    let scene = Scene::new("ids", "true");
    let long = "x".repeat(2000);
    for id in ["", ".", "..", "../x", "a/b", "/", "a b", "a\n", "ü", &long] {
        assert!(scene.fails(&["create", id]).contains("id"), "{id:?}");
        assert!(scene.fails(&["state", id]).contains("container does not exist"), "{id:?}");
        assert!(scene.fails(&["kill", id, "9"]).contains("container does not exist"), "{id:?}");
        scene.ok(&["delete", "--force", id]);
    }
    assert!(scene.fails(&["create"]).contains("no container id"));
    let left = fs::read_dir(scene.path("state")).unwrap();
    assert_eq!(left.count(), 0);
}

#[test]
fn operations_on_what_is_not_there() {
    let scene = Scene::new("nobody", "true");
    for call in [
        &["state", "one"] as &[&str],
        &["start", "one"],
        &["kill", "one", "TERM"],
        &["delete", "one"],
        &["exec", "one", "true"],
        &["ps", "one"],
        &["pause", "one"],
        &["resume", "one"],
        &["update", "--pids-limit", "9", "one"],
        &["events", "--stats", "one"],
    ] {
        assert!(scene.fails(call).contains("container does not exist"), "{call:?}");
    }
}

#[test]
fn operations_in_another_state() {
    let scene = Scene::new("states", "exec sleep 1000");
    scene.ok(&["create", "one"]);
    let refused = |cases: &[(&[&str], &str)]| {
        for (call, words) in cases {
            let said = scene.fails(call);
            assert!(said.contains(words), "{call:?}: {said}");
        }
    };
    refused(&[
        (&["create", "one"], "container with given ID already exists"),
        (&["resume", "one"], "container not paused"),
    ]);
    scene.ok(&["start", "one"]);
    refused(&[
        (&["start", "one"], "cannot start a container that is running"),
        (&["delete", "one"], "cannot delete a container that is running"),
        (&["resume", "one"], "container not paused"),
        (&["kill", "one", "NOTHING"], "there is no signal NOTHING"),
        (&["update", "--memory", "much", "one"], "much"),
        (&["exec", "one", "nothing"], "executable file not found in $PATH"),
        (&["exec", "--cwd", "/nothing", "one", "true"], "/nothing"),
        (&["exec", "--user", "nobody-at-all", "one", "true"], "nobody-at-all"),
        (&["exec", "one"], "no command given"),
    ]);
    scene.ok(&["pause", "one"]);
    refused(&[
        (&["pause", "one"], "container not running"),
        (&["delete", "one"], "cannot delete a container that is paused"),
        (&["exec", "one", "true"], "cannot exec in a paused container"),
    ]);
    scene.ok(&["resume", "one"]);
    scene.ok(&["kill", "one", "KILL"]);
    scene.until("stopped", |scene| scene.state("one")["status"] == "stopped");
    refused(&[
        (&["start", "one"], "cannot start a container that is stopped"),
        (&["kill", "one", "TERM"], "container not running"),
        (&["kill", "--all", "one", "TERM"], "container not running"),
        (&["exec", "one", "true"], "cannot exec in a stopped container"),
        (&["ps", "one"], "container that is stopped"),
        (&["pause", "one"], "container not running"),
        (&["update", "--pids-limit", "9", "one"], "container that is stopped"),
        (&["create", "one"], "container with given ID already exists"),
    ]);
    scene.ok(&["delete", "one"]);
    assert!(scene.groups().is_empty());
}

#[test]
fn a_first_process_that_somebody_killed() {
    let scene = Scene::new("vanished", "exec sleep 1000");
    for before in [&["create", "one"] as &[&str], &["run", "-d", "one"]] {
        scene.ok(before);
        let pid = scene.state("one")["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.and_then(rustix::process::Pid::from_raw).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        scene.until("stopped", |scene| scene.state("one")["status"] == "stopped");
        assert_eq!(scene.state("one")["pid"], 0);
        assert!(
            scene.fails(&["start", "one"]).contains("cannot start a container that is stopped")
        );
        let said = scene.fails(&["exec", "one", "true"]);
        assert!(said.contains("cannot exec in a stopped container"), "{said}");
        scene.ok(&["delete", "one"]);
        assert!(scene.groups().is_empty());
    }
}

#[test]
fn state_files_of_other_versions() {
    let scene = Scene::new("versions", "exec sleep 1000");
    for (from, to, words) in [
        ("\"version\": 1", "\"version\": 0", "version 0"),
        ("\"version\": 1", "\"version\": 99", "version 99"),
        ("\"confinement\"", "\"other\"", "line"),
    ] {
        scene.ok(&["run", "-d", "one"]);
        let path = scene.path("state/one/state.json");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        for call in [&["state", "one"] as &[&str], &["start", "one"], &["delete", "one"]] {
            assert!(scene.fails(call).contains(words), "{call:?} {words}");
        }
        assert_eq!(scene.ok(&["list", "--quiet"]), "");
        assert!(scene.fails(&["create", "one"]).contains("already exists"));
        scene.ok(&["delete", "--force", "one"]);
        assert!(!scene.path("state/one").exists());
        assert_eq!(scene.groups(), [""; 0].map(Into::<std::path::PathBuf>::into), "{words}");
    }
}

#[test]
fn state_directories_that_take_nothing() {
    let scene = Scene::new("full", "exec sleep 1000");
    let state = scene.path("state");
    fs::create_dir_all(&state).unwrap();
    // Its own mounts end with it.
    let full =
        "mount -t tmpfs -o size=4k x \"$0\"; head -c 4096 /dev/zero > \"$0/.full\"; exec \"$@\"";
    let read_only = "mount -t tmpfs -o ro x \"$0\"; exec \"$@\"";
    let cases = [(full, "No space left on device"), (read_only, "Read-only file system")];
    for (script, words) in cases {
        for verb in ["create", "run"] {
            let own = scene.command(&[verb, "one"]);
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-c", script]).arg(&state).arg(own.get_program());
            let output = command.args(own.get_args()).current_dir(scene.path("bundle")).output();
            let output = output.unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains(words), "{said}");
            assert!(scene.groups().is_empty(), "{said}");
        }
    }
}
