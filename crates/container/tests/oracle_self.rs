//! Does the oracle see every kind of leak, and only leaks?
//!
//! Kernel objects: those of the oracle. Invariant: whatever changes its process runs in a process
//! of its own, so that no test here disturbs another.

mod oracle;

use std::fs::{self, File};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal};
use oracle::system::is_ours;
use oracle::{Difference, Field, Host, HostState, alone, alone_with, fixture, payload};
use rustix::process::{DumpableBehavior, Pid, Resource};

/// Long enough for the oracle to look twice.
const BRIEF: Duration = Duration::from_millis(30);

/// Leaks, and asserts that the oracle names it; returns what it said.
#[track_caller]
fn sees<T>(field: Field, key: &str, leak: impl FnOnce() -> T) -> Difference {
    let before = Host::snapshot();
    let kept = leak();
    let found = before.differences(BRIEF);
    drop(kept);
    let hit = found.iter().find(|one| one.field == field && one.key.contains(key)).cloned();
    hit.unwrap_or_else(|| panic!("{field} {key} was not seen, only {found:?}"))
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).stdin(Stdio::null());
    command
}

#[test]
fn open_descriptor() {
    alone(|| {
        let seen = sees(Field::Descriptors, "", || File::open("/dev/null").expect("null"));
        assert!(seen.after.is_some_and(|after| after.starts_with("/dev/null flags 0")));
    });
}

#[test]
fn closed_descriptor() {
    alone(|| {
        let file = File::open("/dev/null").expect("null");
        let seen = sees(Field::Descriptors, "", || drop(file));
        assert_eq!(seen.after, None);
    });
}

#[test]
fn descriptor_flags() {
    alone(|| {
        let (reader, _writer) = std::io::pipe().expect("a pipe");
        let flags = rustix::fs::OFlags::NONBLOCK;
        sees(Field::Descriptors, "", || rustix::fs::fcntl_setfl(&reader, flags));
    });
}

#[test]
#[expect(clippy::zombie_processes, reason = "that is the leak")]
fn child_not_reaped() {
    alone(|| {
        let seen = sees(Field::Children, "", || {
            let child = shell("exit 0").stdout(Stdio::piped()).spawn().expect("a child");
            std::io::copy(&mut child.stdout.expect("a pipe"), &mut std::io::sink())
        });
        assert!(seen.after.is_some());
    });
}

#[test]
fn child_taken_away() {
    alone(|| {
        let mut child = shell("exit 0").spawn().expect("a child");
        let seen = sees(Field::Children, "", || child.wait());
        assert_eq!(seen.after, None);
    });
}

#[test]
fn grandchild() {
    alone(|| {
        let mut child = shell("sleep 60 & read line; kill $!; wait");
        let mut child = child.stdin(Stdio::piped()).spawn().expect("a child");
        let ends = child.stdin.take();
        assert!(Host::snapshot().facts(Field::Children).len() == 1);
        let below = || !Host::snapshot().facts(Field::Processes).is_empty();
        assert!(soon(below), "the grandchild was not seen");
        drop(ends);
        child.wait().expect("our child");
    });
}

fn soon(condition: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        if condition() {
            return true;
        }
        thread::sleep(Duration::from_millis(5));
    }
    false
}

#[test]
fn umask() {
    alone(|| {
        let mask = rustix::fs::Mode::from_raw_mode(0o077);
        let seen = sees(Field::Process, "Umask", || rustix::process::umask(mask));
        assert_eq!(seen.after.as_deref(), Some("0077"));
    });
}

#[test]
fn current_directory() {
    alone(|| {
        let seen = sees(Field::Process, "cwd", || rustix::process::chdir("/proc"));
        assert_eq!(seen.after.as_deref(), Some("/proc"));
    });
}

#[test]
fn thread_left() {
    alone(|| {
        let (end, wait) = mpsc::channel::<()>();
        let named = thread::Builder::new().name("left-over".to_owned());
        let left = named.spawn(move || wait.recv()).expect("a thread");
        drop((end, left));
        let (end, wait) = mpsc::channel::<()>();
        sees(Field::Threads, "", || (end, thread::spawn(move || wait.recv())));
    });
}

#[test]
fn signal_mask() {
    alone(|| {
        let mut set = SigSet::empty();
        set.add(Signal::SIGUSR1);
        let seen = sees(Field::Thread, "SigBlk", || set.thread_block());
        assert_eq!(seen.after.as_deref(), Some("0000000000000200"));
    });
}

#[test]
fn signal_handler() {
    alone(|| {
        let flag = Arc::new(AtomicBool::new(false));
        let usr2 = signal_hook::consts::SIGUSR2;
        sees(Field::Process, "SigCgt", || signal_hook::flag::register(usr2, flag));
    });
}

#[test]
fn process_flags() {
    alone(|| {
        let own = rustix::process::getpid();
        sees(Field::Process, "child subreaper", || rustix::process::set_child_subreaper(Some(own)));
        let not = DumpableBehavior::NotDumpable;
        let seen = sees(Field::Process, "dumpable", || rustix::process::set_dumpable_behavior(not));
        assert_eq!(seen.after.as_deref(), Some("Ok(NotDumpable)"));
    });
}

#[test]
fn oom_score_and_nice() {
    alone(|| {
        sees(Field::Process, "oom_score_adj", || fs::write("/proc/self/oom_score_adj", "789"));
        sees(Field::Thread, "nice", || rustix::process::nice(3));
    });
}

#[test]
fn no_new_privs() {
    alone(|| {
        sees(Field::Thread, "NoNewPrivs", || rustix::thread::set_no_new_privs(true));
    });
}

#[test]
fn limits() {
    alone(|| {
        let mut limit = rustix::process::getrlimit(Resource::Core);
        limit.maximum = Some(4096);
        limit.current = Some(4096);
        let set = || rustix::process::setrlimit(Resource::Core, limit);
        let seen = sees(Field::Limits, "Max core file size", set);
        assert!(seen.after.is_some_and(|after| after.starts_with("4096")));
    });
}

/// The state that a second process printed.
fn printed_state(output: &str) -> HostState {
    let report = payload::report(output).expect("a state");
    serde_json::from_str(report).expect("a state")
}

#[test]
fn environment_and_ignored_signals() {
    let print = || {
        let state = serde_json::to_string(&Host::snapshot()).expect("plain data");
        payload::print_report(&state);
    };
    let Some(plain) = alone_with(|_| {}, print) else { return };
    let adjust = |command: &mut Command| {
        command.env("AMPOULE_TEST_LEAK", "there");
        oracle::alone::after_shell(command, "trap '' USR1");
    };
    let Some(other) = alone_with(adjust, print) else { return };
    let found = printed_state(&plain).compare(&printed_state(&other));
    let has = |field, key| found.iter().any(|one| one.field == field && one.key == key);
    assert!(has(Field::Environment, "AMPOULE_TEST_LEAK"), "{found:?}");
    assert!(has(Field::Process, "SigIgn"), "{found:?}");
}

#[test]
fn files() {
    alone(|| {
        let named = || tempfile::Builder::new().prefix("ampoule-left-").tempdir_in("/dev/shm");
        sees(Field::Files, "/dev/shm/ampoule-left-", named);
    });
}

#[test]
fn names_of_live_neighbours_are_not_ours() {
    let own = std::process::id();
    assert!(is_ours(&format!("ampoule-test-{own}-root-x")) && is_ours("job/ampoule-7/init"));
    assert!(is_ours(&format!("ampoule-test-{}-root-x", u32::MAX)), "its process is gone");
    assert!(!is_ours("ampoule-test-1-root-x") && !is_ours(":other:ampoule-bench-1/12"));
    assert!(!is_ours("neighbour-1"));
}

#[test]
fn files_of_a_private_temporary_directory() {
    let dir = fixture::directory("tmpdir");
    let private = |command: &mut Command| {
        command.env("TMPDIR", dir.path());
    };
    drop(alone_with(private, || {
        sees(Field::Files, "anything", || tempfile::Builder::new().prefix("anything").tempfile());
    }));
}

#[test]
fn abstract_socket() {
    alone(|| {
        let name = format!("ampoule-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let bind = || UnixListener::bind_addr(&address).expect("a socket");
        let seen = sees(Field::Sockets, "", bind);
        assert_eq!(seen.after, Some(format!("@{name}")));
    });
}

#[test]
fn groups_with_our_name() {
    let root = fixture::empty_rootfs()
        .with_dir("system.slice/other", 0o755)
        .with_dir("user.slice/ampoule-1/job", 0o755)
        .with_symlink("link-to-ampoule", "user.slice");
    let names: Vec<_> = oracle::system::groups(root.path()).into_keys().collect();
    let job = root.at("user.slice/ampoule-1/job").display().to_string();
    assert_eq!(names, [root.at("user.slice/ampoule-1").display().to_string(), job]);
}

/// Starts the command as root of a user namespace, in further new namespaces.
fn contained(command: &mut Command) {
    oracle::alone::after_shell(command, "exec unshare -r -m -u -n \"$0\" \"$@\"");
}

#[test]
fn user_namespace_of_the_thread() {
    drop(alone_with(contained, || {
        let seen = sees(Field::Thread, "ns/uts", || unshare(CloneFlags::CLONE_NEWUTS));
        assert_ne!(seen.before, seen.after);
    }));
}

#[test]
fn user_mount_host_name_and_device() {
    drop(alone_with(contained, || {
        let none = nix::mount::MsFlags::empty();
        let tmpfs = || nix::mount::mount(Some("leak"), "/mnt", Some("tmpfs"), none, None::<&str>);
        let seen = sees(Field::Mounts, "", tmpfs);
        assert!(seen.after.is_some_and(|after| after.contains(" /mnt ")));
        sees(Field::Process, "hostname", || rustix::system::sethostname(b"leaked"));
        let root = fixture::rootfs();
        let rename = || {
            let mut ip = Command::new(root.at("bin/busybox"));
            ip.args(["ip", "link", "set", "lo", "name", "ampoule0"]).status()
        };
        sees(Field::NetworkDevices, "ampoule0", rename);
    }));
}

/// What the oracle says about the process `pid`, if it calls it left behind. Processes of other
/// tests that run beside this one may be called so for a moment, and are not touched.
fn stray(pid: Pid) -> Option<String> {
    let key = format!("{pid} started ");
    let state = Host::snapshot();
    let facts = state.facts(Field::Processes);
    facts.iter().find(|(found, _)| found.starts_with(&key)).map(|(_, name)| name.clone())
}

/// The pid in a text.
fn pid(text: impl AsRef<[u8]>) -> Option<Pid> {
    String::from_utf8_lossy(text.as_ref()).trim().parse().ok().and_then(Pid::from_raw)
}

fn kill(pid: Pid) {
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("an orphan of ours");
}

#[test]
fn orphan_with_our_name() {
    alone(|| {
        let root = fixture::rootfs().with_fifo("wait", 0o600);
        let script = format!("read line < {}", root.at("wait").display());
        let root = root.with_script("bin/ampoule-init", &script);
        let program = root.at("bin/ampoule-init");
        let start = format!("{} >/dev/null 2>&1 & echo $!", program.display());
        let orphan = pid(shell(&start).output().expect("a shell").stdout).expect("a pid");
        let seen = soon(|| stray(orphan).as_deref() == Some("ampoule-init"));
        kill(orphan);
        assert!(seen && soon(|| stray(orphan).is_none()));
    });
}

#[test]
fn user_orphan_in_a_pid_namespace() {
    alone(|| {
        let root = fixture::rootfs();
        let mut outer = Command::new(root.at("bin/busybox"));
        outer.args(["unshare", "-r", "-p", "-f", "sleep", "1000"]);
        let mut outer = outer.spawn().expect("busybox");
        let children = format!("/proc/{0}/task/{0}/children", outer.id());
        let child = || pid(fs::read(&children).unwrap_or_default());
        assert!(soon(|| child().is_some_and(|pid| stray(pid).as_deref() == Some("sleep"))));
        let orphan = child().expect("the first of its pid namespace");
        outer.kill().expect("our child");
        outer.wait().expect("our child");
        let seen = stray(orphan);
        kill(orphan);
        assert_eq!(seen.as_deref(), Some("sleep"));
        assert!(soon(|| stray(orphan).is_none()));
    });
}
