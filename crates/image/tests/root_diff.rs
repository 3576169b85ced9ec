//! Trees become layers, and the same trees again.

mod layers;

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Command;

use ampoule_image::diff::{Diff, Holes, Layer};
use ampoule_image::unpack::{Ownership, Unpack, Whiteouts};
use ampoule_image::{Compression, Digest, Error, ErrorKind};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use layers::scene::{Scene, kind};
use layers::tree::{Tree, names};
use layers::{Archive, Entry, record};

fn diff(options: &Diff, directory: &Path) -> Result<(Layer, Vec<u8>), Error> {
    let directory = File::open(directory).expect("a directory");
    let mut blob = Vec::new();
    options.write(directory.as_fd(), &mut blob).map(|layer| (layer, blob))
}

/// What a layer keeps of a tree: not the root itself, and not when something was removed.
fn kept(mut tree: Tree) -> Tree {
    tree.remove(b"".as_slice());
    for node in tree.values_mut().filter(|node| node.mode == 0o020_000 && node.device == 0) {
        (node.mtime, node.same_as) = ((0, 0), None);
    }
    tree
}

const NAMES: &[&str] =
    &["a", "b", "a/b", "a/c", "d/e/f", "d/e", ".wh.a", "d/.wh.x", "d/.wh..wh..opq", "long"];

const RECORDS: &[&str] =
    &["", "mtime=-7.25", "mtime=1.000000001", "mtime=9000000000", "SCHILY.xattr.user.a=v\n="];

/// A layer with one member.
fn member() -> impl Strategy<Value = Vec<u8>> {
    let numbers = (0..0o10000_u32, (0..3_000_000_u64, 0..9_u64), any::<u32>());
    let texts = (select(NAMES), select(NAMES), select(RECORDS));
    let data = vec(any::<u8>(), 0..3000);
    let kind = select(b"0001235566".as_slice());
    (kind, texts, numbers, data).prop_map(
        |(kind, (name, link, front), (mode, ids, mtime), data)| {
            let long = format!("long/{}", "x".repeat(200));
            let front = front.split_once('=').map(|(key, value)| record(key, value));
            let archive = Archive::new();
            let archive =
                front.map_or(archive.clone(), |text| archive.raw_pax(b'x', text.as_bytes()));
            archive
                .entry(&Entry {
                    kind,
                    name: if name == "long" { long.as_bytes() } else { name.as_bytes() },
                    link: link.as_bytes(),
                    mode,
                    ids,
                    mtime: mtime.into(),
                    device: (1, 3),
                    data: if kind == b'0' { &data } else { b"" },
                    ..Entry::default()
                })
                .end()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_tree_becomes_a_layer_and_the_same_tree(members in vec(member(), 0..12)) {
        let scene = Scene::new();
        for member in members {
            // What is refused is another test's.
            drop(scene.unpack(&Unpack::default(), &member));
        }
        let (layer, blob) = diff(&Diff::default(), &scene.root()).expect("a layer");
        let copy = Scene::new();
        let unpacked = copy.unpack(&Unpack::default(), &blob).expect("our own layer");
        prop_assert_eq!(kept(copy.tree()), kept(scene.tree()));
        prop_assert_eq!((unpacked.blob, unpacked.diff_id), (layer.blob, layer.diff_id));
        prop_assert_eq!((unpacked.blob_size, unpacked.diff_size), (layer.blob_size, layer.diff_size));
        prop_assert_eq!(unpacked.entries, layer.entries);
        let (again, _) = diff(&Diff::default(), &copy.root()).expect("a layer");
        prop_assert_eq!(again, layer);
    }
}

#[test]
fn gnu_tar_reads_what_we_write() {
    let scene = Scene::new();
    let root = scene.root();
    let long = "n".repeat(150);
    fs::create_dir_all(root.join(&long).join(&long)).expect("a directory");
    fs::write(root.join(&long).join("f"), "content").expect("a file");
    fs::hard_link(root.join(&long).join("f"), root.join("zlink")).expect("a link");
    symlink("t".repeat(300), root.join("symlink")).expect("a link");
    let mut sparse = File::create(root.join("sparse")).expect("a file");
    sparse.seek(SeekFrom::Start(10_000_000)).expect("a hole");
    sparse.write_all(b"data").expect("data");
    sparse.set_len(20_000_000).expect("a hole");
    rustix::fs::setxattr(root.join("sparse"), "user.a", b"v", rustix::fs::XattrFlags::empty())
        .expect("an attribute");
    rustix::fs::chown(root.join("sparse"), Some(rustix::fs::Uid::from_raw(3_000_000)), None)
        .expect("owner");
    let mut options = Diff::default();
    options.whiteouts = Whiteouts::Applied;
    let (layer, blob) = diff(&options, &root).expect("a layer");
    assert!(layer.diff_size < 100_000, "{} bytes: holes were written", layer.diff_size);
    let copy = Scene::new();
    let path = copy.root().join("layer.tar.gz");
    fs::write(&path, &blob).expect("a file");
    let mut tar = Command::new("tar");
    tar.args(["--numeric-owner", "--xattrs", "-xpzf"]).arg(&path);
    let output = tar.arg("-C").arg(copy.root()).output().expect("tar");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    fs::remove_file(&path).expect("a file");
    assert!(kept(copy.tree()) == kept(scene.tree()));
    let blocks = fs::metadata(copy.root().join("sparse")).expect("a file").blocks();
    assert!(blocks < 1000, "{blocks} blocks");
}

#[test]
fn the_same_bytes_with_an_epoch() {
    let options = |holes| {
        let mut options = Diff::default();
        options.source_date_epoch = Some(1_000_000_000);
        options.holes = holes;
        options
    };
    let make = || {
        let scene = Scene::new();
        fs::create_dir(scene.root().join("d")).expect("a directory");
        fs::write(scene.root().join("d/f"), vec![0; 100_000]).expect("a file");
        scene
    };
    let (first, second) = (make(), make());
    let (one, blob) = diff(&options(Holes::Kept), &first.root()).expect("a layer");
    assert_eq!(diff(&options(Holes::Filled), &second.root()).expect("a layer").0, one);
    let copy = Scene::new();
    copy.unpack(&Unpack::default(), &blob).expect("a layer");
    assert_eq!(copy.tree()[b"d/f".as_slice()].mtime, (1_000_000_000, 0));
}

#[test]
fn compressions_have_the_same_diff_id() {
    let scene = Scene::new();
    fs::write(scene.root().join("f"), "content".repeat(1000)).expect("a file");
    let mut kinds = vec![Compression::Uncompressed, Compression::Gzip];
    kinds.extend(cfg!(feature = "zstd").then_some(Compression::Zstd));
    for compression in kinds {
        let mut options = Diff::default();
        options.compression = compression;
        options.source_date_epoch = Some(0);
        let (layer, blob) = diff(&options, &scene.root()).expect("a layer");
        assert_eq!(layer.blob, Digest::of(&blob));
        assert_eq!(Compression::of_magic(&blob), compression);
        let unpacked = Scene::new().unpack(&Unpack::default(), &blob).expect("our own layer");
        assert_eq!(unpacked.diff_id, layer.diff_id);
    }
}

#[test]
fn what_would_mean_something_else_is_refused() {
    let scene = Scene::new();
    fs::write(scene.root().join(".wh.passwd"), "").expect("a file");
    let refused = diff(&Diff::default(), &scene.root());
    assert_eq!(kind(&refused), Some(ErrorKind::UnsafeLayer));
    for (attribute, value) in [("redirect", "/etc"), ("metacopy", ""), ("opaque", "x")] {
        let scene = Scene::new();
        let directory = scene.root().join("d");
        fs::create_dir(&directory).expect("a directory");
        let name = format!("trusted.overlay.{attribute}");
        rustix::fs::setxattr(
            &directory,
            name.as_str(),
            value.as_bytes(),
            rustix::fs::XattrFlags::empty(),
        )
        .expect("an attribute");
        let refused = diff(&Diff::default(), &scene.root());
        assert_eq!(kind(&refused), Some(ErrorKind::Unsupported), "{attribute}");
    }
}

#[test]
fn owners_survive_without_privilege() {
    let member = |kind, name: &'static [u8]| Entry {
        kind,
        name,
        ids: (1234, 5678),
        device: (1, 3),
        ..Entry::default()
    };
    let archive = Archive::new().entry(&member(b'5', b"d")).entry(&member(b'0', b"d/f"));
    let layer = archive.entry(&member(b'3', b"d/null")).end();
    let mut unpack = Unpack::default();
    unpack.ownership = Ownership::Single;
    unpack.whiteouts = Whiteouts::User;
    let scene = Scene::new();
    scene.unpack(&unpack, &layer).expect("a layer");
    fs::write(scene.root().join("new"), "").expect("a file");
    let mut options = Diff::default();
    options.ownership = Ownership::Single;
    options.whiteouts = Whiteouts::User;
    let (_, blob) = diff(&options, &scene.root()).expect("a layer");
    let copy = Scene::new();
    copy.unpack(&Unpack::default(), &blob).expect("a layer");
    let tree = copy.tree();
    assert_eq!(names(&tree), ["d", "d/f", "d/null", "new"]);
    for name in [b"d".as_slice(), b"d/f", b"d/null"] {
        assert_eq!(tree[name].owner, (1234, 5678));
        assert!(tree[name].attributes.is_empty());
    }
    assert_eq!(tree[b"d/null".as_slice()].device, rustix::fs::makedev(1, 3));
    assert_eq!(tree[b"new".as_slice()].owner, (0, 0));
}
