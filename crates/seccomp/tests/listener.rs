//! Calls that wait for an answer from outside. Callers are threads of this program, or its children.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use ampoule_seccomp::notify::{Listener, Number, OnExec, Received, Request};
use ampoule_seccomp::{Action, ErrorKind, Filter, Rule};
use rustix::event::{EventfdFlags, eventfd};

const LONG: Option<Duration> = Some(Duration::from_secs(20));
const MKDIR: [&str; 2] = ["mkdir", "mkdirat"];

/// Runs in a thread whose calls of these names are notified; gives the listener.
fn supervised<T: Send + 'static>(
    names: &'static [&'static str],
    run: impl FnOnce() -> T + Send + 'static,
) -> (Listener, JoinHandle<T>) {
    let (send, listener): (_, Receiver<Listener>) = channel();
    let thread = std::thread::spawn(move || {
        let filter =
            Filter::new(Action::Allow).rule(Rule::new(Action::Notify, names.iter().copied()));
        let compiled = filter.compile().expect("a filter");
        send.send(compiled.apply_with_listener().expect("a listener").into()).expect("a receiver");
        drop(send);
        run()
    });
    (listener.recv().expect("the thread has started"), thread)
}

fn next(listener: &Listener) -> Request {
    match listener.receive(LONG).expect("a listener") {
        Received::Request(request) => request,
        other => panic!("{other:?}"),
    }
}

/// Where the path stands among the arguments.
fn path_of(listener: &Listener, request: &Request) -> String {
    let index = usize::from(request.name() == Some("mkdirat"));
    let text = listener.read_text(request, request.call.args[index], 4096);
    text.expect("a path").into_string().expect("UTF-8")
}

#[test]
fn a_call_is_seen_answered_refused_and_let_through() {
    let base = std::env::temp_dir().join(format!("ampoule-listener.{}", std::process::id()));
    let dir = base.clone();
    let (listener, caller) = supervised(&MKDIR, move || {
        let make = |name: &Path| std::fs::create_dir(name).map_err(|error| error.raw_os_error());
        [make(Path::new("/served")), make(Path::new("/refused")), make(&dir)]
    });
    let request = next(&listener);
    assert_eq!(path_of(&listener, &request), "/served");
    listener.answer(&request, 0).unwrap();
    let request = next(&listener);
    assert_eq!(path_of(&listener, &request), "/refused");
    listener.refuse(&request, 122).unwrap();
    // It was answered: another answer finds nobody.
    assert_eq!(listener.answer(&request, 0).unwrap_err().kind(), ErrorKind::CallerGone);
    let request = next(&listener);
    assert_eq!(Path::new(&path_of(&listener, &request)), base);
    listener.proceed(&request).unwrap();
    assert_eq!(caller.join().unwrap(), [Ok(()), Err(Some(122)), Ok(())]);
    assert!(base.is_dir() && !Path::new("/served").exists());
    std::fs::remove_dir(&base).unwrap();
    assert_eq!(listener.receive(LONG).unwrap(), Received::NobodyLeft);
}

#[test]
fn memory_is_read_whole_or_not_at_all() {
    let (listener, caller) = supervised(&MKDIR, || std::fs::create_dir("/a/long/path").is_err());
    let request = next(&listener);
    let address = request.call.args[usize::from(request.name() == Some("mkdirat"))];
    let mut start = [0; 7];
    listener.read_memory(&request, address, &mut start).unwrap();
    assert_eq!(&start, b"/a/long");
    let short = listener.read_text(&request, address, 5).unwrap_err();
    assert_eq!(short.errno(), Some(36), "ENAMETOOLONG");
    for bad in [0, 1, u64::MAX, u64::MAX - 4095] {
        let error = listener.read_text(&request, bad, 4096).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::System, "{bad:x}: {error}");
        listener.read_memory(&request, bad, &mut start).unwrap_err();
    }
    listener.refuse(&request, 1).unwrap();
    assert!(caller.join().unwrap());
    let late = listener.read_text(&request, address, 4096).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::CallerGone);
}

#[test]
fn descriptors_are_given_to_the_caller() {
    let (listener, caller) = supervised(&["eventfd", "eventfd2"], || {
        let fd = eventfd(0, EventfdFlags::empty())?;
        let mut text = String::new();
        std::fs::File::from(fd).read_to_string(&mut text)?;
        io::Result::Ok(text)
    });
    let (read, mut write) = io::pipe().unwrap();
    write.write_all(b"from outside").unwrap();
    drop(write);
    let request = next(&listener);
    let kept =
        listener.add_fd(&request, read.as_fd(), Number::Exactly(500), OnExec::Close).unwrap();
    assert_eq!(kept, 500);
    let number = listener.answer_with_fd(&request, read.as_fd(), OnExec::Close).unwrap();
    assert!(number > 2);
    assert_eq!(caller.join().unwrap().unwrap(), "from outside");
    assert_eq!(listener.check(&request).unwrap_err().kind(), ErrorKind::CallerGone);
}

#[test]
fn a_killed_caller_is_noticed() {
    let (listener, caller) = supervised(&MKDIR, || {
        let mut child = Command::new("mkdir").arg("/never").spawn().expect("a child");
        std::thread::sleep(Duration::from_millis(200));
        child.kill().expect("a kill");
        child.wait().expect("a status")
    });
    let request = next(&listener);
    listener.check(&request).unwrap();
    assert!(!caller.join().unwrap().success());
    assert_eq!(listener.check(&request).unwrap_err().kind(), ErrorKind::CallerGone);
    assert_eq!(listener.proceed(&request).unwrap_err().kind(), ErrorKind::CallerGone);
    assert!(!Path::new("/never").exists());
}

#[test]
fn waiting_ends_in_time_and_closing_lets_calls_fail() {
    let (start, started) = channel::<()>();
    let (listener, caller) = supervised(&MKDIR, move || {
        started.recv().expect("a start");
        std::fs::create_dir("/unserved").map_err(|error| error.raw_os_error())
    });
    assert_eq!(listener.receive(Some(Duration::ZERO)).unwrap(), Received::TimedOut);
    assert_eq!(listener.receive(Some(Duration::from_millis(30))).unwrap(), Received::TimedOut);
    start.send(()).unwrap();
    let request = next(&listener);
    assert!(matches!(request.name(), Some("mkdir" | "mkdirat")));
    drop(listener);
    assert_eq!(caller.join().unwrap(), Err(Some(38)));
}
