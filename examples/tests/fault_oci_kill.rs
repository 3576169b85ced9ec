//! `oci-runtime` is killed at every system call that it makes, by strace(1).
//!
//! By root. Kernel objects: one container in each state of its life. Invariant: afterwards `delete --force` leaves no
//! process, group, mount or file, and the id can be used again.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod runtime;

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use runtime::{ALL_CHILDREN, Scene, is_long};

/// What is killed, and what is done before it.
const VERBS: [(&[&str], &[&[&str]]); 4] = [
    (&["create", "one"], &[]),
    (&["start", "one"], &[&["create", "one"]]),
    (&["exec", "one", "id"], &[&["run", "-d", "one"]]),
    (&["delete", "--force", "one"], &[&["run", "-d", "one"]]),
];

/// How many calls of each verb the short form takes.
const SHORT: usize = 24;

#[test]
fn nothing_is_left_wherever_it_is_killed() {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let scene = Scene::new("killed", "exec sleep 1000");
    for (verb, before) in VERBS {
        let calls = calls(&scene, verb, before);
        assert!(calls.len() > 100, "{verb:?}: {calls:?}");
        let step = if is_long() { 1 } else { calls.len() / SHORT };
        let (mut killed, mut tried) = (0, 0);
        for (name, when) in calls.iter().step_by(step) {
            let fault = format!("--inject={name}:signal=SIGKILL:when={when}");
            before.iter().for_each(|arguments| drop(scene.ok(arguments)));
            killed += usize::from(is_killed(&scene, &["-o/dev/null", &fault], verb));
            tried += 1;
            is_cleared(&scene, &format!("{verb:?} {fault}"));
        }
        // How often it looks whether something has ended differs from run to run.
        assert!(killed * 10 > tried * 8, "{verb:?}: {killed} of {tried} calls killed it");
    }
}

/// Deletes what the runtime left, and uses the id again.
fn is_cleared(scene: &Scene, when: &str) {
    let mut deletion = scene.command(&["delete", "--force", "one"]).spawn().unwrap();
    let status = loop {
        // The end of a pid namespace waits for what joined it: that is this process's since its parent was killed.
        reap_all_but(deletion.id());
        match deletion.try_wait().unwrap() {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    assert!(status.success(), "{when}: {}", scene.read("log"));
    scene.assert_nothing_left(when);
    for arguments in [&["run", "-d", "one"] as &[&str], &["delete", "--force", "one"]] {
        let done = scene.call(arguments);
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{arguments:?} after {when}");
    }
    scene.assert_nothing_left(when);
}

fn reap_all_but(own: u32) {
    use rustix::process::{Pid, WaitOptions, waitpid};
    let threads = fs::read_dir("/proc/self/task").unwrap().flatten();
    let lists = threads.map(|thread| fs::read_to_string(thread.path().join("children")));
    for list in lists.flatten() {
        let ids = list.split_whitespace().flat_map(str::parse::<i32>).filter_map(Pid::from_raw);
        for id in ids.filter(|id| id.as_raw_nonzero().get().unsigned_abs() != own) {
            let options = WaitOptions::NOHANG | WaitOptions::from_bits_retain(ALL_CHILDREN);
            let _may_live = waitpid(Some(id), options).is_ok();
        }
    }
}

/// Runs a verb under strace; gives whether it was killed.
fn is_killed(scene: &Scene, options: &[&str], verb: &[&str]) -> bool {
    let own = scene.command(verb);
    let mut command = Command::new("strace");
    command.arg("-qq").args(options).arg("--").arg(own.get_program()).args(own.get_args());
    command.current_dir(scene.path("bundle"));
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    // strace ends as its program does.
    let status = status.expect("strace is installed");
    let killed = std::os::unix::process::ExitStatusExt::signal(&status) == Some(9);
    assert!(killed || status.success(), "{options:?}: {status}");
    killed
}

/// The calls that a verb makes, each with how often it was made by then: strace counts them by name.
fn calls(scene: &Scene, verb: &[&str], before: &[&[&str]]) -> Vec<(String, usize)> {
    before.iter().for_each(|arguments| drop(scene.ok(arguments)));
    let log = scene.path("calls");
    assert!(!is_killed(scene, &["-o", log.to_str().unwrap()], verb), "nothing hinders it");
    is_cleared(scene, "nothing");
    let mut counts = BTreeMap::new();
    let text = fs::read_to_string(log).unwrap();
    let names = text.lines().filter_map(|line| line.split_once('(')).map(|(name, _)| name);
    let plain = |name: &&str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let mut count = |name: &str| {
        let count = counts.entry(name.to_owned()).or_insert(0);
        *count += 1;
        (name.to_owned(), *count)
    };
    // What strace itself calls, or must not be hindered before there is anything.
    names.filter(plain).filter(|name| *name != "execve").map(&mut count).collect()
}
