//! The crate against a kernel with SELinux enforcing: contexts, labels of files, keys and sockets.
//!
//! Kernel objects: selinuxfs, files on the guest's disk, a key and a socket of one thread. Invariant: the guest is
//! unchanged; what a thread sets for itself ends with it.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::Path;

use ampoule_selinux::{
    Attribute, ContainerContexts, Context, ErrorKind, FileLabels, Pair, Relabel, SelinuxFs, State,
};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

fn selinux() -> SelinuxFs {
    let selinux = SelinuxFs::open().expect("selinuxfs");
    selinux.expect("this test is of tier `vm` and needs SELinux: run it with `cargo xtask vm`")
}

fn context(text: &str) -> Context {
    text.parse().expect("a context")
}

fn on_disk() -> tempfile::TempDir {
    tempfile::tempdir_in("/root").expect("a directory on the disk")
}

fn label_of(file: impl AsFd) -> Option<Context> {
    FileLabels::open().and_then(|labels| labels.get(file)).expect("a label or none")
}

#[test]
fn it_enforces_and_has_categories() {
    let selinux = selinux();
    assert_eq!(State::of_this_machine().expect("a state"), State::Enforcing);
    assert_eq!(selinux.state().expect("a state"), State::Enforcing);
    assert!(selinux.has_categories().expect("an answer"));
    let own = Attribute::Current.of_this_thread().expect("a label").expect("a label");
    assert_eq!(selinux.validate(&own).expect("its own"), own);
}

#[test]
fn contexts_that_the_policy_does_not_have() {
    let selinux = selinux();
    for text in [
        "system_u:system_r:nobody_has_this_t:s0",
        "nobody_u:system_r:container_t:s0",
        "system_u:object_r:container_t:s1000",
        "system_u:system_r:shadow_t:s0",
        "system_u:system_r:container_t",
    ] {
        let error = selinux.validate(&context(text)).expect_err(text);
        assert_eq!(error.kind(), ErrorKind::UnknownContext, "{error}");
        let error = Relabel::new(&context(text)).expect_err(text);
        assert_eq!(error.kind(), ErrorKind::UnknownContext, "{error}");
    }
    let file = on_disk();
    let opened = File::open(file.path()).expect("a directory");
    let before = label_of(&opened);
    let unknown = context("system_u:object_r:nobody_has_this_t:s0");
    let error = Attribute::Exec.set_for_this_thread(Some(&unknown)).expect_err("unknown");
    assert_eq!(error.kind(), ErrorKind::UnknownContext, "{error}");
    assert_eq!(label_of(&opened), before);
    // Written in another way than the kernel's, it comes back in the kernel's.
    let odd = context("system_u:object_r:container_file_t:s0:c3,c2,c1");
    let known = selinux.validate(&odd).expect("known").to_string();
    assert_eq!(known, "system_u:object_r:container_file_t:s0:c1.c3");
}

#[test]
fn what_the_policy_permits() {
    let selinux = selinux();
    let contexts = ContainerContexts::of_the_policy().expect("contexts");
    let [one, other] = [(1, 2), (3, 4)]
        .map(|(low, high)| contexts.with_pair(Pair::new(low, high).expect("two categories")));
    let allows = |source: &Context, target: &Context, what| {
        selinux.allows(source, target, what).expect("an answer")
    };
    assert!(allows(&one.0, &one.1, ("file", "read")));
    assert!(!allows(&one.0, &other.1, ("file", "read")), "categories are between them");
    assert!(allows(&one.0, &contexts.file, ("file", "read")), "shared");
    assert!(!allows(&one.0, &other.0, ("process", "ptrace")));
    let shadow = context("system_u:object_r:shadow_t:s0");
    assert!(!allows(&one.0, &shadow, ("file", "read")));
    let error = selinux.allows(&one.0, &one.1, ("file", "no_such")).expect_err("a permission");
    assert_eq!(error.kind(), ErrorKind::UnknownContext, "{error}");
}

#[test]
fn trees_are_relabelled_on_a_disk() {
    let dir = on_disk();
    let volume = dir.path().join("volume");
    fs::create_dir_all(volume.join("a/b")).expect("directories");
    fs::write(volume.join("a/b/file"), "x").expect("a file");
    fs::write(dir.path().join("outside"), "x").expect("a file");
    symlink("../outside", volume.join("link")).expect("a link");
    let label = context("system_u:object_r:container_file_t:s0:c5,c6");
    let outside = label_of(File::open(dir.path().join("outside")).expect("a file"));
    let done = Relabel::new(&label).expect("a label").path(&volume).expect("labels");
    assert_eq!((done.changed, done.unchanged), (5, 0));
    for path in ["", "a", "a/b", "a/b/file"] {
        assert_eq!(label_of(File::open(volume.join(path)).expect("a file")).as_ref(), Some(&label));
    }
    assert_eq!(label_of(File::open(dir.path().join("outside")).expect("a file")), outside);
    let error = Relabel::new(&label).expect("a label").path(Path::new("/etc")).expect_err("/etc");
    assert_eq!(error.kind(), ErrorKind::SystemDirectory, "{error}");
}

#[test]
fn file_systems_that_keep_no_labels() {
    let labels = FileLabels::open().expect("procfs");
    let disk = on_disk();
    assert!(labels.can_be_set(File::open(disk.path()).expect("a directory")).expect("an answer"));
    // One label for all, by an option of the mount.
    let label = context("system_u:object_r:container_file_t:s0");
    let place = on_disk();
    let options = CString::new(format!("context={label}")).expect("a text");
    mount("none", place.path(), "tmpfs", MountFlags::NOSUID, Some(&*options)).expect("a mount");
    let file = File::open(place.path()).expect("a directory");
    let said = (labels.can_be_set(&file), labels.get(&file), labels.set(&file, &label));
    let tree = Relabel::new(&label.clone().with_pair(Pair::new(1, 2).expect("two")))
        .and_then(|tree| tree.tree(&file));
    drop(file);
    unmount(place.path(), UnmountFlags::DETACH).expect("it was mounted here");
    assert!(!said.0.expect("an answer"));
    assert_eq!(said.1.expect("a label"), Some(label));
    for error in [said.2.expect_err("it has one"), tree.expect_err("it has one")] {
        assert_eq!(error.kind(), ErrorKind::LabelsUnsupported, "{error}");
        assert!(error.hint().is_some());
    }
    let file = File::open("/proc/self").expect("procfs");
    assert!(!labels.can_be_set(&file).expect("an answer"), "the kernel's own has no place for one");
}

/// Each in a thread of its own, which takes the attribute with it.
fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().expect("the thread"))
}

#[test]
fn keys_files_and_sockets_get_the_label_of_their_creation() {
    let own = Attribute::Current.of_this_thread().expect("a label").expect("a label");
    let label = context("system_u:object_r:container_file_t:s0:c7,c8");
    let dir = on_disk();
    let file = apart(|| {
        Attribute::FsCreate.set_for_this_thread(Some(&label)).expect("a label");
        assert_eq!(Attribute::FsCreate.of_this_thread().expect("a label").as_ref(), Some(&label));
        File::create(dir.path().join("file")).expect("a file")
    });
    assert_eq!(label_of(file), Some(label));

    let process = context("system_u:system_r:container_t:s0:c7,c8");
    let socket = apart(|| {
        Attribute::SockCreate.set_for_this_thread(Some(&process)).expect("a label");
        std::net::UdpSocket::bind("127.0.0.1:0").or_else(|_| std::net::UdpSocket::bind("[::1]:0"))
    });
    assert_eq!(label_of(socket.expect("a socket")), Some(process.clone()));

    // A key of the thread's own keyring, which ends with it.
    let shown = apart(|| {
        Attribute::KeyCreate.set_for_this_thread(Some(&process)).expect("a label");
        assert_eq!(Attribute::KeyCreate.of_this_thread().expect("one").as_ref(), Some(&process));
        Attribute::KeyCreate.set_for_this_thread(None).expect("unset");
        Attribute::KeyCreate.of_this_thread().expect("none")
    });
    assert_eq!(shown, None);
    // What the threads set was theirs.
    for attribute in [Attribute::FsCreate, Attribute::SockCreate, Attribute::KeyCreate] {
        assert_eq!(attribute.of_this_thread().expect("an answer"), None, "{attribute}");
    }
    assert_eq!(Attribute::Current.of_this_thread().expect("a label"), Some(own));
}
