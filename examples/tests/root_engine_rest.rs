//! An engine with a front end by REST: `podman system service`, driven by curl, with `oci-runtime` below it.
//!
//! By root. Invariant: the service ends with the test, and its storage, containers and socket are the test's own.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "commands/place.rs"]
mod place;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Limits that every machine allows, and nothing of systemd.
const SETTINGS: &str = "\
[containers]
default_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]
[engine]
cgroup_manager = \"cgroupfs\"
events_logger = \"file\"
lock_type = \"file\"
";

const IMAGE: &str = "localhost/busybox:1";

/// A service with a storage of its own.
struct Service {
    place: TempDir,
    child: Option<Child>,
}

impl Service {
    fn start() -> Self {
        let place = tempfile::tempdir_in("/dev/shm").unwrap();
        let mut service = Self { place, child: None };
        fs::write(service.path("containers.conf"), SETTINGS).unwrap();
        let root = service.path("image");
        for directory in ["bin", "etc", "tmp", "proc", "sys", "dev", "run"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).expect("Debian's busybox-static");
        for name in ["sh", "sleep"] {
            symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        let archive = service.path("image.tar");
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(&root).arg("-cf").arg(&archive).arg(".");
        assert!(tar.status().unwrap().success());
        let import = service.podman(&["import", archive.to_str().unwrap(), IMAGE]).output();
        let import = import.expect("podman");
        assert!(import.status.success(), "{import:?}");
        let address = format!("unix://{}", service.path("api").display());
        let mut command = service.podman(&["system", "service", "--time", "0", &address]);
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        service.child = Some(quiet.spawn().unwrap());
        let end = Instant::now() + Duration::from_secs(60);
        while UnixStream::connect(service.path("api")).is_err() {
            assert!(Instant::now() < end, "the service does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        service
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn podman(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("podman");
        command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]);
        for (option, name) in [("--root", "root"), ("--runroot", "runroot"), ("--tmpdir", "tmp")] {
            command.arg(option).arg(self.path(name));
        }
        command.arg("--runtime").arg(place::example("oci-runtime")).args(arguments);
        command.env("CONTAINERS_CONF", self.path("containers.conf"));
        command
    }

    /// The status and the body of an answer.
    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, String) {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "60", "--request", method]);
        curl.args(["--write-out", "\n%{http_code}", "--unix-socket"]).arg(self.path("api"));
        if let Some(body) = body {
            curl.args(["--header", "Content-Type: application/json", "--data", &body.to_string()]);
        }
        let done = curl.arg(format!("http://engine/v4.0.0/libpod{path}")).output().expect("curl");
        assert!(done.status.success(), "{method} {path}: {done:?}");
        // The frames of a log are not text.
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    /// The answer of a call that has to go well.
    #[track_caller]
    fn ok(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let (status, text) = self.ask(method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {text}");
        if text.trim().is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.kill());
            drop(child.wait());
        }
        drop(self.podman(&["rm", "--all", "--force", "--time", "0"]).output());
        // What watches a program of `exec` stays for minutes, for somebody who asks how it ended.
        let place = self.place.path().as_os_str().as_encoded_bytes();
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let words = fs::read(process.path().join("cmdline")).unwrap_or_default();
            if words.windows(place.len()).any(|part| part == place) {
                drop(Command::new("kill").arg("-KILL").arg(process.file_name()).status());
            }
        }
        // Podman keeps the groups above its containers'; one that somebody else uses is not empty.
        let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        let paths = hierarchies.map(|one| one.path()).chain([PathBuf::from("/sys/fs/cgroup")]);
        for group in paths.map(|path| path.join("libpod_parent")) {
            let end = Instant::now() + Duration::from_secs(1);
            while fs::remove_dir(group.join("conmon"))
                .is_err_and(|error| error.kind() == ErrorKind::ResourceBusy)
                && Instant::now() < end
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            drop(fs::remove_dir(group));
        }
    }
}

fn container(name: &str, script: &str) -> Value {
    json!({
        "name": name,
        "image": IMAGE,
        "command": ["/bin/sh", "-c", script],
        "netns": { "nsmode": "none" },
        "resource_limits": { "pids": { "limit": 20 } },
    })
}

#[test]
fn a_container_s_life_by_rest() {
    let service = Service::start();
    let version = service.ok("GET", "/info", None);
    let runtime = place::example("oci-runtime");
    assert_eq!(version["host"]["ociRuntime"]["path"].as_str(), runtime.to_str(), "{version}");
    // One that ends.
    let script = "echo said by rest; hostname; exit 6";
    let made = service.ok("POST", "/containers/create", Some(&container("a", script)));
    assert_eq!(made["Id"].as_str().map(str::len), Some(64), "{made}");
    assert_eq!(service.ok("GET", "/containers/a/json", None)["State"]["Status"], "created");
    service.ok("POST", "/containers/a/start", None);
    assert_eq!(service.ok("POST", "/containers/a/wait?condition=exited", None), 6);
    let (status, log) = service.ask("GET", "/containers/a/logs?stdout=true", None);
    assert!(status == 200 && log.contains("said by rest\n"), "{status} {log:?}");
    let seen = service.ok("GET", "/containers/a/json", None);
    assert_eq!(
        (&seen["State"]["Status"], &seen["State"]["ExitCode"]),
        (&json!("exited"), &json!(6))
    );
    // One that runs, with another process in it.
    let script = "trap 'exit 9' TERM; while :; do sleep 0.1; done";
    service.ok("POST", "/containers/create", Some(&container("b", script)));
    service.ok("POST", "/containers/b/start", None);
    let exec = json!({ "Cmd": ["/bin/sh", "-c", "echo by exec; exit 3"], "AttachStdout": true });
    let exec = service.ok("POST", "/containers/b/exec", Some(&exec));
    let exec = exec["Id"].as_str().unwrap();
    let start = json!({ "Detach": false, "Tty": false });
    let (status, said) = service.ask("POST", &format!("/exec/{exec}/start"), Some(&start));
    assert!(status == 200 && said.contains("by exec\n"), "{status} {said:?}");
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let seen = service.ok("GET", &format!("/exec/{exec}/json"), None);
        if seen["Running"] == false {
            assert_eq!(seen["ExitCode"], 3);
            break;
        }
        assert!(Instant::now() < end, "{seen}");
        std::thread::sleep(Duration::from_millis(20));
    }
    let top = service.ok("GET", "/containers/b/top?stream=false", None);
    assert!(top.to_string().contains("sleep 0.1"), "{top}");
    service.ok("POST", "/containers/b/pause", None);
    assert_eq!(service.ok("GET", "/containers/b/json", None)["State"]["Status"], "paused");
    service.ok("POST", "/containers/b/unpause", None);
    service.ok("POST", "/containers/b/stop", None);
    assert_eq!(service.ok("GET", "/containers/b/json", None)["State"]["ExitCode"], 9);
    // And nothing is left of them.
    for name in ["a", "b"] {
        service.ok("DELETE", &format!("/containers/{name}"), None);
        assert_eq!(service.ask("GET", &format!("/containers/{name}/json"), None).0, 404);
    }
    assert_eq!(service.ok("GET", "/containers/json?all=true", None), json!([]));
}

#[test]
fn a_program_that_is_not_there_is_an_error_by_rest() {
    let service = Service::start();
    let mut missing = container("a", "");
    missing["command"] = json!(["/nothing"]);
    service.ok("POST", "/containers/create", Some(&missing));
    let (status, said) = service.ask("POST", "/containers/a/start", None);
    assert!(status >= 400 && said.contains("/nothing"), "{status} {said}");
    service.ok("DELETE", "/containers/a", None);
}
