//! ADD of a URL: what is downloaded, under which conditions, and what becomes of it.
//!
//! Kernel objects: a listening socket on the loopback. Invariant: nothing but the loopback is asked.

mod bare;
#[cfg(feature = "registry")]
mod fake;

use ampoule_image::build::Build;
use ampoule_image::containerfile::Containerfile;
use ampoule_image::{Error, ErrorKind, Image, Store};
use bare::Bare;

fn build(
    store: &Store,
    text: &str,
    change: impl FnOnce(Build<'_>) -> Build<'_>,
) -> Result<Image, Error> {
    let file = Containerfile::parse(&format!("FROM scratch\n{text}\n")).expect("it parses");
    change(Build::new(store, &Bare)).run(&file, &"localhost/x:1".parse().expect("a name"))
}

fn store() -> (tempfile::TempDir, Store) {
    let place = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let store = Store::open(place.path().join("store")).expect("a store");
    (place, store)
}

#[test]
fn a_repository_of_git_is_refused() {
    let (_place, store) = store();
    for url in ["https://127.0.0.1/x.git", "git@127.0.0.1:x", "git://127.0.0.1/x"] {
        let error = build(&store, &format!("ADD {url} /x"), |build| build).expect_err(url);
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("line 2, ADD"), "{error}");
    }
}

#[cfg(not(feature = "registry"))]
#[test]
fn without_the_feature_it_is_said_where() {
    let (_place, store) = store();
    let error = build(&store, "ADD http://127.0.0.1:1/x /x", |build| build).expect_err("no HTTP");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    let text = error.to_string();
    assert!(text.contains("line 2, ADD") && text.contains("`registry`"), "{text}");
}

#[cfg(feature = "registry")]
mod with_registry {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::path::PathBuf;
    use std::time::{Duration, Instant};

    use ampoule_image::Digest;
    use ampoule_image::registry::Options;
    use ampoule_image::store::Unpacker;
    use ampoule_image::unpack::Unpack;

    use super::fake::{Fake, Reply};
    use super::*;

    /// A tar file, so that it shows when it is unpacked.
    fn content() -> Vec<u8> {
        let mut bytes = vec![b'x'; 1024];
        bytes[257..262].copy_from_slice(b"ustar");
        bytes
    }

    fn file() -> Reply {
        let modified = "Sun, 06 Nov 1994 08:49:37 GMT".to_owned();
        Reply::Answer("200 OK", vec![("Last-Modified", modified)], content())
    }

    fn patience() -> Options {
        let mut options = Options::default();
        (options.stall, options.connect) = (Duration::from_millis(300), Duration::from_millis(300));
        (options.attempts, options.back_off) = (2, Duration::from_millis(1));
        options
    }

    fn added(store: &Store, text: &str) -> Result<Image, Error> {
        build(store, text, |build| build.downloads(patience(), 10_000))
    }

    /// Where the files of the image's last layer are.
    fn files(image: &Image) -> PathBuf {
        let layers = image.layers(&Unpack::suited().form()).expect("layers");
        layers.last().expect("a layer").path().to_owned()
    }

    #[test]
    fn a_file_is_downloaded_as_it_is() {
        let (fake, (_place, store)) = (Fake::new(|_, _| file()), store());
        let url = format!("http://{}/dir/one%20two.tar?x=/y", fake.address);
        let image = added(&store, &format!("ADD {url} /in/")).expect("added");
        let path = files(&image).join("in/one two.tar");
        let found = fs::metadata(&path).expect("the file");
        assert_eq!(found.permissions().mode() & 0o7777, 0o600);
        assert_eq!(found.mtime(), 784_111_777, "of Last-Modified");
        assert_eq!(fs::read(&path).expect("the file"), content(), "it is not unpacked");
        let heard = fake.heard();
        assert_eq!(heard[0].line, "GET /dir/one%20two.tar?x=/y");
        assert_eq!(heard[0].header("authorization"), None);
        let image = added(&store, &format!("ADD --chmod=755 {url} /named")).expect("added");
        let found = fs::metadata(files(&image).join("named")).expect("the file");
        assert_eq!(found.permissions().mode() & 0o7777, 0o755);
        let error = added(&store, &format!("ADD http://{}/ /in/", fake.address));
        let error = error.expect_err("no name");
        assert_eq!(error.kind(), ErrorKind::InvalidContainerfile, "{error}");
        assert_eq!(store.verify().expect("verify").problems, []);
    }

    #[test]
    fn what_changed_is_added_again() {
        let (_place, store) = store();
        let fake = Fake::new(|_, before| {
            Reply::Answer("200 OK", Vec::new(), if before < 2 { b"a" } else { b"b" }.to_vec())
        });
        let text = format!("ADD http://{}/x /x", fake.address);
        let mut seen = Vec::new();
        for _ in 0..3 {
            let image = added(&store, &text).expect("added");
            seen.push(fs::read(files(&image).join("x")).expect("the file"));
        }
        assert_eq!(seen, [b"a", b"a", b"b"]);
    }

    #[test]
    fn a_checksum_is_compared() {
        let (fake, (_place, store)) = (Fake::new(|_, _| file()), store());
        let (url, right) = (format!("http://{}/x", fake.address), Digest::of(&content()));
        let text = format!("ADD --checksum={right} {url} /x");
        added(&store, &text).expect("the right one");
        added(&store, &text).expect("the right one");
        assert_eq!(fake.heard().len(), 1, "what is known is not asked for again");
        let wrong = Digest::of(b"something else");
        let error = added(&store, &format!("ADD --checksum={wrong} {url} /y")).expect_err("wrong");
        assert_eq!(error.kind(), ErrorKind::DigestMismatch, "{error}");
        assert!(error.to_string().contains("line 2, ADD"), "{error}");
        let error = added(&store, &format!("ADD --checksum=md5:1 {url} /y")).expect_err("none");
        assert_eq!(error.kind(), ErrorKind::InvalidDigest, "{error}");
        let error = added(&store, &format!("ADD --checksum={right} x /y")).expect_err("a path");
        assert_eq!(error.kind(), ErrorKind::InvalidContainerfile, "{error}");
    }

    #[test]
    fn what_does_not_come_is_told_in_time() {
        let (_place, store) = store();
        let large = || Reply::Answer("200 OK", Vec::new(), vec![0; 10_001]);
        let cases: [(fn() -> Reply, ErrorKind); 6] = [
            (|| Reply::Answer("404 Not Found", Vec::new(), Vec::new()), ErrorKind::NotFound),
            (|| Reply::Answer("500 Oh", Vec::new(), Vec::new()), ErrorKind::Registry),
            (large, ErrorKind::QuotaExceeded),
            (|| Reply::Silence, ErrorKind::Timeout),
            (|| Reply::Cut(Vec::new(), vec![0; 100], 50), ErrorKind::Network),
            (|| Reply::Raw(b"nonsense\r\n\r\n".to_vec()), ErrorKind::Registry),
        ];
        for (reply, kind) in cases {
            let fake = Fake::new(move |_, _| reply());
            let start = Instant::now();
            let text = format!("ADD http://{}/x /x", fake.address);
            let error = added(&store, &text).expect_err("it fails");
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains("line 2, ADD"), "{error}");
            assert!(start.elapsed() < Duration::from_secs(5), "{error}");
        }
        let left = fs::read_dir(store.path().join("pending")).expect("pending").count();
        assert_eq!(left, 0);
    }

    #[test]
    fn a_failure_that_passes_is_tried_again() {
        let (_place, store) = store();
        let fake = Fake::new(|_, before| match before {
            0 => Reply::Cut(Vec::new(), vec![0; 100], 50),
            _ => file(),
        });
        let image = added(&store, &format!("ADD http://{}/x /x", fake.address)).expect("added");
        assert_eq!(fs::read(files(&image).join("x")).expect("the file"), content());
    }
}
