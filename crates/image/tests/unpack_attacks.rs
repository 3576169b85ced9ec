//! Layers that try to reach out of their root, as an ordinary user would unpack them.

mod layers;

use std::fs;

use ampoule_image::ErrorKind;
use ampoule_image::unpack::{Quotas, Unpack, Whiteouts};

use layers::scene::{Scene, kind, unprivileged};
use layers::tree::names;
use layers::{Archive, Entry};

/// Applied, and as a layer of an overlay.
fn both() -> [Unpack; 2] {
    let mut overlay = unprivileged();
    overlay.whiteouts = Whiteouts::User;
    [unprivileged(), overlay]
}

const KINDS: &[u8] = b"01234567";

#[test]
fn names_that_go_up_are_refused() {
    let scene = Scene::new();
    let up = ["../x", "..", "a/../../x", "./../outside/file", "/../outside/file", "a/..", "/.."];
    for options in both() {
        for name in up {
            for kind_of_member in KINDS {
                let entry = Entry {
                    kind: *kind_of_member,
                    name: name.as_bytes(),
                    link: b"t",
                    device: (1, 3),
                    ..Entry::default()
                };
                let layer = Archive::new().file("t", "").entry(&entry).end();
                let result = scene.unpack(&options, &layer);
                assert_eq!(kind(&result), Some(ErrorKind::UnsafeLayer), "{name} {kind_of_member}");
                let layer = Archive::new().pax(&[("path", name)]).kind(*kind_of_member, "x").end();
                let result = scene.unpack(&options, &layer);
                assert_eq!(kind(&result), Some(ErrorKind::UnsafeLayer), "{name} {kind_of_member}");
            }
        }
    }
}

#[test]
fn absolute_names_land_inside() {
    let scene = Scene::new();
    let victim = scene.outside().join("file");
    let name = victim.to_str().expect("UTF-8");
    let layer = Archive::new().file(name, "attack").file("///etc//./passwd", "x").end();
    scene.unpack(&unprivileged(), &layer).expect("a layer");
    assert_eq!(fs::read(scene.root().join(&name[1..])).expect("inside"), b"attack");
    assert_eq!(fs::read(scene.root().join("etc/passwd")).expect("inside"), b"x");
}

#[test]
fn names_with_zero_bytes_and_long_names_are_refused() {
    let scene = Scene::new();
    let nul = Archive::new().entry(&Entry { kind: b'L', data: b"a\0b\0", ..Entry::default() });
    let nul = scene.unpack(&unprivileged(), &nul.file("x", "").end());
    assert_eq!(kind(&nul), Some(ErrorKind::UnsafeLayer));
    let records = Archive::new().raw_pax(b'x', layers::record("path", "a\0b").as_bytes());
    let nul = scene.unpack(&unprivileged(), &records.file("x", "").end());
    assert_eq!(kind(&nul), Some(ErrorKind::InvalidArchive));
    for (name, expected) in [
        ("a".repeat(256), ErrorKind::System),
        ("a/".repeat(2040) + "b", ErrorKind::QuotaExceeded),
        ("a".repeat(4096), ErrorKind::QuotaExceeded),
        ("a".repeat(2_000_000), ErrorKind::QuotaExceeded),
    ] {
        for layer in [
            Archive::new().file(&name, "").end(),
            Archive::new().pax(&[("path", &name)]).file("x", "").end(),
            Archive::new().symlink("x", "y").link(&name, "x").end(),
            Archive::new().dir(&name).end(),
        ] {
            assert_eq!(kind(&scene.unpack(&unprivileged(), &layer)), Some(expected));
        }
    }
}

/// What a layer can do through a link at `a`.
fn through_a_link() -> Vec<(&'static str, Archive)> {
    let attribute = [("SCHILY.xattr.user.x", "attack")];
    vec![
        ("create", Archive::new().file("a/new", "attack")),
        ("overwrite", Archive::new().file("a/file", "attack")),
        ("deeper", Archive::new().file("a/dir/file", "attack")),
        ("directory", Archive::new().dir("a/dir/")),
        ("symlink", Archive::new().symlink("a/file", "x")),
        ("fifo", Archive::new().kind(b'6', "a/file")),
        (
            "device",
            Archive::new().entry(&Entry {
                kind: b'3',
                name: b"a/file",
                device: (1, 3),
                ..Entry::default()
            }),
        ),
        ("link to", Archive::new().file("t", "").link("a/file", "t")),
        ("link from", Archive::new().link("t", "a/file").file("t", "attack")),
        ("attributes", Archive::new().pax(&attribute).file("a/file", "attack")),
        ("attributes of a directory", Archive::new().pax(&attribute).dir("a/dir")),
        ("whiteout", Archive::new().file("a/.wh.file", "")),
        ("whiteout of a directory", Archive::new().file("a/.wh.dir", "")),
        ("opaque", Archive::new().file("a/.wh..wh..opq", "")),
        ("opaque below", Archive::new().file("a/dir/.wh..wh..opq", "")),
    ]
}

#[test]
fn links_as_parents_are_not_followed() {
    for options in both() {
        for target in ["../outside", "/", "OUTSIDE", "b", "/proc/self/root"] {
            for (what, attack) in through_a_link() {
                let scene = Scene::new();
                let outside = scene.outside();
                let target = target.replace("OUTSIDE", outside.to_str().expect("UTF-8"));
                let base = Archive::new().symlink("b", "../outside").symlink("a", &target);
                // In one layer, and in two.
                let one = Archive([base.0.as_slice(), &attack.0].concat()).end();
                let result = scene.unpack(&options, &one);
                assert_eq!(kind(&result), Some(ErrorKind::UnsafeLayer), "{what} {target}");
                let scene = Scene::new();
                scene.unpack(&options, &base.end()).expect("links");
                let result = scene.unpack(&options, &attack.end());
                assert_eq!(kind(&result), Some(ErrorKind::UnsafeLayer), "{what} {target}");
            }
        }
    }
}

#[test]
fn links_are_replaced_not_followed() {
    for target in ["../outside/file", "../outside/dir", "../outside/missing"] {
        for replacement in [
            Archive::new().file("a", "attack"),
            Archive::new().dir("a"),
            Archive::new()
                .pax(&[("SCHILY.xattr.user.x", "attack")])
                .dir("a")
                .file("a/file", "attack"),
            Archive::new().symlink("a", "b"),
            Archive::new().file("t", "").link("a", "t"),
            Archive::new().kind(b'6', "a"),
            Archive::new().file(".wh.a", ""),
        ] {
            let scene = Scene::new();
            let layer = Archive::new().symlink("a", target).0;
            let layer = Archive([layer.as_slice(), &replacement.0].concat()).end();
            scene.unpack(&unprivileged(), &layer).expect("replaced");
        }
    }
}

#[test]
fn the_root_stays_a_directory() {
    for name in [".", "./", "/", "//."] {
        for kind_of_member in b"012346" {
            let scene = Scene::new();
            let entry = Entry {
                kind: *kind_of_member,
                name: name.as_bytes(),
                link: b"../outside",
                device: (1, 3),
                ..Entry::default()
            };
            let layer = Archive::new().entry(&entry).file("x", "attack").end();
            let result = scene.unpack(&unprivileged(), &layer);
            // A file whose name ends with a slash is ambiguous already.
            let expected = Some(ErrorKind::UnsafeLayer);
            assert_eq!(kind(&result), expected, "{name} {kind_of_member}");
        }
    }
}

#[test]
fn hard_links_stay_inside() {
    let outside = Scene::new();
    let absolute = outside.outside().join("file");
    for target in ["../outside/file", "/../outside/file", "l", "l/file", "later", "d", ".", "/", ""]
    {
        for options in both() {
            let scene = Scene::new();
            let layer = Archive::new().dir("d").symlink("m", "../outside").link("t", target);
            let layer = layer.file("t", "attack").file("later", "").end();
            let result = scene.unpack(&options, &layer);
            let expected = Some(ErrorKind::UnsafeLayer);
            assert_eq!(kind(&result), expected, "{target}");
        }
    }
    let scene = Scene::new();
    let absolute = absolute.to_str().expect("UTF-8");
    let result = scene.unpack(&unprivileged(), &Archive::new().link("t", absolute).end());
    assert_eq!(kind(&result), Some(ErrorKind::UnsafeLayer));
    outside.check();
}

#[test]
fn a_hard_link_to_a_link_is_the_link() {
    let scene = Scene::new();
    let layer = Archive::new().symlink("a", "../outside/file").link("b", "a").end();
    scene.unpack(&unprivileged(), &layer).expect("a link to a link");
    assert!(fs::symlink_metadata(scene.root().join("b")).expect("b").is_symlink());
    let layer = Archive::new().file("b", "attack").end();
    scene.unpack(&unprivileged(), &layer).expect("replaced");
}

#[test]
fn names_of_whiteouts() {
    for options in both() {
        let names = [
            ".wh.",
            ".wh..",
            ".wh...",
            "a/.wh.",
            "a/.wh..",
            "a/.wh...",
            ".wh..wh.plnk",
            ".wh..wh.aufs",
            ".wh.a/b",
            "a/.wh.b/c",
            ".wh..wh..opq/x",
            ".wh..wh..wh..opq",
        ];
        for name in names {
            let scene = Scene::new();
            let result = scene.unpack(&options, &Archive::new().file(name, "").end());
            assert_eq!(kind(&result), Some(ErrorKind::UnsafeLayer), "{name}");
        }
        for kind_of_member in b"23456" {
            let scene = Scene::new();
            let entry =
                Entry { kind: *kind_of_member, name: b".wh.a", link: b"x", ..Entry::default() };
            let result = scene.unpack(&options, &Archive::new().entry(&entry).end());
            assert_eq!(kind(&result), Some(ErrorKind::UnsafeLayer), "{kind_of_member}");
        }
    }
}

#[test]
fn whiteouts_of_files_that_are_no_directories() {
    for options in both() {
        let scene = Scene::new();
        let layer = Archive::new().file("f", "x").file("f/.wh..wh..opq", "").end();
        assert_eq!(kind(&scene.unpack(&options, &layer)), Some(ErrorKind::UnsafeLayer));
        let layer = Archive::new().file("f", "x").file("f/.wh.x", "").end();
        assert_eq!(kind(&scene.unpack(&options, &layer)), Some(ErrorKind::UnsafeLayer));
    }
}

#[test]
fn attributes_that_steer_overlays_are_dropped() {
    let scene = Scene::new();
    let mut options = unprivileged();
    options.attributes = ampoule_image::unpack::AttributeFilter::new(["user.", "trusted."]);
    let records = [
        ("SCHILY.xattr.user.overlay.opaque", "y"),
        ("SCHILY.xattr.user.overlay.redirect", "/etc"),
        ("SCHILY.xattr.trusted.overlay.metacopy", ""),
        ("SCHILY.xattr.user.containers.override_stat", "0:0:06755:file"),
        ("SCHILY.xattr.user.mine", "kept"),
    ];
    let layer = Archive::new().pax(&records).dir("d").end();
    let unpacked = scene.unpack(&options, &layer).expect("a layer");
    assert_eq!(unpacked.attributes_dropped, 4);
    let tree = scene.tree();
    let attributes = &tree[b"d".as_slice()].attributes;
    assert_eq!(attributes[b"user.mine".as_slice()], b"kept");
    assert_eq!(attributes[b"user.containers.override_stat".as_slice()], b"0:0:0755:dir");
    assert_eq!(attributes.len(), 2);
}

#[test]
fn devices_with_the_number_of_a_whiteout_are_refused() {
    for options in both() {
        let scene = Scene::new();
        let layer = Archive::new().kind(b'3', "a").end();
        assert_eq!(kind(&scene.unpack(&options, &layer)), Some(ErrorKind::UnsafeLayer));
        assert!(names(&scene.tree()).is_empty());
    }
}

#[test]
fn bombs_end_at_the_quota() {
    let mut options = unprivileged();
    options.quotas = Quotas::default();
    options.quotas.bytes = 1 << 20;
    options.quotas.entries = 100;
    let quota = Some(ErrorKind::QuotaExceeded);
    let scene = Scene::new();
    let giant = Entry { size: Some(1 << 40), ..Entry::default() };
    assert_eq!(kind(&scene.unpack(&options, &Archive::new().entry(&giant).end())), quota);
    let sparse = [("GNU.sparse.size", "1099511627776"), ("GNU.sparse.map", "0,1,1099511627776,0")];
    let sparse = Archive::new().pax(&sparse).file("s", "x").end();
    assert_eq!(kind(&scene.unpack(&options, &sparse)), quota);
    let ratio = layers::gzip(&vec![0; 4 << 20]);
    assert_eq!(kind(&scene.unpack(&options, &ratio)), quota);
    let many = (0..101).fold(Archive::new(), |archive, at| archive.file(format!("f{at}"), ""));
    assert_eq!(kind(&scene.unpack(&options, &many.end())), quota);
    let implied =
        (0..100).fold(Archive::new(), |archive, at| archive.file(format!("{at}/a/b"), ""));
    assert_eq!(kind(&scene.unpack(&options, &implied.end())), quota);
    let headers = (0..2000).fold(Archive::new(), |archive, _| archive.raw_pax(b'g', b""));
    assert_eq!(kind(&scene.unpack(&options, &headers.end())), quota);
    for depth in [300, 10_000] {
        let deep = Archive::new().file("a/".repeat(depth) + "b", "").end();
        assert_eq!(kind(&scene.unpack(&options, &deep)), quota);
    }
    let value = "v".repeat(70_000);
    let attribute = Archive::new().pax(&[("SCHILY.xattr.user.a", &value)]).file("a", "").end();
    assert_eq!(kind(&scene.unpack(&options, &attribute)), quota);
}
