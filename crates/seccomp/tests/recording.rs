//! What a thread calls, recorded by another one.
//!
//! Kernel objects: a filter of a thread of this test, and its listener. Invariant: the thread that is recorded never waits
//! for the one that serves it but in a call.

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicI32, Ordering};

use ampoule_seccomp::bpf::Data;
use ampoule_seccomp::notify::Listener;
use ampoule_seccomp::{Action, Arch, CALLS_OF_EXEC, Filter, Recording, syscall};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

/// Records what `run` does in a thread of its own.
fn recorded(run: impl FnOnce() + Send) -> Recording {
    let number = AtomicI32::new(-1);
    let compiled = Recording::filter().compile().expect("a filter");
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let listener = compiled.apply_with_listener().expect("a listener");
            number.store(listener.as_raw_fd(), Ordering::Release);
            run();
        });
        while number.load(Ordering::Acquire) == -1 {
            std::thread::yield_now();
        }
        let own = pidfd_open(getpid(), PidfdFlags::empty()).expect("this process");
        let number = number.load(Ordering::Acquire);
        let listener = pidfd_getfd(own, number, PidfdGetfdFlags::empty()).expect("the listener");
        let listener = Listener::from(listener);
        let mut recording = Recording::new();
        recording.serve(&listener).expect("a recording");
        recording
    })
}

fn decide(filter: &Filter, name: &str, args: [u64; 6]) -> Action {
    let number = syscall::number(Arch::native(), name).expect("a call");
    filter.decide(&Data { number, arch: Arch::native().audit(), instruction_pointer: 0, args })
}

#[test]
fn what_was_called_is_permitted_and_nothing_else() {
    let recording = recorded(|| {
        drop(std::fs::read_dir("/proc/self/ns").map(Iterator::count));
        drop(std::os::unix::net::UnixDatagram::unbound());
        rustix::thread::sched_yield();
    });
    let calls: Vec<_> = recording.calls().collect();
    for call in ["getdents64", "socket", "sched_yield", "close"] {
        assert!(calls.contains(&call), "{call} is not in {calls:?}");
    }
    assert!(!calls.contains(&"mkdir") && !calls.contains(&"listen"), "{calls:?}");
    assert_eq!(recording.unknown().count(), 0);
    let filter = recording.smallest();
    filter.validate().expect("a filter");
    filter.validate_for_exec().expect("one for an exec");
    for call in CALLS_OF_EXEC.into_iter().chain(["getdents64", "rt_sigreturn", "statx"]) {
        assert_eq!(decide(&filter, call, [0; 6]), Action::Allow, "{call}");
    }
    for call in ["mkdirat", "unshare", "listen"] {
        assert_eq!(decide(&filter, call, [0; 6]), Action::NOT_PERMITTED, "{call}");
    }
    let family = |number| decide(&filter, "socket", [number, 0, 0, 0, 0, 0]);
    assert_eq!([family(1), family(2)], [Action::Allow, Action::NOT_PERMITTED]);
    assert_eq!(family(1 | 1 << 32), Action::Allow, "the kernel takes 32 bits");
}

#[test]
fn what_is_written_reads_back() {
    let recording = recorded(|| drop(std::os::unix::net::UnixDatagram::unbound()));
    let filter = recording.smallest();
    let json = filter.to_oci_json().expect("the format says it");
    let profile = ampoule_seccomp::Profile::from_json(json.as_bytes()).expect("a profile");
    let back = profile.resolve(&ampoule_seccomp::Host::this()).expect("a filter");
    assert_eq!((back.filter, back.ignored.len()), (filter, 0));
}

#[test]
fn nothing_recorded_is_what_an_exec_needs() {
    let filter = Recording::new().smallest();
    filter.validate_for_exec().expect("one for an exec");
    assert_eq!(decide(&filter, "read", [0; 6]), Action::NOT_PERMITTED);
}
