//! The examples as programs: where they are, and what one of them did.
//!
//! Invariant: a program that does not end in time is killed and fails the test.

pub(crate) mod limits;
pub(crate) mod overlay;
pub(crate) mod place;
pub(crate) mod runner;
pub(crate) mod sandbox;
pub(crate) mod terminal;

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long one program may take.
const LIMIT: Duration = Duration::from_secs(60);

/// What a program did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Starts `sandbox` with these arguments and everything piped.
pub(crate) fn start(arguments: &[&str]) -> Child {
    command("sandbox", arguments).spawn().unwrap()
}

pub(crate) fn command(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(place::example(name));
    command.args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs `sandbox` to its end.
pub(crate) fn sandbox(arguments: &[&str]) -> Done {
    finish(start(arguments))
}

/// What a shell script prints in a sandbox with these options.
pub(crate) fn shell(options: &[&str], script: &str) -> String {
    let done = sandbox(&[options, &["--", "sh", "-c", script]].concat());
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{script}");
    done.out
}

/// Waits for the end, and reads what was written.
pub(crate) fn finish(mut child: Child) -> Done {
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let err = std::thread::spawn(move || text(&mut stderr));
    let out = std::thread::spawn(move || text(&mut stdout));
    let deadline = Instant::now() + LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("killed after {LIMIT:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    Done { code: status.code(), out: out.join().unwrap(), err: err.join().unwrap() }
}

fn text(from: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads until `wanted` has come.
pub(crate) fn read_until(from: &mut impl Read, wanted: &str) -> String {
    let mut seen = Vec::new();
    let mut chunk = [0; 512];
    loop {
        let length = from.read(&mut chunk).unwrap();
        assert_ne!(length, 0, "{:?} ended before {wanted:?}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&chunk[..length]);
        let text = String::from_utf8_lossy(&seen);
        if text.contains(wanted) {
            return text.into_owned();
        }
    }
}
