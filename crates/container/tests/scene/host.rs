//! Hosts in unusual states. Each function changes its process: it runs alone.
//!
//! Kernel objects: limits, masks and descriptors of this process. Invariant: the host lives, and gets a right answer or
//! a typed error.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ampoule::{Container, ErrorKind, Pid1, Stage};
use rustix::process::{Resource, Rlimit, WaitOptions, setrlimit, waitpid};

use super::outside::descendants;
use super::{is_error, print, refused, shell};
use crate::oracle::{payload, unchanged};

fn limit(resource: Resource, value: u64) {
    let limit = Rlimit { current: Some(value), maximum: Some(value) };
    setrlimit(resource, limit).expect("a lower limit");
}

fn works() {
    assert_eq!(print(Container::host_view(), "echo works"), "works\n");
}

/// The three streams, to be given back.
struct Streams([OwnedFd; 3]);

impl Streams {
    /// Closes all three.
    fn close() -> Self {
        let keep = |fd: BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, 10).expect("a stream");
        let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        let kept = Self([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()].map(keep));
        (0..3).for_each(|number: i32| nix::unistd::close(number).expect("an open stream"));
        kept
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        let [stdin, stdout, stderr] = &self.0;
        rustix::stdio::dup2_stdin(stdin).expect("stdin");
        rustix::stdio::dup2_stdout(stdout).expect("stdout");
        rustix::stdio::dup2_stderr(stderr).expect("stderr");
    }
}

pub(crate) fn closed_streams_are_named() {
    let closed = Streams::close();
    let inherited = Container::host_view().command("true").spawn().map(drop);
    let output = shell(Container::host_view(), "echo out; echo err >&2").output();
    let terminal = Container::host_view().command("true").tty(ampoule::WindowSize::default());
    let terminal = terminal.spawn().and_then(|mut container| container.wait());
    drop(closed);
    let error = refused(inherited);
    is_error(&error, ErrorKind::StreamClosed, Stage::Launch, &["descriptor 0"]);
    assert!(error.hint().is_some());
    let output = output.expect("a run");
    assert_eq!(
        (output.stdout.as_slice(), output.stderr.as_slice()),
        (&b"out\n"[..], &b"err\n"[..])
    );
    assert!(terminal.expect("a run").success());
}

pub(crate) fn a_file_size_limit_is_an_error() {
    works();
    limit(Resource::Fsize, 1000);
    let error = refused(Container::host_view().command("true").plan());
    is_error(&error, ErrorKind::FileSizeLimit, error.stage(), &["RLIMIT_FSIZE"]);
}

pub(crate) fn a_file_size_limit_counts_for_the_input() {
    let plan = shell(Container::host_view(), "wc -c").plan().expect("a plan");
    limit(Resource::Fsize, 1 << 20);
    let error = refused(plan.launch().stdin_bytes(vec![0; (1 << 20) + 1]).output());
    is_error(&error, ErrorKind::FileSizeLimit, Stage::Launch, &["standard input"]);
    let output = plan.launch().stdin_bytes(vec![0; 1 << 20]).output().expect("a run");
    assert_eq!(output.stdout, b"1048576\n");
}

pub(crate) fn three_descriptors_are_too_few() {
    works();
    let plan = Container::host_view().command("true").plan().expect("a plan");
    for most in [3, 4, 6, 8, 10, 12, 14] {
        let soft = Rlimit { current: Some(most), maximum: Some(1000) };
        setrlimit(Resource::Nofile, soft).expect("a lower limit");
        if let Err(error) = plan.launch().output() {
            assert_eq!(
                (error.kind(), error.errno()),
                (ErrorKind::ResourceLimit, Some(24)),
                "{error}"
            );
        }
        if let Err(error) = Container::host_view().command("true").plan() {
            assert_eq!(
                (error.kind(), error.errno()),
                (ErrorKind::ResourceLimit, Some(24)),
                "{error}"
            );
        }
        assert_eq!(descendants(), 0);
    }
    let enough = Rlimit { current: Some(1000), maximum: Some(1000) };
    setrlimit(Resource::Nofile, enough).expect("a limit");
    let soft = Rlimit { current: Some(3), maximum: Some(1000) };
    setrlimit(Resource::Nofile, soft).expect("a lower limit");
    let error = refused(plan.launch().output());
    setrlimit(Resource::Nofile, enough).expect("a limit");
    is_error(&error, ErrorKind::ResourceLimit, error.stage(), &[]);
    works();
}

pub(crate) fn the_hosts_mask_does_not_count() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o777));
    let builder =
        Container::host_view().file("/new/file", "x\n").file_with_mode("/new/run", "", 0o755);
    let seen = print(builder, "cat /new/file; stat -c %a /new /new/run /tmp; umask");
    assert_eq!(seen, "x\n755\n755\n1777\n0022\n");
}

pub(crate) fn a_working_directory_that_is_gone() {
    let directory = tempfile::tempdir().expect("a directory");
    rustix::process::chdir(directory.path()).expect("a directory");
    drop(directory);
    works();
}

pub(crate) fn blocked_signals_are_not_handed_on() {
    let all = nix::sys::signal::SigSet::all();
    all.thread_block().expect("a mask");
    let output = Container::host_view().command("cat").arg("/proc/self/status").output();
    let status = payload::status(&super::printed(output.expect("a run"))).expect("a status");
    assert_eq!((status.blocked, status.ignored), (0, 0));
    let limited = shell(Container::host_view(), "sleep 100").timeout(Duration::from_millis(50));
    assert!(limited.output().expect("a run").status.timed_out());
}

pub(crate) fn somebody_else_waits_for_all_children() {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let options = WaitOptions::NOHANG | WaitOptions::from_bits_retain(0x4000_0000);
                while !stop.load(Ordering::Relaxed) {
                    let _somebodys = waitpid(None, options);
                }
            });
        }
        let result = std::panic::catch_unwind(|| {
            for code in 0..100 {
                let output = super::run(Container::host_view(), &format!("exit {code}"));
                assert_eq!(output.status.code(), Some(code));
            }
            let error = refused(Container::host_view().command("/nowhere").spawn());
            assert_eq!(error.kind(), ErrorKind::ProgramNotFound, "{error}");
            let mut container =
                shell(Container::host_view(), "sleep 100").spawn().expect("a container");
            assert_eq!(
                container.stop(Duration::from_millis(500)).expect("a status").signal(),
                Some(15)
            );
        });
        stop.store(true, Ordering::Relaxed);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    assert_eq!(descendants(), 0);
}

/// The shell that started this process ignores `SIGCHLD`: children are reaped by the kernel.
pub(crate) fn sigchld_is_ignored() {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let ignored = payload::status(&status).expect("a status").ignored;
    assert_ne!(ignored & 1 << 16, 0, "SIGCHLD is not ignored");
    unchanged(|| {
        for code in [0, 5, 77] {
            let output = super::run(Container::host_view(), &format!("exit {code}"));
            assert_eq!(output.status.code(), Some(code));
        }
        let killed = super::run(Container::host_view(), "kill -9 $$");
        assert_eq!(killed.status.signal(), Some(9));
        let builder = Container::host_view().pid1(Pid1::Payload);
        match builder.command("sh").args(["-c", "exit 6"]).output() {
            Ok(output) => assert_eq!(output.status.code(), Some(6)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::StatusLost, "{error}"),
        }
    });
}
