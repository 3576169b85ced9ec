//! What the tests of this crate share: the leak check, small programs, launches, and a process of their own.
//!
//! Invariant: one test at a time touches children and descriptors of the test process, and each leaves them as they
//! were.
#![allow(dead_code, reason = "each test program uses its part")]

pub(crate) mod sweep;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fs;
use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use ampoule_init::reaper::{self, Ended};
use ampoule_init::steps::{launch as l, process as p};
use ampoule_init::{
    Begin, Draft, Error, First, Launch, PidNamespace, Program, Started, Timings, process, start,
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

pub(crate) const NEW_PID: u64 = libc::CLONE_NEWPID as u64;

/// A turn of one test: nobody else's children and descriptors come and go meanwhile.
#[derive(Debug)]
pub(crate) struct Turn {
    before: State,
    _turn: MutexGuard<'static, ()>,
}

/// What a launch must not change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct State {
    fds: BTreeMap<RawFd, String>,
    children: BTreeSet<u32>,
}

/// Takes the turn; dropping it checks that nothing was left.
pub(crate) fn turn() -> Turn {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    null();
    Turn { before: State::now(), _turn: turn }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.before.is_still("the test");
        }
    }
}

impl State {
    /// What is there now.
    pub(crate) fn now() -> Self {
        Self { fds: descriptors("self"), children: children().into_iter().collect() }
    }

    /// Fails if something was left since then.
    pub(crate) fn is_still(&self, when: &str) {
        let now = Self::now();
        assert_eq!(now.children, self.children, "children after {when}");
        assert_eq!(now.fds, self.fds, "descriptors after {when}");
    }
}

/// The descriptors of a process with what they name.
pub(crate) fn descriptors(pid: &str) -> BTreeMap<RawFd, String> {
    let dir = format!("/proc/{pid}/fd");
    let entries = fs::read_dir(&dir).expect("procfs is mounted");
    let own = format!("/proc/{}/fd", std::process::id());
    let named = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let target = fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned();
        Some((entry.file_name().to_str()?.parse().ok()?, target))
    });
    // The one that this listing takes itself is left out.
    named.filter(|(_, target)| *target != own).collect()
}

/// What a descriptor of this process names.
pub(crate) fn name_of(fd: impl AsFd) -> String {
    use std::os::fd::AsRawFd;
    let link = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    fs::read_link(link).expect("an open descriptor").to_string_lossy().into_owned()
}

/// The children of this process, the dead ones that were not reaped included.
pub(crate) fn children() -> Vec<u32> {
    children_of(std::process::id())
}

/// The children of a process.
pub(crate) fn children_of(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists =
        tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|id| id.parse().ok())
        .collect()
}

/// A process and everything below it.
pub(crate) fn tree(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut at = 0;
    while let Some(&next) = all.get(at) {
        all.extend(children_of(next));
        at += 1;
    }
    all
}

/// The name and the state of a process.
pub(crate) fn comm_and_state(pid: u32) -> Option<(String, char)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, rest) = stat.rsplit_once(") ")?;
    Some((head.split_once('(')?.1.to_owned(), rest.chars().next()?))
}

/// The value of a line of `/proc/PID/status`.
pub(crate) fn status_line(pid: u32, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a living process");
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.expect("a line of the status file").trim().to_owned()
}

/// A pidfd of a process that is there.
pub(crate) fn pidfd(pid: u32) -> OwnedFd {
    let pid = Pid::from_raw(i32::try_from(pid).expect("an id")).expect("not 0");
    pidfd_open(pid, PidfdFlags::empty()).expect("a process")
}

/// Pidfds of a process and everything below it.
pub(crate) fn pidfds_of_tree(pid: u32) -> Vec<OwnedFd> {
    let ids = tree(pid).into_iter().filter_map(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    ids.filter_map(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()).collect()
}

/// Whether a process has ended, or ends within this time.
pub(crate) fn ends_within(pidfd: &OwnedFd, limit: Duration) -> bool {
    process::wait_readable(pidfd, Some(Instant::now() + limit)).expect("poll")
}

/// Tries until it is true; false after five seconds.
pub(crate) fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let limit = Instant::now() + Duration::from_secs(5);
    while !condition() {
        if Instant::now() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// `/dev/null`, opened once and kept.
pub(crate) fn null() -> BorrowedFd<'static> {
    static NULL: OnceLock<File> = OnceLock::new();
    NULL.get_or_init(|| {
        File::options().read(true).write(true).open("/dev/null").expect("/dev/null")
    })
    .as_fd()
}

/// A program that runs the payload below a reaper in a new pid namespace.
pub(crate) fn reaped() -> Program {
    seal(NEW_PID, &[p::undumpable(), l::become_reaper(None)])
}

/// A program whose payload is the first process itself.
pub(crate) fn direct(flags: u64) -> Program {
    seal(flags, &[])
}

/// A program that clones with these flags, does these steps, and executes.
pub(crate) fn seal(flags: u64, steps: &[ampoule_init::Step]) -> Program {
    Program::seal(draft(flags, steps)).expect("a small program")
}

/// The draft of [`reaped`].
pub(crate) fn reaped_draft() -> Draft {
    draft(NEW_PID, &[p::undumpable(), l::become_reaper(None)])
}

/// The draft of [`seal`].
pub(crate) fn draft(flags: u64, steps: &[ampoule_init::Step]) -> Draft {
    let mut draft = Draft::default();
    draft.launcher(l::clone_first(flags, "flags", None));
    draft.launcher(l::release());
    draft.first(l::wait_for_release());
    draft.first_all(steps.iter().cloned());
    draft.first_all([l::reset_signals(), l::close_others(), l::exec()]);
    draft
}

/// Runs the program once, so that what is kept between launches is there.
pub(crate) fn warm_up(program: &Program, launch: &Launch<'_>) -> State {
    kill(&run(program, launch));
    State::now()
}

/// A text without NUL.
pub(crate) fn text(text: impl AsRef<str>) -> CString {
    CString::new(text.as_ref()).expect("no NUL")
}

/// A launch of these words, with /dev/null as its streams and a new pid namespace.
pub(crate) fn launch<'a>(argv: &[&str]) -> Launch<'a> {
    Launch {
        argv: argv.iter().map(text).collect(),
        env: vec![text("PATH=/usr/bin:/bin")],
        paths: argv.iter().take(1).map(text).collect(),
        parameters: vec![],
        payload_fds: (0..3).map(|number| (number, null())).collect(),
        fds: vec![],
        host: None,
        status: None,
        kept: None,
        first: First::Payload,
        pid_namespace: PidNamespace::New,
        timeout: None,
        timings: Timings::Off,
        deadline: Instant::now() + Duration::from_secs(10),
        begin: Begin::AtOnce,
        fault: None,
    }
}

/// A launch of a shell script.
pub(crate) fn shell<'a>(script: &str) -> Launch<'a> {
    launch(&["/bin/sh", "-c", script])
}

/// The reaper's report, then the end of the first process.
pub(crate) fn finish(started: &Started) -> Option<Ended> {
    let limit = Some(Instant::now() + Duration::from_secs(10));
    let said = process::wait_readable(&started.control, limit).expect("poll");
    assert!(said, "the reaper says nothing for ten seconds");
    let ended = reaper::report(&started.control).expect("a report");
    reap(started);
    ended
}

/// Reaps the first process.
pub(crate) fn reap(started: &Started) -> Option<i32> {
    assert!(ends_within(&started.pidfd, Duration::from_secs(10)), "the first process does not end");
    process::reap(&started.pidfd).expect("waitid")
}

/// Kills and reaps.
pub(crate) fn kill(started: &Started) {
    let limit = Instant::now() + Duration::from_secs(10);
    assert!(process::end(&started.pidfd, limit).expect("a kill"), "it does not end");
}

/// Starts and expects it to work.
pub(crate) fn run<'a>(program: &Program, launch: &Launch<'a>) -> Started {
    start(program, launch).unwrap_or_else(|error| panic!("{error}"))
}

/// Starts and expects an error.
pub(crate) fn refused(program: &Program, launch: &Launch<'_>) -> Error {
    match start(program, launch) {
        Ok(started) => {
            kill(&started);
            panic!("it started")
        }
        Err(error) => error,
    }
}

/// What a payload prints.
pub(crate) fn output(program: &Program, launch: &mut Launch<'_>) -> String {
    let (mut reader, writer) = pipe();
    let mut launch = Launch {
        argv: launch.argv.clone(),
        env: launch.env.clone(),
        paths: launch.paths.clone(),
        parameters: launch.parameters.clone(),
        payload_fds: launch.payload_fds.clone(),
        fds: launch.fds.clone(),
        ..shell("")
    };
    launch.payload_fds.retain(|&(number, _)| number != 1 && number != 2);
    launch.payload_fds.extend([(1, writer.as_fd()), (2, writer.as_fd())]);
    let started = run(program, &launch);
    drop(launch);
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("text");
    reap(&started);
    text
}

/// A pipe.
pub(crate) fn pipe() -> (PipeReader, PipeWriter) {
    std::io::pipe().expect("a pipe")
}

/// What was written to a pipe whose other end is closed now; fails if somebody still holds it.
pub(crate) fn drained(mut reader: PipeReader) -> Vec<u8> {
    let closed = process::wait_readable(&reader, Some(Instant::now() + Duration::from_secs(5)));
    assert!(closed.expect("poll"), "somebody still holds the payload's pipe");
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).expect("a pipe");
    bytes
}

/// Runs the body in a process of its own: this test alone, again, behind a command (such as `unshare`).
pub(crate) fn alone(test: &str, prefix: &[&str], body: impl FnOnce()) {
    const NAME: &str = "AMPOULE_ALONE";
    if std::env::var(NAME).is_ok_and(|name| name == test) {
        return body();
    }
    let _turn = turn();
    let own = std::env::current_exe().expect("a path");
    let mut words = prefix.iter().map(Path::new).chain([own.as_path()]);
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).args(["--exact", test, "--nocapture", "--test-threads=1"]).env(NAME, test);
    let output = command.output().unwrap_or_else(|error| panic!("{prefix:?}: {error}"));
    let said =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{test}: {}\n{}", output.status, said.concat());
    assert!(said[0].contains("1 passed"), "{test} did not run:\n{}", said.concat());
}

/// How often the long form repeats what the short one does once.
pub(crate) fn long_or(short: usize, long: usize) -> usize {
    if std::env::var_os("AMPOULE_LONG").is_some() { long } else { short }
}

/// How soon a process must end that has no reason to live: 100 ms, more on a machine that is busy with other things.
pub(crate) fn at_once() -> Duration {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let busy = load > 2.0 * f64::from(u32::try_from(processors).unwrap_or(1));
    Duration::from_millis(if busy { 2000 } else { 100 })
}
