//! A host that is killed at every system call that it makes, by strace(1).
//!
//! Kernel objects: a second process and the tracer of its thread. Invariant: a call is named by its name and how often it
//! was made by then; a host that is not killed comes to its end.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{is_long, outside::descendants, soon};
use crate::oracle::payload;

/// A host that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// What the host's `payload_main` begins with: gives what it was started for, once it is traced.
pub(crate) fn begin() -> Option<String> {
    let verb = payload::verb()?;
    payload::print_report(&format!("thread {}", rustix::thread::gettid().as_raw_pid()));
    let mut byte = [0];
    rustix::io::read(std::io::stdin(), &mut byte).expect("the word to go");
    Some(verb)
}

/// Kills a host at its calls (the short form: at some sixty of them); `is_cleared` clears what is left after each, and says
/// whether there was something.
pub(crate) fn at_every_call(verb: &str, least: usize, is_cleared: impl Fn(&str) -> bool) {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).expect("a subreaper");
    let calls = calls(verb);
    assert!(calls.len() > least, "{calls:?}");
    let (mut killed, mut left, mut tried) = (0, 0, 0);
    for (name, when) in calls.iter().step_by(if is_long() { 1 } else { calls.len() / 60 }) {
        let fault = format!("--inject={name}:signal=SIGKILL:when={when}");
        killed += usize::from(!trace(verb, &["-o/dev/null", &fault]));
        left += usize::from(is_cleared(&fault));
        tried += 1;
    }
    payload::print_report(&format!("{tried} calls, {killed} killed it, {left} left something"));
    // How often it looks whether something has ended differs from run to run.
    assert!(killed * 10 > tried * 8, "{killed} of {tried} calls killed it");
    assert!(left * 10 > tried, "something was left {left} times");
}

/// Reaps what came from the killed host until nothing of it lives.
#[track_caller]
pub(crate) fn reap_all(call: &str) {
    use rustix::process::{WaitOptions, waitpid};
    let options = WaitOptions::NOHANG | WaitOptions::from_bits_retain(0x4000_0000);
    let reaped = || {
        while let Ok(Some(_)) = waitpid(None, options) {}
        descendants() == 0
    };
    assert!(soon(reaped), "{call}: {} processes live", descendants());
}

/// A host whose thread is about to begin.
fn host(verb: &str) -> (Child, u32) {
    let own = payload::own_program(verb);
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
fn trace(verb: &str, options: &[&str]) -> bool {
    let (mut host, thread) = host(verb);
    let mut command = Command::new("strace");
    command.args(["-qq", "-p", &thread.to_string()]).args(options).stdin(Stdio::null());
    let mut tracer = command.stderr(Stdio::null()).spawn().expect("strace is installed");
    let status = format!("/proc/{}/task/{thread}/status", host.id());
    let traced = |host: &mut Child| {
        let ended = host.try_wait().expect("our child").is_some();
        ended || fs::read_to_string(&status).is_ok_and(|text| !text.contains("TracerPid:\t0\n"))
    };
    assert!(soon(|| traced(&mut host)), "strace does not attach");
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
fn calls(verb: &str) -> Vec<(String, usize)> {
    let log = tempfile::NamedTempFile::new().expect("a file");
    let file = log.path().to_str().expect("text");
    assert!(trace(verb, &["-o", file]), "nothing hinders it");
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
