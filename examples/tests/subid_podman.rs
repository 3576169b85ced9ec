//! `oci-runtime` below the Podman of an ordinary user with ranges of `/etc/subuid`.
//!
//! Kernel objects: as in [`podman`], in a user namespace. Invariant: the engine's storage, containers and files are the
//! test's own, and nothing of them is left.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod podman;

use std::fs;

use podman::{By, Engine, IMAGE};

/// A container that waits for its end.
const WAITS: &str = "trap 'exit 8' TERM; echo up; while :; do sleep 0.1; done";

#[test]
fn podman_run_by_an_ordinary_user() {
    let engine = Engine::run_by(By::User);
    assert_eq!(engine.run(&[], "id -u; exit 3"), (Some(3), "0\n".to_owned()));
    assert_eq!(engine.run(&["--user", "12:13"], "id -u; id -g").1, "12\n13\n");
    // Its root is the user, its others are ids of the ranges.
    let (_, text) = engine.run(&[], "cat /proc/self/uid_map");
    let own = rustix::process::geteuid().as_raw().to_string();
    let maps: Vec<Vec<&str>> = text.lines().map(|it| it.split_whitespace().collect()).collect();
    assert_eq!(maps[0], ["0", own.as_str(), "1"], "{text}");
    assert_eq!(maps[1][0], "1", "{text}");
    let volume = engine.path("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("file"), "data\n").unwrap();
    let bind = format!("{}:/v:ro", volume.display());
    let (code, text) = engine.run(&["-v", &bind], "cat /v/file; echo x > /v/file");
    assert!(code == Some(1) && text.starts_with("data\n"), "{text}");
    assert!(text.contains("Read-only file system"), "{text}");
    let bind = format!("{}:/v", volume.display());
    assert_eq!(engine.run(&["-v", &bind], "echo new > /v/file"), (Some(0), String::new()));
    assert_eq!(fs::read_to_string(volume.join("file")).unwrap(), "new\n");
    let nodes = "echo x > /dev/null && head -c 2 /dev/zero | od -An -tx1";
    assert_eq!(engine.run(&[], nodes), (Some(0), " 00 00\n".to_owned()));
    let caps = ["--cap-drop", "all", "--cap-add", "net_raw"];
    let (_, text) = engine.run(&caps, "grep Cap /proc/self/status");
    assert!(text.contains("CapEff:\t0000000000002000"), "{text}");
    let (code, text) = engine.run(&["-t"], "tty");
    assert_eq!((code, text.trim_end()), (Some(0), "/dev/pts/0"));
    let missing = engine.podman(&["run", "--rm", "--network", "none", IMAGE, "/nothing"]);
    assert_eq!(missing.status.code(), Some(127), "{missing:?}");
    assert_eq!(engine.ok(&["ps", "--all", "--quiet"]), "");
}

/// As [`podman_run_by_an_ordinary_user`], with namespaces of the engine's own and of one container more.
#[test]
fn namespaces_that_an_ordinary_user_shares_or_maps() {
    let engine = Engine::run_by(By::User);
    let look =
        ["/bin/sh", "-c", "readlink /proc/self/ns/net; >/dev/shm/x; cat /sys/class/net/lo/mtu"];
    let run = ["run", "--rm", "--network", "host", IMAGE];
    let text = engine.ok(&[&run[..], &look].concat());
    let output = engine.inside("readlink").arg("/proc/self/ns/net").output().unwrap();
    let own = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, format!("{own}65536\n"));
    // The engine has given the root to the container's users already.
    let (code, text) = engine.run(&["--uidmap", "0:1000:5000"], "cat /proc/self/uid_map; >/x");
    let map: Vec<_> = text.split_whitespace().collect();
    assert_eq!((code, &map[..]), (Some(0), &["0", "1000", "5000"][..]), "{text}");
    // It mounts the host's nodes, because nobody here makes some.
    let (code, text) =
        engine.run(&["--privileged"], "echo x > /dev/null; grep -c dev/null /proc/mounts");
    assert_eq!((code, text.as_str()), (Some(0), "1\n"));
    let device = ["--device", "/dev/zero:/dev/other"];
    assert_eq!(engine.run(&device, "head -c 2 /dev/other | od -An -tx1").1, " 00 00\n");
}

#[test]
fn pods_and_builds_of_an_ordinary_user() {
    let engine = Engine::run_by(By::User);
    let pod = "pod create --name p --network none --infra-command";
    let words = pod.split_whitespace().chain(["/bin/sleep 1000", "--infra-image", IMAGE]);
    engine.ok(&words.collect::<Vec<_>>());
    engine.ok(&["run", "-d", "--pod", "p", "--name", "a", IMAGE, "/bin/sleep", "1000"]);
    let look =
        "for n in net ipc uts; do readlink /proc/self/ns/$n; done; ls /sys/class/net; hostname";
    let script = ["/bin/sh", "-c", look];
    let first = engine.ok(&[&["exec", "a"][..], &script].concat());
    let second = engine.ok(&[&["run", "--rm", "--pod", "p", IMAGE][..], &script].concat());
    assert_eq!(first, second);
    assert!(first.ends_with("lo\np\n"), "{first}");
    engine.ok(&["pod", "stop", "--time", "0", "p"]);
    engine.ok(&["pod", "rm", "p"]);
    let steps = format!("FROM {IMAGE}\nRUN echo built > /built\nCMD [\"/bin/cat\", \"/built\"]\n");
    let file = engine.path("Containerfile");
    fs::write(&file, steps).unwrap();
    let context = engine.path("image");
    let (file, context) = (file.to_str().unwrap(), context.to_str().unwrap());
    engine.ok(&["build", "--network", "none", "-t", "localhost/built:1", "-f", file, context]);
    let text = engine.ok(&["run", "--rm", "--network", "none", "localhost/built:1"]);
    assert_eq!(text, "built\n");
    assert_eq!(engine.ok(&["ps", "--all", "--quiet"]), "");
}

#[test]
fn a_container_of_an_ordinary_user_that_runs() {
    let engine = Engine::run_by(By::User);
    engine.ok(&["run", "-d", "--name", "a", "--network", "none", IMAGE, "/bin/sh", "-c", WAITS]);
    let exec = engine.podman(&["exec", "--user", "7", "a", "/bin/sh", "-c", "id -u; exit 4"]);
    assert_eq!((exec.status.code(), exec.stdout.as_slice()), (Some(4), b"7\n".as_slice()));
    assert_eq!(engine.ok(&["exec", "-t", "a", "/bin/tty"]).trim_end(), "/dev/pts/0");
    assert!(engine.ok(&["top", "a"]).contains("sh -c"));
    let inspect = |what: &str| engine.ok(&["inspect", "--format", what, "a"]);
    assert_eq!(inspect("{{.State.Status}}"), "running\n");
    engine.ok(&["stop", "a"]);
    assert_eq!(inspect("{{.State.ExitCode}}"), "8\n");
    assert_eq!(engine.ok(&["logs", "a"]), "up\n");
    engine.ok(&["restart", "a"]);
    assert_eq!(inspect("{{.State.Status}}"), "running\n");
    engine.ok(&["kill", "a"]);
    engine.ok(&["wait", "a"]);
    engine.ok(&["rm", "a"]);
    assert_eq!(engine.ok(&["ps", "--all", "--quiet"]), "");
}
