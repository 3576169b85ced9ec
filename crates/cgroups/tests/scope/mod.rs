//! A place that systemd makes, looked at from outside: files of groups, `systemctl`.
//!
//! Kernel objects: the units `ampoule-PID-*.scope` of this process. Invariant: nothing of the code under test is used to
//! look.
#![allow(dead_code, reason = "not every test needs every part")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ampoule_cgroups::limits::CpuMax;
use ampoule_cgroups::{
    Bytes, Controllers, Cpus, Group, Hierarchies, Limits, Place, Placement, Result,
};

/// What the tests ask for: 128 MiB, half a CPU, 64 processes.
pub(crate) fn usual() -> Limits {
    let mut limits = Limits::default();
    limits.memory.max = Some(Bytes::mib(128).into());
    limits.cpu.max = Some(CpuMax::from("0.5".parse::<Cpus>().expect("a number")));
    limits.pids_max = Some(64.into());
    limits
}

pub(crate) fn choose(placement: &Placement, limits: &Limits) -> Result<Place> {
    let hierarchies = Hierarchies::detect().expect("control groups are mounted");
    Place::choose(&hierarchies, placement, limits, Controllers::empty())
}

/// The place's directory.
pub(crate) fn dir(place: &Place) -> PathBuf {
    let mut paths = place.paths();
    let path = paths.next().expect("a directory").to_owned();
    assert_eq!(paths.next(), None, "v2 has one hierarchy");
    path
}

/// A group with the usual limits, which its files show, holds a process, ends it and goes.
pub(crate) fn limits_are_in_force(place: &Place) {
    let group = Group::create_in(place, "web", &usual(), Controllers::empty()).expect("a group");
    let path = dir(place).join("web");
    for (file, text) in
        [("memory.max", "134217728\n"), ("cpu.max", "50000 100000\n"), ("pids.max", "64\n")]
    {
        assert_eq!(fs::read_to_string(path.join(file)).expect("a limit"), text, "{file}");
    }
    let mut sleeper = Sleeper::start();
    sleeper.join(&path);
    assert_eq!(group.stat().expect("statistics").pids.current, Some(1));
    group.kill().expect("an end of its processes");
    sleeper.wait();
    group.remove().expect("an empty group");
    assert!(!path.exists());
}

/// A process that does nothing; killed when dropped.
pub(crate) struct Sleeper(Child);

impl Sleeper {
    pub(crate) fn start() -> Self {
        let child = Command::new("sleep").arg("600").stdout(Stdio::null()).spawn();
        Self(child.expect("sleep"))
    }

    pub(crate) fn join(&self, group: &Path) {
        let file = group.join("cgroup.procs");
        fs::write(&file, self.0.id().to_string()).expect("the right to move a child");
    }

    pub(crate) fn wait(&mut self) {
        self.0.wait().expect("a child");
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The group of this process.
pub(crate) fn own_group() -> PathBuf {
    let text = fs::read_to_string("/proc/self/cgroup").expect("the groups of this process");
    let path = text.trim_end().strip_prefix("0::/").expect("cgroup v2 and nothing else");
    Path::new("/sys/fs/cgroup").join(path)
}

/// `systemctl` of the manager that this user has.
pub(crate) fn systemctl(words: &[&str]) -> String {
    let mut command = Command::new("systemctl");
    if !rustix::process::geteuid().is_root() {
        command.arg("--user");
    }
    let output = command.args(words).output().expect("systemctl");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "systemctl {words:?}: {stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn property(unit: &str, name: &str) -> String {
    systemctl(&["show", "--value", "--property", name, unit]).trim_end().to_owned()
}

/// The scopes of a process that systemd knows, in whatever state.
pub(crate) fn scopes(pid: u32) -> String {
    let pattern = format!("ampoule-{pid}-*");
    systemctl(&["list-units", "--all", "--plain", "--no-legend", &pattern])
}

/// Waits up to ten seconds.
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < end, "not in ten seconds: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// systemd has nothing of a scope any more, and neither has the tree.
pub(crate) fn is_gone(unit: &str, dir: &Path) {
    let list = || systemctl(&["list-units", "--all", "--plain", "--no-legend", unit]);
    until("the scope is collected", || list().is_empty());
    until("its group is removed", || !dir.exists());
}

/// Runs one test of this program again, as `wrapper` does it, and gives what it prints.
pub(crate) fn again(wrapper: &[&str], test: &str) -> Child {
    let program = std::env::current_exe().expect("this program");
    let mut command = match wrapper {
        [] => Command::new(&program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(&program);
            command
        }
    };
    command.args(["--exact", test, "--nocapture", "--test-threads", "1"]).env(INNER, "1");
    command.stdout(Stdio::piped()).spawn().expect("this program again")
}

const INNER: &str = "AMPOULE_INNER";

/// Whether this is the run that [`again`] started.
pub(crate) fn is_inner() -> bool {
    std::env::var_os(INNER).is_some()
}

/// The rest of a line that an inner run prints, after `word`.
pub(crate) fn said(child: &mut Child, word: &str) -> String {
    let out = BufReader::new(child.stdout.as_mut().expect("a pipe"));
    let mut lines = out.lines().map_while(std::result::Result::ok);
    let found = lines.find_map(|line| line.split_once(word).map(|(_, rest)| rest.to_owned()));
    found.unwrap_or_else(|| panic!("the inner run did not say {word:?}"))
}
