//! `oci-runtime` below Podman, from Debian's packages.
//!
//! By root. Invariant: the engines' storage, containers and files are the test's own, and nothing of them is left.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "commands/place.rs"]
mod place;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

/// Limits that every machine allows, and nothing of systemd.
const SETTINGS: &str = "\
[containers]
default_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]
[engine]
cgroup_manager = \"cgroupfs\"
events_logger = \"file\"
";

/// The image of busybox.
const IMAGE: &str = "localhost/busybox:1";

/// An engine with a storage of its own, and an image in it.
struct Engine(TempDir);

impl Engine {
    fn new() -> Self {
        let engine = Self(tempfile::tempdir_in("/dev/shm").unwrap());
        fs::write(engine.path("containers.conf"), SETTINGS).unwrap();
        // Users of containers go through it.
        fs::set_permissions(engine.0.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let root = engine.path("image");
        for directory in ["bin", "etc", "tmp", "proc", "sys", "dev", "run", "root"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).expect("Debian's busybox-static");
        for name in ["sh", "sleep", "cat", "id", "tty", "true"] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        let archive = engine.path("image.tar");
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(&root).arg("-cf").arg(&archive).arg(".");
        assert!(tar.status().unwrap().success());
        engine.ok(&["import", archive.to_str().unwrap(), IMAGE]);
        engine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn podman(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("timeout");
        command.args(["60", "podman", "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]);
        for (option, name) in [("--root", "root"), ("--runroot", "runroot"), ("--tmpdir", "tmp")] {
            command.arg(option).arg(self.path(name));
        }
        command.arg("--runtime").arg(place::example("oci-runtime")).args(arguments);
        command.env("CONTAINERS_CONF", self.path("containers.conf")).output().expect("podman")
    }

    /// What it printed; it must succeed.
    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.podman(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The exit code of a container's script, without a network.
    fn run(&self, options: &[&str], script: &str) -> (Option<i32>, String) {
        let start = ["run", "--rm", "--network", "none"];
        let output = self.podman(&[&start, options, &[IMAGE, "/bin/sh", "-c", script]].concat());
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.podman(&["rm", "--all", "--force", "--time", "0"]));
    }
}

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
