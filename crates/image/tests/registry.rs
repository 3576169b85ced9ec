//! Registries that misbehave, and what leaves for them.
//!
//! Kernel objects: sockets on the loopback. Invariant: each test ends within its own deadlines.

mod fake;

use std::io::Read;
use std::time::{Duration, Instant};

use ampoule_image::registry::{Credentials, Login, Options, Registry};
use ampoule_image::{Digest, Error, ErrorKind, Reference};
use fake::{Fake, Heard, Reply};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn options() -> Options {
    let mut options = Options::default();
    options.credentials = Login::Anonymous;
    options.back_off = Duration::from_millis(5);
    options.stall = Duration::from_millis(300);
    options.attempts = 3;
    options
}

fn with_password() -> Options {
    let mut options = options();
    let (user, password) = ("me".to_owned(), "secret".to_owned());
    options.credentials = Login::With(Credentials::Password { user, password });
    options
}

fn reference(fake: &Fake) -> Reference {
    format!("{}/team/app:1", fake.address).parse().expect("a reference")
}

fn registry(fake: &Fake, options: &Options) -> Registry {
    Registry::new(&fake.address, options).expect("a registry")
}

fn ok(body: &[u8]) -> Reply {
    Reply::Answer("200 OK", vec![("Content-Type", MANIFEST.to_owned())], body.to_vec())
}

fn plain(status: &'static str) -> Reply {
    Reply::Answer(status, Vec::new(), Vec::new())
}

fn manifest_error(
    script: impl Fn(&Heard, usize) -> Reply + Send + Sync + 'static,
) -> (Error, usize) {
    let fake = Fake::new(script);
    let result = registry(&fake, &options()).manifest(&reference(&fake));
    let error = result.expect_err("no manifest");
    (error, fake.heard().len())
}

#[test]
fn a_failure_that_passes_is_tried_again_and_another_one_is_not() {
    let fake = Fake::new(|_, before| if before < 2 { plain("503 Busy") } else { ok(b"{}") });
    let manifest = registry(&fake, &options()).manifest(&reference(&fake)).unwrap();
    assert_eq!((manifest.bytes.as_slice(), manifest.media_type.as_str()), (&b"{}"[..], MANIFEST));
    assert_eq!(manifest.digest, Digest::of(b"{}"));
    assert_eq!(fake.heard().len(), 3);

    for (status, kind, requests) in [
        ("404 Not Found", ErrorKind::NotFound, 1),
        ("500 Oops", ErrorKind::Registry, 3),
        ("429 Slow Down", ErrorKind::RateLimited, 3),
        ("403 No", ErrorKind::Unauthorized, 1),
        ("418 Teapot", ErrorKind::Registry, 1),
    ] {
        let (error, heard) = manifest_error(move |_, _| plain(status));
        assert_eq!((error.kind(), heard), (kind, requests), "{status}: {error}");
    }
}

#[test]
fn a_registry_says_how_long_to_wait() {
    let fake = Fake::new(|_, before| match before {
        0 => Reply::Answer("429 Slow", vec![("Retry-After", "1".to_owned())], Vec::new()),
        _ => ok(b"{}"),
    });
    let begin = Instant::now();
    registry(&fake, &options()).manifest(&reference(&fake)).unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(1));
}

#[test]
fn the_registrys_own_words_are_in_the_error() {
    let body = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no such\u0007 tag"}]}"#;
    let (error, _) = manifest_error(|_, _| Reply::Answer("404 x", Vec::new(), body.to_vec()));
    assert!(
        error.to_string().ends_with("/v2/team/app/manifests/1: it answers 404: no such  tag"),
        "{error}"
    );
}

#[test]
fn silence_and_nonsense_are_typed_and_end_in_time() {
    let begin = Instant::now();
    assert_eq!(manifest_error(|_, _| Reply::Silence).0.kind(), ErrorKind::Timeout);
    assert!(begin.elapsed() < Duration::from_secs(5));
    let (error, _) = manifest_error(|_, _| Reply::Raw(b"hello\r\n\r\n".to_vec()));
    assert_eq!(error.kind(), ErrorKind::Registry, "{error}");
    let nobody: Reference = "127.0.0.1:1/a".parse().unwrap();
    let error = Registry::new("127.0.0.1:1", &options()).unwrap().manifest(&nobody).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network, "{error}");
}

#[test]
fn a_manifest_is_bounded_and_has_its_digest() {
    let (error, _) = manifest_error(|_, _| ok(&vec![b' '; (4 << 20) + 1]));
    assert_eq!(error.kind(), ErrorKind::Registry, "{error}");
    let fake = Fake::new(|_, _| ok(b"{}"));
    let wanted = reference(&fake).with_digest(Digest::of(b"other"));
    let error = registry(&fake, &options()).manifest(&wanted).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DigestMismatch);
    assert_eq!(error.digests(), Some((Digest::of(b"other"), Digest::of(b"{}"))));
}

/// Bytes that tell where they stand.
fn content() -> Vec<u8> {
    (0..200_000_u32).flat_map(u32::to_le_bytes).collect()
}

/// The offset of a `Range: bytes=N-`.
fn offset(heard: &Heard) -> Option<usize> {
    heard.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

fn read_blob(fake: &Fake) -> std::io::Result<Vec<u8>> {
    let registry = registry(fake, &options());
    let content = content();
    let mut blob = registry.blob("team/app", &Digest::of(&content), content.len() as u64)?;
    let mut read = Vec::new();
    blob.read_to_end(&mut read).map(|_| read)
}

#[test]
fn a_broken_blob_is_taken_up_where_it_broke() {
    let fake = Fake::new(|heard, _| match offset(heard) {
        None => Reply::Cut(Vec::new(), content(), 100_001),
        Some(at) if at < 500_000 => {
            let (rest, end) = (content()[at..600_000].to_vec(), content().len());
            Reply::Part(format!("bytes {at}-599999/{end}"), rest)
        }
        Some(at) => {
            let end = content().len();
            Reply::Part(format!("bytes {at}-{}/{end}", end - 1), content()[at..].to_vec())
        }
    });
    assert!(read_blob(&fake).unwrap() == content());
    let offsets: Vec<_> = fake.heard().iter().map(offset).collect();
    assert_eq!(offsets, [None, Some(100_001), Some(600_000)]);
}

#[test]
fn a_blob_that_stalls_is_taken_up_where_it_stalled() {
    let fake = Fake::new(|heard, _| match offset(heard) {
        None => Reply::Stall(content(), 100_001),
        Some(at) => {
            let end = content().len();
            Reply::Part(format!("bytes {at}-{}/{end}", end - 1), content()[at..].to_vec())
        }
    });
    let begin = Instant::now();
    assert!(read_blob(&fake).unwrap() == content());
    assert!(begin.elapsed() >= options().stall && begin.elapsed() < Duration::from_secs(10));
    let offsets: Vec<_> = fake.heard().iter().map(offset).collect();
    assert_eq!(offsets, [None, Some(100_001)]);
}

#[test]
fn a_registry_without_ranges_sends_it_from_the_beginning() {
    let fake = Fake::new(|_, before| match before {
        0 => Reply::Cut(Vec::new(), content(), 300_000),
        _ => ok(&content()),
    });
    assert!(read_blob(&fake).unwrap() == content());
    assert_eq!(fake.heard().len(), 2);
}

#[test]
fn a_blob_that_breaks_without_progress_is_an_error() {
    let fake = Fake::new(|heard, _| match offset(heard) {
        None => Reply::Cut(Vec::new(), content(), 1000),
        Some(at) => Reply::Part(format!("bytes {at}-{at}/800000"), Vec::new()),
    });
    let error = Error::from_io(&read_blob(&fake).unwrap_err()).expect("ours");
    assert_eq!(error.kind(), ErrorKind::Network, "{error}");
    assert_eq!(fake.heard().len(), 3);
    let fake = Fake::new(|heard, _| match offset(heard) {
        None => Reply::Cut(Vec::new(), content(), 1000),
        Some(_) => Reply::Part("bytes 5000-9999/800000".to_owned(), vec![0; 5000]),
    });
    let error = Error::from_io(&read_blob(&fake).unwrap_err()).expect("ours");
    assert_eq!(error.kind(), ErrorKind::Registry, "{error}");
}

#[test]
fn a_blob_that_is_too_long_is_not_read_to_its_end() {
    let fake = Fake::new(|_, _| ok(&vec![7; 3_000_000]));
    let registry = registry(&fake, &options());
    let mut blob = registry.blob("team/app", &Digest::of(b""), 1_000_000).unwrap();
    let mut read = Vec::new();
    let result = blob.read_to_end(&mut read);
    assert!(result.is_err() || read.len() > 1_000_000);
    assert!(read.len() <= 1_000_001);
}

fn challenged(realm: String) -> Reply {
    let header = format!("Bearer realm=\"{realm}\",service=\"s\",scope=\"x\"");
    Reply::Answer("401 Unauthorized", vec![("WWW-Authenticate", header)], Vec::new())
}

#[test]
fn a_token_is_got_with_the_password_and_used_again() {
    let tokens =
        Fake::new(|_, _| Reply::Answer("200 OK", Vec::new(), br#"{"token":"T1"}"#.to_vec()));
    let realm = format!("http://{}/token", tokens.address);
    let fake = Fake::new(move |heard, _| match heard.header("authorization") {
        Some("Bearer T1") => ok(b"{}"),
        _ => challenged(realm.clone()),
    });
    let registry = registry(&fake, &with_password());
    registry.manifest(&reference(&fake)).unwrap();
    registry.manifest(&reference(&fake)).unwrap();
    assert_eq!(fake.heard().len(), 3);
    let asked = tokens.heard();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].line, "GET /token?scope=repository%3Ateam%2Fapp%3Apull&service=s");
    assert_eq!(asked[0].header("authorization"), Some("Basic bWU6c2VjcmV0"));
}

#[test]
fn credentials_are_kept_from_foreign_token_services() {
    let tokens = Fake::new(|_, _| plain("401 Unauthorized"));
    let port = tokens.address.rsplit_once(':').unwrap().1.to_owned();
    // Another host, as its name goes, than the registry's.
    let realm = format!("http://localhost:{port}/token");
    let fake = Fake::new(move |_, _| challenged(realm.clone()));
    let error = registry(&fake, &with_password()).manifest(&reference(&fake)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert!(error.to_string().contains("localhost"), "{error}");
    assert!(tokens.heard().iter().all(|heard| heard.header("authorization").is_none()));
    assert_eq!(tokens.heard().len(), 1);
}

#[test]
fn credentials_do_not_follow_redirects() {
    let other = Fake::new(|_, before| match before {
        0 => challenged("http://127.0.0.1:1/".to_owned()),
        _ => ok(b"{}"),
    });
    let target = format!("http://{}/elsewhere", other.address);
    let fake = Fake::new(move |heard, _| match heard.header("authorization") {
        None => Reply::Answer(
            "401 x",
            vec![("WWW-Authenticate", "Basic realm=\"x\"".to_owned())],
            Vec::new(),
        ),
        Some(_) => Reply::Answer("307 There", vec![("Location", target.clone())], Vec::new()),
    });
    let error = registry(&fake, &with_password()).manifest(&reference(&fake)).unwrap_err();
    // What the other host asks for is not met either.
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert_eq!(fake.heard()[1].header("authorization"), Some("Basic bWU6c2VjcmV0"));
    assert!(other.heard().iter().all(|heard| heard.header("authorization").is_none()));
    assert_eq!(other.heard().len(), 1);
}

#[test]
fn redirects_end() {
    let fake = Fake::new(|_, _| {
        Reply::Answer("302 x", vec![("Location", "/again".to_owned())], Vec::new())
    });
    let error = registry(&fake, &options()).manifest(&reference(&fake)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Registry, "{error}");
    assert!(fake.heard().len() < 10);
}

#[test]
fn an_unencrypted_registry_elsewhere_is_not_asked() {
    let fake = Fake::new(|_, _| ok(b"{}"));
    let mut secure = options();
    secure.scheme = ampoule_image::registry::Scheme::Https;
    let error = registry(&fake, &secure).manifest(&reference(&fake)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Certificate | ErrorKind::Network), "{error}");
}
