//! Roots of several layers, and what is said about what was written to them.
//!
//! Kernel objects: an overlay as the container's root; its layers, looked at from outside. Invariant: the layers below
//! the upper one are never changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ampoule::{Builder, Change, ChangeKind, Container, ErrorKind, Root, Stage, Stdio};
use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat, setxattr};

use super::{is_error, print, read_until, refused, shell};
use crate::oracle::fixture::{self, Rootfs, Tree};

/// A root with a shell below a layer that changes some of it.
pub(crate) fn two_layers() -> [Rootfs; 2] {
    let lower = fixture::rootfs()
        .with_file("etc/motd", "lower\n", 0o644)
        .with_file("srv/old/a", "a\n", 0o644)
        .with_file("srv/gone", "gone\n", 0o644)
        .with_file("srv/kept", "kept\n", 0o644);
    let upper = fixture::empty_rootfs().with_file("etc/motd", "upper\n", 0o644).with_file(
        "srv/old/b",
        "b\n",
        0o644,
    );
    let opaque = upper.at("srv/old");
    // The root's user namespace is new in every test here.
    setxattr(opaque, "user.overlay.opaque", b"y", XattrFlags::empty()).expect("an attribute");
    mknodat(CWD, upper.at("srv/gone"), FileType::CharacterDevice, Mode::empty(), 0)
        .expect("a whiteout");
    [upper, lower]
}

pub(crate) fn builder(layers: &[Rootfs]) -> Builder {
    Container::from_layers(layers.iter().map(Rootfs::path))
}

/// The changes as short lines: `A`, `M` or `D`, and the path.
pub(crate) fn lines(changes: &[Change]) -> Vec<String> {
    let line = |change: &Change| {
        let letter = match change.kind {
            ChangeKind::Added => 'A',
            ChangeKind::Modified => 'M',
            _ => 'D',
        };
        format!("{letter} {}", change.path.display())
    };
    changes.iter().map(line).collect()
}

/// Runs a script to its end and keeps the handle.
#[track_caller]
pub(crate) fn ended(builder: Builder, script: &str) -> Container {
    let mut container = shell(builder, script).stdout(Stdio::null()).spawn().expect("it starts");
    let status = container.wait().expect("it ends");
    assert!(status.success(), "{status}");
    container
}

pub(crate) fn layers_are_one_root() {
    let layers = two_layers();
    let before = layers.each_ref().map(|layer| Tree::record(layer.path()));
    let script = "cat /etc/motd /srv/kept; ls /srv /srv/old; id -u; touch /srv/new && echo wrote";
    let seen = "upper\nkept\n/srv:\nkept\nold\n\n/srv/old:\nb\n0\n";
    assert_eq!(print(builder(&layers), script), format!("{seen}wrote\n"));
    let script = script.replace("touch /srv/new", "touch /srv/new 2>/dev/null") + "; true";
    assert_eq!(print(builder(&layers).root(Root::ReadOnly), &script), seen);
    before.iter().for_each(Tree::assert_untouched);
}

const SCRIPT: &str = "echo new > /srv/new; echo more >> /srv/kept; rm /etc/motd; rm -r /srv/old; \
    mkdir /srv/old; echo c > /srv/old/c; chmod 700 /home; mkdir -p /a/b; ln -s ../b /a/b/link; \
    mkdir -m 0 /a/closed; echo other > /etc/hostname";

const CHANGES: [&str; 11] = [
    "A /a",
    "A /a/b",
    "A /a/b/link",
    "A /a/closed",
    "M /etc/hostname",
    "D /etc/motd",
    "M /home",
    "M /srv/kept",
    "A /srv/new",
    "D /srv/old/b",
    "A /srv/old/c",
];

pub(crate) fn what_was_written_to_memory_is_listed() {
    let layers = two_layers();
    let mut container = ended(builder(&layers), SCRIPT);
    let overlay = container.overlay().expect("a root of layers");
    assert_eq!(overlay.lower(), layers.each_ref().map(|layer| layer.path().to_owned()));
    assert_eq!((overlay.upper(), overlay.work()), (None, None));
    assert!(overlay.upper_fd().expect("a descriptor").is_some());
    assert_eq!(lines(&container.changes().expect("a list")), sorted());
    container.discard().expect("nothing is in the way");
    assert_eq!(container.changes().expect("a list"), []);
}

pub(crate) fn what_was_written_to_a_directory_is_listed() {
    let layers = two_layers();
    let place = fixture::empty_rootfs();
    let upper = place.at("upper");
    let persistent = || builder(&layers).root(Root::Persistent(upper.clone()));
    let mut container = ended(persistent(), SCRIPT);
    let overlay = container.overlay().expect("a root of layers");
    assert_eq!(overlay.upper(), Some(upper.as_path()));
    assert_eq!(overlay.work(), Some(place.at("upper.work")));
    assert_eq!(lines(&container.changes().expect("a list")), sorted());
    // What is there already is a change of the next container's root as well.
    assert_eq!(print(persistent(), "cat /srv/new /srv/old/c"), "new\nc\n");
    container.discard().expect("nothing is in the way");
    assert_eq!(container.changes().expect("a list"), []);
    assert_eq!(fs::read_dir(&upper).expect("the upper layer").count(), 0);
    assert_eq!(print(persistent(), "cat /etc/motd /etc/hostname"), "upper\nfrom-the-image\n");
    drop(container);
    ended(persistent(), "true").discard().expect("nothing is in the way");
}

/// In the order of paths.
fn sorted() -> Vec<String> {
    let mut lines = CHANGES.map(str::to_owned).to_vec();
    lines.sort_by_key(|line| PathBuf::from(&line[2..]));
    lines
}

pub(crate) fn a_running_container_is_looked_at_and_not_emptied() {
    let layers = two_layers();
    let script = "echo new > /srv/new; echo written; read end";
    let command = shell(builder(&layers), script).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut container = command.spawn().expect("it starts");
    let mut stdout = container.stdout.take().expect("a pipe");
    read_until(&mut stdout, "written\n");
    assert_eq!(lines(&container.changes().expect("a list")), ["A /srv/new"]);
    let merged = container.overlay().expect("layers").merged().expect("a descriptor");
    let mode = Mode::empty();
    assert!(rustix::fs::openat(merged, "srv/new", rustix::fs::OFlags::PATH, mode).is_ok());
    let error = refused(container.discard());
    is_error(&error, ErrorKind::StillRunning, Stage::Running, &["still runs"]);
    container.stop(Duration::ZERO).expect("it ends");
    assert_eq!(lines(&container.changes().expect("a list")), ["A /srv/new"]);
}

pub(crate) fn what_the_settings_made_is_no_change() {
    let layers = two_layers();
    let builder = builder(&layers)
        .file("/etc/made", "made\n")
        .file("/new/made", "made\n")
        .link("/etc/link", "made")
        .bind_to(layers[0].path(), "/mnt/x/y")
        .bind_to(layers[0].path(), "/mnt2/x");
    let container = ended(builder, "cat /etc/made; echo mine > /mnt2/mine");
    assert_eq!(lines(&container.changes().expect("a list")), ["A /mnt2", "A /mnt2/mine"]);
}

pub(crate) fn roots_without_an_upper_layer() {
    let layers = two_layers();
    let read_only = ended(builder(&layers).root(Root::ReadOnly), "true");
    assert_eq!(read_only.changes().expect("a list"), []);
    assert!(read_only.overlay().expect("layers").upper_fd().expect("no error").is_none());
    let in_place = builder(&layers[1..]).root(Root::InPlace);
    for builder in [Container::host_view(), in_place] {
        let mut container = ended(builder, "true");
        assert!(container.overlay().is_none());
        let errors = [refused(container.changes()), refused(container.discard())];
        for error in errors {
            is_error(&error, ErrorKind::NoLayers, Stage::Running, &["no layers"]);
        }
    }
}

pub(crate) fn five_hundred_layers() {
    let place = fixture::empty_rootfs();
    let name = "long".repeat(50);
    let mut layers: Vec<PathBuf> = Vec::new();
    for number in 0..499 {
        let layer = place.at(format!("{number}/{name}/{name}"));
        fs::create_dir_all(&layer).expect("a layer");
        fs::write(layer.join("who"), number.to_string()).expect("a file");
        fs::write(layer.join(format!("only{number}")), "").expect("a file");
        layers.push(layer);
    }
    let root = fixture::rootfs();
    layers.push(root.path().to_owned());
    let script = "cat /who; ls / | grep -c only";
    for root in [Root::Ephemeral { size: 1 << 20 }, Root::ReadOnly] {
        let builder = Container::from_layers(&layers).root(root);
        assert_eq!(print(builder, script), "0499\n");
    }
    let container = ended(Container::from_layers(&layers), "rm /who /only7; echo x > /only8");
    let changes = lines(&container.changes().expect("a list"));
    assert_eq!(changes, ["D /only7", "M /only8", "D /who"]);
    layers.push(place.path().to_owned());
    let error = refused(Container::from_layers(&layers).command("true").plan());
    is_error(&error, ErrorKind::FileSystem, Stage::Plan, &["the kernel takes 500"]);
}

pub(crate) fn bad_layers_are_refused() {
    let layers = two_layers();
    let none: [&Path; 0] = [];
    let error = refused(Container::from_layers(none).command("true").plan());
    is_error(&error, ErrorKind::FileSystem, Stage::Plan, &["too few layers"]);
    let missing = [layers[0].path(), Path::new("/missing/a")];
    let error = refused(Container::from_layers(missing).command("true").plan());
    is_error(&error, ErrorKind::FileSystem, Stage::Plan, &["/missing/a"]);
    let error = refused(builder(&layers).root(Root::InPlace).command("true").plan());
    is_error(&error, ErrorKind::FileSystem, Stage::Plan, &["does not go with"]);
}
