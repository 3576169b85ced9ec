//! `oci-runtime`: what engines call, in the order in which they do.
//!
//! By root. Invariant: nothing is left of the containers.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod runtime;

use runtime::Scene;
use serde_json::json;

#[test]
fn from_create_to_delete() {
    let scene = Scene::new("life", "echo $HOME; id -u; exec sleep 1000");
    let pid_file = scene.path("pid");
    let call = scene.call(&["create", "one", "--pid-file", pid_file.to_str().unwrap()]);
    assert_eq!(call.code, Some(0), "{call:?}");
    let state = scene.state("one");
    assert_eq!((&state["status"], &state["id"]), (&json!("created"), &json!("one")));
    assert_eq!(state["pid"].to_string(), scene.read("pid"));
    assert_eq!(state["bundle"], json!(scene.path("bundle")));
    assert!(scene.fails(&["create", "one"]).contains("container with given ID already exists"));
    scene.ok(&["start", "one"]);
    assert_eq!(scene.state("one")["status"], "running");
    assert!(scene.fails(&["start", "one"]).contains("cannot start"));
    assert!(scene.fails(&["delete", "one"]).contains("cannot delete"));
    assert!(scene.ok(&["list"]).contains("running"));
    assert_eq!(scene.ok(&["list", "-q"]), "one\n");
    scene.ok(&["kill", "one", "KILL"]);
    scene.until("stopped", |scene| scene.state("one")["status"] == "stopped");
    assert!(scene.fails(&["kill", "one", "9"]).contains("container not running"));
    assert!(!scene.groups().is_empty());
    scene.ok(&["delete", "one"]);
    assert_eq!(scene.groups(), [""; 0].map(Into::<std::path::PathBuf>::into));
    assert_eq!(scene.parents(), scene.groups(), "the runtime made them");
    assert!(scene.fails(&["state", "one"]).contains("container does not exist"));
    scene.ok(&["delete", "--force", "one"]);
}

#[test]
fn run_has_the_exit_code_of_its_program() {
    let scene = Scene::new("run", "echo $HOME; id -u; exit 7");
    let done = scene.call(&["run", "one"]);
    assert_eq!((done.code, done.out.as_str()), (Some(7), "/\n0\n"), "{done:?}");
    assert_eq!(scene.ok(&["list", "-q"]), "");
    scene.change("/process/args", json!(["/no/program"]));
    assert!(scene.fails(&["run", "one"]).contains("executable file not found in $PATH"));
    assert!(scene.fails(&["create", "one"]).contains("executable file not found in $PATH"));
    assert_eq!(scene.ok(&["list", "-q"]), "");
    assert!(scene.groups().is_empty());
}

#[test]
fn further_processes() {
    let scene = Scene::new("exec", "exec sleep 1000");
    scene.ok(&["run", "-d", "one"]);
    let listed = scene.ok(&["exec", "one", "ls", "-a", "/proc/self/ns"]);
    assert!(listed.contains("mnt\n"), "{listed}");
    assert_eq!(
        scene.ok(&["exec", "--cwd", "/tmp", "-e", "A=b", "one", "sh", "-c", "pwd; echo $A"]),
        "/tmp\nb\n"
    );
    assert_eq!(scene.call(&["exec", "one", "sh", "-c", "exit 9"]).code, Some(9));
    assert!(scene.fails(&["exec", "one", "nothing"]).contains("executable file not found"));
    let process = json!({
        "user": { "uid": 5, "gid": 6, "additionalGids": [7] }, "cwd": "/bin",
        "args": ["sh", "-c", "id; pwd; echo $X $HOME; grep CapEff /proc/self/status || true"],
        "env": ["PATH=/bin", "X=y"],
    });
    std::fs::write(scene.path("process.json"), process.to_string()).unwrap();
    let file = scene.path("process.json");
    let said = scene.ok(&["exec", "--process", file.to_str().unwrap(), "one"]);
    assert!(said.starts_with("uid=5 gid=6 groups=7"), "{said}");
    assert!(said.contains("\n/bin\ny /\n"), "{said}");
    let pid = scene.path("exec-pid");
    let pid = pid.to_str().unwrap();
    scene.ok(&["exec", "-d", "one", "--pid-file", pid, "sleep", "1001"]);
    let ids = scene.ok(&["ps", "--format", "json", "one"]);
    let ids: Vec<u32> = serde_json::from_str(&ids).unwrap();
    assert!(ids.contains(&scene.read("exec-pid").parse().unwrap()), "{ids:?}");
    assert_eq!(ids.len(), 2);
    let table = scene.ok(&["ps", "one", "-o", "pid,args"]);
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.contains("sleep 1001"), "{table}");
    assert!(scene.ok(&["ps", "one", "-ef"]).contains("sleep 1000"));
    assert!(scene.ok(&["ps", "one", "--format", "json"]).starts_with('['));
    assert!(scene.fails(&["ps", "one", "-o", "args"]).contains("PID"));
}

#[test]
fn parents_of_groups_go_with_the_last_one() {
    let scene = Scene::new("parents", "exec sleep 1000");
    let group = |name: &str| json!(format!("{}/{name}", scene.parent()));
    scene.change("/linux/cgroupsPath", group("deep/one"));
    scene.ok(&["create", "one"]);
    scene.change("/linux/cgroupsPath", group("deep/two"));
    scene.ok(&["create", "two"]);
    scene.ok(&["delete", "--force", "one"]);
    assert!(!scene.parents().is_empty());
    scene.ok(&["delete", "--force", "two"]);
    assert!(scene.parents().is_empty(), "{:?}", scene.parents());
    // What was there is somebody else's.
    let there = std::path::Path::new("/sys/fs/cgroup/pids");
    let there = if there.exists() { there } else { std::path::Path::new("/sys/fs/cgroup") };
    let there = there.join(scene.parent().trim_start_matches('/'));
    std::fs::create_dir(&there).unwrap();
    scene.change("/linux/cgroupsPath", group("one"));
    scene.ok(&["create", "one"]);
    scene.ok(&["delete", "--force", "one"]);
    assert_eq!(scene.parents(), [there]);
}

#[test]
fn limits_and_what_is_used() {
    let scene = Scene::new("limits", "exec sleep 1000");
    scene.ok(&["run", "-d", "one"]);
    scene.ok(&["update", "--memory", "64m", "--pids-limit", "20", "one"]);
    // Nothing was said of processors before.
    scene.ok(&["update", "--cpuset-cpus", "0", "one"]);
    let status = format!("/proc/{}/status", scene.state("one")["pid"]);
    let status = std::fs::read_to_string(status).unwrap();
    assert!(status.contains("\nCpus_allowed_list:\t0\n"), "{status}");
    let stats = scene.ok(&["events", "--stats", "one"]);
    let stats: serde_json::Value = serde_json::from_str(&stats).unwrap();
    assert_eq!((&stats["type"], &stats["id"]), (&json!("stats"), &json!("one")));
    assert_eq!(stats["data"]["memory"]["usage"]["limit"], 64 << 20);
    assert_eq!(stats["data"]["pids"], json!({ "current": 1, "limit": 20 }));
    std::fs::write(scene.path("limits.json"), r#"{"pids":{"limit":30}}"#).unwrap();
    let file = scene.path("limits.json");
    scene.ok(&["update", "one", "-r", file.to_str().unwrap()]);
    assert!(scene.ok(&["events", "one", "--stats"]).contains("\"limit\":30"));
    std::fs::write(&file, r#"{"nothing":1"#).unwrap();
    scene.fails(&["update", "one", "-r", file.to_str().unwrap()]);
    scene.ok(&["pause", "one"]);
    assert_eq!(scene.state("one")["status"], "paused");
    scene.ok(&["resume", "one"]);
    assert_eq!(scene.state("one")["status"], "running");
}

#[test]
fn hooks_run_at_their_times() {
    let scene = Scene::new("hooks", "exec sleep 1000");
    let line = |name: &str| {
        let file = scene.path(name);
        let script = format!("cat > {}", file.display());
        json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"] }])
    };
    for kind in ["prestart", "createRuntime", "poststart", "poststop"] {
        scene.change(&format!("/hooks/{kind}"), line(kind));
    }
    let state = |name: &str| {
        let text = scene.read(name);
        let state: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        state["status"].as_str().map(str::to_owned)
    };
    scene.ok(&["create", "one"]);
    assert_eq!(state("prestart").as_deref(), Some("creating"));
    assert_eq!(state("createRuntime").as_deref(), Some("creating"));
    assert_eq!(state("poststart"), None);
    scene.ok(&["start", "one"]);
    assert_eq!(state("poststart").as_deref(), Some("running"));
    // What is written later has no effect.
    std::fs::remove_file(scene.path("bundle/config.json")).unwrap();
    scene.ok(&["delete", "-f", "one"]);
    assert_eq!(state("poststop").as_deref(), Some("stopped"));
}

#[test]
fn a_hook_that_fails_leaves_nothing() {
    let scene = Scene::new("hook-fails", "true");
    scene.change("/hooks/createRuntime", json!([{ "path": "/bin/false" }]));
    assert!(scene.fails(&["create", "one"]).contains("/bin/false"));
    assert_eq!(scene.ok(&["list", "-q"]), "");
    assert!(scene.groups().is_empty());
}

#[test]
fn descriptors_are_handed_through() {
    let script = "echo $LISTEN_FDS $LISTEN_PID; ls /proc/self/fd; cat <&3; cat <&4";
    let scene = Scene::new("fds", script);
    for (name, text) in [("three", "3rd\n"), ("four", "4th\n")] {
        std::fs::write(scene.path(name), text).unwrap();
    }
    let from = |shell: &str| {
        let inner = scene.command(&["run", "--preserve-fds", "1", "one"]);
        let mut outer = std::process::Command::new("sh");
        outer.args(["-c", shell, "sh"]).arg(inner.get_program()).args(inner.get_args());
        outer.current_dir(scene.path("bundle")).output().unwrap()
    };
    let [three, four] = ["three", "four"].map(|name| scene.path(name).display().to_string());
    let output = from(&format!("export LISTEN_FDS=1; exec \"$@\" 3<{three} 4<{four}"));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("1 1\n"), "{text} {:?}", String::from_utf8(output.stderr));
    assert!(text.ends_with("3rd\n4th\n"), "{text}");
    // Whoever runs the tests may have left descriptors open: the shell closes this one.
    let output = from("exec \"$@\" 3<&-");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("descriptor 3"), "{text}");
}

#[test]
fn documents() {
    let scene = Scene::new("documents", "true");
    assert!(scene.fails(&["spec"]).contains("exists already"));
    let features: serde_json::Value = serde_json::from_str(&scene.ok(&["features"])).unwrap();
    assert_eq!(features["linux"]["netDevices"]["enabled"], true);
    assert!(features["linux"]["namespaces"].as_array().unwrap().contains(&json!("time")));
    assert!(scene.ok(&["--version"]).contains("spec: 1."));
    for wrong in [&["nothing"] as &[&str], &["create", "--nothing", "x"], &["--nothing"]] {
        assert_eq!(scene.call(wrong).code, Some(1), "{wrong:?}");
    }
}

#[test]
fn the_engine_gets_the_terminal() {
    let scene = Scene::new("console", "tty; read line; echo got $line");
    scene.change("/process/terminal", json!(true));
    scene.change("/process/consoleSize", json!({ "height": 33, "width": 99 }));
    assert!(scene.fails(&["create", "one"]).contains("console socket"));
    let path = scene.path("console");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    scene.ok(&["create", "--console-socket", path.to_str().unwrap(), "one"]);
    let mut terminal = runtime::received(&listener);
    let size = rustix::termios::tcgetwinsize(&terminal).unwrap();
    assert_eq!((size.ws_row, size.ws_col), (33, 99));
    scene.ok(&["start", "one"]);
    runtime::read_until(&mut terminal, "/dev/pts/0");
    std::io::Write::write_all(&mut terminal, b"this\n").unwrap();
    runtime::read_until(&mut terminal, "got this");
    scene.until("stopped", |scene| scene.state("one")["status"] == "stopped");
}

#[test]
fn the_engine_gets_a_descriptor_of_the_process() {
    let scene = Scene::new("pidfd", "exec sleep 1000");
    let path = scene.path("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let option = ["--pidfd-socket", path.to_str().unwrap()];
    let of = |file: std::fs::File| {
        let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
        let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
        text.lines().find_map(|line| line.strip_prefix("Pid:\t")).unwrap().to_owned()
    };
    scene.ok(&["create", option[0], option[1], "one"]);
    assert_eq!(of(runtime::received(&listener)), scene.state("one")["pid"].to_string());
    scene.ok(&["start", "one"]);
    let pid = scene.path("pid");
    let file = ["--pid-file", pid.to_str().unwrap()];
    scene.ok(&["exec", "-d", option[0], option[1], file[0], file[1], "one", "sleep", "1000"]);
    assert_eq!(of(runtime::received(&listener)), scene.read("pid"));
}

#[test]
fn a_terminal_in_the_foreground() {
    let scene = Scene::new(
        "screen",
        "stty size; trap 'stty size; exit 7' WINCH; echo armed; while :; do sleep 0.05; done",
    );
    scene.change("/process/terminal", json!(true));
    let (mut user, program) = runtime::terminal(33, 101);
    let modes = || rustix::termios::tcgetattr(&program).unwrap().local_modes;
    let before = modes();
    let stream = || std::process::Stdio::from(program.try_clone().unwrap());
    let mut command = scene.command(&["run", "one"]);
    let mut child = command.stdin(stream()).stdout(stream()).spawn().unwrap();
    runtime::read_until(&mut user, "armed");
    assert_ne!(modes(), before, "typed text goes through as it is");
    runtime::resize(&user, 50, 120);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::WINCH).unwrap();
    runtime::read_until(&mut user, "50 120");
    assert_eq!(child.wait().unwrap().code(), Some(7));
    assert_eq!(modes(), before);
}
