//! `engine`: the walk-through of what containers are made of, and what else its users rely on.
//!
//! By root. Invariant: containers, groups, mounts and files are the test's own, and nothing of them is left.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[expect(dead_code, reason = "the tests of `sandbox` use the rest")]
mod commands;

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use commands::terminal::{empty, terminal};
use commands::{Done, command, finish, read_until};
use serde_json::Value;
use tempfile::TempDir;

/// A store with the image `busybox:1`, and an engine beside it.
struct Scene(TempDir);

impl Scene {
    fn new() -> Self {
        let scene = Self(tempfile::tempdir_in("/dev/shm").unwrap());
        let bin = scene.path("root/bin");
        fs::create_dir_all(&bin).unwrap();
        for directory in ["etc", "tmp"] {
            fs::create_dir(scene.path("root").join(directory)).unwrap();
        }
        fs::copy("/bin/busybox", bin.join("busybox")).expect("Debian's busybox-static");
        for name in ["sh", "sleep", "cat", "stty", "hostname", "tty", "touch", "env", "id"] {
            symlink("busybox", bin.join(name)).unwrap();
        }
        let source = format!("dir:{}", scene.path("root").display());
        let store = scene.path("images");
        let words = ["pull", "--store", store.to_str().unwrap(), &source, "busybox:1"];
        assert_eq!(finish(command("image", &words).spawn().unwrap()).code, Some(0));
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, words: &[&str]) -> std::process::Command {
        let store = self.path("images");
        command("engine", &[&["--store", store.to_str().unwrap()], words].concat())
    }

    fn call(&self, words: &[&str]) -> Done {
        finish(self.command(words).spawn().unwrap())
    }

    /// What it printed; it must succeed.
    #[track_caller]
    fn ok(&self, words: &[&str]) -> String {
        let done = self.call(words);
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{words:?}");
        done.out
    }

    /// What it said; it must end with this code.
    #[track_caller]
    fn fails(&self, code: i32, words: &[&str]) -> String {
        let done = self.call(words);
        assert_eq!(done.code, Some(code), "{words:?}: {done:?}");
        done.err
    }

    #[track_caller]
    fn inspect(&self, name: &str) -> Value {
        let all: Value = serde_json::from_str(&self.ok(&["inspect", name])).unwrap();
        all[0].clone()
    }

    /// The line of a container in `ps -a`.
    #[track_caller]
    fn line(&self, name: &str) -> String {
        let text = self.ok(&["ps", "-a"]);
        let line = text.lines().find(|line| line.ends_with(name));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
    }

    /// Mounts of the host that are in our place.
    fn mounts(&self) -> Vec<String> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let place = self.0.path().to_str().unwrap();
        mounts.lines().filter(|line| line.contains(place)).map(str::to_owned).collect()
    }

    #[track_caller]
    fn until(&self, what: &str, so: impl Fn(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        while !so(self) {
            assert!(Instant::now() < end, "not in time: {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for id in self.call(&["ps", "-a", "-q"]).out.lines() {
            self.call(&["rm", "-f", id]);
        }
    }
}

fn path(value: &Value) -> &Path {
    Path::new(value.as_str().unwrap_or_else(|| panic!("{value} is no path")))
}

#[test]
fn the_walk_through() {
    let scene = Scene::new();
    let script = "cat /note; test -e /seen && exec sleep 1000; echo first > /seen; hostname";
    // A container is a directory, of which the kernel knows nothing.
    let id = scene.ok(&["create", "--name", "walk", "busybox:1", "sh", "-c", script]);
    assert_eq!(id.trim().len(), 64);
    assert_eq!(scene.mounts(), Vec::<String>::new());
    assert_eq!(scene.ok(&["ps", "-q"]), "");
    let line = scene.line("walk");
    assert!(line.starts_with(&id[..12]) && line.contains("  Created  "), "{line}");
    // Its files are the image's, until something is written over them.
    let merged = PathBuf::from(scene.ok(&["mount", "walk"]).trim());
    assert_eq!(scene.mounts().len(), 1);
    fs::write(merged.join("note"), "from the host\n").unwrap();
    assert_eq!(fs::read_link(merged.join("bin/sh")).unwrap(), PathBuf::from("busybox"));
    let seen = scene.inspect("walk");
    let layer = &seen["GraphDriver"]["Data"];
    assert_eq!(
        fs::read_to_string(path(&layer["UpperDir"]).join("note")).unwrap(),
        "from the host\n"
    );
    assert!(path(&layer["LowerDir"]).join("bin/busybox").is_file());
    assert!(!path(&layer["LowerDir"]).join("note").exists());
    assert!(path(&layer["WorkDir"]).is_dir());
    assert_eq!(path(&layer["MergedDir"]), merged);
    config(&scene, path(&seen["OCIConfigPath"]), &id);
    // A program that ends.
    scene.ok(&["start", "walk"]);
    assert_eq!(scene.ok(&["wait", "walk"]), "0\n");
    assert!(scene.line("walk").contains("  Exited (0) "), "{}", scene.line("walk"));
    assert_eq!(scene.ok(&["logs", "walk"]), format!("from the host\n{}\n", &id[..12]));
    assert_eq!(scene.mounts(), Vec::<String>::new());
    // Started again it has the same layer, and so goes another way.
    scene.ok(&["start", "walk"]);
    scene.until("it sleeps", |scene| scene.ok(&["top", "walk"]).contains("sleep 1000"));
    let line = scene.line("walk");
    assert!(line.contains("  Up "), "{line}");
    assert_eq!(scene.ok(&["exec", "walk", "cat", "/seen"]), "first\n");
    assert_eq!(scene.mounts(), Vec::<String>::new());
    running(&scene);
    // The end.
    assert!(scene.fails(125, &["rm", "walk"]).contains("running"));
    assert_eq!(scene.ok(&["stop", "-t", "0", "walk"]), "walk\n");
    assert!(scene.line("walk").contains("  Exited (1"), "{}", scene.line("walk"));
    scene.ok(&["rm", "walk"]);
    assert_eq!(scene.ok(&["ps", "-a", "-q"]), "");
    assert_eq!(fs::read_dir(scene.path("engine/containers")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(scene.path("engine/run")).unwrap().count(), 0);
}

/// The generated config.json is one that runtimes take: with it and the files ours does the same.
fn config(scene: &Scene, file: &Path, id: &str) {
    let config: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(config["hostname"], id[..12]);
    assert_eq!(config["process"]["args"][0], "sh");
    assert_eq!(config["root"]["path"], "rootfs");
    let kinds: Vec<_> = config["linux"]["namespaces"].as_array().unwrap().iter().collect();
    assert!(kinds.iter().any(|kind| kind["type"] == "mount"), "{kinds:?}");
    // The kernel maps no owners of an overlay, so that a copy is needed.
    let bundle = scene.path("bundle");
    fs::create_dir(&bundle).unwrap();
    fs::copy(file, bundle.join("config.json")).unwrap();
    let mut copy = std::process::Command::new("cp");
    let copy = copy.arg("-a").arg(file.with_file_name("rootfs")).arg(&bundle).status();
    assert!(copy.unwrap().success());
    let (root, bundle) = (scene.path("oci"), bundle.to_str().unwrap());
    let words = ["--root", root.to_str().unwrap(), "run", "-b", bundle, "oci"];
    let done = finish(command("oci-runtime", &words).spawn().unwrap());
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
    assert_eq!(done.out, format!("from the host\n{}\n", &id[..12]));
}

/// What is shown of a container that runs.
fn running(scene: &Scene) {
    let seen = scene.inspect("walk");
    assert_eq!(seen["State"]["Status"], "running");
    let pid = seen["State"]["Pid"].as_u64().unwrap();
    let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let groups = seen["CgroupPaths"].as_array().unwrap();
    assert!(!groups.is_empty());
    for group in groups {
        let name = path(group).file_name().unwrap().to_str().unwrap();
        assert!(path(group).is_dir() && own.contains(name), "{group} {own}");
    }
    let merged = path(&seen["GraphDriver"]["Data"]["MergedDir"]).join("seen");
    assert_eq!(fs::read_to_string(merged).unwrap(), "first\n");
    // Where SELinux is on the label has a type for containers.
    let label = seen["ProcessLabel"].as_str().unwrap();
    assert_eq!(label.contains(":container_t:"), Path::new("/sys/fs/selinux/enforce").exists());
    // What is changed from outside is seen in `top`.
    let text = scene.ok(&["top", "walk"]);
    let (head, line) = (text.lines().next().unwrap(), row(&text, "sleep 1000"));
    let columns: Vec<_> = head.split_whitespace().collect();
    assert_eq!(columns, ["PID", "PPID", "CLS", "RTPRIO", "NI", "TIME", "COMMAND"]);
    assert_eq!(line[2..5], ["TS", "-", "0"]);
    for group in groups {
        // Kernels with real-time groups give only the first one of version 1 such time by themselves.
        let timed = |place: &&Path| place.join("cpu.rt_runtime_us").exists();
        if let Some(first) = path(group).ancestors().take_while(timed).last() {
            fs::write(first.join("cgroup.procs"), &line[0]).unwrap();
        }
    }
    for (change, shown) in [
        (&["renice", "-n", "5", "-p"][..], ["TS", "-", "5"]),
        (&["chrt", "--batch", "--pid", "0"], ["B", "-", "5"]),
        (&["chrt", "--rr", "--pid", "7"], ["RR", "7", "-"]),
    ] {
        let mut program = std::process::Command::new(change[0]);
        let changed = program.args(&change[1..]).arg(&line[0]).output().unwrap();
        assert!(changed.status.success(), "{change:?}: {changed:?}");
        assert_eq!(row(&scene.ok(&["top", "walk"]), "sleep 1000")[2..5], shown, "{change:?}");
    }
    let info: Value = serde_json::from_str(&scene.ok(&["info"])).unwrap();
    assert_eq!(info["store"]["containers"]["running"], 1);
    assert_eq!(info["host"]["security"]["rootless"], false);
    assert!(info["host"]["cgroupVersion"].as_str().unwrap().starts_with('v'), "{info}");
    assert_eq!(path(&info["store"]["imageStore"]), scene.path("images"));
}

/// The words of the line with this command.
fn row(text: &str, command: &str) -> Vec<String> {
    let line = text.lines().find(|line| line.ends_with(command));
    let line = line.unwrap_or_else(|| panic!("no {command} in {text}"));
    line.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_container_in_the_background_with_limits_volumes_and_a_terminal() {
    let scene = Scene::new();
    for name in ["read", "write"] {
        fs::create_dir(scene.path(name)).unwrap();
        fs::write(scene.path(name).join("file"), "data\n").unwrap();
    }
    let script = "tty; hostname; cat /r/file; touch /r/x; touch /w/x; sleep 1000";
    let (read, write) = (scene.path("read"), scene.path("write"));
    let (read, write) = (format!("{}:/r:ro", read.display()), format!("{}:/w:Z", write.display()));
    let options = "run -d -t --name full --hostname inside --memory 64m --cpus 0.5 --pids-limit 20";
    let words: Vec<_> = options.split(' ').chain(["-v", &read, "-v", &write]).collect();
    scene.ok(&[&words[..], &["busybox:1", "sh", "-c", script]].concat());
    scene.until("it sleeps", |scene| scene.ok(&["top", "full"]).contains("sleep 1000"));
    scene.until("its output", |scene| scene.ok(&["logs", "full"]).contains("Read-only"));
    let log = scene.ok(&["logs", "full"]);
    assert!(log.starts_with("/dev/pts/0\r\ninside\r\ndata\r\n"), "{log:?}");
    assert!(write_owner(&scene.path("write/x")) == Some(0), "not the caller's");
    let stats = scene.ok(&["stats", "full"]);
    assert!(stats.contains(" / 64.0MiB") && stats.lines().count() == 2, "{stats}");
    // Its processes are limited: the shell, sleep and init are there already.
    let fork = "for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 5 & done";
    let done = scene.call(&["exec", "full", "sh", "-c", fork]);
    assert!(done.err.contains("fork"), "{done:?}");
    typed(&scene);
    // A signal that it does not catch, and once more from the beginning.
    scene.ok(&["kill", "-s", "INT", "full"]);
    assert_eq!(scene.ok(&["wait", "full"]), "130\n");
    scene.ok(&["start", "full"]);
    scene.ok(&["kill", "full"]);
    assert_eq!(scene.ok(&["wait", "full"]), "137\n");
}

fn write_owner(file: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(file).ok().map(|found| found.uid())
}

/// A shell in a terminal of ours.
fn typed(scene: &Scene) {
    let (mut user, program) = terminal(33, 101);
    let stream = || Stdio::from(program.try_clone().unwrap());
    let mut exec = scene.command(&["exec", "-it", "-e", "A=typed", "full", "sh"]);
    let mut child = exec.stdin(stream()).stdout(stream()).spawn().unwrap();
    user.write_all(b"stty size; echo $A text; exit 5\r").unwrap();
    let said = read_until(&mut user, "typed text");
    assert!(said.contains("33 101"), "{said:?}");
    child.stdout = Some(empty());
    assert_eq!(finish(child).code, Some(5));
}

#[test]
fn exit_codes_and_what_cannot_be() {
    let scene = Scene::new();
    let done = scene.call(&["run", "--rm", "busybox:1", "sh", "-c", "echo out; exit 7"]);
    assert_eq!((done.code, done.out.as_str()), (Some(7), "out\n"));
    for terminal in [&[][..], &["-t"]] {
        let run = |word| [&["run", "--rm"], terminal, &["busybox:1", word]].concat();
        assert!(scene.fails(127, &run("nothing")).contains("nothing"));
        assert!(scene.fails(126, &run("/etc")).contains("/etc"));
    }
    assert_eq!(scene.ok(&["ps", "-a", "-q"]), "");
    assert!(scene.ok(&["--help"]).contains("Usage: engine"));
    assert!(scene.ok(&["run", "--help"]).contains("Usage: engine"));
    scene.ok(&["create", "--name", "one", "busybox:1", "sleep", "1000"]);
    for (words, said) in [
        (&["start", "two"][..], "two"),
        (&["create", "--name", "one", "busybox:1"], "already"),
        (&["create", "absent:1"], "absent"),
        (&["create", "--memory", "much", "busybox:1", "sh"], "much"),
        (&["create", "-v", "/a", "busybox:1", "sh"], "--volume"),
        (&["create", "--hostname", "x y", "busybox:1", "sh"], "hostname"),
        (&["create", "busybox:1"], "command"),
        (&["exec", "one", "sh"], "does not run"),
        (&["top", "one"], "does not run"),
        (&["kill", "one"], "does not run"),
        (&["wait", "one"], "never started"),
        (&["kill", "-s", "NONE", "one"], "NONE"),
        (&["sing"], "sing"),
        (&["ps", "--colour"], "--colour"),
        (&["inspect"], "inspect"),
    ] {
        let error = scene.fails(125, words);
        assert!(error.contains(said), "{words:?}: {error}");
    }
    assert_eq!(scene.ok(&["ps", "-a", "-q"]).lines().count(), 1);
    assert_eq!(fs::read_dir(scene.path("engine/containers")).unwrap().count(), 1);
    // The beginning of an id is enough.
    let id = scene.ok(&["ps", "-a", "-q"]);
    scene.ok(&["start", &id[..6]]);
    scene.ok(&["rm", "-f", "one"]);
}
