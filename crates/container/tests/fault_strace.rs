//! System calls of a host and of everything below it fail from outside, by strace(1).
//!
//! Kernel objects: a second process that starts one container, and its tracer. Invariant: it ends by itself, it reports
//! what the kernel said or that the payload ran, never both, and leaves no process.

mod oracle;
mod scene;

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ampoule::Container;
use oracle::fixture::{self, Rootfs};
use oracle::{alone, payload, tier};
use scene::is_long;
use scene::outside::descendants;

/// The calls that a launch makes; others belong to the runtime of the host.
const CALLS: &str = "clone3,pipe2,socketpair,memfd_create,execveat,execve,close_range,dup3,fcntl,setns,unshare,\
    open_tree,move_mount,fsopen,fsconfig,fsmount,mount_setattr,pivot_root,umount2,openat2,mkdirat,symlinkat,mknodat,\
    fchownat,fchdir,chdir,sethostname,setsid,setresuid,setresgid,setgroups,capset,prctl,prlimit64,keyctl,umask,\
    sendmsg,recvmsg,sendto,recvfrom,ppoll,waitid,wait4,pidfd_open,pidfd_send_signal,signalfd4,ioctl";

const ERRORS: [&str; 8] =
    ["ENOMEM", "EPERM", "EINTR", "EAGAIN", "ENOSPC", "EMFILE", "ENOSYS", "EIO"];

/// Calls by which the host learns of the payload's start. Where the last of them fails, and on a socket pair no kernel
/// lets it, the payload has begun: it is then ended at once.
const SEEN_BY: [&str; 4] = ["recvmsg", "poll", "ppoll", "waitid"];

/// A host that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// The host: one container, then the end.
#[test]
fn payload_main() {
    let Some(place) = payload::verb() else { return };
    let builder = Container::host_view().bind_rw_to(place, "/mark");
    let report = match scene::shell(builder, ": > /mark/ran").spawn() {
        Err(error) => format!("refused {error}"),
        Ok(mut container) => match container.wait() {
            Ok(status) => format!("ended {status}"),
            Err(error) => format!("lost {error}"),
        },
    };
    payload::print_report(&report);
}

/// Where a payload leaves its mark.
struct Mark(Rootfs);

impl Mark {
    fn take(&self) -> bool {
        fs::remove_file(self.0.at("mark").join("ran")).is_ok()
    }

    /// Runs the host under a tracer; gives what it printed.
    fn trace(&self, options: &[String]) -> String {
        let own = payload::own_program(&self.0.at("mark").display().to_string());
        let mut command = Command::new("strace");
        command.args(["-f", "-qq"]).args(options).arg("--").arg(own.program).args(own.args);
        command.env(own.env.0, own.env.1).stdin(Stdio::null());
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("strace is installed");
        finish(child, options)
    }
}

/// Waits for a tracer, at most so long.
fn finish(mut child: Child, options: &[String]) -> String {
    let started = Instant::now();
    while child.try_wait().expect("our child").is_none() {
        if started.elapsed() > LIMIT {
            child.kill().expect("our child");
            child.wait().expect("our child");
            panic!("it hangs with {options:?}");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let output = child.wait_with_output().expect("what it printed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// How often one process makes each call, at most.
fn counts(mark: &Mark) -> BTreeMap<String, usize> {
    let log = mark.0.at("log");
    let options = ["-o".to_owned(), log.display().to_string(), format!("--trace={CALLS}")];
    let printed = mark.trace(&options);
    assert!(mark.take() && printed.contains("ended exited with code 0"), "{printed}");
    let mut by_process: BTreeMap<(String, String), usize> = BTreeMap::new();
    for line in fs::read_to_string(log).expect("a log").lines() {
        let Some((pid, call)) = line.split_once(' ') else { continue };
        let Some((name, _)) = call.trim_start().split_once('(') else { continue };
        if CALLS.split(',').any(|known| known.trim() == name) {
            *by_process.entry((name.to_owned(), pid.to_owned())).or_default() += 1;
        }
    }
    let mut most = BTreeMap::new();
    for ((name, _), count) in by_process {
        let known = most.entry(name).or_default();
        *known = count.max(*known);
    }
    most
}

#[test]
fn every_call_fails_once() {
    tier::root();
    alone(|| {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).expect("a subreaper");
        let mark = Mark(fixture::empty_rootfs().with_dir("mark", 0o777));
        let calls = counts(&mark);
        assert!(calls.len() > 25, "{calls:?}");
        let places =
            calls.iter().flat_map(|(name, count)| (1..=*count).map(move |when| (name, when)));
        let cases = places.flat_map(|place| ERRORS.map(|error| (place, error))).enumerate();
        // The short form takes a part of the cases, each call and each error among them.
        let chosen = cases.filter(|(number, _)| is_long() || number % 27 == 0);
        for (_, ((name, when), error)) in chosen {
            inject(&mark, name, when, error);
        }
    });
}

fn inject(mark: &Mark, name: &str, when: usize, error: &str) {
    let fault = format!("{name}:error={error}:when={when}");
    let printed = mark.trace(&[
        "-o/dev/null".to_owned(),
        format!("--trace={name}"),
        format!("--inject={fault}"),
    ]);
    let ran = mark.take();
    let report = payload::report(&printed).unwrap_or("nothing");
    let known = !SEEN_BY.contains(&name);
    assert!(
        !(ran && known && report.starts_with("refused")),
        "{fault}: the payload ran, but {report}"
    );
    assert!(
        ran || !report.starts_with("ended exited with code 0"),
        "{fault}: no payload, but {report}"
    );
    use rustix::process::{WaitOptions, waitpid};
    let options = WaitOptions::NOHANG | WaitOptions::from_bits_retain(0x4000_0000);
    let gone = scene::soon(|| {
        while let Ok(Some(_)) = waitpid(None, options) {}
        descendants() == 0
    });
    assert!(gone, "{fault}: {} processes live, {report}", descendants());
}
