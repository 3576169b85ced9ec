//! Unpacking as root: owners, devices, capabilities, whiteouts of overlays.

mod layers;

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use ampoule_image::ErrorKind;
use ampoule_image::unpack::{AttributeFilter, Devices, Unpack, Whiteouts};

use layers::scene::{Scene, kind};
use layers::tree::names;
use layers::{Archive, Entry};

/// A capability set as the kernel keeps it: version 2, effective, cap_net_raw.
const CAPABILITY: &str = "\u{1}\0\0\u{2}\0\u{20}\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

fn applied() -> Unpack {
    let mut unpack = Unpack::default();
    unpack.whiteouts = Whiteouts::Applied;
    unpack
}

#[test]
fn everything_a_member_can_have() {
    let scene = Scene::new();
    let member = |kind, name: &'static [u8]| Entry {
        kind,
        name,
        mode: 0o6751,
        ids: (1234, 70_000),
        mtime: 1_111_111_111,
        device: (1, 3),
        link: b"target",
        ..Entry::default()
    };
    let times = [("mtime", "1234567890.123456789"), ("atime", "-1.5")];
    let attributes =
        [("SCHILY.xattr.user.a", ""), ("SCHILY.xattr.security.capability", CAPABILITY)];
    let layer = Archive::new()
        .pax(&times)
        .entry(&Entry { mode: 0o1777, ..member(b'5', b"dir") })
        .pax(&attributes)
        .entry(&Entry { data: b"content", ..member(b'0', b"dir/file") })
        .entry(&member(b'2', b"dir/symlink"))
        .entry(&member(b'6', b"dir/fifo"))
        .entry(&member(b'3', b"dir/char"))
        .entry(&member(b'4', b"dir/block"))
        .link("dir/hard", "dir/file")
        .end();
    scene.unpack(&Unpack::default(), &layer).expect("a layer");
    let atime = fs::metadata(scene.root().join("dir")).expect("dir");
    assert_eq!((atime.atime(), atime.atime_nsec()), (-2, 500_000_000));
    let tree = scene.tree();
    let dir = &tree[b"dir".as_slice()];
    assert_eq!((dir.mode, dir.mtime), (0o41777, (1_234_567_890, 123_456_789)));
    for (name, kind) in
        [("file", 0o100_000), ("fifo", 0o010_000), ("char", 0o020_000), ("block", 0o060_000)]
    {
        let node = &tree[format!("dir/{name}").as_bytes()];
        assert_eq!(node.mode, kind | 0o6751, "{name}");
        assert_eq!((node.owner, node.mtime), ((1234, 70_000), (1_111_111_111, 0)), "{name}");
    }
    let symlink = &tree[b"dir/symlink".as_slice()];
    assert_eq!((symlink.owner, symlink.mtime.0), ((1234, 70_000), 1_111_111_111));
    assert_eq!(symlink.content, b"target");
    assert_eq!(tree[b"dir/char".as_slice()].device, rustix::fs::makedev(1, 3));
    assert_eq!(tree[b"dir/hard".as_slice()].same_as.as_deref(), Some(b"dir/file".as_slice()));
    let attributes = &tree[b"dir/file".as_slice()].attributes;
    assert_eq!(attributes[b"security.capability".as_slice()], CAPABILITY.as_bytes());
    assert_eq!(attributes[b"user.a".as_slice()], b"");
}

#[test]
fn devices_by_policy() {
    for (policy, expected) in
        [(Devices::Skip, None), (Devices::Refuse, Some(ErrorKind::UnsafeLayer))]
    {
        let scene = Scene::new();
        let mut options = applied();
        options.devices = policy;
        let device = Entry { kind: b'3', name: b"d", device: (1, 3), ..Entry::default() };
        let layer = Archive::new().file("d", "").entry(&device).end();
        let result = scene.unpack(&options, &layer);
        assert_eq!(kind(&result), expected);
        if let Ok(unpacked) = result {
            assert_eq!(unpacked.devices_skipped, 1);
            assert!(names(&scene.tree()).is_empty(), "what stood there is gone");
        }
    }
}

#[test]
fn a_device_reached_by_a_hard_link_is_the_same_device() {
    let scene = Scene::new();
    let device = Entry { kind: b'3', name: b"d", device: (1, 3), ..Entry::default() };
    let layer = Archive::new().entry(&device).link("e", "d").file("e", "attack").end();
    scene.unpack(&applied(), &layer).expect("a layer");
    assert!(fs::symlink_metadata(scene.root().join("d")).expect("d").file_type().is_char_device());
    assert_eq!(fs::read(scene.root().join("e")).expect("a file"), b"attack");
}

fn overlay(layer: Archive) -> Scene {
    let scene = Scene::new();
    scene.unpack(&Unpack::default(), &layer.end()).expect("a layer");
    scene
}

fn is_whiteout(scene: &Scene, name: &str) -> bool {
    let stat = fs::symlink_metadata(scene.root().join(name)).expect("a file");
    stat.file_type().is_char_device() && stat.rdev() == 0
}

fn is_opaque(scene: &Scene, name: &str) -> bool {
    let mut value = [0; 4];
    let path = scene.root().join(name);
    rustix::fs::lgetxattr(&path, "trusted.overlay.opaque", &mut value)
        .is_ok_and(|_| value[0] == b'y')
}

#[test]
fn whiteouts_for_an_overlay() {
    let scene =
        overlay(Archive::new().file(".wh.a", "").file("d/.wh.b", "").file("e/.wh..wh..opq", ""));
    assert_eq!(names(&scene.tree()), ["a", "d", "d/b", "e"]);
    assert!(is_whiteout(&scene, "a") && is_whiteout(&scene, "d/b"));
    assert!(is_opaque(&scene, "e") && !is_opaque(&scene, "d"));
}

#[test]
fn a_whiteout_and_what_replaces_it_in_either_order() {
    let dir = |archive: Archive| archive.dir("a").file("a/x", "");
    let whiteout = |archive: Archive| archive.file(".wh.a", "");
    for layer in [
        dir(whiteout(Archive::new())),
        whiteout(dir(Archive::new())),
        whiteout(Archive::new()).file("a/x", ""),
        Archive::new().file("a", "").dir("a").file("a/x", ""),
    ] {
        let scene = overlay(layer);
        assert_eq!(names(&scene.tree()), ["a", "a/x"]);
        assert!(is_opaque(&scene, "a"), "the directory does not hide what was removed");
    }
    for layer in [whiteout(Archive::new()).file("a", "x"), whiteout(Archive::new().file("a", "x"))]
    {
        let scene = overlay(layer);
        assert_eq!(fs::read(scene.root().join("a")).expect("a file"), b"x");
    }
}

#[test]
fn a_whiteout_is_no_target_of_a_hard_link() {
    let scene = Scene::new();
    let layer = Archive::new().file(".wh.a", "").link("b", "a").end();
    let result = scene.unpack(&Unpack::default(), &layer);
    assert_eq!(kind(&result), Some(ErrorKind::UnsafeLayer));
}

#[test]
fn an_opaque_root_is_reported() {
    let scene = Scene::new();
    let layer = Archive::new().file("a", "").file(".wh..wh..opq", "").end();
    assert!(scene.unpack(&Unpack::default(), &layer).expect("a layer").root_opaque);
    let scene = Scene::new();
    scene.unpack(&applied(), &Archive::new().file("old/x", "").file("y", "").end()).expect("base");
    scene.unpack(&applied(), &layer).expect("a layer");
    assert_eq!(names(&scene.tree()), ["a"]);
}

fn base() -> Scene {
    let scene = Scene::new();
    let layer =
        Archive::new().file("d/old", "").file("d/e/old", "").file("d/e/f/old", "").file("x", "");
    scene.unpack(&applied(), &layer.end()).expect("base");
    scene
}

#[test]
fn whiteouts_applied_leave_what_their_own_layer_brings() {
    let scene = base();
    let layer = Archive::new().file("d/e/new", "").file("d/.wh..wh..opq", "").file("d/new", "");
    scene.unpack(&applied(), &layer.end()).expect("a layer");
    assert_eq!(names(&scene.tree()), ["d", "d/e", "d/e/new", "d/new", "x"]);
    let scene = base();
    let layer = Archive::new()
        .file("d/e/new", "")
        .file("d/.wh.e", "")
        .file("d/.wh.old", "")
        .file(".wh.x", "");
    scene.unpack(&applied(), &layer.end()).expect("a layer");
    assert_eq!(names(&scene.tree()), ["d", "d/e", "d/e/new"]);
    let scene = base();
    let layer = Archive::new().file(".wh.d", "").file(".wh.missing", "").file("no/.wh.way", "");
    scene.unpack(&applied(), &layer.end()).expect("a layer");
    assert_eq!(names(&scene.tree()), ["x"]);
}

#[test]
fn directories_that_are_not_in_the_layer_keep_their_times() {
    let scene = Scene::new();
    let layer = Archive::new().dir("d").dir("d/e").file("d/e/f", "").end();
    scene.unpack(&applied(), &layer).expect("base");
    let before = scene.tree();
    scene.unpack(&applied(), &Archive::new().file("d/e/.wh.f", "").end()).expect("a layer");
    let after = scene.tree();
    for name in [b"d".as_slice(), b"d/e"] {
        assert_eq!(after[name], before[name]);
    }
}

#[test]
fn a_directory_again_loses_the_attributes_of_the_lower_layer() {
    let scene = Scene::new();
    let mut options = applied();
    options.attributes = AttributeFilter::new(["user.", "trusted."]);
    let layer = |key| Archive::new().pax(&[(key, "1")]).dir("d").end();
    scene.unpack(&options, &layer("SCHILY.xattr.user.old")).expect("base");
    scene.unpack(&options, &layer("SCHILY.xattr.trusted.new")).expect("a layer");
    let tree = scene.tree();
    let names: Vec<_> = tree[b"d".as_slice()].attributes.keys().collect();
    assert_eq!(names, [b"trusted.new"]);
}

#[test]
fn deep_trees_are_removed() {
    let scene = Scene::new();
    let deep = "d/".repeat(250);
    let wide = (0..50).fold(Archive::new(), |archive, at| archive.file(format!("{deep}{at}"), ""));
    let wide = (0..50).fold(wide, |archive, at| archive.file(format!("d/{at}/x/y"), ""));
    scene.unpack(&applied(), &wide.end()).expect("base");
    scene.unpack(&applied(), &Archive::new().file("d", "flat").end()).expect("a layer");
    assert_eq!(names(&scene.tree()), ["d"]);
}
