//! Pinning namespaces, for real. Needs root, unshare(1), taskset(1) and ip(8).
//!
//! Each test runs itself again in a mount namespace of its own with an empty `/run`; nothing is ever
//! mounted in the host's.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ampoule_ns::cpu_set::CpuSet;
use ampoule_ns::list::{self, NamespaceId, Namespaces};
use ampoule_ns::namespace::Namespace;
use ampoule_ns::pin::{netns_path, pin, pin_netns, unpin};
use ampoule_ns::{ErrorKind, Result};
use rustix::mount::UnmountFlags;

const INSIDE: &str = "AMPOULE_TEST_INSIDE";

/// Runs `body` in a process of its own, in a mount namespace of its own.
fn inside(test: &str, body: fn()) {
    if std::env::var_os(INSIDE).is_some() {
        // What ip and engines keep there is not looked at.
        while rustix::mount::unmount("/run/netns", UnmountFlags::DETACH).is_ok() {}
        rustix::mount::mount("none", "/run", "tmpfs", rustix::mount::MountFlags::empty(), None)
            .unwrap();
        return body();
    }
    // Other programs of the machine may mount what they like meanwhile, but not this.
    let mounts = || {
        let all = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let ours = |line: &&str| line.contains(" - nsfs ") || line.contains(" /run/netns");
        all.lines().filter(ours).map(str::to_owned).collect::<Vec<_>>()
    };
    let before = mounts();
    // One processor: Linux 6.18 numbers namespaces per processor, and refuses to keep a mount
    // namespace in one with a higher number, which it takes for a younger one.
    let status = Command::new("taskset")
        .args(["--cpu-list", &first_cpu(), "unshare", "--mount", "--propagation", "private", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{test} failed inside");
    assert_eq!(mounts(), before);
}

fn first_cpu() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    list.trim().parse::<CpuSet>().unwrap().iter().next().unwrap().to_string()
}

/// A process in new namespaces, killed when dropped.
struct Sleeper(Child);

impl Sleeper {
    fn start(options: &[&str]) -> Self {
        let mut command = Command::new("unshare");
        command.args(options).args(["--", "sh", "-c", "echo ready; exec sleep 60"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut byte = [0];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut byte).unwrap();
        Self(child)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn ip(args: &[&str]) -> String {
    let output = Command::new("ip").args(args).output().unwrap();
    assert!(output.status.success(), "ip {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn mounts_below(path: &str) -> usize {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts.lines().filter(|line| line.split(' ').nth(4).unwrap().starts_with(path)).count()
}

fn identity(path: &Path) -> NamespaceId {
    let meta = fs::metadata(path).unwrap();
    NamespaceId { inode: meta.ino(), dev: meta.dev() }
}

#[test]
fn a_pinned_namespace_outlives_its_process() {
    inside("a_pinned_namespace_outlives_its_process", || {
        let options = ["--uts", "--ipc", "--net", "--cgroup", "--mount", "--user"];
        let sleeper = Sleeper::start(&options);
        let all = Namespaces::of(sleeper.pid()).unwrap();
        let own = Namespaces::of(std::process::id()).unwrap();
        let kinds = [
            Namespace::Uts,
            Namespace::Ipc,
            Namespace::Net,
            Namespace::Cgroup,
            Namespace::Mount,
            Namespace::User,
        ];
        let path = |kind: Namespace| PathBuf::from(format!("/run/{kind}"));
        for kind in kinds {
            assert_ne!(all.get(kind), own.get(kind));
            pin(sleeper.pid(), kind, &path(kind)).unwrap_or_else(|e| panic!("{kind}: {e}"));
        }
        drop(sleeper);
        for kind in kinds {
            assert_eq!(Some(identity(&path(kind))), all.get(kind));
        }
        let entered = Command::new("nsenter").args(["--uts=/run/uts", "true"]).status().unwrap();
        assert!(entered.success());
        for kind in kinds {
            unpin(&path(kind)).unwrap();
            assert!(!path(kind).exists());
        }
        assert_eq!(mounts_below("/run/"), 0);
    });
}

#[test]
fn time_and_pid_namespaces_can_be_pinned() {
    inside("time_and_pid_namespaces_can_be_pinned", || {
        let sleeper = Sleeper::start(&["--time", "--pid", "--fork", "--kill-child"]);
        let children = format!("/proc/{0}/task/{0}/children", sleeper.pid());
        let child: u32 = fs::read_to_string(children).unwrap().trim().parse().unwrap();
        let parent = Namespaces::of(sleeper.pid()).unwrap();
        let all = Namespaces::of(child).unwrap();
        assert_eq!(parent.pid_for_children, all.get(Namespace::Pid));
        assert_eq!(parent.time_for_children, all.get(Namespace::Time));
        assert_ne!(parent.get(Namespace::Pid), all.get(Namespace::Pid));
        assert_ne!(parent.get(Namespace::Time), all.get(Namespace::Time));
        for kind in [Namespace::Pid, Namespace::Time] {
            pin(child, kind, Path::new("/run/pin")).unwrap();
            assert_eq!(Some(identity(Path::new("/run/pin"))), all.get(kind));
            unpin(Path::new("/run/pin")).unwrap();
        }
    });
}

#[test]
fn ip_sees_and_removes_what_we_pin() {
    inside("ip_sees_and_removes_what_we_pin", || {
        let sleeper = Sleeper::start(&["--net"]);
        let net = list::open(sleeper.pid(), Namespace::Net).unwrap();
        let path = pin_netns(net.as_fd(), "ampoule-a").unwrap();
        assert_eq!(path, netns_path("ampoule-a").unwrap());
        pin_netns(sleeper.pid(), "ampoule-b").unwrap();
        drop((sleeper, net));
        let names =
            || ip(&["netns", "list"]).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let mut listed = names();
        listed.sort();
        assert_eq!(listed, ["ampoule-a", "ampoule-b"]);
        assert!(ip(&["netns", "exec", "ampoule-a", "ip", "link"]).contains("lo:"));
        ip(&["netns", "del", "ampoule-b"]);
        assert_eq!(names(), ["ampoule-a"]);
        ip(&["netns", "add", "by-ip"]);
        assert_eq!(mounts_below("/run/netns"), 3, "the directory once, and two namespaces");
        unpin(&path).unwrap();
        unpin(&netns_path("by-ip").unwrap()).unwrap();
        assert!(names().is_empty());
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let directory = mounts.lines().find(|line| line.contains(" /run/netns ")).unwrap();
        assert!(directory.contains(" shared:"), "{directory}");
    });
}

#[test]
fn the_directory_of_ip_is_used_as_it_is() {
    inside("the_directory_of_ip_is_used_as_it_is", || {
        ip(&["netns", "add", "first"]);
        let sleeper = Sleeper::start(&["--net"]);
        let path = pin_netns(sleeper.pid(), "second").unwrap();
        assert_eq!(mounts_below("/run/netns"), 3);
        unpin(&path).unwrap();
        ip(&["netns", "del", "first"]);
    });
}

#[test]
fn a_locked_directory_does_not_hang_us() {
    inside("a_locked_directory_does_not_hang_us", || {
        fs::create_dir("/run/netns").unwrap();
        let directory = fs::File::open("/run/netns").unwrap();
        rustix::fs::flock(&directory, rustix::fs::FlockOperation::LockExclusive).unwrap();
        let path = pin_netns(std::process::id(), "own").unwrap();
        unpin(&path).unwrap();
    });
}

#[test]
fn a_failed_pin_leaves_nothing() {
    inside("a_failed_pin_leaves_nothing", || {
        let kind = |result: Result<()>| result.unwrap_err().kind();
        let own = std::process::id();
        fs::write("/run/taken", "mine").unwrap();
        assert_eq!(
            kind(pin(own, Namespace::Net, Path::new("/run/taken"))),
            ErrorKind::AlreadyExists
        );
        assert_eq!(fs::read("/run/taken").unwrap(), b"mine");
        assert_eq!(unpin(Path::new("/run/taken")).unwrap_err().kind(), ErrorKind::NotPinned);
        // A mount namespace cannot keep itself.
        let error = pin(own, Namespace::Mount, Path::new("/run/loop")).unwrap_err();
        assert!(matches!(error.errno(), Some(22 | 40)), "{error}");
        assert!(!Path::new("/run/loop").exists());
        // A file can be made in another mount namespace, but nothing can be mounted there.
        let sleeper = Sleeper::start(&["--mount"]);
        let elsewhere = PathBuf::from(format!("/proc/{}/root/run/elsewhere", sleeper.pid()));
        let error = pin(own, Namespace::Net, &elsewhere).unwrap_err();
        assert!(error.to_string().starts_with("move_mount("), "{error}");
        assert!(!elsewhere.exists() && !Path::new("/run/elsewhere").exists());
        assert_eq!(mounts_below("/run/"), 0);
        std::os::unix::fs::symlink("/run/nowhere", "/run/link").unwrap();
        assert_eq!(
            kind(pin(own, Namespace::Net, Path::new("/run/link"))),
            ErrorKind::AlreadyExists
        );
        assert!(!Path::new("/run/nowhere").exists());
    });
}

#[test]
fn a_link_to_a_pin_is_not_a_pin() {
    inside("a_link_to_a_pin_is_not_a_pin", || {
        let pinned = Path::new("/run/pinned");
        pin(std::process::id(), Namespace::Uts, pinned).unwrap();
        std::os::unix::fs::symlink(pinned, "/run/link").unwrap();
        assert_eq!(unpin(Path::new("/run/link")).unwrap_err().kind(), ErrorKind::NotPinned);
        assert_eq!(mounts_below("/run/pinned"), 1);
        unpin(pinned).unwrap();
        assert_eq!(unpin(pinned).unwrap_err().errno(), Some(2));
    });
}
