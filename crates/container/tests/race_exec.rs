//! A hostile payload looks at whatever joins its container, and stops it.
//!
//! Kernel objects: the processes of a container as one of them sees them: procfs, ptrace(2). Invariant: what joins never
//! has a capability that the container lacks, and no descriptor, directory or executable of the host's.

mod oracle;
mod scene;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use ampoule::{Builder, Capability, Container, ErrorKind, Namespace, NewPrivileges, Stdio, User};
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use oracle::{tier, unchanged};
use scene::outside::descendants;
use scene::times;

/// How long the payload looks.
const ROUND: Duration = Duration::from_secs(2);

/// A container whose payload is the test below, in this very program.
fn hostile(builder: Builder, what: &str) -> Container {
    let own = std::env::current_exe().expect("this program");
    let builder = builder.user(User::ids(0, 0));
    let command = builder.bind_to(own, "/hostile").command("/hostile").env("HOSTILE", what);
    let command = command.args(["--exact", "payload", "--nocapture"]);
    let mut container =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("a start");
    let stdout = container.stdout.as_mut().expect("a pipe");
    scene::read_until(stdout, "looking\n");
    container
}

/// Joins until the payload has seen enough; what it says then.
fn join_meanwhile(mut container: Container) -> String {
    let mut stdout = container.stdout.take().expect("a pipe");
    let begun = Instant::now();
    let mut joined = 0;
    while begun.elapsed() < ROUND {
        // Streams that are none of the host's files.
        let exec = container.exec("/bin/true").stdin(Stdio::null()).stdout(Stdio::null());
        match exec.stderr(Stdio::null()).start_timeout(Duration::from_millis(200)).status() {
            Ok(_) => joined += 1,
            Err(error) if error.kind() == ErrorKind::Ended => break,
            Err(error) => assert!(
                matches!(error.kind(), ErrorKind::StartTimeout | ErrorKind::InitDied),
                "{error}"
            ),
        }
    }
    let mut seen = String::new();
    std::io::Read::read_to_string(&mut stdout, &mut seen).expect("text");
    assert!(container.wait().expect("a status").success(), "{seen}");
    assert!(joined > 0, "{seen}");
    seen
}

fn shared() -> Builder {
    Container::host_view().share(Namespace::User)
}

fn tracing(builder: Builder) -> Builder {
    builder.cap_add(Capability::SysPtrace)
}

/// Without no_new_privs, what joins has `CAP_SYS_ADMIN` until its filter is loaded: root in the container, which may not
/// trace, sees that and cannot get at it.
#[test]
fn the_privilege_that_a_filter_takes_is_out_of_reach() {
    tier::root();
    unchanged(|| {
        let mut privileged = 0;
        for _ in 0..times(2, 100) {
            let builder = shared().new_privileges(NewPrivileges::Allowed);
            let seen = join_meanwhile(hostile(builder, "reach"));
            assert!(!seen.contains("FOUND"), "{seen}");
            privileged += seen.matches("saw privilege").count();
        }
        assert!(privileged > 0, "no joining process was seen while it had it");
    });
}

/// The root of a container without a user namespace of its own can trace what joins: it finds nothing there.
#[test]
fn the_hosts_root_in_a_container_gains_nothing() {
    tier::root();
    unchanged(|| {
        let mut traced = 0;
        for _ in 0..times(2, 100) {
            let seen = join_meanwhile(hostile(tracing(shared()), "trace"));
            assert!(!seen.contains("FOUND"), "{seen}");
            traced += seen.matches("traced ampoule-init").count();
        }
        assert!(traced > 0, "no joining process was caught");
    });
}

/// With a user namespace of its own nothing of what joins can be traced or read.
#[test]
fn a_containers_own_root_sees_nothing() {
    tier::root();
    unchanged(|| {
        for _ in 0..times(1, 100) {
            let seen = join_meanwhile(hostile(tracing(Container::host_view()), "trace"));
            assert!(!seen.contains("FOUND") && !seen.contains("traced ampoule-init"), "{seen}");
        }
    });
}

/// Whatever joins is stopped or killed at once: the host goes on, and nothing is left.
#[test]
fn what_joins_is_stopped_and_killed() {
    tier::root();
    for what in ["stop", "kill"] {
        unchanged(|| {
            let mut container = hostile(tracing(Container::host_view()), what);
            for _ in 0..times(30, 1000) {
                let exec = container.exec("/bin/true").start_timeout(Duration::from_millis(50));
                let exec = exec.timeout(Duration::from_millis(100));
                match exec.status() {
                    Ok(status) => assert!(
                        status.success() || status.timed_out() || status.signal() == Some(9),
                        "{status}"
                    ),
                    Err(error) => assert!(
                        matches!(error.kind(), ErrorKind::StartTimeout | ErrorKind::InitDied),
                        "{error}"
                    ),
                }
            }
            container.stop(Duration::ZERO).expect("a status");
            assert_eq!(descendants(), 0);
        });
    }
}

/// The payload of the tests above, which start this program in their containers; by itself it has nothing to do.
#[test]
fn payload() {
    let Ok(what) = std::env::var("HOSTILE") else { return };
    println!("looking");
    let begun = Instant::now();
    let own = capabilities("self");
    let mut said = BTreeSet::new();
    while begun.elapsed() < ROUND || ["stop", "kill"].contains(&what.as_str()) {
        for pid in others() {
            let signal = match what.as_str() {
                "stop" => nix::sys::signal::SIGSTOP,
                "kill" => nix::sys::signal::SIGKILL,
                "reach" => {
                    said.extend(reach(pid, own).into_iter().map(str::to_owned));
                    continue;
                }
                _ => {
                    said.extend(look(pid, own));
                    continue;
                }
            };
            let _gone = nix::sys::signal::kill(pid, signal);
        }
    }
    said.iter().for_each(|line| println!("{line}"));
}

/// Every process but init and this one.
fn others() -> Vec<Pid> {
    let own = nix::unistd::getpid().as_raw();
    let all = fs::read_dir("/proc").expect("procfs");
    let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| ![1, own].contains(pid)).map(Pid::from_raw).collect()
}

/// Effective, permitted and bounding set together.
fn capabilities(pid: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let sets = status.lines().filter(|line| line.starts_with("Cap") && !line.starts_with("CapInh"));
    let number = |line: &str| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok();
    sets.filter_map(number).fold(0, |all, set| all | set)
}

/// What there is to say about a process, stopped where that can be done.
fn look(pid: Pid, own: u64) -> Vec<String> {
    let traced = ptrace::attach(pid).is_ok();
    if traced {
        let _gone = waitpid(pid, Some(WaitPidFlag::__WALL));
    }
    let path = |name: &str| format!("/proc/{pid}/{name}");
    let name = fs::read_to_string(path("comm")).unwrap_or_default();
    let mut said = Vec::new();
    if capabilities(&pid.to_string()) & !own != 0 {
        said.push(format!("FOUND capabilities in {name}"));
    }
    if name.trim() == "ampoule-init" {
        let fds = fs::read_dir(path("fd")).into_iter().flatten().filter_map(Result::ok);
        let targets = fds.filter_map(|fd| fs::read_link(fd.path()).ok());
        let strange = targets.filter(|target| !is_expected(target));
        said.extend(strange.map(|target| format!("FOUND descriptor {}", target.display())));
        for way in ["root/etc/shadow", "cwd/etc/shadow", "root/root/.", "cwd/../home/."] {
            if Path::new(&path(way)).exists() {
                said.push(format!("FOUND {way}"));
            }
        }
        if fs::OpenOptions::new().write(true).open(path("exe")).is_ok() {
            said.push("FOUND a way to write to init".to_owned());
        }
        if traced {
            said.push("traced ampoule-init".to_owned());
        }
    }
    if traced {
        let _gone = ptrace::detach(pid, None);
    }
    said
}

/// Ways to a process that has more capabilities; once it has executed, it has no more and may be traced.
fn reach(pid: Pid, own: u64) -> Vec<&'static str> {
    let path = |name: &str| format!("/proc/{pid}/{name}");
    let has_more = || capabilities(&pid.to_string()) & !own != 0;
    if !has_more() {
        return Vec::new();
    }
    let mut said = vec!["saw privilege"];
    if ptrace::attach(pid).is_ok() {
        let _gone = waitpid(pid, Some(WaitPidFlag::__WALL));
        said.extend(has_more().then_some("FOUND a way to trace it"));
        let _gone = ptrace::detach(pid, None);
    }
    let opens = fs::OpenOptions::new().read(true).write(true).open(path("mem")).is_ok();
    let links = ["cwd", "root", "exe", "fd/0"].iter().any(|name| fs::read_link(path(name)).is_ok());
    said.extend(((opens || links) && has_more()).then_some("FOUND a way into it"));
    said
}

/// Streams, init's sockets, and the pipe on which the first process waits.
fn is_expected(target: &Path) -> bool {
    let text = target.to_string_lossy();
    text.starts_with("pipe:")
        || text.starts_with("socket:")
        || text == "/dev/null"
        || text.starts_with("/dev/pts/")
}
