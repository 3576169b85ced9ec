//! The store: pulling, names, damage, resuming, collecting, several users at once.

mod memory;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ampoule_image::store::{Patience, Slot, Unpacker};
use ampoule_image::unpack::Unpack;
use ampoule_image::{
    Choice, Digest, ErrorKind, Event, Image, LayerState, MediaType, Platform, Pull, Reference,
    Store,
};
use memory::{Memory, name};

fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().expect("directory");
    let store = Store::open(directory.path().join("s")).expect("store");
    (directory, store)
}

fn blob_path(store: &Store, digest: &Digest) -> PathBuf {
    store.path().join("blobs/sha256").join(digest.hex())
}

fn pending(store: &Store) -> Vec<String> {
    let entries = fs::read_dir(store.path().join("pending")).expect("pending");
    entries.map(|entry| entry.expect("entry").file_name().into_string().expect("text")).collect()
}

#[test]
fn an_image_is_pulled_once() {
    let (_directory, store) = store();
    let source = Memory::image(&[b"base", b"top", b"base"]);
    let image = store.pull(&source, &name("app"), &Pull::new()).expect("pull");
    assert_eq!(image.reference(), &name("app:latest"));
    assert_eq!(image.manifest().layers.len(), 3);
    // Manifest, configuration, and each layer once.
    assert_eq!(source.count(), 4);
    let second = Memory::image(&[b"base", b"other"]);
    let events = Mutex::new(Vec::new());
    let watch = |event: &Event| events.lock().expect("events").push(event.clone());
    store.pull(&second, &name("b:1"), &Pull::new().progress(&watch)).expect("pull");
    assert_eq!(second.count(), 3);
    let events = events.into_inner().expect("events");
    let states = |layer| {
        let own = events.iter().filter(move |event: &&Event| event.layer == layer);
        own.map(|event| (event.state, event.bytes, event.total)).collect::<Vec<_>>()
    };
    assert_eq!(states(0), [(LayerState::AlreadyThere, 4, 4)]);
    assert_eq!(
        states(1),
        [
            (LayerState::Pulling, 0, 5),
            (LayerState::Pulling, 5, 5),
            (LayerState::Verifying, 5, 5),
            (LayerState::Done, 5, 5),
        ]
    );
    let listed: Vec<_> =
        store.list().expect("list").into_iter().map(|entry| entry.reference).collect();
    assert_eq!(listed, [name("app:latest"), name("b:1")]);
    let verified = store.verify().expect("verify");
    assert_eq!((verified.references, verified.problems), (2, Vec::new()));
    assert_eq!(pending(&store), Vec::<String>::new());
    assert!(store.usage().expect("usage").blobs > 0);
}

#[test]
fn the_platform_is_chosen_through_nested_indexes() {
    let (_directory, store) = store();
    let mut source = Memory::empty();
    let mut entries = Vec::new();
    for text in ["linux/arm64", "linux/amd64"] {
        let platform: Platform = text.parse().expect(text);
        let mut entry = source.add_image(&platform, &[text.as_bytes()]);
        entry.platform = Some(platform);
        entries.push(entry);
    }
    let inner = source.add_index(entries);
    source.root = source.add_index(vec![inner]);
    let choice = Choice::Platform("linux/arm64".parse().expect("platform"));
    let image = store.pull(&source, &name("x"), &Pull::new().choice(&choice)).expect("pull");
    assert_eq!(image.manifest().layers[0].digest, Digest::of(b"linux/arm64"));
    assert_eq!(store.entry(&name("x")).expect("entry").index, Some(source.root.digest));
    let choice = Choice::Platform("linux/mips".parse().expect("platform"));
    let error = store.pull(&source, &name("x"), &Pull::new().choice(&choice)).expect_err("none");
    assert_eq!(error.kind(), ErrorKind::NoMatchingPlatform);
    assert_eq!(error.platforms().len(), 2);
    let by_digest = name("x").with_digest(source.root.digest);
    assert!(store.pull(&source, &by_digest, &Pull::new().choice(&Choice::Host)).is_ok());
    let other = name("x").with_digest(Digest::of(b"other"));
    let error = store.pull(&source, &other, &Pull::new()).expect_err("another digest");
    assert_eq!(error.kind(), ErrorKind::DigestMismatch);
}

#[test]
fn indexes_do_not_lead_for_ever() {
    let (_directory, store) = store();
    let mut source = Memory::image(&[b"deep"]);
    for _ in 0..5 {
        source.root = source.add_index(vec![source.root.clone()]);
    }
    let error = store.pull(&source, &name("x"), &Pull::new()).expect_err("five");
    assert_eq!(error.kind(), ErrorKind::InvalidDocument);
    assert!(error.to_string().contains("nested"), "{error}");
    assert!(source.count() <= 5);
}

#[test]
fn a_single_image_for_another_machine_is_refused_unless_wanted() {
    let (_directory, store) = store();
    let mut source = Memory::empty();
    source.root = source.add_image(&Platform::new("linux", "s390x"), &[]);
    let error = store.pull(&source, &name("x"), &Pull::new()).expect_err("s390x");
    assert_eq!(error.kind(), ErrorKind::NoMatchingPlatform);
    store.pull(&source, &name("x"), &Pull::new().choice(&Choice::Any)).expect("any");
}

#[test]
fn what_a_source_promises_is_checked() {
    for (damage, kind) in [
        (b"lAyer".to_vec(), ErrorKind::DigestMismatch),
        (b"laye".to_vec(), ErrorKind::SizeMismatch),
        (b"layers".to_vec(), ErrorKind::SizeMismatch),
    ] {
        let (_directory, store) = store();
        let mut source = Memory::image(&[b"layer"]);
        source.blobs.insert(Digest::of(b"layer"), damage);
        let error = store.pull(&source, &name("x"), &Pull::new()).expect_err("damaged");
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(store.image(&name("x")).expect_err("no name").kind(), ErrorKind::NotFound);
        assert_eq!(
            store.blob(&Digest::of(b"layer")).expect_err("none").kind(),
            ErrorKind::NotFound
        );
        // A short one can go on later; a wrong one is gone.
        assert_eq!(pending(&store).len(), usize::from(error.to_string().contains("4 bytes")));
        source.blobs.insert(Digest::of(b"layer"), b"layer".to_vec());
        store.pull(&source, &name("x"), &Pull::new()).expect("whole");
        assert_eq!(store.verify().expect("verify").problems, Vec::new());
    }
}

#[test]
fn a_source_without_a_blob() {
    let (_directory, store) = store();
    let mut source = Memory::image(&[b"one", b"two"]);
    source.blobs.remove(&Digest::of(b"two"));
    let error = store.pull(&source, &name("x"), &Pull::new()).expect_err("missing");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(store.list().expect("list").is_empty());
}

#[test]
fn a_blob_goes_on_where_it_ended() {
    let (_directory, store) = store();
    let source = Memory::image(&[b"0123456789"]);
    let digest = Digest::of(b"0123456789");
    for (left, offsets) in [
        (b"01234".as_slice(), vec![5]),
        (b"01x34", vec![5, 0]),
        (b"0123456789", vec![0]),
        (b"01234567890000", vec![0]),
    ] {
        let path = store.path().join(format!("pending/blob-sha256-{}", digest.hex()));
        fs::write(path, left).expect("partial");
        source.reads.lock().expect("reads").clear();
        store.pull(&source, &name("x"), &Pull::new()).expect("pull");
        let reads = source.reads.lock().expect("reads").clone();
        let own = reads.iter().filter(|(read, _)| *read == digest).map(|(_, offset)| *offset);
        assert_eq!(own.collect::<Vec<_>>(), offsets);
        fs::remove_file(blob_path(&store, &digest)).expect("again");
    }
}

#[test]
fn damage_on_the_disk_is_found() {
    let (_directory, store) = store();
    let source = Memory::image(&[b"layer"]);
    let image = store.pull(&source, &name("x"), &Pull::new()).expect("pull");
    let config = image.manifest().config.digest;
    fs::write(blob_path(&store, &Digest::of(b"layer")), b"lAyer").expect("damage");
    let problems = store.verify().expect("verify").problems;
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].digests().map(|pair| pair.0), Some(Digest::of(b"layer")));
    fs::remove_file(blob_path(&store, &Digest::of(b"layer"))).expect("damage");
    assert_eq!(store.verify().expect("verify").problems[0].kind(), ErrorKind::NotFound);
    // A file that lost its end is written again.
    fs::write(blob_path(&store, &Digest::of(b"layer")), b"").expect("damage");
    store.pull(&source, &name("x"), &Pull::new()).expect("pull");
    assert_eq!(store.verify().expect("verify").problems, Vec::new());
    fs::write(blob_path(&store, &config), b"{}").expect("damage");
    assert!(store.image(&name("x")).is_err());
}

#[test]
fn only_what_nobody_needs_is_collected() {
    let (_directory, store) = store();
    let first = Memory::image(&[b"shared", b"one"]);
    let second = Memory::image(&[b"shared", b"two"]);
    store.pull(&first, &name("a"), &Pull::new()).expect("pull");
    let in_use = store.pull(&second, &name("b"), &Pull::new()).expect("pull");
    store.remove(&name("a")).expect("remove");
    assert_eq!(store.remove(&name("a")).expect_err("twice").kind(), ErrorKind::NotFound);
    let collected = store.gc(Patience::Refuse).expect("gc");
    assert_eq!((collected.blobs, collected.in_use), (3, 0));
    store.remove(&name("b")).expect("remove");
    let collected = store.gc(Patience::Refuse).expect("gc");
    assert_eq!((collected.blobs, collected.in_use), (0, 1));
    store.tag(in_use.descriptor(), &name("c:2")).expect("tag");
    drop(in_use);
    assert_eq!(store.gc(Patience::Refuse).expect("gc").blobs, 0);
    assert_eq!(store.verify().expect("verify").problems, Vec::new());
    store.remove(&name("c:2")).expect("remove");
    assert_eq!(store.gc(Patience::Refuse).expect("gc").blobs, 4);
}

#[test]
fn collecting_and_adding_exclude_each_other() {
    let (_directory, store) = store();
    let adding = store.new_blob().expect("blob");
    assert_eq!(store.gc(Patience::Refuse).expect_err("busy").kind(), ErrorKind::InUse);
    assert_eq!(pending(&store).len(), 1);
    // Opening the store once more leaves what is being written alone.
    Store::open(store.path()).expect("open");
    assert_eq!(pending(&store).len(), 1);
    drop(adding);
    assert_eq!(pending(&store).len(), 0);
}

#[test]
fn what_ended_processes_left_is_cleared() {
    let (_directory, store) = store();
    let in_pending = |name: &str| store.path().join("pending").join(name);
    fs::write(in_pending("new-1-2-3-4"), b"x").expect("left");
    fs::write(in_pending(&format!("blob-sha256-{}", Digest::of(b"x").hex())), b"").expect("left");
    deep(&in_pending("layer-sha256-x"), 300);
    deep(&in_pending("dead-1"), 5);
    Store::open(store.path()).expect("open");
    assert_eq!(pending(&store).len(), 1, "{:?}", pending(&store));
    store.gc(Patience::Refuse).expect("gc");
    assert_eq!(pending(&store).len(), 0);
}

/// A tree with a directory that its owner may not enter.
fn deep(top: &Path, depth: usize) {
    use std::os::unix::fs::PermissionsExt;
    let path = (0..depth).fold(top.to_owned(), |path, _| path.join("d"));
    fs::create_dir_all(&path).expect("deep");
    fs::write(path.join("file"), b"x").expect("file");
    std::os::unix::fs::symlink("/etc", path.join("link")).expect("link");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o0)).expect("mode");
}

#[test]
fn many_at_once() {
    let (_directory, store) = store();
    let layers: Vec<Vec<u8>> = (0..20_u8).map(|fill| vec![fill; 300_000]).collect();
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let source = Memory::image(&layers);
    std::thread::scope(|scope| {
        for at in 0..8 {
            let (store, source) = (Store::open(store.path()).expect("open"), &source);
            scope.spawn(move || {
                let own = name(&format!("x:{at}"));
                store.pull(source, &own, &Pull::new()).expect("pull");
                store.gc(Patience::Wait).expect("gc");
                store.image(&own).expect("image");
                store.remove(&own).expect("remove");
            });
        }
    });
    // Each layer was read by one of them, unless it was collected in between.
    assert!(source.count() >= layers.len());
    store.gc(Patience::Wait).expect("gc");
    let verified = store.verify().expect("verify");
    assert_eq!((verified.blobs, verified.problems), (0, Vec::new()));
}

#[test]
fn what_is_no_store_is_left_alone() {
    let directory = tempfile::tempdir().expect("directory");
    fs::write(directory.path().join("precious"), b"x").expect("file");
    let error = Store::open(directory.path()).expect_err("not empty");
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read_dir(directory.path()).expect("list").count(), 1);
    let (_directory, store) = store();
    fs::write(store.path().join("ampoule-store"), r#"{"version":2}"#).expect("later");
    assert_eq!(Store::open(store.path()).expect_err("later").kind(), ErrorKind::Unsupported);
}

#[test]
fn a_slot_is_for_one_writer() {
    let (_directory, store) = store();
    let wanted = ampoule_image::Descriptor::of(MediaType::Config, b"abc");
    let Slot::Write(mut writer) = store.slot(&wanted).expect("slot") else { panic!("empty") };
    std::thread::scope(|scope| {
        let second = scope.spawn(|| store.slot(&wanted).expect("second"));
        writer.write(b"abc").expect("write");
        assert!(!second.is_finished());
        writer.commit().expect("commit");
        assert!(matches!(second.join().expect("thread"), Slot::There(_)));
    });
}

/// A layer with one file.
fn layer(content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_data(&mut header, "file", content).expect("a member");
    builder.into_inner().expect("a layer")
}

#[test]
fn a_second_image_unpacks_only_what_is_new() {
    use std::os::unix::fs::MetadataExt;

    let (_directory, store) = store();
    let (base, top) = (layer(&[b'a'; 1 << 20]), layer(b"top"));
    let unpack = Unpack::suited();
    let pulled = |source: &Memory, name: &Reference| {
        let events = Mutex::new(Vec::new());
        let watch = |event: &Event| events.lock().expect("events").push(event.clone());
        let image = store.pull(source, name, &Pull::new().unpack(&unpack).progress(&watch));
        let image = image.expect("pull");
        let events = events.into_inner().expect("events");
        let unpacking = events.iter().filter(|event| event.state == LayerState::Unpacking);
        // The furthest that each layer was read for it.
        let mut bytes = vec![None; image.manifest().layers.len()];
        unpacking.for_each(|event| bytes[event.layer] = bytes[event.layer].max(Some(event.bytes)));
        (image, bytes)
    };
    let (first, bytes) = pulled(&Memory::image(&[&base]), &name("one"));
    assert_eq!(bytes, [Some(base.len() as u64)]);
    let of_base = |image: &Image| {
        let layers = image.layers(&unpack.form()).expect("layers");
        let found = fs::metadata(layers[0].path().join("file")).expect("the file");
        (found.ino(), found.ctime(), found.ctime_nsec())
    };
    let before = of_base(&first);
    let source = Memory::image(&[&base, &top]);
    let (second, bytes) = pulled(&source, &name("two"));
    // Manifest, configuration, and one layer.
    assert_eq!(source.count(), 3);
    assert_eq!(bytes, [None, Some(top.len() as u64)], "of the base not a byte");
    assert_eq!(of_base(&second), before, "its files are those of the first image");
    let verified = store.verify().expect("verify");
    assert_eq!((verified.layers, verified.problems), (2, Vec::new()));
}
