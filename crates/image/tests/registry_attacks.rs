//! Manifests that lead elsewhere: by the `urls` of a layer, or by a digest that is none.
//!
//! Kernel objects: sockets on the loopback, a directory. Invariant: what stands beside the store is as it was, and a
//! password is only ever said to the registry's own address.

mod fake;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ampoule_image::registry::{Credentials, Login, Options, Registry, RegistryImage};
use ampoule_image::source::Layout;
use ampoule_image::unpack::Unpack;
use ampoule_image::{
    Compression, Configuration, Descriptor, Digest, Error, ErrorKind, MediaType, Platform, Pull,
    Reference, Store,
};
use fake::{Fake, Heard, Reply};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An empty tar file.
const LAYER: [u8; 1024] = [0; 1024];

/// Texts that other programs took for a digest and made a path of.
const BAD: [&str; 12] = [
    "sha256:../../x",
    "sha256:",
    "sha256:/etc/passwd",
    "../../x",
    "",
    "sha256",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8555",
    "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
    "sha512:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "md5:d41d8cd98f00b204e9800998ecf8427e",
    "sha256:../../../../../../../../../../../../../../../../../../../../../..",
];

fn config() -> Vec<u8> {
    let mut config = Configuration::new(Platform::host());
    config.rootfs.diff_ids = vec![Digest::of(&LAYER)];
    config.to_bytes().expect("a configuration")
}

/// A manifest of one layer of this type, with this digest, that is elsewhere, too.
fn manifest(layer: (&str, &str), url: &str) -> String {
    let config = Descriptor::of(MediaType::Config, &config());
    let (digest, size) = (config.digest, config.size);
    let (media_type, layer) = layer;
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}",
        "config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{digest}","size":{size}}},
        "layers":[{{"mediaType":"{media_type}","digest":"{layer}","size":1024,"urls":["{url}"]}}]}}"#
    )
}

/// A registry that wants a password and has this manifest, and everything else but the layer.
fn registry(manifest: String) -> Fake {
    Fake::new(move |heard: &Heard, _| {
        if heard.header("authorization").is_none() {
            let challenge = ("WWW-Authenticate", "Basic realm=\"x\"".to_owned());
            return Reply::Answer("401 Unauthorized", vec![challenge], Vec::new());
        }
        if heard.line.contains("/manifests/") {
            let kind = ("Content-Type", MANIFEST.to_owned());
            return Reply::Answer("200 OK", vec![kind], manifest.clone().into_bytes());
        }
        let config = config();
        match heard.line.contains(&Digest::of(&config).hex().to_string()) {
            true => Reply::Answer("200 OK", Vec::new(), config),
            false => Reply::Answer("404 Not Found", Vec::new(), Vec::new()),
        }
    })
}

/// Pulls with a password.
fn pull(fake: &Fake, place: &Path) -> Error {
    let mut options = Options::default();
    let (user, password) = ("me".to_owned(), "secret".to_owned());
    options.credentials = Login::With(Credentials::Password { user, password });
    options.back_off = Duration::from_millis(5);
    options.attempts = 2;
    let reference: Reference = format!("{}/team/app:1", fake.address).parse().expect("a name");
    let registry = Registry::new(&fake.address, &options).expect("a registry");
    let source = RegistryImage::new(&registry, &reference);
    let store = Store::open(place.join("store")).expect("a store");
    let unpack = Unpack::suited();
    let error = store.pull(&source, &reference, &Pull::new().unpack(&unpack)).expect_err("refused");
    assert_eq!(store.list().expect("a list"), []);
    assert_eq!(store.verify().expect("looked at").problems, []);
    error
}

#[test]
fn what_a_layer_calls_its_url_is_never_asked() {
    let place = tempfile::tempdir().expect("a directory");
    let elsewhere = Fake::new(|_, _| Reply::Answer("200 OK", Vec::new(), LAYER.to_vec()));
    let url = format!("http://{}/layer", elsewhere.address);
    let plain = MediaType::Layer(Compression::Uncompressed).to_string();
    let digest = Digest::of(&LAYER).to_string();
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    for (media_type, kind) in
        [(plain.as_str(), ErrorKind::NotFound), (foreign, ErrorKind::ForeignLayer)]
    {
        let fake = registry(manifest((media_type, &digest), &url));
        let error = pull(&fake, place.path());
        assert_eq!(error.kind(), kind, "{error}");
        let said =
            fake.heard().iter().filter(|heard| heard.header("authorization").is_some()).count();
        assert!(said > 0, "the registry itself got the password");
    }
    assert_eq!(elsewhere.heard().len(), 0, "nobody went there, with a password or without");
}

/// Every file below a directory with what it holds.
fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push((path.clone(), fs::read(&path).expect("a file"))),
        }
    }
    found.sort();
    found
}

#[test]
fn a_digest_is_never_a_path() {
    let place = tempfile::tempdir().expect("a directory");
    let (outside, inside) = (place.path().join("outside"), place.path().join("outside/inside"));
    fs::create_dir_all(&inside).expect("directories");
    fs::write(outside.join("x"), LAYER).expect("a file");
    fs::write(place.path().join("x"), LAYER).expect("a file");
    let before = files(&outside);
    let plain = MediaType::Layer(Compression::Uncompressed).to_string();
    for (at, bad) in BAD.iter().enumerate() {
        let error = bad.parse::<Digest>().expect_err(bad);
        assert_eq!(error.kind(), ErrorKind::InvalidDigest, "{bad}: {error}");
        assert!(format!("alpine@{bad}").parse::<Reference>().is_err(), "{bad}");
        let fake = registry(manifest((&plain, bad), "http://127.0.0.1:1/"));
        let error = pull(&fake, &inside.join(at.to_string()));
        assert_eq!(error.kind(), ErrorKind::InvalidDocument, "{bad}: {error}");
        let layout = inside.join(format!("{at}-layout"));
        fs::create_dir_all(layout.join("blobs/sha256")).expect("directories");
        fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("a file");
        let index = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{MANIFEST}","digest":"{bad}","size":1024}}]}}"#
        );
        fs::write(layout.join("index.json"), index).expect("a file");
        let error = Layout::directory(&layout, None).expect_err(bad);
        assert_eq!(error.kind(), ErrorKind::InvalidDocument, "{bad}: {error}");
    }
    fs::remove_dir_all(&inside).expect("removed");
    fs::create_dir(&inside).expect("a directory");
    assert_eq!(files(&outside), before, "nothing outside was changed");
}
