//! Podman with `oci-runtime` below it, and an image of busybox.
//!
//! Kernel objects: a process in a mount and a network namespace of its own, in which all of Podman runs; the storage.
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

/// What keeps the namespaces; it says when they are as they are to be.
const KEEPER: &str = "mount -t tmpfs tmpfs /run && echo ready && exec sleep 100000";

/// An engine with a storage and namespaces of its own, and an image in it.
pub(crate) struct Engine {
    place: TempDir,
    keeper: Child,
}

impl Engine {
    pub(crate) fn new() -> Self {
        let place = tempfile::tempdir_in("/dev/shm").unwrap();
        let mut keeper = Command::new("unshare");
        keeper.args(["--mount", "--net", "--propagation", "private", "sh", "-c", KEEPER]);
        let mut keeper = keeper.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = [0; 6];
        std::io::Read::read_exact(keeper.stdout.as_mut().unwrap(), &mut said).unwrap();
        let engine = Self { place, keeper };
        fs::write(engine.path("containers.conf"), SETTINGS).unwrap();
        // Users of containers go through it.
        fs::set_permissions(engine.place.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let root = engine.path("image");
        for directory in ["bin", "etc", "tmp", "proc", "sys", "dev", "run", "root"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).expect("Debian's busybox-static");
        for name in ["sh", "sleep", "cat", "id", "tty", "true", "readlink", "mkdir", "hostname"] {
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
        command.args(["60", "nsenter", "--mount", "--net", "--target"]);
        command.arg(self.keeper.id().to_string()).arg(program);
        command.env("CONTAINERS_CONF", self.path("containers.conf"));
        command
    }

    pub(crate) fn podman(&self, arguments: &[&str]) -> Output {
        let mut command = self.inside("podman");
        command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]);
        for (option, name) in [("--root", "root"), ("--runroot", "runroot"), ("--tmpdir", "tmp")] {
            command.arg(option).arg(self.path(name));
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
