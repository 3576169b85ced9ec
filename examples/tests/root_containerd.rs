//! `oci-runtime` below containerd, from Debian's package.
//!
//! By root. Invariant: containerd has a `/run`, process ids and directories of its own, all of which end with the test.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "commands/place.rs"]
mod place;

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The image of busybox.
const IMAGE: &str = "localhost/busybox:1";

/// An archive of an OCI layout, of the program at `$1`.
const ARCHIVE: &str = r#"
mkdir -p image/bin image/proc image/sys image/dev image/tmp image/etc oci/blobs/sha256
cp "$1" image/bin/busybox
for name in sh sleep cat id tty; do ln -s busybox image/bin/$name; done
echo root:x:0:0::/:/bin/sh > image/etc/passwd
descriptor() {
    digest=$(sha256sum "$2" | cut -d ' ' -f 1) size=$(stat -c %s "$2")
    mv "$2" oci/blobs/sha256/$digest
    said="\"mediaType\":\"application/vnd.oci.image.$1\",\"digest\":\"sha256:$digest\",\"size\":$size"
}
tar -C image -cf file .
descriptor layer.v1.tar file
layer=$said
echo "{\"architecture\":\"$2\",\"os\":\"linux\",\"config\":{\"Env\":[\"PATH=/bin\"]},
    \"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:$digest\"]}}" > file
descriptor config.v1+json file
echo "{\"schemaVersion\":2,\"config\":{$said},\"layers\":[{$layer}]}" > file
descriptor manifest.v1+json file
echo "{\"schemaVersion\":2,\"manifests\":[{$said,
    \"annotations\":{\"io.containerd.image.name\":\"$3\"}}]}" > oci/index.json
echo '{"imageLayoutVersion":"1.0.0"}' > oci/oci-layout
tar -C oci -cf image.tar .
"#;

/// A containerd with an image in it.
struct Engine {
    place: TempDir,
    /// What keeps its process ids; they end with it.
    keeper: Child,
    /// Its first process, as it is called here.
    first: String,
}

impl Engine {
    fn new() -> Self {
        let place = tempfile::tempdir_in("/dev/shm").unwrap();
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let mut archive = Command::new("sh");
        archive.args(["-euc", ARCHIVE, "sh", "/bin/busybox", architecture, IMAGE]);
        assert!(archive.current_dir(place.path()).status().unwrap().success());
        let root = place.path().display().to_string();
        // What is for other file systems and for Kubernetes is not needed.
        let settings = format!(
            "version = 2\nroot = '{root}/root'\nstate = '{root}/state'\n\
             disabled_plugins = ['io.containerd.grpc.v1.cri', 'io.containerd.internal.v1.opt']\n\
             [grpc]\naddress = '{root}/socket'\n[ttrpc]\naddress = '{root}/ttrpc'\n"
        );
        fs::write(place.path().join("config.toml"), settings).unwrap();
        let log = fs::File::create(place.path().join("log")).unwrap();
        // Its shims have their sockets in /run.
        let script = "mount -t tmpfs tmpfs /run && containerd --config \"$0\"; exit 1";
        let mut keeper = Command::new("unshare");
        keeper.args(["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]);
        keeper.args(["--mount-proc", "sh", "-c", script]).arg(place.path().join("config.toml"));
        keeper.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let keeper = keeper.spawn().unwrap();
        let mut engine = Self { place, keeper, first: String::new() };
        engine.until("containerd answers", |engine| {
            let id = engine.keeper.id();
            let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
            engine.first = children.unwrap_or_default().trim().to_owned();
            engine.place.path().join("socket").exists() && engine.ctr(&["version"]).status.success()
        });
        let archive = engine.path("image.tar");
        engine.ok(&["images", "import", "--snapshotter", "native", archive.to_str().unwrap()]);
        engine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Its name space, which is also the name of the group above those of its containers.
    fn name(&self) -> String {
        let own = self.place.path().file_name().unwrap_or_default().to_string_lossy();
        format!("ampoule-containerd{}", own.replace('.', "-"))
    }

    fn ctr(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("nsenter")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        // In the foreground: a program in another process group may not change the terminal's settings.
        let mut command = Command::new("timeout");
        command.args([
            "--foreground",
            "60",
            "nsenter",
            "--mount",
            "--pid",
            "--target",
            &self.first,
            "ctr",
        ]);
        command.arg("--address").arg(self.path("socket")).arg("--namespace").arg(self.name());
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// What it printed; it must succeed.
    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.ctr(arguments);
        let log = || fs::read_to_string(self.path("log")).unwrap_or_default();
        assert!(output.status.success(), "{arguments:?}: {output:?}\n{}", log());
        String::from_utf8(output.stdout).unwrap()
    }

    /// `ctr run` below our runtime.
    fn run(&self, options: &[&str], id: &str, words: &[&str]) -> Output {
        let runtime = place::example("oci-runtime");
        let start = ["run", "--snapshotter", "native", "--runtime", "io.containerd.runc.v2"];
        let binary = ["--runc-binary", runtime.to_str().unwrap()];
        self.ctr(&[&start[..], &binary, options, &[IMAGE, id], words].concat())
    }

    /// What it says of a container's first process.
    fn status(&self, id: &str) -> String {
        let table = self.ok(&["tasks", "list"]);
        let line = table.lines().find(|line| line.starts_with(id)).unwrap_or_default();
        line.split_whitespace().last().unwrap_or_default().to_owned()
    }

    #[track_caller]
    fn until(&mut self, what: &str, so: impl Fn(&mut Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !so(self) {
            assert!(Instant::now() < end, "not in time: {what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The directories of its groups.
    fn groups(&self) -> Vec<PathBuf> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let groups = mounts.lines().filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let point = PathBuf::from(fields.next()?);
            fields.next()?.starts_with("cgroup").then(|| point.join(self.name()))
        });
        groups.filter(|path| path.exists()).collect()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for id in ["one", "two", "three"] {
            self.ctr(&["tasks", "delete", "--force", id]);
        }
        self.keeper.kill().unwrap();
        self.keeper.wait().unwrap();
    }
}

#[test]
fn a_container_from_its_run_to_its_end() {
    let mut engine = Engine::new();
    let output = engine.run(&["--rm"], "two", &["/bin/sh", "-c", "id -u; exit 3"]);
    let done = (output.status.code(), output.stdout.as_slice());
    assert_eq!(done, (Some(3), &b"0\n"[..]), "{output:?}");
    // The shim finds the reason in the log, and the client shows it.
    let output = engine.run(&["--rm"], "three", &["/bin/nothing"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("executable file not found in $PATH"), "{text}");
    let options = ["--detach", "--memory-limit", "67108864"];
    let script = "trap 'exit 8' TERM; while :; do sleep 0.1; done";
    let output = engine.run(&options, "one", &["/bin/sh", "-c", script]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(engine.status("one"), "RUNNING");
    let exec =
        ["tasks", "exec", "--exec-id", "e", "one", "/bin/sh", "-c", "cat /proc/1/comm; exit 4"];
    let output = engine.ctr(&exec);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(4), &b"sh\n"[..]));
    assert!(engine.ok(&["tasks", "metrics", "one"]).contains("67108864"));
    assert!(engine.ok(&["tasks", "ps", "one"]).lines().count() >= 2);
    engine.ok(&["tasks", "pause", "one"]);
    assert_eq!(engine.status("one"), "PAUSED");
    engine.ok(&["tasks", "resume", "one"]);
    assert_eq!(engine.status("one"), "RUNNING");
    engine.ok(&["tasks", "kill", "--signal", "SIGTERM", "one"]);
    engine.until("it ended", |engine| engine.status("one") == "STOPPED");
    let deleted = engine.ctr(&["tasks", "delete", "one"]);
    let said = String::from_utf8_lossy(&deleted.stderr).into_owned();
    assert!(said.contains("exit code 8"), "{deleted:?}");
    engine.ok(&["containers", "delete", "one"]);
    assert_eq!(engine.groups(), Vec::<PathBuf>::new());
}

#[test]
fn a_terminal_and_a_kill_of_everything() {
    let mut engine = Engine::new();
    let output = engine.run(&["--detach"], "one", &["/bin/sh", "-c", "sleep 1001 & sleep 1000"]);
    assert!(output.status.success(), "{output:?}");
    // ctr wants a terminal of its own.
    let exec = engine.command(&["tasks", "exec", "--tty", "--exec-id", "e", "one", "/bin/tty"]);
    let words = std::iter::once(exec.get_program()).chain(exec.get_args());
    let words: Vec<_> = words.map(|word| word.to_str().unwrap()).collect();
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &words.join(" "), "/dev/null"]);
    script.env("SHELL", "/bin/sh");
    let output = script.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("/dev/pts/0"), "{output:?}");
    engine.ok(&["tasks", "kill", "--signal", "SIGKILL", "--all", "one"]);
    engine.until("it ended", |engine| engine.status("one") == "STOPPED");
    engine.ctr(&["tasks", "delete", "one"]);
    assert!(!engine.ok(&["tasks", "list"]).contains("one"));
}
