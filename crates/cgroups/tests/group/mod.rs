//! Groups for the tests, made by path and removed when dropped.
//!
//! The code under test reads groups; so that a fault in it cannot hide here, nothing of it is used.
#![allow(dead_code, reason = "not every test needs every part")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A hierarchy in which this machine has a controller.
#[derive(Clone, Debug)]
pub(crate) struct Hierarchy {
    root: PathBuf,
    v2: bool,
}

impl Hierarchy {
    /// The hierarchy that has `controller` (a v1 name): a v1 one of that name, or v2.
    pub(crate) fn of(controller: &str) -> Self {
        let v1 = Path::new("/sys/fs/cgroup").join(controller);
        if v1.is_dir() { Self { root: v1, v2: false } } else { Self::v2() }
    }

    /// The v2 hierarchy, wherever it is mounted.
    pub(crate) fn v2() -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let line = mounts.lines().find(|line| line.contains(" - cgroup2 "));
        let root = line.expect("cgroup2 is mounted").split(' ').nth(4).unwrap().into();
        Self { root, v2: true }
    }
}

/// A group that is removed when dropped.
#[derive(Debug)]
pub(crate) struct TestGroup {
    path: PathBuf,
    v2: bool,
}

impl TestGroup {
    pub(crate) fn new(hierarchy: Hierarchy, name: &str) -> Self {
        let path = hierarchy.root.join(format!("ampoule-test-{}-{name}", std::process::id()));
        // On v2 all controllers are one directory.
        match fs::create_dir(&path) {
            Err(error) if !hierarchy.v2 || !path.is_dir() => panic!("{}: {error}", path.display()),
            _ => {}
        }
        if path.join("cpuset.cpus").exists() && !hierarchy.v2 {
            for file in ["cpuset.cpus", "cpuset.mems"] {
                fs::write(path.join(file), fs::read(hierarchy.root.join(file)).unwrap()).unwrap();
            }
        }
        Self { path, v2: hierarchy.v2 }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is_v2(&self) -> bool {
        self.v2
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        let path = self.path.join(file);
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path.join(file)).unwrap()
    }

    /// Removes the group; its processes may take a moment to go.
    pub(crate) fn remove(&self) {
        let end = Instant::now() + Duration::from_secs(5);
        while let Err(error) = fs::remove_dir(&self.path) {
            if error.kind() == std::io::ErrorKind::NotFound {
                return;
            }
            assert!(Instant::now() < end, "{}: {error}", self.path.display());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for TestGroup {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A shell in groups. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Shell {
    child: Child,
}

impl Shell {
    /// Starts `script` in the groups, and waits for the line that it prints.
    pub(crate) fn start<'a>(groups: impl Iterator<Item = &'a TestGroup>, script: &str) -> Self {
        let mut shell = Self::blocked(script);
        for group in groups {
            group.write("cgroup.procs", &shell.child.id().to_string());
        }
        shell.go();
        shell
    }

    fn blocked(script: &str) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("read go; {script}")]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Self { child: command.spawn().unwrap() }
    }

    fn go(&mut self) {
        self.line();
        let mut line = String::new();
        BufReader::new(self.child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
    }

    fn line(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets the script read its line, and waits for its end.
    pub(crate) fn end(mut self) {
        self.line();
        self.child.wait().unwrap();
    }

    /// Lets the script read its line.
    pub(crate) fn proceed(&mut self) {
        self.line();
    }

    /// Waits for the end of the script.
    pub(crate) fn status(&mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
