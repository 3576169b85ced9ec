//! A bundle of busybox, and the example `oci-runtime` with a state directory of its own.
//!
//! Kernel objects: containers and their groups. Invariant: whatever a test left is removed with the scene.

#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::io::{IoSliceMut, Read, Seek};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::{Value, json};
use tempfile::TempDir;

#[path = "../commands/place.rs"]
pub(crate) mod place;

/// `__WALL`: also children that send no SIGCHLD.
pub(crate) const ALL_CHILDREN: u32 = 0x4000_0000;

const NAMES: [&str; 9] = ["sh", "sleep", "cat", "echo", "ls", "id", "env", "tty", "stty"];

/// What a call printed.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A directory with a bundle.
pub(crate) struct Scene {
    place: TempDir,
    group: String,
}

impl Scene {
    /// A bundle whose program is this script.
    pub(crate) fn new(name: &str, script: &str) -> Self {
        let place = tempfile::tempdir_in("/dev/shm").unwrap();
        let group = format!("ampoule-runtime-{name}-{}", std::process::id());
        let scene = Self { place, group };
        let bin = scene.path("bundle/rootfs/bin");
        for directory in ["bin", "dev", "proc", "sys", "tmp"] {
            fs::create_dir_all(scene.path("bundle/rootfs").join(directory)).unwrap();
        }
        fs::copy("/bin/busybox", bin.join("busybox")).expect("Debian's busybox-static");
        for name in NAMES {
            std::os::unix::fs::symlink("busybox", bin.join(name)).unwrap();
        }
        let bundle = scene.path("bundle");
        scene.ok(&["spec", "--bundle", bundle.to_str().unwrap()]);
        scene.change("/process/terminal", json!(false));
        scene.change("/process/args", json!(["/bin/sh", "-c", script]));
        scene.change("/linux/cgroupsPath", json!(format!("/{}/one", scene.group)));
        scene
    }

    /// The path of the group above the bundle's.
    pub(crate) fn parent(&self) -> String {
        format!("/{}", self.group)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Sets a value of `config.json`, at a place whose parent is an object that may be missing; `-` appends to a list.
    pub(crate) fn change(&self, pointer: &str, value: Value) {
        let file = self.path("bundle/config.json");
        let mut whole: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let keys = parent.split('/').skip(1).filter(|key| !key.is_empty());
        let parent = keys.fold(&mut whole, |at, key| &mut at[key]);
        match (parent, name) {
            (Value::Array(list), "-") => list.push(value),
            (parent, name) => parent[name] = value,
        }
        fs::write(file, whole.to_string()).unwrap();
    }

    /// Removes a value of `config.json`.
    pub(crate) fn remove(&self, pointer: &str) {
        let file = self.path("bundle/config.json");
        let mut whole: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        whole.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name).unwrap();
        fs::write(file, whole.to_string()).unwrap();
    }

    /// The program, with its state directory and a log.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(place::example("oci-runtime"));
        command.arg("--root").arg(self.path("state")).arg("--log").arg(self.path("log"));
        command.args(["--log-format", "json"]).args(arguments).current_dir(self.path("bundle"));
        command.stdin(Stdio::null());
        command
    }

    /// Runs it to its end. Files take its output: a container may keep the streams.
    pub(crate) fn call(&self, arguments: &[&str]) -> Done {
        let (out, err) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let mut command = self.command(arguments);
        let text = |mut file: fs::File| {
            let mut text = String::new();
            file.rewind().unwrap();
            file.read_to_string(&mut text).unwrap();
            text
        };
        command.stdout(out.try_clone().unwrap()).stderr(err.try_clone().unwrap());
        let status = command.status().unwrap();
        Done { code: status.code(), out: text(out), err: text(err) }
    }

    /// What it printed; it must succeed.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let done = self.call(arguments);
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{arguments:?}");
        done.out
    }

    /// What it said on standard error and in the log; it must fail.
    #[track_caller]
    pub(crate) fn fails(&self, arguments: &[&str]) -> String {
        let done = self.call(arguments);
        assert_eq!(done.code, Some(1), "{arguments:?}: {done:?}");
        let log = self.read("log");
        let line: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
        assert_eq!(line["level"], "error");
        assert_eq!(done.err, format!("oci-runtime: {}\n", line["msg"].as_str().unwrap()));
        done.err
    }

    pub(crate) fn state(&self, id: &str) -> Value {
        serde_json::from_str(&self.ok(&["state", id])).unwrap()
    }

    /// Waits until it is so.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, so: impl Fn(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !so(self) {
            assert!(Instant::now() < end, "not in time: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The directories above those of the bundle's group that are there.
    pub(crate) fn parents(&self) -> Vec<PathBuf> {
        groups(&self.group)
    }

    /// The directories of the containers' groups that are there.
    pub(crate) fn groups(&self) -> Vec<PathBuf> {
        let entries = groups(&self.group).into_iter().flat_map(fs::read_dir).flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    }

    /// The name above the containers' groups.
    pub(crate) fn group(&self) -> &str {
        &self.group
    }

    /// Reaps what came from killed programs until nothing of it lives, and looks for what else is left.
    ///
    /// The test must be a subreaper, and wait for all else that it starts.
    #[track_caller]
    pub(crate) fn assert_nothing_left(&self, when: &str) {
        use rustix::process::{WaitOptions, waitpid};
        let options = WaitOptions::NOHANG | WaitOptions::from_bits_retain(ALL_CHILDREN);
        self.until(&format!("{when}: its processes end"), |_| {
            while let Ok(Some(_)) = waitpid(None, options) {}
            waitpid(None, options).is_err_and(|errno| errno == rustix::io::Errno::CHILD)
        });
        assert_eq!(self.groups(), Vec::<PathBuf>::new(), "{when}");
        let left = fs::read_dir(self.path("state")).into_iter().flatten().flatten();
        assert_eq!(
            left.map(|entry| entry.path()).collect::<Vec<_>>(),
            [""; 0].map(PathBuf::from),
            "{when}"
        );
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.place.path().to_str().unwrap()), "{when}: {mounts}");
    }
}

fn groups(name: &str) -> Vec<PathBuf> {
    let roots = fs::read_to_string("/proc/self/mounts").unwrap();
    let roots = roots.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let point = fields.nth(1)?;
        fields.next()?.starts_with("cgroup").then(|| Path::new(point).join(name))
    });
    roots.filter(|path| path.exists()).collect()
}

impl Drop for Scene {
    fn drop(&mut self) {
        let listed = self.call(&["list", "--quiet"]).out;
        for id in listed.lines() {
            self.call(&["delete", "--force", id]);
        }
        for path in groups(&self.group) {
            drop(fs::remove_dir(path));
        }
    }
}

/// Whether the long form of the tests was asked for.
pub(crate) fn is_long() -> bool {
    std::env::var_os("AMPOULE_LONG").is_some_and(|value| value == "1")
}

/// A terminal: what a program holds, and what a user would sit at.
pub(crate) fn terminal(rows: u16, columns: u16) -> (fs::File, std::os::fd::OwnedFd) {
    let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&user).unwrap();
    unlockpt(&user).unwrap();
    let name = ptsname(&user, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let program = rustix::fs::open(name, flags, Mode::empty()).unwrap();
    resize(&user, rows, columns);
    (user.into(), program)
}

pub(crate) fn resize(user: &impl std::os::fd::AsFd, rows: u16, columns: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(user, size).unwrap();
}

/// The descriptor that comes with the next connection.
pub(crate) fn received(listener: &UnixListener) -> fs::File {
    let (stream, _) = listener.accept().unwrap();
    let mut bytes = [0; 64];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    recvmsg(&stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let mut fds = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => fds.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    fds.next().expect("a descriptor").into()
}

/// Reads until `wanted` has come.
pub(crate) fn read_until(from: &mut fs::File, wanted: &str) {
    let (mut seen, mut chunk) = (String::new(), [0; 256]);
    while !seen.contains(wanted) {
        let length = from.read(&mut chunk).unwrap();
        assert_ne!(length, 0, "{seen:?} ended before {wanted:?}");
        seen.push_str(&String::from_utf8_lossy(&chunk[..length]));
    }
}
