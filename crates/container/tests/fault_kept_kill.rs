//! A host that keeps containers is killed at every system call that it makes, by strace(1).
//!
//! Kernel objects: a second process that creates, starts, uses and deletes a container, and the tracer of its thread.
//! Invariant: afterwards `delete` and `reconcile` leave no process, group or file, and the id can be used again.

mod oracle;
mod scene;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ampoule::{Container, Details, Force, StateDirectory};
use oracle::{alone, payload, tier};
use scene::is_long;
use scene::kept::{sleeper, states};
use scene::outside::descendants;

/// A host that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// The host: once it has read a line, a container goes through its life.
#[test]
fn payload_main() {
    let Some(path) = payload::verb() else { return };
    payload::print_report(&format!("thread {}", rustix::thread::gettid().as_raw_pid()));
    let mut byte = [0];
    rustix::io::read(std::io::stdin(), &mut byte).expect("the word to go");
    let states = StateDirectory::open(path).expect("the directory");
    let made = states.create("a", sleeper(view()), Details::default()).expect("a container");
    drop(made);
    let mut kept = states.get("a").expect("it");
    kept.start().expect("a start");
    let exec = kept.container().expect("it runs").exec("true").stdin(ampoule::Stdio::null());
    assert!(exec.status().expect("a run").success());
    drop(kept);
    states.delete("a", Force::Yes).expect("a deletion");
    payload::print_report("ended");
}

fn view() -> ampoule::Builder {
    Container::host_view().pids_max(16)
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
fn calls(path: &str) -> Vec<(String, usize)> {
    let log = tempfile::NamedTempFile::new().expect("a file");
    let file = log.path().to_str().expect("text");
    assert!(trace(path, &["-o", file]), "nothing hinders it");
    let mut counts = BTreeMap::new();
    let text = fs::read_to_string(file).expect("a log");
    let names = text.lines().filter_map(|line| line.split_once('(')).map(|(name, _)| name);
    let plain = |name: &&str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let mut count = |name: &str| {
        let count = counts.entry(name.to_owned()).or_insert(0);
        *count += 1;
        (name.to_owned(), *count)
    };
    names.filter(plain).map(&mut count).collect()
}

/// The groups that were made for the container.
fn groups() -> usize {
    let all =
        |top: &str| fs::read_dir(top).into_iter().flatten().flatten().map(|entry| entry.path());
    let ours = all("/sys/fs/cgroup").flat_map(|top| fs::read_dir(top.join("ampoule"))).flatten();
    ours.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("a-")).count()
}

#[test]
fn nothing_is_left_wherever_the_host_is_killed() {
    tier::root();
    alone(|| {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).expect("a subreaper");
        let (_place, states) = states();
        let path = states.path().to_str().expect("text").to_owned();
        let calls = calls(&path);
        assert!(calls.len() > 300, "{calls:?}");
        let (mut killed, mut left, mut tried) = (0, 0, 0);
        // The short form takes a part of them.
        for (name, when) in calls.iter().step_by(if is_long() { 1 } else { calls.len() / 60 }) {
            let fault = format!("--inject={name}:signal=SIGKILL:when={when}");
            killed += usize::from(!trace(&path, &["-o/dev/null", &fault]));
            left += usize::from(is_cleared(&states, &fault));
            tried += 1;
        }
        payload::print_report(&format!("{tried} calls, {killed} killed it, {left} left something"));
        // How often it looks whether something has ended differs from run to run.
        assert!(killed * 10 > tried * 8, "{killed} of {tried} calls killed it");
        assert!(left * 10 > tried, "something was left {left} times");
    });
}

/// Clears what the host left, in one of the two ways; gives whether there was something.
fn is_cleared(states: &StateDirectory, call: &str) -> bool {
    use rustix::process::{WaitOptions, waitpid};
    let options = WaitOptions::NOHANG | WaitOptions::from_bits_retain(0x4000_0000);
    let reaped = || {
        while let Ok(Some(_)) = waitpid(None, options) {}
        descendants() == 0
    };
    let left = states.path().join("a").exists();
    let removed = states.reconcile().unwrap_or_else(|error| panic!("{call}: {error}"));
    assert!(removed.len() <= 1, "{call}: {removed:?}");
    states.delete("a", Force::Yes).unwrap_or_else(|error| panic!("{call}: {error}"));
    assert!(scene::soon(reaped), "{call}: {} processes live", descendants());
    assert_eq!((groups(), fs::read_dir(states.path()).expect("it").count()), (0, 0), "{call}");
    // The same id can be used again.
    let again = states.create("a", sleeper(view()), Details::default());
    drop(again.unwrap_or_else(|error| panic!("{call}: {error}")));
    states.delete("a", Force::No).unwrap_or_else(|error| panic!("{call}: {error}"));
    left
}
