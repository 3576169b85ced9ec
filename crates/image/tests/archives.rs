//! Layouts and archives: what we write is what we read, and what is wrong is refused.

mod memory;

use std::fs;
use std::path::Path;
use std::process::Command;

use ampoule_image::destination::{DockerArchiveWriter, LayoutArchiveWriter, LayoutWriter, copy};
use ampoule_image::source::{DockerArchive, Layout, Source, resolve};
use ampoule_image::{Choice, Destination, Digest, ErrorKind, Pull, Store};
use memory::{Memory, name};

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("directory")
}

fn write(source: &dyn Source, destination: &mut dyn Destination, tag: &str) {
    copy(source, destination, Some(&name(tag)), &Choice::Host, &()).expect("copy");
}

#[test]
fn a_layout_gets_one_image_after_the_other() {
    let at = directory();
    let (one, two) = (Memory::image(&[b"a", b"b"]), Memory::image(&[b"a", b"c"]));
    write(&one, &mut LayoutWriter::open(at.path()).expect("new"), "x:1");
    let reads = two.count();
    write(&two, &mut LayoutWriter::open(at.path()).expect("old"), "x:2");
    // Manifest, configuration and the layer that was not there.
    assert_eq!(two.count() - reads, 3);
    for (tag, source) in [("1", &one), ("x:2", &two), ("docker.io/library/x:2", &two)] {
        let layout = Layout::directory(at.path(), Some(tag)).expect(tag);
        assert_eq!(layout.root().expect("root").digest, source.root.digest);
    }
    let error = Layout::directory(at.path(), None).expect_err("two");
    assert_eq!(error.kind(), ErrorKind::Ambiguous);
    assert!(error.to_string().contains("docker.io/library/x:1"), "{error}");
    let error = Layout::directory(at.path(), Some("3")).expect_err("none");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    // The name goes over to another image.
    write(&one, &mut LayoutWriter::open(at.path()).expect("old"), "x:2");
    let layout = Layout::directory(at.path(), Some("2")).expect("moved");
    assert_eq!(layout.root().expect("root").digest, one.root.digest);
    let error = LayoutWriter::open("/etc").expect_err("not empty");
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
}

#[test]
fn an_archive_holds_the_same() {
    let at = directory();
    let source = Memory::image(&[b"a", b"b", b"a"]);
    let path = at.path().join("x.tar");
    for _ in 0..2 {
        write(&source, &mut LayoutArchiveWriter::create(&path).expect("create"), "x");
    }
    let bytes = fs::read(&path).expect("archive");
    write(&source, &mut LayoutArchiveWriter::create(&path).expect("create"), "x");
    assert_eq!(fs::read(&path).expect("archive"), bytes, "the same image is the same archive");
    let archive = Layout::archive(&path, None).expect("archive");
    let resolved = resolve(&archive, &Choice::Host).expect("image");
    assert_eq!(resolved.descriptor.digest, source.root.digest);
    let store = Store::open(at.path().join("store")).expect("store");
    let image = store.pull(&archive, &name("y"), &Pull::new()).expect("pull");
    assert_eq!(image.descriptor().digest, source.root.digest);
    assert_eq!(fs::read_dir(at.path()).expect("list").count(), 2, "nothing else is left");
}

#[test]
fn a_docker_archive_keeps_layers_and_configuration() {
    let at = directory();
    let source = Memory::image(&[b"a", b"b", b"a"]);
    let path = at.path().join("x.tar");
    write(&source, &mut DockerArchiveWriter::create(&path).expect("create"), "team/x:1");
    let archive = DockerArchive::open(&path, Some(&name("team/x:1"))).expect("archive");
    assert_eq!(archive.names(), [name("team/x:1")]);
    // Nothing was compressed, so that even the manifest is the same.
    assert_eq!(archive.root().expect("root").digest, source.root.digest);
    let store = Store::open(at.path().join("store")).expect("store");
    store.pull(&archive, &name("y"), &Pull::new()).expect("pull");
    assert_eq!(store.verify().expect("verify").problems, Vec::new());
    let error = DockerArchive::open(&path, Some(&name("team/y"))).expect_err("none");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("team/x:1"), "{error}");
}

#[test]
fn a_wrong_layer_leaves_no_archive() {
    let at = directory();
    let mut source = Memory::image(&[b"layer"]);
    for (damage, kind) in
        [(b"lAyer".to_vec(), ErrorKind::DigestMismatch), (b"lay".to_vec(), ErrorKind::SizeMismatch)]
    {
        source.blobs.insert(Digest::of(b"layer"), damage);
        let path = at.path().join("x.tar");
        let mut archive = LayoutArchiveWriter::create(&path).expect("create");
        let error = copy(&source, &mut archive, None, &Choice::Host, &()).expect_err("damaged");
        assert_eq!(error.kind(), kind);
        drop(archive);
        let mut archive = DockerArchiveWriter::create(&path).expect("create");
        let error = copy(&source, &mut archive, None, &Choice::Host, &()).expect_err("damaged");
        assert_eq!(error.kind(), kind);
        drop(archive);
        let layout = at.path().join("layout");
        let mut writer = LayoutWriter::open(&layout).expect("layout");
        let error = copy(&source, &mut writer, None, &Choice::Host, &()).expect_err("damaged");
        assert_eq!(error.kind(), kind);
        drop(writer);
        assert!(!layout.join("blobs/sha256").join(Digest::of(b"layer").hex()).exists());
        assert_eq!(
            Layout::directory(&layout, None).expect_err("empty").kind(),
            ErrorKind::NotFound
        );
        assert_eq!(fs::read_dir(at.path()).expect("list").count(), 1, "only the layout is there");
    }
}

fn layout(at: &Path) -> Memory {
    let source = Memory::image(&[b"layer"]);
    write(&source, &mut LayoutWriter::open(at).expect("layout"), "x");
    source
}

#[test]
fn a_layout_is_not_left() {
    let at = directory();
    let outside = directory();
    fs::write(outside.path().join("secret"), b"layer").expect("secret");
    layout(at.path());
    let store = Store::open(outside.path().join("store")).expect("store");
    let blob = at.path().join("blobs/sha256").join(Digest::of(b"layer").hex());
    let pulled = || {
        let layout = Layout::directory(at.path(), None).expect("layout");
        store.pull(&layout, &name("x"), &Pull::new()).map(drop)
    };
    fs::remove_file(&blob).expect("replace");
    std::os::unix::fs::symlink(outside.path().join("secret"), &blob).expect("link");
    assert!(pulled().is_err(), "a link out of the layout");
    fs::remove_file(&blob).expect("replace");
    let fifo = Command::new("mkfifo").arg(&blob).status().expect("mkfifo");
    assert!(fifo.success());
    assert!(pulled().is_err(), "a FIFO");
    fs::remove_file(&blob).expect("replace");
    fs::write(at.path().join("inside"), b"layer").expect("inside");
    std::os::unix::fs::symlink("../../inside", &blob).expect("link");
    pulled().expect("a link inside");
}

#[test]
fn a_layout_does_not_lead_a_writer_elsewhere() {
    use std::os::unix::fs::symlink;
    let at = directory();
    let outside = directory();
    let source = layout(at.path());
    let secret = outside.path().join("secret");
    fs::write(&secret, b"secret").expect("secret");
    symlink(&secret, at.path().join(".pending")).expect("link");
    fs::remove_file(at.path().join("index.json")).expect("index");
    symlink(&secret, at.path().join("index.json")).expect("link");
    assert!(LayoutWriter::open(at.path()).is_err(), "that is no index");
    fs::remove_file(at.path().join("index.json")).expect("index");
    write(&source, &mut LayoutWriter::open(at.path()).expect("layout"), "x");
    assert_eq!(fs::read(&secret).expect("secret"), b"secret");
    fs::remove_dir_all(at.path().join("blobs")).expect("blobs");
    fs::create_dir(at.path().join("blobs")).expect("blobs");
    symlink(outside.path(), at.path().join("blobs/sha256")).expect("link");
    let mut writer = LayoutWriter::open(at.path()).expect("layout");
    assert!(copy(&source, &mut writer, None, &Choice::Host, &()).is_err());
    assert_eq!(fs::read_dir(outside.path()).expect("list").count(), 1);
}

#[test]
fn a_damaged_blob_of_a_layout_is_written_again() {
    let at = directory();
    let source = layout(at.path());
    let blob = at.path().join("blobs/sha256").join(Digest::of(b"layer").hex());
    fs::write(&blob, b"lAyer").expect("damage");
    write(&source, &mut LayoutWriter::open(at.path()).expect("layout"), "x");
    assert_eq!(fs::read(&blob).expect("blob"), b"layer");
}

#[test]
fn what_is_no_layout() {
    let at = directory();
    let error = |kind| {
        let error = Layout::directory(at.path(), None).expect_err("no layout");
        assert_eq!(error.kind(), kind, "{error}");
    };
    error(ErrorKind::NotFound);
    fs::write(at.path().join("oci-layout"), r#"{"imageLayoutVersion":"2.0"}"#).expect("mark");
    error(ErrorKind::InvalidDocument);
    fs::write(at.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.1.0"}"#).expect("mark");
    error(ErrorKind::NotFound);
    for json in ["", "[]", r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#] {
        fs::write(at.path().join("index.json"), json).expect("index");
        error(ErrorKind::InvalidDocument);
    }
    fs::write(at.path().join("index.json"), vec![b' '; 5 << 20]).expect("index");
    error(ErrorKind::InvalidDocument);
}

fn tar(at: &Path, args: &[&str]) {
    let status = Command::new("tar").current_dir(at).args(args).status().expect("tar");
    assert!(status.success(), "tar {args:?}");
}

#[test]
fn archives_that_are_refused() {
    let at = directory();
    let path = at.path().join("x.tar");
    let inside = at.path().join("layout");
    layout(&inside);
    tar(at.path(), &["-cf", "x.tar", "-C", "layout", "."]);
    Layout::archive(&path, None).expect("of GNU tar");
    let whole = fs::read(&path).expect("archive");
    fs::write(&path, whole.get(..whole.len() / 2).expect("half")).expect("cut");
    assert_eq!(Layout::archive(&path, None).expect_err("cut").kind(), ErrorKind::InvalidArchive);
    fs::write(&path, [&whole, b"junk".as_slice()].concat()).expect("junk");
    assert_eq!(Layout::archive(&path, None).expect_err("junk").kind(), ErrorKind::InvalidArchive);
    fs::write(&path, &whole).expect("whole");
    tar(at.path(), &["-rf", "x.tar", "-C", "layout", "./index.json"]);
    assert_eq!(Layout::archive(&path, None).expect_err("twice").kind(), ErrorKind::InvalidDocument);
    assert_eq!(
        DockerArchive::open(&path, None).expect_err("twice").kind(),
        ErrorKind::InvalidDocument
    );
    assert_eq!(Layout::archive("/dev/null", None).expect_err("empty").kind(), ErrorKind::NotFound);
}

#[test]
fn docker_archives_as_they_used_to_be() {
    let at = directory();
    let source = Memory::image(&[b"a", b"a"]);
    let resolved = resolve(&source, &Choice::Host).expect("image");
    let files = at.path().join("files");
    fs::create_dir_all(files.join("one")).expect("one");
    fs::create_dir_all(files.join("two")).expect("two");
    fs::write(files.join("one/layer.tar"), b"a").expect("layer");
    std::os::unix::fs::symlink("../one/layer.tar", files.join("two/layer.tar")).expect("link");
    fs::write(files.join("c.json"), &resolved.config_bytes).expect("configuration");
    let json =
        r#"[{"Config":"c.json","RepoTags":null,"Layers":["one/layer.tar","two/layer.tar"]}]"#;
    fs::write(files.join("manifest.json"), json).expect("manifest");
    tar(&files, &["-cf", "../x.tar", "."]);
    let archive = DockerArchive::open(at.path().join("x.tar"), None).expect("archive");
    let store = Store::open(at.path().join("store")).expect("store");
    let image = store.pull(&archive, &name("x"), &Pull::new()).expect("pull");
    assert_eq!(image.descriptor().digest, source.root.digest);
    fs::write(files.join("one/layer.tar"), b"b").expect("damage");
    tar(&files, &["-cf", "../x.tar", "."]);
    let archive = DockerArchive::open(at.path().join("x.tar"), None).expect("archive");
    let empty = Store::open(at.path().join("empty")).expect("store");
    let error = empty.pull(&archive, &name("x"), &Pull::new()).expect_err("damaged");
    assert_eq!(error.kind(), ErrorKind::DigestMismatch);
    let json = json.replace(r#","two/layer.tar""#, "");
    fs::write(files.join("manifest.json"), json).expect("manifest");
    tar(&files, &["-cf", "../x.tar", "."]);
    let error = DockerArchive::open(at.path().join("x.tar"), None).expect_err("one layer of two");
    assert_eq!(error.kind(), ErrorKind::InvalidDocument);
}
