//! File systems in a volume, and those that keep no labels.
//!
//! Kernel objects: empty file systems in memory that the tests mount, and unmount before anything is removed. Invariant:
//! nothing of the host is ever mounted in a directory of these tests.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use ampoule_selinux::{Context, ErrorKind, FileLabels, Mounts, Relabel};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

fn label() -> Context {
    "system_u:object_r:container_file_t:s0:c1,c2".parse().expect("a context")
}

fn label_of(path: &Path) -> Option<Context> {
    FileLabels::open().expect("procfs").get(File::open(path).expect("a file")).expect("a label")
}

/// An empty file system of this kind at a directory of the test; unmounted when this is dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(kind: &str, place: PathBuf) -> Self {
        fs::create_dir_all(&place).expect("a directory");
        mount("none", &place, kind, MountFlags::NOSUID, None).expect("a mount");
        File::create(place.join("file")).expect("a file");
        Self(place)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        unmount(&self.0, UnmountFlags::DETACH).expect("it was mounted here");
    }
}

#[test]
fn mounts_are_left_alone_unless_crossed() {
    let dir = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let volume = dir.path().join("volume");
    fs::create_dir(&volume).expect("a directory");
    File::create(volume.join("own")).expect("a file");
    let inner = Mounted::new("tmpfs", volume.join("inner"));
    let before = label_of(&inner.0.join("file"));

    let relabel = Relabel::new(&label()).expect("a label");
    let done = relabel.path(&volume).expect("labels");
    assert_eq!((done.changed, done.mounts_left), (2, 1));
    assert_eq!(label_of(&volume.join("own")), Some(label()));
    assert_eq!(label_of(&inner.0.join("file")), before);

    let done = relabel.mounts(Mounts::Cross).path(&volume).expect("labels");
    assert_eq!((done.changed, done.unchanged, done.mounts_left), (2, 2, 0));
    assert_eq!(label_of(&inner.0.join("file")), Some(label()));
}

#[test]
fn a_file_system_without_attributes_keeps_no_labels() {
    let dir = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let plain = Mounted::new("ramfs", dir.path().join("volume/plain"));
    let relabel = Relabel::new(&label()).expect("a label");
    let error = relabel.path(&plain.0).expect_err("ramfs has no attributes");
    assert_eq!(error.kind(), ErrorKind::LabelsUnsupported, "{error}");
    assert!(error.to_string().contains("/volume/plain: "), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("context=")));

    // Met on the way: what was labelled before stays so, and the error names the place.
    let relabel = relabel.mounts(Mounts::Cross);
    let error = relabel.path(&dir.path().join("volume")).expect_err("it is crossed");
    assert_eq!(error.kind(), ErrorKind::LabelsUnsupported, "{error}");
    assert_eq!(label_of(&dir.path().join("volume")), Some(label()));
}

#[test]
fn what_is_no_file_has_no_label_to_set() {
    let (pipe, _other) = rustix::pipe::pipe().expect("a pipe");
    let labels = FileLabels::open().expect("procfs");
    let error = labels.set(&pipe, &label()).expect_err("pipes have no attributes");
    assert!(matches!(error.kind(), ErrorKind::LabelsUnsupported | ErrorKind::Denied), "{error}");
}
