//! Volumes get their label, and the system's directories never do.
//!
//! Kernel objects: files on a tmpfs and their attributes, which root may write without SELinux, too. Invariant: no file
//! outside the directory of the test is touched, and nothing is mounted in it.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;

use ampoule_selinux::{Context, ErrorKind, FileLabels, Relabel};

fn context(text: &str) -> Context {
    text.parse().expect("a context")
}

fn label() -> Context {
    context("system_u:object_r:container_file_t:s0:c1,c2")
}

/// The label of a file or link.
fn label_of(path: &Path) -> Option<Context> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(CWD, path, flags, Mode::empty()).expect("a file");
    FileLabels::open().expect("procfs").get(file).expect("a label or none")
}

fn tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir_in("/dev/shm").expect("a directory");
    fs::create_dir_all(dir.path().join("volume/deep/er")).expect("directories");
    File::create(dir.path().join("volume/deep/er/file")).expect("a file");
    File::create(dir.path().join("outside")).expect("a file");
    symlink("../outside", dir.path().join("volume/link")).expect("a link");
    symlink("/etc", dir.path().join("volume/deep/etc")).expect("a link");
    dir
}

#[test]
fn a_tree_gets_one_label_and_links_are_not_followed() {
    let dir = tree();
    let volume = dir.path().join("volume");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        volume.join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .expect("a FIFO, at which an open would wait");
    let (outside, etc) = (label_of(&dir.path().join("outside")), label_of(Path::new("/etc")));
    let relabel = Relabel::new(&label()).expect("a label");
    let done = relabel.path(&volume).expect("labels");
    assert_eq!((done.changed, done.unchanged, done.linked, done.mounts_left), (7, 0, 0, 0));
    for path in ["", "deep", "deep/er", "deep/er/file", "link", "deep/etc", "fifo"] {
        assert_eq!(label_of(&volume.join(path)), Some(label()), "{path}");
    }
    assert_eq!(label_of(&dir.path().join("outside")), outside);
    assert_eq!(label_of(Path::new("/etc")), etc);
    // A second time nothing is written; another label, such as the shared one, replaces it.
    let again = relabel.path(&volume).expect("labels");
    assert_eq!((again.changed, again.unchanged), (0, 7));
    fs::hard_link(volume.join("deep/er/file"), volume.join("second")).expect("a second name");
    let shared = label().without_categories();
    let done = Relabel::new(&shared).expect("a label").path(&volume).expect("labels");
    assert_eq!((done.changed, done.unchanged, done.linked), (7, 1, 1));
    assert_eq!(label_of(&volume.join("second")), Some(shared));
}

#[test]
fn directories_of_the_system_are_refused() {
    let relabel = Relabel::new(&label()).expect("a label");
    let before = label_of(Path::new("/usr"));
    for path in [
        "/",
        "/usr",
        "/etc",
        "/etc/shadow",
        "/home",
        "/root",
        "/var",
        "/var/lib",
        "/usr/bin/env",
        "/tmp",
    ] {
        let error = relabel.path(Path::new(path)).expect_err(path);
        assert_eq!(error.kind(), ErrorKind::SystemDirectory, "{path}: {error}");
    }
    // By what they are, not only by name.
    let error = relabel.path(Path::new("/proc/self/root")).expect_err("a link to the root");
    assert_eq!(error.kind(), ErrorKind::SystemDirectory, "{error}");
    let dir = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let error = relabel.path(&dir.path().join("../../../etc/../usr")).expect_err("/usr");
    assert_eq!(error.kind(), ErrorKind::SystemDirectory);
    assert_eq!(label_of(Path::new("/usr")), before);
}
