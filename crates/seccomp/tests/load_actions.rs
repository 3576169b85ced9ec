//! The kernel does what each action says. Each test confines threads of this program only, and what they start.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ampoule_seccomp::{Action, Filter, Rule};

const SIGSYS: i32 = 31;
const EPERM: i32 = 1;
const ENOSYS: i32 = 38;

/// In a thread of its own that has the filter.
fn confined<T: Send>(filter: &Filter, run: impl FnOnce() -> T + Send) -> T {
    let compiled = filter.compile().expect("a filter");
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            compiled.apply_to_this_thread().expect("a load");
            run()
        });
        thread.join().expect("no panic")
    })
}

fn on_mkdir(action: Action) -> Filter {
    Filter::new(Action::Allow).rule(Rule::new(action, ["mkdir", "mkdirat"]))
}

/// The error of a mkdir under this action, and whether the directory is there.
fn made(action: Action) -> (Option<i32>, bool) {
    let place = std::env::temp_dir();
    let place = place.join(format!("ampoule-action.{}.{action:?}", std::process::id()));
    let result = confined(&on_mkdir(action), || std::fs::create_dir(&place));
    (result.err().and_then(|error| error.raw_os_error()), std::fs::remove_dir(&place).is_ok())
}

#[test]
fn calls_are_made_refused_or_seem_to_be_made() {
    assert_eq!(made(Action::Allow), (None, true));
    assert_eq!(made(Action::Log), (None, true));
    for errno in [1, 13, 38, 95, Action::ERRNO_MAX] {
        assert_eq!(made(Action::Errno(errno)), (Some(i32::from(errno)), false));
    }
    assert_eq!(made(Action::Errno(0)), (None, false), "it seems to succeed");
    // Nobody traces.
    assert_eq!(made(Action::Trace(7)), (Some(ENOSYS), false));
}

#[test]
fn a_process_is_killed() {
    for action in [Action::KillProcess, Action::KillThread, Action::Trap] {
        let status = confined(&on_mkdir(action), || {
            Command::new("mkdir").arg("/never").status().expect("a run")
        });
        assert_eq!(status.signal(), Some(SIGSYS), "{action}: {status}");
    }
    assert!(!Path::new("/never").exists());
}

/// A trap can be handled; what kills cannot.
#[test]
fn a_trap_is_a_signal() {
    let script = "trap 'echo caught' 31; cd /; echo on";
    let run = |action| {
        let filter = Filter::new(Action::Allow).rule(Rule::new(action, ["chdir"]));
        confined(&filter, || Command::new("sh").args(["-c", script]).output().expect("a run"))
    };
    let trapped = run(Action::Trap);
    assert_eq!(String::from_utf8_lossy(&trapped.stdout), "caught\non\n");
    let killed = run(Action::KillProcess);
    assert_eq!((killed.stdout.as_slice(), killed.status.signal()), (&b""[..], Some(SIGSYS)));
}

/// The thread goes, and the process does not.
#[test]
fn a_thread_is_killed_alone() {
    let compiled = on_mkdir(Action::KillThread).compile().expect("a filter");
    let (send, receive) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        send.send(rustix::thread::gettid()).expect("the test waits");
        compiled.apply_to_this_thread().expect("a load");
        let result = std::fs::create_dir("/never");
        unreachable!("it goes on with {result:?}");
    });
    let id = receive.recv().expect("it has started").as_raw_nonzero();
    let begun = Instant::now();
    while Path::new(&format!("/proc/self/task/{id}")).exists() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it lives");
        std::thread::sleep(Duration::from_millis(2));
    }
    // It left no result that could be waited for.
    std::mem::forget(thread);
    assert!(!Path::new("/never").exists());
}

fn errno<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

#[test]
fn what_only_computes_reaches_nobody() {
    let place = std::env::temp_dir().join(format!("ampoule-compute.{}", std::process::id()));
    let (file, inner, exec, tcp, unix) = confined(&Filter::compute(), || {
        let file = std::fs::write(&place, "text").and_then(|()| place.metadata());
        let inner = std::thread::spawn(|| 6 * 7).join().expect("a thread");
        let exec = errno(Command::new("true").status());
        let tcp = errno(TcpStream::connect("127.0.0.1:9"));
        (file.expect("a file").size(), inner, exec, tcp, errno(UnixDatagram::unbound()))
    });
    std::fs::remove_file(&place).expect("the file");
    assert_eq!((file, inner), (4, 42));
    assert_eq!([exec, tcp, unix], [Some(EPERM); 3]);
}

#[test]
fn a_client_connects_and_does_not_listen() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a server");
    let address = server.local_addr().expect("an address");
    let (connected, listens, runs) = confined(&Filter::network_client(), || {
        let runs = Command::new("true").status().expect("a run").success();
        (errno(TcpStream::connect(address)), errno(TcpListener::bind("127.0.0.1:0")), runs)
    });
    assert_eq!((connected, listens, runs), (None, Some(EPERM), true));
}
