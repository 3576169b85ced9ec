//! `oci-runtime` below Podman, from Debian's packages.
//!
//! By root. Invariant: the engines' storage, containers and files are the test's own, and nothing of them is left.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod podman;

use std::fs;

use podman::{Engine, IMAGE};

#[test]
fn podman_run() {
    let engine = Engine::new();
    assert_eq!(engine.run(&[], "id -u; exit 3"), (Some(3), "0\n".to_owned()));
    let volume = engine.path("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("file"), "data\n").unwrap();
    let bind = format!("{}:/v:ro", volume.display());
    let (code, text) = engine.run(&["-v", &bind], "cat /v/file; echo x > /v/file");
    assert!(code == Some(1) && text.starts_with("data\n"), "{text}");
    assert!(text.contains("Read-only file system"), "{text}");
    let (code, text) = engine.run(&["--read-only"], "echo x > /tmp/x && echo y > /x");
    assert!(code == Some(1) && text.contains("can't create /x: Read-only"), "{text}");
    assert_eq!(engine.run(&["--user", "12:13"], "id -u; id -g").1, "12\n13\n");
    let caps = ["--cap-drop", "all", "--cap-add", "net_raw"];
    let (_, text) = engine.run(&caps, "grep Cap /proc/self/status");
    assert!(text.contains("CapEff:\t0000000000002000"), "{text}");
    let seccomp = "grep Seccomp: /proc/self/status";
    assert_eq!(engine.run(&[], seccomp).1, "Seccomp:\t2\n");
    assert_eq!(engine.run(&["--security-opt", "seccomp=unconfined"], seccomp).1, "Seccomp:\t0\n");
    // The engine has given the root to the container's users already.
    let (code, text) = engine.run(&["--uidmap", "0:100000:65536"], "cat /proc/self/uid_map; >/x");
    assert_eq!((code, text.split_whitespace().nth(1)), (Some(0), Some("100000")), "{text}");
    // Its terminal went through the console socket.
    let (code, text) = engine.run(&["-t"], "tty");
    assert_eq!((code, text.trim_end()), (Some(0), "/dev/pts/0"));
    let missing = engine.podman(&["run", "--rm", "--network", "none", IMAGE, "/nothing"]);
    assert_eq!(missing.status.code(), Some(127), "{missing:?}");
    let directory = engine.podman(&["run", "--rm", "--network", "none", IMAGE, "/etc"]);
    assert_eq!(directory.status.code(), Some(126), "{directory:?}");
}

#[test]
fn podman_and_a_container_that_runs() {
    let engine = Engine::new();
    let run = "run -d --name a --network none --health-cmd true --health-interval disable \
               --memory 64m --cpus 0.5 --pids-limit 50";
    let script = "trap 'exit 8' TERM; echo up; while :; do sleep 0.1; done";
    let run: Vec<_> = run.split_whitespace().chain([IMAGE, "/bin/sh", "-c", script]).collect();
    engine.ok(&run);
    let exec = engine.podman(&["exec", "--user", "7", "a", "/bin/sh", "-c", "id -u; exit 4"]);
    assert_eq!((exec.status.code(), exec.stdout.as_slice()), (Some(4), b"7\n".as_slice()));
    assert_eq!(engine.ok(&["exec", "-t", "a", "/bin/tty"]).trim_end(), "/dev/pts/0");
    assert!(engine.ok(&["top", "a"]).contains("sh -c"));
    engine.ok(&["healthcheck", "run", "a"]);
    let status = |engine: &Engine| engine.ok(&["inspect", "--format", "{{.State.Status}}", "a"]);
    engine.ok(&["pause", "a"]);
    assert_eq!(status(&engine), "paused\n");
    engine.ok(&["unpause", "a"]);
    assert_eq!(status(&engine), "running\n");
    assert!(engine.ok(&["stats", "--no-stream", "a"]).contains("/ 67.11MB"));
    engine.ok(&["update", "--memory", "32m", "a"]);
    assert_eq!(memory_limit(&engine.ok(&["inspect", "--format", "{{.State.Pid}}", "a"])), 32 << 20);
    engine.ok(&["stop", "a"]);
    assert_eq!(engine.ok(&["inspect", "--format", "{{.State.ExitCode}}", "a"]), "8\n");
    assert_eq!(engine.ok(&["logs", "a"]), "up\n");
    engine.ok(&["restart", "a"]);
    assert_eq!(status(&engine), "running\n");
    engine.ok(&["kill", "a"]);
    engine.ok(&["wait", "a"]);
    engine.ok(&["rm", "a"]);
}

/// What the kernel says about the group of a process.
fn memory_limit(pid: &str) -> u64 {
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", pid.trim())).unwrap();
    let path =
        |kind: &str| groups.lines().find_map(|line| line.split_once(kind)?.1.split(':').next());
    let (v1, v2) = (path(":memory:/"), path("0::/"));
    let files = [
        v1.map(|path| format!("/sys/fs/cgroup/memory/{path}/memory.limit_in_bytes")),
        v2.map(|path| format!("/sys/fs/cgroup/{path}/memory.max")),
    ];
    let mut limits = files.into_iter().flatten().filter_map(|file| fs::read_to_string(file).ok());
    limits.next().unwrap().trim().parse().unwrap()
}

#[test]
fn builds_run_their_steps() {
    let engine = Engine::new();
    let steps = format!("FROM {IMAGE}\nRUN echo built > /built\nCMD [\"/bin/cat\", \"/built\"]\n");
    let file = engine.path("Containerfile");
    fs::write(&file, steps).unwrap();
    let context = engine.path("image");
    let (file, context) = (file.to_str().unwrap(), context.to_str().unwrap());
    engine.ok(&["build", "--network", "none", "-t", "localhost/built:1", "-f", file, context]);
    let text = engine.ok(&["run", "--rm", "--network", "none", "localhost/built:1"]);
    assert_eq!(text, "built\n");
}

/// Containers of a pod share what its first one has.
#[test]
fn pods() {
    let engine = Engine::new();
    let pod = "pod create --name p --network none --infra-command";
    let words = pod.split_whitespace().chain(["/bin/sleep 1000", "--infra-image", IMAGE]);
    engine.ok(&words.collect::<Vec<_>>());
    engine.ok(&["run", "-d", "--pod", "p", "--name", "a", IMAGE, "/bin/sleep", "1000"]);
    let namespaces = "for n in net ipc uts pid mnt; do readlink /proc/self/ns/$n; done; hostname";
    let script = ["/bin/sh", "-c", namespaces];
    let first = engine.ok(&[&["exec", "a"][..], &script].concat());
    let second = engine.ok(&[&["run", "--rm", "--pod", "p", IMAGE][..], &script].concat());
    let [first, second] = [&first, &second].map(|text| text.lines().collect::<Vec<_>>());
    assert_eq!((&first[..3], &first[5..]), (&second[..3], &["p"][..]));
    assert!(first[3] != second[3] && first[4] != second[4], "{first:?}");
    assert_eq!(engine.ok(&["pod", "inspect", "--format", "{{.State}}", "p"]), "Running\n");
    engine.ok(&["pod", "pause", "p"]);
    engine.ok(&["pod", "unpause", "p"]);
    engine.ok(&["pod", "stop", "--time", "0", "p"]);
    assert_eq!(engine.ok(&["pod", "inspect", "--format", "{{.State}}", "p"]), "Exited\n");
    engine.ok(&["pod", "rm", "p"]);
    assert_eq!(engine.ok(&["ps", "--all", "--quiet"]), "");
}

#[test]
fn what_a_container_may_and_who_reaps_in_it() {
    let engine = Engine::new();
    let profile = engine.path("profile.json");
    let denied = r#"[{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]"#;
    let text = format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": {denied}}}"#);
    fs::write(&profile, text).unwrap();
    let option = format!("seccomp={}", profile.display());
    let (code, text) = engine.run(&["--security-opt", &option], "mkdir /tmp/a");
    assert!(code == Some(1) && text.contains("Operation not permitted"), "{text}");
    // By the name under which the engine mounts it.
    let (_, first) = engine.run(&["--init"], "cat /proc/1/comm");
    assert!(["podman-init\n", "catatonit\n", "init\n"].contains(&first.as_str()), "{first}");
    let caps = ["--cap-add", "sys_time", "--cap-drop", "chown"];
    let (_, text) = engine.run(&caps, "grep CapEff /proc/self/status");
    let set = u64::from_str_radix(text.trim_start_matches("CapEff:").trim(), 16).unwrap();
    assert_eq!((set & 1, set >> 25 & 1), (0, 1), "{text}");
    let (_, text) =
        engine.run(&["--security-opt", "no-new-privileges"], "grep NoNew /proc/self/status");
    assert_eq!(text, "NoNewPrivs:\t1\n");
    let (code, text) =
        engine.run(&["--read-only", "--tmpfs", "/run"], "echo x > /run/x && echo y > /y");
    assert!(code == Some(1) && text.contains("can't create /y: Read-only"), "{text}");
}
