//! Manifests, indexes and configurations: what is accepted, what is refused, what is written.

use ampoule_image::{
    Choice, Configuration, Descriptor, Digest, Document, Error, ErrorKind, Index, Manifest,
    MediaType, Platform,
};

fn config() -> String {
    let digest = Digest::of(b"c");
    format!(
        r#"{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{digest}","size":1}}"#
    )
}

fn layer(media_type: &str) -> String {
    let digest = Digest::of(b"l");
    format!(
        r#"{{"mediaType":"{media_type}","digest":"{digest}","size":1,"urls":["http://elsewhere.example/l"]}}"#
    )
}

const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

fn manifest(extra: &str) -> String {
    format!(r#"{{"schemaVersion":2,"config":{},"layers":[{}]{extra}}}"#, config(), layer(GZIP))
}

fn refused(text: &str) -> Error {
    Document::parse(text.as_bytes(), None).expect_err(text)
}

#[test]
fn manifests_of_both_families() {
    for media_type in [OCI, "application/vnd.docker.distribution.manifest.v2+json"] {
        let text = manifest(&format!(r#","mediaType":"{media_type}","subject":{}"#, config()));
        let declared = MediaType::from(media_type);
        let parsed = Document::parse(text.as_bytes(), Some(&declared)).expect("manifest");
        assert_eq!(parsed.media_type(), &declared);
        let Document::Manifest(parsed) = parsed else { panic!("{parsed:?}") };
        assert_eq!(parsed.blobs().count(), 2);
        let again = Manifest::parse(&parsed.to_bytes().expect("bytes")).expect("own bytes");
        assert_eq!(again, *parsed);
    }
    let parsed = Manifest::parse(manifest("").as_bytes()).expect("no media type");
    assert_eq!(parsed.media_type, MediaType::Manifest);
}

#[test]
fn what_is_two_things_is_refused() {
    for (text, part) in [
        (manifest(r#","manifests":[]"#), "at the same time"),
        (manifest(r#","layers":[]"#), "twice"),
        (manifest(r#","x":1,"X":2"#), "twice"),
        (manifest(r#","Layers":[]"#), "another case"),
        (manifest("").replace("layers", "Layers"), "another case"),
        (manifest("").replace("\"size", "\"\u{17f}ize"), "another case"),
        (manifest(r#","annotations":{"a":"1","a":"2"}"#), "twice"),
        (manifest(&format!(r#","mediaType":"{LIST}""#)), "is not"),
        (r#"{"schemaVersion":2,"manifests":[],"fsLayers":[]}"#.to_owned(), "at the same time"),
        (format!("{} {{}}", manifest("")), "trailing"),
        (manifest("").replace(":2", ":1"), "schema version"),
        (manifest("").replace(r#""schemaVersion":2,"#, ""), "absent"),
        (manifest("").replace(r#""size":1"#, r#""size":-1"#), "negative"),
        (manifest("").replace("sha256:", "sha256:../"), "digest"),
        ("[".repeat(100_000), "deep"),
        (r#"{"schemaVersion":2}"#.to_owned(), "is not"),
        (String::new(), "EOF"),
    ] {
        let error = refused(&text);
        assert_eq!(error.kind(), ErrorKind::InvalidDocument, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(
        Document::parse(manifest(r#","annotations":{"a":"1","A":"2"}"#).as_bytes(), None).is_ok()
    );
}

#[test]
fn the_declared_type_has_to_be_the_own() {
    let text = manifest(&format!(r#","mediaType":"{OCI}""#));
    let declared = MediaType::DockerManifest;
    let error = Document::parse(text.as_bytes(), Some(&declared)).expect_err("differs");
    assert_eq!(error.kind(), ErrorKind::InvalidDocument);
    let error =
        Document::parse(manifest("").as_bytes(), Some(&MediaType::Index)).expect_err("index");
    assert_eq!(error.kind(), ErrorKind::InvalidDocument);
}

#[test]
fn too_large() {
    let text = manifest(&format!(r#","annotations":{{"a":"{}"}}"#, "x".repeat(4 << 20)));
    let error = refused(&text);
    assert_eq!(error.kind(), ErrorKind::InvalidDocument);
    assert!(error.to_string().contains("4 MiB"), "{error}");
}

#[test]
fn media_types_that_are_not_known_are_named() {
    for (text, name) in [
        (manifest("").replace(GZIP, "application/x-xz"), "application/x-xz"),
        (manifest("").replace(".config.", ".helm."), "application/vnd.oci.image.helm.v1+json"),
        (manifest(r#","mediaType":"text/html""#), "text/html"),
    ] {
        let error = refused(&text);
        assert_eq!(error.kind(), ErrorKind::UnsupportedMediaType, "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    let error = refused(&manifest("").replace(GZIP, foreign));
    assert_eq!(error.kind(), ErrorKind::ForeignLayer);
    assert!(error.to_string().contains("http://elsewhere.example/l"), "{error}");
}

fn entry(platform: Option<&str>) -> Descriptor {
    let name = platform.unwrap_or("none");
    let mut entry = Descriptor::of(MediaType::Manifest, name.as_bytes());
    entry.platform = platform.map(|text| text.parse().expect(text));
    entry
}

fn only(text: &str) -> Choice {
    Choice::Platform(text.parse().expect(text))
}

#[test]
fn the_best_platform_is_chosen() {
    let index = Index::new(
        ["linux/amd64", "linux/amd64/v3", "linux/arm/v6", "windows/amd64"]
            .map(|text| entry(Some(text)))
            .to_vec(),
    );
    let chosen = |text| index.choose(&only(text)).map(|found| found.digest);
    assert_eq!(chosen("linux/amd64"), Ok(Digest::of(b"linux/amd64")));
    assert_eq!(chosen("linux/amd64/v4"), Ok(Digest::of(b"linux/amd64/v3")));
    assert_eq!(chosen("linux/arm"), Ok(Digest::of(b"linux/arm/v6")));
    let error = chosen("linux/s390x").expect_err("not there");
    assert_eq!(error.kind(), ErrorKind::NoMatchingPlatform);
    assert_eq!(error.platforms().len(), 4);
    assert!(error.to_string().contains("linux/arm/v6, windows/amd64"), "{error}");
    assert_eq!(index.choose(&Choice::Any).expect_err("four").kind(), ErrorKind::Ambiguous);
}

#[test]
fn entries_without_a_platform() {
    let one = Index::new(vec![entry(None)]);
    assert!(one.choose(&Choice::Host).is_ok());
    let mut two = Index::new(vec![entry(None), entry(None)]);
    two.manifests[0].digest = Digest::of(b"other");
    assert_eq!(two.choose(&Choice::Host).expect_err("two").kind(), ErrorKind::Ambiguous);
    let empty = Index::new(Vec::new());
    assert_eq!(
        empty.choose(&Choice::Host).expect_err("none").kind(),
        ErrorKind::NoMatchingPlatform
    );
    let mut attested = Index::new(vec![entry(Some("linux/s390x")), entry(Some("unknown/unknown"))]);
    assert!(attested.choose(&only("linux/s390x")).is_ok());
    attested.manifests[0].platform = Some(Platform::new("plan9", "386"));
    assert!(attested.choose(&Choice::Host).is_err());
}

const CONFIG: &str = r#"{"architecture":"amd64","os":"linux","config":{"User":"1:2","ExposedPorts":{"80/tcp":{}},
"Env":["A=b"],"Entrypoint":null,"Cmd":["sh"],"Volumes":null,"Labels":{"b":"2","a":"1","A":"3"},"OnBuild":null,
"Healthcheck":{"Test":["NONE"],"Interval":5},"ArgsEscaped":true},"rootfs":{"type":"layers","diff_ids":[]},
"history":[{"created_by":"x","empty_layer":true}],"docker_version":"1"}"#;

#[test]
fn configurations_survive() {
    let parsed = Configuration::parse(CONFIG.as_bytes()).expect("configuration");
    assert_eq!(parsed.platform.platform(), Some(Platform::new("linux", "amd64")));
    assert_eq!(parsed.config.cmd.as_deref(), Some(["sh".to_owned()].as_slice()));
    assert!(parsed.config.exposed_ports.contains("80/tcp"));
    assert!(parsed.history[0].empty_layer);
    assert_eq!(parsed.config.other.len() + parsed.other.len(), 2);
    let bytes = parsed.to_bytes().expect("bytes");
    assert_eq!(Configuration::parse(&bytes).expect("own bytes"), parsed);
    let text = String::from_utf8(bytes).expect("text");
    assert!(text.contains(r#""Labels":{"A":"3","a":"1","b":"2"}"#), "{text}");
    assert!(text.contains(r#""docker_version":"1""#), "{text}");
}

#[test]
fn configurations_that_are_refused() {
    for (text, part) in [
        (CONFIG.replace("\"layers\"", "\"turtles\""), "turtles"),
        (CONFIG.replace("\"os\":\"linux\"", "\"os\":\"linux\",\"OS\":\"x\""), "another case"),
        (CONFIG.replace("\"Cmd\":", "\"cmd\":[],\"Cmd\":"), "another case"),
        (CONFIG.replace("\"diff_ids\":[]", "\"diff_ids\":[\"sha256:/etc/passwd\"]"), "digest"),
        (CONFIG.replace("architecture", "arcHitecture"), "another case"),
        (CONFIG.replace("Volumes", "volumes"), "another case"),
        ("{}".to_owned(), "rootfs"),
    ] {
        let error = Configuration::parse(text.as_bytes()).expect_err(&text);
        assert_eq!(error.kind(), ErrorKind::InvalidDocument, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    let one = Manifest::parse(manifest("").as_bytes()).expect("manifest");
    let error = Configuration::parse_for(CONFIG.as_bytes(), &one).expect_err("no diff id");
    assert!(error.to_string().contains("0 layers, its manifest 1"), "{error}");
}
