//! A test body in a process of its own: the test binary, run again for just that test.
//!
//! Kernel object: one child process, reaped here. Invariant: what the body does to its process
//! (umask, limits, namespaces, a crash) never reaches the other tests; a body that did not run
//! is a failure.

use std::any::type_name;
use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::lock;

/// Names the test that the second process is for.
const VARIABLE: &str = "AMPOULE_TEST_ALONE";
/// A body that takes longer than this hangs; the long form of the tests may take as long as its runner lets it.
fn limit() -> Duration {
    let long = std::env::var_os("AMPOULE_LONG").is_some_and(|value| value == "1");
    Duration::from_secs(if long { 3600 } else { 300 })
}

/// Runs `body`, a closure written directly in a `#[test]` function, in a process of its own.
///
/// That process has two threads, the harness's main thread and the one that runs the body. What
/// needs a single-threaded process, such as a user namespace, is entered before: [`alone_with`].
pub(crate) fn alone<F: FnOnce()>(body: F) {
    drop(alone_with(|_| {}, body));
}

/// Like [`alone()`], after `adjust` has changed the command: its environment, its standard input,
/// or everything a shell can set, by [`after_shell`].
///
/// Returns what the second process printed, or `None` in that process itself.
pub(crate) fn alone_with<F: FnOnce()>(
    adjust: impl FnOnce(&mut Command),
    body: F,
) -> Option<String> {
    let name = test_name::<F>();
    if std::env::var_os(VARIABLE).is_some_and(|wanted| wanted == name) {
        body();
        return None;
    }
    let _held = lock::hold();
    let (status, printed) = run(again(name), adjust);
    let ran = printed.contains("test result: ok. 1 passed");
    assert!(status.success() && ran, "{name}, in a process of its own: {status}\n{printed}");
    Some(printed)
}

/// Lets a shell run `setup` (`ulimit -n 3`, `trap '' USR1` …) and become the command.
pub(crate) fn after_shell(command: &mut Command, setup: &str) {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("{setup}\nexec \"$0\" \"$@\"")]).arg(command.get_program());
    shell.args(command.get_args()).stdin(Stdio::null());
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    *command = shell;
}

/// The command that runs the test `name`, and nothing else, in this test binary.
fn again(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("own executable"));
    command.args(["--exact", name, "--nocapture", "--include-ignored", "--test-threads=1"]);
    command.env(VARIABLE, name).stdin(Stdio::null());
    command
}

/// The name of the test function around a closure, from the name of the closure's type.
fn test_name<F>() -> &'static str {
    let path = type_name::<F>().split_once("::").map_or("", |(_crate, path)| path);
    path.split_once("::{{closure}}").expect("a closure written in the test function").0
}

fn run(mut command: Command, adjust: impl FnOnce(&mut Command)) -> (ExitStatus, String) {
    let mut printed = tempfile::tempfile().expect("a file for the output");
    let end = || Stdio::from(printed.try_clone().expect("a second descriptor"));
    adjust(&mut command);
    command.stdout(end()).stderr(end());
    let child = command.spawn().expect("the test binary starts again");
    drop(command);
    let status = wait(child);
    (status, read_all(&mut printed))
}

fn wait(mut child: Child) -> ExitStatus {
    let start = Instant::now();
    while start.elapsed() < limit() {
        if let Some(status) = child.try_wait().expect("our own child") {
            return status;
        }
        sleep(Duration::from_millis(2));
    }
    child.kill().expect("our own child");
    child.wait().expect("our own child")
}

fn read_all(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().expect("a plain file");
    file.read_to_end(&mut bytes).expect("a plain file");
    String::from_utf8_lossy(&bytes).into_owned()
}
