//! A launch by hand: a draft from a prepared file system, a shell as its first process, what the shell said.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_sign_loss,
    reason = "what fails here fails the test, which shows what was printed"
)]

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ampoule_init::steps::{launch as l, process as p};
use ampoule_init::{Begin, Draft, First, Launch, PidNamespace, Program, Timings, start};
use ampoule_overlay::{Base, FileSystem, Mount, Prepared, Root, Situation, UserNamespace, prepare};

/// A directory with a busybox root file system, `lower` layers and a canary beside it.
pub struct Place {
    pub dir: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let place = Self { dir };
        let root = place.root();
        for name in ["bin", "etc", "proc", "dev", "sys", "tmp", "data"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        std::fs::copy("/usr/bin/busybox", root.join("bin/busybox")).unwrap();
        for name in [
            "sh", "cat", "ls", "touch", "echo", "mkdir", "stat", "id", "wc", "readlink", "grep",
            "head", "mount", "test", "rm", "ln", "dd",
        ] {
            symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        std::fs::write(root.join("etc/motd"), "lower\n").unwrap();
        std::fs::create_dir(place.canary()).unwrap();
        std::fs::write(place.canary().join("file"), "untouched\n").unwrap();
        place
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    pub fn canary(&self) -> PathBuf {
        self.dir.path().join("canary")
    }

    /// Names, modes and contents of everything below a directory.
    pub fn picture(dir: &Path) -> Vec<String> {
        let mut lines = Vec::new();
        let mut entries: Vec<_> = std::fs::read_dir(dir).unwrap().map(Result::unwrap).collect();
        entries.sort_by_key(std::fs::DirEntry::path);
        for entry in entries {
            let found = entry.path().symlink_metadata().unwrap();
            let content = if found.is_file() {
                std::fs::read(entry.path()).unwrap_or_default().len()
            } else {
                0
            };
            lines.push(format!("{:?} {:o} {content}", entry.path(), found.permissions().mode()));
            if found.is_dir() {
                lines.extend(Self::picture(&entry.path()));
            }
        }
        lines
    }
}

pub struct Ids {
    pub uid_map: String,
    pub gid_map: String,
}

const NAMESPACES: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP;

/// A draft with everything around a prepared file system.
pub fn draft(
    fs: &FileSystem,
    situation: &Situation,
    ids: Option<&Ids>,
) -> Result<(Draft, Prepared), ampoule_overlay::Error> {
    draft_in(Draft::default(), fs, situation, ids)
}

pub fn draft_in(
    mut draft: Draft,
    fs: &FileSystem,
    situation: &Situation,
    ids: Option<&Ids>,
) -> Result<(Draft, Prepared), ampoule_overlay::Error> {
    let prepared = prepare(fs, situation, &mut draft)?;
    prepared.launcher.iter().for_each(|step| draft.launcher(step.clone()));
    let user = if situation.user_namespace == UserNamespace::New { libc::CLONE_NEWUSER } else { 0 };
    draft.launcher(l::clone_first((NAMESPACES | user) as u64, "…", None));
    if let Some(ids) = ids {
        let proc = draft.inherit(File::open("/proc").unwrap().into());
        draft.launcher(l::child_file(proc, c"setgroups", b"deny"));
        draft.launcher(l::child_file(proc, c"uid_map", ids.uid_map.as_bytes()));
        draft.launcher(l::child_file(proc, c"gid_map", ids.gid_map.as_bytes()));
    }
    draft.launcher(l::release());
    draft.first(l::wait_for_release());
    if ids.is_some() {
        draft.first_all([p::setgid(0), p::setuid(0)]);
    }
    for group in [&prepared.open, &prepared.build, &prepared.enter, &prepared.seal] {
        draft.first_all(group.iter().cloned());
    }
    draft.first_all([l::reset_signals(), l::close_others(), l::exec()]);
    Ok((draft, prepared))
}

/// What a shell script in the container printed.
pub fn run(fs: &FileSystem, situation: &Situation, ids: Option<&Ids>, script: &str) -> String {
    let (draft, _) = draft(fs, situation, ids).unwrap();
    run_draft(draft, script)
}

pub fn run_draft(draft: Draft, script: &str) -> String {
    let program = Program::seal(draft).unwrap();
    launch(&program, script).unwrap_or_else(|error| panic!("{error}\n{program}"))
}

/// Why a launch fails.
pub fn fails(fs: &FileSystem, situation: &Situation, ids: Option<&Ids>, script: &str) -> String {
    let (draft, _) = draft(fs, situation, ids).unwrap();
    launch(&Program::seal(draft).unwrap(), script).unwrap_err().to_string()
}

/// What the launch of a draft comes to.
pub fn attempt(draft: Draft, script: &str) -> Result<String, ampoule_init::Error> {
    launch(&Program::seal(draft).unwrap(), script)
}

fn launch(program: &Program, script: &str) -> Result<String, ampoule_init::Error> {
    let mut out = tempfile::tempfile().unwrap();
    let null = File::open("/dev/null").unwrap();
    let launch = Launch {
        argv: ["/bin/sh", "-c", script].map(|a| CString::new(a).unwrap()).to_vec(),
        env: vec![c"PATH=/bin".to_owned()],
        paths: vec![c"/bin/sh".to_owned()],
        parameters: vec![],
        payload_fds: vec![(0, null.as_fd()), (1, out.as_fd()), (2, out.as_fd())],
        fds: vec![],
        host: None,
        status: None,
        kept: None,
        first: First::Payload,
        pid_namespace: PidNamespace::New,
        timeout: None,
        timings: Timings::Off,
        deadline: Instant::now() + Duration::from_secs(20),
        begin: Begin::AtOnce,
        fault: None,
    };
    let before = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let started = start(program, &launch);
    if let Ok(started) = &started {
        ampoule_init::process::reap(&started.pidfd).unwrap();
    }
    let after = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert_eq!(before, after, "the host's mounts changed");
    started?;
    let mut text = String::new();
    out.rewind().unwrap();
    out.read_to_string(&mut text).unwrap();
    println!("{text}");
    Ok(text)
}

/// Runs a test of this binary again as an ordinary user; true in that process.
pub fn as_ordinary_user(test: &str) -> bool {
    if !rustix::process::getuid().is_root() {
        return true;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let binary = dir.path().join("test");
    let mut child = Command::new("setpriv");
    child.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&binary);
    child.args(["--exact", test, "--nocapture"]).env_remove("TMPDIR");
    // A child of another thread must not inherit the file while it is written: its exec would be ETXTBSY.
    static COPYING: Mutex<()> = Mutex::new(());
    let copying = COPYING.lock();
    std::fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
    let mut child = child.spawn().unwrap();
    drop(copying);
    assert!(child.wait().unwrap().success());
    false
}

/// The usual mounts and covers.
pub fn standard(base: Base, root: Root) -> FileSystem {
    let mut fs = FileSystem::new(base, root);
    fs.mounts = vec![Mount::proc(), Mount::sysfs(), Mount::dev()];
    fs.masked = FileSystem::default_masked();
    fs.read_only = FileSystem::default_read_only();
    fs
}

/// The mount points in what `/proc/self/mountinfo` said.
pub fn mount_points(said: &str) -> Vec<&str> {
    let lines = said.lines().filter(|line| line.contains(" - "));
    lines.filter_map(|line| line.split(' ').nth(4)).collect()
}

/// A user namespace with this map, for id-mapped mounts.
pub fn user_namespace(map: &str) -> (std::process::Child, std::os::fd::OwnedFd) {
    let mut child = Command::new("unshare");
    let mut child = child.args(["-U", "cat"]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    let path = format!("/proc/{}", child.id());
    let own = std::fs::read_link("/proc/self/ns/user").unwrap();
    for _ in 0..500 {
        if std::fs::read_link(format!("{path}/ns/user")).is_ok_and(|theirs| theirs != own) {
            std::fs::write(format!("{path}/uid_map"), map).unwrap();
            std::fs::write(format!("{path}/gid_map"), map).unwrap();
            return (child, File::open(format!("{path}/ns/user")).unwrap().into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    panic!("no user namespace");
}
