//! Containers without payload: into them from outside.
//!
//! Kernel objects: the reaper's answers, files by descriptor. Invariant: nothing outside of the root is reached.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use ampoule::{Bytes, Container, ErrorKind, Namespace, Pid1, Stage};
use rustix::fs::{Mode, OFlags, fstat, openat};

use super::outside::descendants;
use super::{is_error, refused, rooted};
use crate::oracle::fixture;

const LIMIT: Bytes = Bytes::kib(64);

fn idle() -> (fixture::Rootfs, Container) {
    let root = fixture::rootfs();
    let container = rooted(&root).tmpfs("/run", Bytes::mib(1)).idle().expect("a container");
    (root, container)
}

pub(crate) fn it_runs_until_it_is_stopped() {
    let (_root, mut container) = idle();
    assert_eq!(container.try_wait().expect("no error"), None);
    assert_eq!(descendants(), 1, "{:?}", crate::oracle::processes::Table::read());
    let started = Instant::now();
    let status = container.stop(Duration::from_secs(10)).expect("a status");
    assert!(status.success(), "{status}");
    assert!(started.elapsed() < Duration::from_secs(2));
    let error = refused(container.root_fd());
    assert_eq!(error.errno(), Some(3), "{error}");
}

pub(crate) fn its_namespaces_and_root_can_be_opened() {
    let (root, container) = idle();
    for kind in Namespace::ALL {
        let fd = container.namespace(kind).expect("a namespace");
        let inode = fstat(&fd).expect("a namespace").st_ino;
        let own = super::look::own_namespace(kind);
        assert_eq!(inode == own, kind == Namespace::Time, "{kind}");
    }
    let fd = container.root_fd().expect("the root");
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    openat(fd.as_fd(), "etc/hostname", flags, Mode::empty()).expect("a file of the root");
    assert!(openat(fd.as_fd(), "etc/shadow", flags, Mode::empty()).is_err());
    drop(root);
}

pub(crate) fn files_can_be_read_and_written() {
    let (root, container) = idle();
    assert_eq!(container.read("/etc/hostname", LIMIT).expect("a file"), b"from-the-image\n");
    container.write("/tmp/new", "first").expect("a file");
    container.write("/tmp/new", "2nd").expect("a file");
    assert_eq!(container.read("tmp/new", LIMIT).expect("a file"), b"2nd");
    container.write("/run/in-memory", vec![7; 4096]).expect("a file");
    assert_eq!(container.read("/run/in-memory", Bytes::new(4096)).expect("a file").len(), 4096);
    let error = refused(container.read("/run/in-memory", Bytes::new(4095)));
    is_error(&error, ErrorKind::TooLarge, Stage::Running, &["/run/in-memory"]);
    let error = refused(container.read("/not/there", LIMIT));
    assert_eq!(error.errno(), Some(2), "{error}");
    assert!(!root.has("tmp/new"));
}

pub(crate) fn links_are_resolved_inside() {
    let canary = fixture::canary();
    let root = fixture::rootfs()
        .with_symlink("out", canary.open_file())
        .with_symlink("up", "../../../../../../etc/passwd")
        .with_symlink("self", "/proc/self/exe")
        .with_symlink("fd", "/proc/self/fd/0")
        .with_symlink("outdir", canary.open_dir());
    let container = rooted(&root).idle().expect("a container");
    assert_eq!(refused(container.read("/out", LIMIT)).errno(), Some(2));
    assert_eq!(refused(container.write("/out", "x")).errno(), Some(2));
    assert_eq!(refused(container.write("/outdir/new", "x")).errno(), Some(2));
    let inside = container.read("/up", LIMIT).expect("the root's own");
    assert!(inside.starts_with(b"root:x:0:0:root:/root:/bin/sh\napp:"));
    let above = container.read("/../../../etc/hostname", LIMIT).expect("the root's own");
    assert_eq!(above, b"from-the-image\n");
    for path in ["/self", "/fd", "/proc/self/root/etc/shadow", "/proc/1/root/etc/hostname"] {
        refused(container.read(path, LIMIT));
    }
    drop(container);
    canary.assert_untouched();
}

pub(crate) fn what_is_no_file_is_refused_at_once() {
    let root = fixture::rootfs().with_fifo("fifo", 0o666).with_socket("socket");
    let container = rooted(&root).idle().expect("a container");
    let started = Instant::now();
    for path in ["/fifo", "/socket", "/etc", "/dev/null", "/dev/zero", "/dev/ptmx", "/"] {
        refused(container.read(path, LIMIT));
        refused(container.write(path, "x"));
    }
    assert!(started.elapsed() < Duration::from_secs(1));
}

pub(crate) fn a_payload_as_first_process_can_be_looked_into() {
    let root = fixture::rootfs();
    let builder = rooted(&root).pid1(Pid1::Payload);
    let container = builder.command("sleep").arg("100").spawn().expect("a container");
    let net = container.namespace(Namespace::Net).expect("a namespace");
    assert_ne!(
        fstat(&net).expect("a namespace").st_ino,
        super::look::own_namespace(Namespace::Net)
    );
    assert_eq!(container.read("/etc/hostname", LIMIT).expect("a file"), b"from-the-image\n");
}

pub(crate) fn questions_may_come_from_many_threads() {
    let (_root, container) = idle();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    container.read("/etc/hostname", LIMIT).expect("a file");
                    container.namespace(Namespace::Net).expect("a namespace");
                }
            });
        }
    });
}

pub(crate) fn a_question_does_not_lose_the_end() {
    let root = fixture::rootfs();
    let command = rooted(&root).command("sh").args(["-c", "sleep 0.1; exit 33"]);
    let mut container = command.spawn().expect("a container");
    while container.read("/etc/hostname", LIMIT).is_ok() {}
    assert_eq!(container.wait().expect("a status").code(), Some(33));
}
