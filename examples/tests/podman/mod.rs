//! Podman with `oci-runtime` below it, and an image of busybox.
//!
//! Kernel objects: a process in namespaces of its own, in which all of Podman runs; the storage, in memory.
//! Invariant: what Podman mounts, switches and writes is there alone, and ends with it.
#![allow(dead_code, reason = "each test program uses a part of it")]

#[path = "../commands/place.rs"]
pub(crate) mod place;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

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

/// The image of busybox.
pub(crate) const IMAGE: &str = "localhost/busybox:1";

/// What keeps the namespaces, until nobody holds its input; it says when they are as they are to be. The storage of an
/// ordinary user has files that only its ranges of ids can remove: it ends with the namespaces.
const KEEPER: &str = "mount -t tmpfs tmpfs /run && mount -t tmpfs -o mode=711 tmpfs \"$1\" && \
    mkdir -p \"$1/home\" && mkdir -m 700 \"$1/runtime\" && echo ready && exec cat";

/// Who the engine runs as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// Root of the machine.
    Root,
    /// An ordinary user, as the root of a user namespace with the ranges of `/etc/subuid`: that is how it runs all that
    /// has to do with containers.
    User,
}

/// An engine with a storage and namespaces of its own, and an image in it.
pub(crate) struct Engine {
    place: TempDir,
    keeper: Child,
    by: By,
}

impl Engine {
    pub(crate) fn new() -> Self {
        Self::run_by(By::Root)
    }

    pub(crate) fn run_by(by: By) -> Self {
        let place = tempfile::tempdir_in("/dev/shm").unwrap();
        fs::create_dir(place.path().join("own")).unwrap();
        let mut keeper = Command::new("unshare");
        if by == By::User {
            keeper.args(["--user", "--map-root-user", "--map-auto"]);
            keeper.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
        }
        keeper.args(["--mount", "--net", "--propagation", "private", "sh", "-ec", KEEPER, "sh"]);
        keeper.arg(place.path().join("own")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = keeper.spawn().unwrap();
        let mut said = [0; 6];
        std::io::Read::read_exact(keeper.stdout.as_mut().unwrap(), &mut said).unwrap();
        let engine = Self { place, keeper, by };
        fs::write(engine.path("containers.conf"), SETTINGS).unwrap();
        // Users of containers go through it.
        fs::set_permissions(engine.place.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let root = engine.path("image");
        for directory in ["bin", "etc", "tmp", "proc", "sys", "dev", "run", "root"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).expect("Debian's busybox-static");
        let names = "sh sleep cat id tty true readlink mkdir hostname grep head od ls";
        for name in names.split_whitespace() {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        let archive = engine.path("image.tar");
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(&root).arg("-cf").arg(&archive).arg(".");
        assert!(tar.status().unwrap().success());
        engine.ok(&["import", archive.to_str().unwrap(), IMAGE]);
        engine
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// A program in the namespaces.
    pub(crate) fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("timeout");
        command.args(["60", "nsenter", "--mount", "--net"]);
        if self.by == By::User {
            command.args(["--user", "--pid"]);
            command.env("HOME", self.path("own/home")).env("TMPDIR", self.path("own"));
            command.env("XDG_RUNTIME_DIR", self.path("own/runtime"));
            let own = rustix::process::geteuid().as_raw().to_string();
            // What it tells itself, once it stands in its namespace.
            command.env("_CONTAINERS_USERNS_CONFIGURED", "done");
            command.env("_CONTAINERS_ROOTLESS_UID", &own).env("_CONTAINERS_ROOTLESS_GID", own);
        }
        command.arg("--target").arg(self.first_process()).arg(program);
        command.env("CONTAINERS_CONF", self.path("containers.conf")).current_dir("/");
        command
    }

    /// The one that stands in all the namespaces.
    fn first_process(&self) -> String {
        let pid = self.keeper.id();
        if self.by == By::Root {
            return pid.to_string();
        }
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        children.trim().to_owned()
    }

    pub(crate) fn podman(&self, arguments: &[&str]) -> Output {
        let mut command = self.inside("podman");
        command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]);
        for (option, name) in [("--root", "root"), ("--runroot", "runroot"), ("--tmpdir", "tmp")] {
            command.arg(option).arg(self.path("own").join(name));
        }
        command.arg("--runtime").arg(place::example("oci-runtime")).args(arguments);
        command.output().expect("podman")
    }

    /// What it printed; it must succeed.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.podman(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The exit code of a container's script, without a network.
    pub(crate) fn run(&self, options: &[&str], script: &str) -> (Option<i32>, String) {
        let start = ["run", "--rm", "--network", "none"];
        let output = self.podman(&[&start, options, &[IMAGE, "/bin/sh", "-c", script]].concat());
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.podman(&["pod", "rm", "--all", "--force", "--time", "0"]));
        drop(self.podman(&["rm", "--all", "--force", "--time", "0"]));
        self.keeper.kill().unwrap();
        self.keeper.wait().unwrap();
    }
}
