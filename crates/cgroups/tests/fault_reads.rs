//! Reads that fail, by strace(1): what is not known must not be taken for the worst.
//!
//! Kernel objects: groups below `/ampoule-test`, a second process under a tracer. Invariant: a group whose owner lives
//! stays as it is; after a freeze that failed nothing is frozen.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ampoule_cgroups::{
    Controllers, Depth, ErrorKind, Group, GroupPath, Hierarchies, Life, Limits, Place, owned_name,
    reconcile,
};

/// Tells the second process what to do.
const VARIABLE: &str = "AMPOULE_TEST_FAULT";

fn place() -> Place {
    let path = GroupPath::new("/ampoule-test").expect("a path");
    Place::open(&Hierarchies::detect().expect("control groups"), &path).expect("root's tier")
}

fn group() -> Group {
    let name = owned_name(None, Life::WithOwner).expect("a name");
    Group::create_in(&place(), &name, &Limits::default(), Controllers::FREEZER).expect("a group")
}

/// The second process.
#[test]
fn other_main() {
    let Ok(what) = std::env::var(VARIABLE) else { return };
    match what.split_once(' ') {
        Some(("reconcile", _)) => {
            let done = reconcile(&place()).expect("a look");
            assert_eq!(done.failed, 0);
        }
        Some(("freeze", name)) => {
            let error = Group::open(&place(), name).expect("it is there").freeze();
            let error = error.expect_err("its state cannot be read");
            assert_eq!(error.errno(), Some(rustix::io::Errno::IO.raw_os_error()), "{error}");
        }
        Some(("stuck", place)) => stuck(place),
        _ => panic!("{what}"),
    }
}

/// Runs the second process behind `wrapper`.
fn other(wrapper: &[&str], what: &str) -> Command {
    let mut command = Command::new(wrapper[0]);
    command.args(&wrapper[1..]).arg(std::env::current_exe().expect("own executable"));
    command.args(["--exact", "other_main", "--nocapture"]).env(VARIABLE, what);
    command
}

/// As [`other`], while `call` on `path` gives `error`.
fn traced(what: &str, path: &str, fault: &str) {
    let inject = format!("--inject={fault}");
    let wrapper =
        ["strace", "-f", "-qq", "-o/dev/null", "-P", path, "--trace=openat", &inject, "--"];
    let output = other(&wrapper, what).output().expect("strace is installed");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains(" 1 passed;"), "{fault}: {printed}");
}

fn sleeping_in(group: &Group) -> Child {
    let child = Command::new("sleep").arg("1000").spawn().expect("sleep");
    for path in group.paths() {
        fs::write(path.join("cgroup.procs"), child.id().to_string()).expect("a group");
    }
    child
}

fn end(group: &Group, mut child: Child) {
    child.kill().expect("our child");
    child.wait().expect("our child");
    group.remove().expect("an empty group");
}

#[test]
fn an_owner_that_cannot_be_read_counts_as_living() {
    let group = group();
    let mut child = sleeping_in(&group);
    let stat = format!("/proc/{}/stat", std::process::id());
    for error in ["EMFILE", "ENFILE", "ENOMEM", "EACCES", "ENOENT"] {
        traced("reconcile now", &stat, &format!("openat:error={error}"));
        assert!(group.paths().all(|path| path.exists()), "{error}");
        assert_eq!(child.try_wait().expect("our child"), None, "{error}");
    }
    end(&group, child);
}

#[test]
fn an_owner_that_is_hidden_counts_as_living() {
    let group = group();
    let mut child = sleeping_in(&group);
    let hide = "mount -t tmpfs none /mnt && mkdir /mnt/ns && mount --bind /proc /mnt/ns && \
        mount -t tmpfs none /proc && mkdir -p /proc/self/ns && cp /mnt/ns/self/mountinfo \
        /mnt/ns/self/cgroup /proc/self && : > /proc/self/ns/pid && \
        mount --bind /mnt/ns/self/ns/pid /proc/self/ns/pid && exec \"$0\" \"$@\"";
    let wrapper = ["unshare", "-m", "--propagation", "private", "sh", "-c", hide];
    let output = other(&wrapper, "reconcile now").output().expect("unshare is installed");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains(" 1 passed;"), "{printed}");
    assert!(group.paths().all(|path| path.exists()));
    assert_eq!(child.try_wait().expect("our child"), None);
    end(&group, child);
}

#[test]
fn what_joins_late_is_killed_too() {
    // As if another process with this one's id had made it.
    let own = owned_name(None, Life::WithOwner).expect("a name");
    let (id, owner) = own.rsplit_once('.').expect("an owner");
    let parts: Vec<&str> = owner.split('-').collect();
    let name = format!("{id}.{}-1-{}", parts[0], parts[2]);
    let made = Group::create_in(&place(), &name, &Limits::default(), Controllers::FREEZER);
    let group = made.expect("a group");
    let mut first = sleeping_in(&group);
    // The removal begins half a second after everything was killed.
    let delay = "--inject=unlinkat:delay_enter=500000:when=1";
    let wrapper = ["strace", "-f", "-qq", "-o/dev/null", "--trace=unlinkat", delay, "--"];
    let mut reconciling = other(&wrapper, "reconcile now").stdout(Stdio::null()).spawn();
    first.wait().expect("it is killed");
    std::thread::sleep(Duration::from_millis(100));
    let mut second = sleeping_in(&group);
    let status = reconciling.as_mut().expect("strace is installed").wait().expect("our child");
    assert!(status.success(), "{status}");
    assert_eq!(group.paths().filter(|path| path.exists()).count(), 0);
    second.wait().expect("it was killed");
}

/// Whether a group is to be frozen, as its file says.
fn is_frozen(group: &Group) -> bool {
    let state = group.file("cgroup.freeze").or_else(|_| group.file("freezer.state"));
    !matches!(state.expect("a state").trim(), "0" | "THAWED")
}

#[test]
fn a_freeze_whose_outcome_cannot_be_read_is_taken_back() {
    let group = group();
    let child = sleeping_in(&group);
    let v2 = group.file("cgroup.events").is_ok();
    // On v1 the file that is read was opened for the write before.
    let (file, fault) = if v2 {
        ("cgroup.events", "openat:error=EIO")
    } else {
        ("freezer.state", "openat:error=EIO:when=2")
    };
    traced(&format!("freeze {}", group.name()), &format!("{}/{file}", group.name()), fault);
    assert!(!is_frozen(&group));
    end(&group, child);
}

/// Mounts a file system that nobody serves, and lets a process wait for it in a way that cannot be frozen.
fn stuck(place: &str) {
    use rustix::mount::{MountFlags, mount};
    let server = fs::File::options().read(true).write(true).open("/dev/fuse").expect("FUSE");
    let data = format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd());
    let data = std::ffi::CString::new(data).expect("no zero byte");
    mount("none", place, "fuse", MountFlags::empty(), &*data).expect("a mount");
    let mut child = Command::new("stat").arg(place).stdout(Stdio::null()).spawn().expect("stat");
    writeln!(std::io::stderr(), "stuck {}", child.id()).expect("piped");
    // Until the test is over.
    std::io::stdin().read_line(&mut String::new()).expect("the test's end");
    child.wait().expect("it was killed");
}

/// A process in state D, with the one that mounted; it ends when it is killed.
fn stuck_process(place: &str) -> (Child, u32) {
    let wrapper = ["unshare", "-m", "--propagation", "private"];
    let mut command = other(&wrapper, &format!("stuck {place}"));
    command.stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::null());
    let mut mounter = command.spawn().expect("unshare is installed");
    let mut lines = BufReader::new(mounter.stderr.as_mut().expect("piped")).lines();
    let pid = lines.find_map(|line| line.expect("text").strip_prefix("stuck ")?.parse().ok());
    let pid: u32 = pid.expect("a process");
    let state = || fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    let begun = Instant::now();
    while !state().contains(") D ") {
        assert!(begun.elapsed() < Duration::from_secs(10), "{}", state());
        std::thread::sleep(Duration::from_millis(2));
    }
    (mounter, pid)
}

#[test]
fn a_freeze_that_takes_too_long_is_taken_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut mounter, pid) = stuck_process(dir.path().to_str().expect("text"));
    let group = group();
    let mut child = sleeping_in(&group);
    let paths: Vec<PathBuf> = group.paths().collect();
    for path in &paths {
        fs::write(path.join("cgroup.procs"), pid.to_string()).expect("a group");
    }
    let error = group.freeze().expect_err("one cannot be frozen");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(!is_frozen(&group));
    assert_eq!(group.procs(Depth::One).expect("ids").len(), 2);
    group.kill().expect("killed, both");
    child.wait().expect("our child");
    drop(mounter.stdin.take());
    mounter.wait().expect("our child");
    group.remove().expect("an empty group");
}
