//! A host with groups is killed at every system call that it makes, by strace(1).
//!
//! Kernel objects: a second process that makes groups and containers in a place of this test's own, and the tracer of its
//! thread. Invariant: after `reconcile` no hierarchy has a group of it, and no process of it lives.

mod oracle;
mod scene;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ampoule::{Bytes, Container, Limits, Max};
use ampoule_cgroups::{
    Controllers, Group, GroupPath, Hierarchies, Life, Place, owned_name, reconcile,
};
use oracle::{alone, payload, tier};
use scene::is_long;
use scene::outside::descendants;

/// A host that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// The host: once it has read a line, every operation on groups there is.
#[test]
fn payload_main() {
    let Some(path) = payload::verb() else { return };
    payload::print_report(&format!("thread {}", rustix::thread::gettid().as_raw_pid()));
    let mut byte = [0];
    rustix::io::read(std::io::stdin(), &mut byte).expect("the word to go");
    by_hand(&path);
    with_containers(&path);
    payload::print_report("ended");
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.memory.max = Some(Bytes::mib(64).into());
    limits.cpu.max = Some("0.5".parse::<ampoule::Cpus>().expect("a number").into());
    limits.pids_max = Some(Max::Limit(16));
    limits
}

fn place(path: &str) -> Place {
    let path = GroupPath::new(path).expect("a path");
    Place::open(&Hierarchies::detect().expect("control groups"), &path).expect("root's tier")
}

fn by_hand(path: &str) {
    let name = owned_name(None, Life::WithOwner).expect("a name");
    let made = Group::create_in(&place(path), &name, &limits(), Controllers::FREEZER);
    let group = made.expect("a group");
    let mut more = limits();
    more.devices = vec!["allow c 1:* rwm".parse().expect("a rule")];
    more.memory.max = Some(Bytes::mib(128).into());
    // Where v1 has the rules, the group is not in that hierarchy.
    if group.update(&more).is_err() {
        more.devices.clear();
        group.update(&more).expect("a change");
    }
    group.freeze().expect("a freeze");
    group.thaw().expect("a thaw");
    group.kill().expect("nothing to kill");
    group.remove().expect("an empty group");
}

fn with_containers(path: &str) {
    let builder = Container::host_view().limits(limits()).cgroup_parent(path);
    let mut short = builder.clone().command("true").spawn().expect("a container");
    assert!(short.wait().expect("a status").success());
    let long = builder.command("sleep").args(["1000"]).spawn().expect("a container");
    long.update(&limits()).expect("a change");
    long.pause().expect("a pause");
    drop(long);
}

/// A place of its own, removed at the end.
struct Own(String);

impl Own {
    fn new() -> Self {
        Self(format!("/ampoule-test-{}-kill", std::process::id()))
    }

    fn dirs(&self) -> Vec<PathBuf> {
        place(&self.0).paths().map(PathBuf::from).collect()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.dirs().iter().for_each(|dir| drop(fs::remove_dir(dir)));
    }
}

fn groups_in(dir: &Path) -> Vec<PathBuf> {
    let entries = match fs::read_dir(dir) {
        // A place goes with its last use.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        entries => entries.expect("the place"),
    };
    entries.map(|entry| entry.expect("one").path()).filter(|path| path.is_dir()).collect()
}

/// A host whose thread is about to begin.
fn host(path: &str) -> (Child, u32) {
    let own = payload::own_program(path);
    let mut command = Command::new(own.program);
    command.args(own.args).env(own.env.0, own.env.1).stdin(Stdio::piped());
    let mut host = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the test binary starts again");
    let mut printed = String::new();
    let mut lines = BufReader::new(host.stdout.as_mut().expect("piped"));
    while payload::report(&printed).is_none() {
        assert!(lines.read_line(&mut printed).expect("text") > 0, "{printed}");
    }
    let thread = payload::report(&printed).and_then(|text| text.strip_prefix("thread "));
    (host, thread.expect("its thread").parse().expect("a number"))
}

/// Lets a host run with its thread traced; gives whether it came to its end.
fn trace(path: &str, options: &[&str]) -> bool {
    let (mut host, thread) = host(path);
    let mut command = Command::new("strace");
    command.args(["-qq", "-p", &thread.to_string()]).args(options).stdin(Stdio::null());
    let mut tracer = command.stderr(Stdio::null()).spawn().expect("strace is installed");
    let status = format!("/proc/{}/task/{thread}/status", host.id());
    let traced = |host: &mut Child| {
        let ended = host.try_wait().expect("our child").is_some();
        ended || fs::read_to_string(&status).is_ok_and(|text| !text.contains("TracerPid:\t0\n"))
    };
    assert!(scene::soon(|| traced(&mut host)), "strace does not attach");
    // The first call is the one that it waits in: it may have ended by now.
    drop(host.stdin.as_mut().expect("piped").write_all(b"\n"));
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = host.try_wait().expect("our child") {
            break status;
        }
        if begun.elapsed() > LIMIT {
            host.kill().expect("our child");
            host.wait().expect("our child");
            panic!("it hangs with {options:?}");
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    tracer.wait().expect("our child");
    let killed = std::os::unix::process::ExitStatusExt::signal(&status) == Some(9);
    assert!(killed || status.success(), "{options:?}: {status}");
    status.success()
}

/// The calls that the host makes, each with how often it was made by then: strace counts them by name.
fn calls(own: &Own) -> Vec<(String, usize)> {
    let log = tempfile::NamedTempFile::new().expect("a file");
    let path = log.path().to_str().expect("text");
    assert!(trace(&own.0, &["-o", path]), "nothing hinders it");
    let mut counts = BTreeMap::new();
    let text = fs::read_to_string(path).expect("a log");
    let names = text.lines().filter_map(|line| line.split_once('(')).map(|(name, _)| name);
    let plain = |name: &&str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let mut count = |name: &str| {
        let count = counts.entry(name.to_owned()).or_insert(0);
        *count += 1;
        (name.to_owned(), *count)
    };
    names.filter(plain).map(&mut count).collect()
}

#[test]
fn nothing_is_left_wherever_the_host_is_killed() {
    tier::root();
    alone(|| {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).expect("a subreaper");
        let own = Own::new();
        let calls = calls(&own);
        assert!(calls.len() > 500, "{calls:?}");
        let (mut killed, mut left, mut tried) = (0, 0, 0);
        // The short form takes a part of them.
        for (name, when) in calls.iter().step_by(if is_long() { 1 } else { calls.len() / 60 }) {
            let fault = format!("--inject={name}:signal=SIGKILL:when={when}");
            killed += usize::from(!trace(&own.0, &["-o/dev/null", &fault]));
            left += usize::from(is_cleared(&own, &fault));
            tried += 1;
        }
        payload::print_report(&format!("{tried} calls, {killed} killed it, {left} left something"));
        // How often it looks whether something has ended differs from run to run.
        assert!(killed * 10 > tried * 8, "{killed} of {tried} calls killed it");
        assert!(left * 10 > tried, "something was left {left} times");
    });
}

/// Clears what the host left; gives whether there was something.
fn is_cleared(own: &Own, call: &str) -> bool {
    use rustix::process::{WaitOptions, waitpid};
    let options = WaitOptions::NOHANG | WaitOptions::from_bits_retain(0x4000_0000);
    let reaped = || {
        while let Ok(Some(_)) = waitpid(None, options) {}
        descendants() == 0
    };
    let left = own.dirs().iter().any(|dir| !groups_in(dir).is_empty());
    let done = reconcile(&place(&own.0)).expect("a look");
    assert_eq!(done.failed, 0, "{call}");
    let groups: Vec<PathBuf> = own.dirs().iter().flat_map(|dir| groups_in(dir)).collect();
    assert!(groups.is_empty(), "{call}: {groups:?}");
    assert!(scene::soon(reaped), "{call}: {} processes live", descendants());
    left
}
