//! What the tests of labels share: a root on the guest's disk, containers with chosen categories, and the kernel's log.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::fs;
use std::path::Path;
use std::process::Command;

use ampoule::{Builder, Container, Output, Selinux, SelinuxContext};
use tempfile::TempDir;

/// A directory on the guest's disk, whose files can be labelled.
pub(crate) fn on_disk() -> TempDir {
    tempfile::tempdir_in("/root").expect("a directory on the disk")
}

/// A root with one static program.
pub(crate) fn root() -> TempDir {
    let dir = on_disk();
    fs::create_dir(dir.path().join("bin")).expect("a directory");
    fs::copy("/bin/busybox", dir.path().join("bin/busybox")).expect("busybox");
    dir
}

pub(crate) fn context(text: &str) -> SelinuxContext {
    text.parse().expect("a context")
}

/// A container with these categories.
pub(crate) fn labelled(root: &Path, categories: &str) -> Builder {
    let label = context(&format!("system_u:system_r:container_t:s0:{categories}"));
    Container::from_rootfs(root).selinux(Selinux::Label(Box::new(label)))
}

pub(crate) fn busybox(builder: Builder, args: &[&str]) -> Output {
    builder.command("/bin/busybox").args(args).output().expect("a container")
}

/// The output of a script of busybox, and its complaints.
pub(crate) fn script(builder: Builder, text: &str) -> (String, String) {
    let output = busybox(builder, &["sh", "-c", text]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// The denials in the kernel's log that name all of these.
pub(crate) fn denials(words: &[&str]) -> Vec<String> {
    let log = Command::new("dmesg").output().expect("the kernel's log").stdout;
    let log = String::from_utf8_lossy(&log).into_owned();
    let denied = log.lines().filter(|line| line.contains("avc:  denied"));
    let named = denied.filter(|line| words.iter().all(|word| line.contains(word)));
    named.map(ToOwned::to_owned).collect()
}

/// The label of a process, as the kernel writes it.
pub(crate) fn label_of(pid: &str) -> String {
    let found = fs::read_to_string(format!("/proc/{pid}/attr/current")).expect("a label");
    found.trim_end_matches('\0').to_owned()
}

/// The payload of a container with an init.
pub(crate) fn payload(container: &Container) -> String {
    let children = format!("/proc/{0}/task/{0}/children", container.pid());
    fs::read_to_string(children).expect("its payload").trim().to_owned()
}
