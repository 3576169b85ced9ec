//! Further processes in a running container: what they are, how they end, and what they never hold up.
//!
//! Kernel objects: processes that joined, looked at from inside and outside. Invariant: a process that joined is
//! confined as the payload is; what is asserted comes from the kernel's own files.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use ampoule::{
    Capability, Container, ErrorKind, Outcome, Pid1, Process, Stage, Stdio, User, WindowSize,
};

use super::outside::descendants;
use super::{is_error, printed, refused, rooted, shell, soon};
use crate::oracle::fixture::{self, Rootfs};

/// A sandbox to work in.
pub(crate) fn idle() -> (Rootfs, Container) {
    let root = fixture::rootfs();
    let sandbox = rooted(&root).idle().expect("a container");
    (root, sandbox)
}

/// What a script in it prints.
#[track_caller]
fn print_in(sandbox: &Container, script: &str) -> String {
    let output = sandbox.exec("/bin/sh").args(["-c", script]).output();
    printed(output.unwrap_or_else(|error| panic!("{script}: {error}")))
}

/// A process that stays.
fn sleeper(sandbox: &Container) -> Process {
    let exec = sandbox.exec("sleep").arg("1000").stdin(Stdio::null());
    exec.spawn().expect("a process")
}

pub(crate) fn it_works_in_the_sandbox() {
    let (_root, sandbox) = idle();
    sandbox.write("/tmp/in", "from the host\n").expect("a file");
    let output = sandbox.exec("sh").args(["-c", "cat /tmp/in; cat; exit 7"]).stdin_bytes("more\n");
    let output = output.output().expect("a run");
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "from the host\nmore\n");
    assert_eq!(
        print_in(&sandbox, "echo $(($(cat /tmp/in | wc -l) + 1)) > /tmp/out; cat /tmp/out"),
        "2\n"
    );
    let status = sandbox.exec("sh").args(["-c", "kill -9 $$"]).status().expect("a status");
    assert_eq!(status.outcome(), Outcome::Signaled { signal: 9, core_dumped: false });
    assert_eq!(descendants(), 1, "init alone");
}

/// The same script shows the same in the payload and in a process that joined.
pub(crate) fn it_is_confined_as_the_payload_is() {
    const SCRIPT: &str = "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp|SigBlk|SigIgn|SigCgt|Umask|NStgid)' \
        /proc/self/status | sed 's/NStgid.*/NStgid/'; cat /proc/self/limits /proc/self/oom_score_adj; \
        for n in cgroup ipc mnt net time user uts; do readlink /proc/self/ns/$n; done; cat /proc/self/cgroup; \
        ls /proc/self/fd | wc -l; pwd; env | grep -v -E '^(PWD|SHLVL|_)=' | sort; hostname; cat /proc/self/mountinfo; \
        nice; cut -d' ' -f5 /proc/self/stat | grep -c \"$(cut -d' ' -f6 /proc/self/stat)\"";
    let root = fixture::rootfs();
    let builder = || {
        rooted(&root)
            .env("FROM", "the builder")
            .oom_score_adj(500)
            .umask(0o027)
            .rlimit("nofile=50:60".parse().expect("a limit"))
            .rlimit("nproc=4000:5000".parse().expect("a limit"))
            .scheduler(ampoule::Scheduler { nice: 5, ..Default::default() })
    };
    for pid1 in [Pid1::Reaper, Pid1::Payload] {
        let command =
            shell(builder().pid1(pid1), &format!("({SCRIPT}) 2>&1; echo end; exec sleep 1000"));
        let mut container = command.stdout(Stdio::piped()).spawn().expect("a container");
        let mut stdout = container.stdout.take().expect("a pipe");
        let payload = super::read_until(&mut stdout, "end\n");
        let joined = print_in(&container, &format!("({SCRIPT}) 2>&1; echo end"));
        assert_eq!(payload, joined);
        assert!(
            joined.contains("NoNewPrivs:\t1") && joined.contains("FROM=the builder"),
            "{joined}"
        );
    }
}

pub(crate) fn a_user_is_looked_up_in_its_root() {
    let (_root, sandbox) = idle();
    let script = "id -u; id -g; id -G; echo $HOME; grep CapEff /proc/self/status";
    let as_user = |user: &str| {
        let exec = sandbox.exec("/bin/sh").args(["-c", script]);
        printed(exec.user(user.parse().expect("a user")).output().expect("a run"))
    };
    let none = "CapEff:\t0000000000000000\n";
    assert_eq!(as_user("app"), format!("1000\n1000\n1000 2000\n/home/app\n{none}"));
    sandbox.write("/etc/passwd", "new:x:77:88::/tmp:/bin/sh\n").expect("a file");
    assert_eq!(as_user("new"), format!("77\n88\n88\n/tmp\n{none}"), "as it is now");
    let root = as_user("0:0");
    assert!(root.starts_with("0\n0\n0\n/root\n") && !root.contains(none), "{root}");
}

pub(crate) fn its_own_settings_count() {
    let (_root, sandbox) = idle();
    let script = "pwd; echo $A";
    let exec = sandbox.exec("/bin/sh").args(["-c", script]).current_dir("/tmp").env("A", "b");
    assert_eq!(printed(exec.output().expect("a run")), "/tmp\nb\n");
    let bare = sandbox.exec("/bin/busybox").arg("env").env_clear().env("ONLY", "this");
    assert_eq!(printed(bare.output().expect("a run")), "ONLY=this\n");
    let capable = ampoule::Capabilities::drop_all().add(Capability::NetBindService);
    let exec = sandbox.exec("grep").args(["CapEff", "/proc/self/status"]).capabilities(capable);
    assert_eq!(printed(exec.output().expect("a run")), "CapEff:\t0000000000000400\n");
    let file = std::fs::File::open("/proc/self/cmdline").expect("a file");
    let exec =
        sandbox.exec("sh").args(["-c", "cat <&7 | head -c 1; ls /proc/self/fd | tr '\\n' ' '"]);
    let seen = printed(exec.fd(7, file).output().expect("a run"));
    assert!(seen.ends_with("0 1 2 3 7 "), "{seen}");
}

pub(crate) fn it_gets_a_terminal() {
    let (_root, sandbox) = idle();
    let script = "tty; stty size; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo three; (: > /dev/tty) && echo own; ls /proc/self/fd | tr '\\n' ' '";
    let exec =
        sandbox.exec("/bin/sh").args(["-c", script]).tty(WindowSize { rows: 11, columns: 44 });
    let mut process = exec.spawn().expect("a process");
    let mut seen = String::new();
    process.pty.take().expect("a terminal").read_to_string(&mut seen).expect("text");
    assert!(process.wait().expect("a status").success(), "{seen}");
    assert_eq!(seen, "/dev/pts/0\r\n11 44\r\nthree\r\nown\r\n0 1 2 3 ");
}

pub(crate) fn streams_and_signals_reach_it() {
    let (_root, sandbox) = idle();
    let exec = sandbox.exec("cat").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = exec.spawn().expect("a process");
    process.stdin.take().expect("a pipe").write_all(b"through").expect("a write");
    let mut seen = String::new();
    process.stdout.take().expect("a pipe").read_to_string(&mut seen).expect("text");
    assert_eq!((seen.as_str(), process.wait().expect("a status").code()), ("through", Some(0)));
    let mut process = sleeper(&sandbox);
    assert_eq!(process.try_wait().expect("no error"), None);
    assert_eq!(process.wait_timeout(Duration::from_millis(10)).expect("no error"), None);
    process.kill(15).expect("a signal");
    assert_eq!(process.wait().expect("a status").signal(), Some(15));
    let stopped = sleeper(&sandbox).stop(Duration::from_secs(5)).expect("a status");
    assert_eq!(stopped.signal(), Some(15));
    let late = sandbox.exec("sleep").arg("1000").timeout(Duration::from_millis(30)).status();
    assert!(late.expect("a status").timed_out());
    let flood = sandbox
        .exec("cat")
        .arg("/dev/zero")
        .output_max(ampoule::Bytes::kib(64))
        .output()
        .expect("a run");
    assert_eq!(flood.status.outcome(), Outcome::OutputExceeded);
    assert_eq!(descendants(), 1, "init alone");
}

pub(crate) fn dropping_its_handle_ends_it() {
    let (_root, sandbox) = idle();
    let process = sleeper(&sandbox);
    assert_eq!(descendants(), 2);
    drop(process);
    assert_eq!(descendants(), 1);
    sleeper(&sandbox).detach();
    assert_eq!(descendants(), 2, "a detached one goes on");
    drop(sandbox);
    assert_eq!(descendants(), 0, "and ends with the container");
}

/// A process that ended and that nobody waited for holds up neither the end nor a wait for it.
pub(crate) fn one_that_is_not_reaped_blocks_nothing() {
    for pid1 in [Pid1::Reaper, Pid1::Payload] {
        for script in ["exec sleep 0.3", "trap : TERM; sleep 1000 & echo ready; wait; exit 3"] {
            let root = fixture::rootfs();
            let command = shell(rooted(&root).pid1(pid1), script).stdin(Stdio::null());
            let mut container = command.stdout(Stdio::piped()).spawn().expect("a container");
            let mut stdout = container.stdout.take().expect("a pipe");
            if script.contains("ready") {
                super::read_until(&mut stdout, "ready\n");
            }
            let mut ended = container.exec("sh").args(["-c", "exit 5"]).spawn().expect("a process");
            let mut running = sleeper(&container);
            sleeper(&container).detach();
            assert!(soon(|| !super::outside::lives(ended.pid())));
            let begun = Instant::now();
            match script.starts_with("exec") {
                true => assert!(container.wait().expect("a status").success()),
                false => assert_eq!(
                    container.stop(Duration::from_secs(9)).expect("a status").code(),
                    Some(3)
                ),
            }
            assert!(begun.elapsed() < Duration::from_secs(3), "{pid1:?} {script}");
            assert_eq!(ended.wait().expect("a status").code(), Some(5), "kept for whoever asks");
            assert_eq!(running.wait().expect("a status").signal(), Some(9));
            assert_eq!(descendants(), 0);
        }
    }
    let (_root, sandbox) = idle();
    let forgotten = sandbox.exec("true").spawn().expect("a process");
    assert!(soon(|| !super::outside::lives(forgotten.pid())));
    drop(sandbox);
    drop(forgotten);
    assert_eq!(descendants(), 0);
}

pub(crate) fn a_container_that_ended_says_so() {
    for pid1 in [Pid1::Reaper, Pid1::Payload] {
        let root = fixture::rootfs();
        let command = shell(rooted(&root).pid1(pid1), "exec sleep 1000").stdin(Stdio::null());
        let mut container = command.spawn().expect("a container");
        let unreaped = container.exec("true").spawn().expect("a process");
        assert!(soon(|| !super::outside::lives(unreaped.pid())));
        rustix::process::pidfd_send_signal(container.pidfd(), rustix::process::Signal::KILL)
            .expect("a signal");
        let error = loop {
            match container.exec("true").status() {
                Ok(status) => assert!(status.success() || status.signal() == Some(9), "{status}"),
                Err(error) => break error,
            }
        };
        is_error(&error, ErrorKind::Ended, Stage::Running, &[]);
        assert_eq!(error.errno(), Some(3));
        container.wait().expect("a status");
        assert_eq!(refused(container.exec("true").spawn()).kind(), ErrorKind::Ended);
    }
    assert_eq!(descendants(), 0);
}

pub(crate) fn what_cannot_be_is_refused() {
    let (_root, sandbox) = idle();
    let error = refused(sandbox.exec("/nowhere").spawn());
    is_error(&error, ErrorKind::ProgramNotFound, Stage::Exec, &["/nowhere"]);
    let error = refused(sandbox.exec("true").current_dir("/nowhere").spawn());
    is_error(&error, ErrorKind::WorkingDirectory, Stage::Process, &["/nowhere"]);
    let error =
        refused(sandbox.exec("true").user("nobody-at-all".parse().expect("a user")).spawn());
    assert_eq!(error.kind(), ErrorKind::User, "{error}");
    let error = refused(sandbox.exec("true").user(User::ids(u32::MAX - 1, 0)).spawn());
    assert_eq!(error.kind(), ErrorKind::IdMap, "{error}");
    assert_eq!(refused(sandbox.exec("a\0b").spawn()).kind(), ErrorKind::InvalidSettings);
    let null = std::fs::File::open("/dev/null").expect("a file");
    let error = refused(sandbox.exec("true").fd(2, null).spawn());
    assert_eq!(error.kind(), ErrorKind::InvalidSettings, "{error}");
    assert_eq!(descendants(), 1, "init alone");
}

pub(crate) fn a_container_without_processes_of_its_own_is_refused() {
    let command = Container::bare().command("sleep").arg("100").stdin(Stdio::null());
    let bare = command.spawn().expect("a container");
    assert_eq!(refused(bare.exec("true").spawn()).kind(), ErrorKind::Unsupported);
}
