//! What a layer may look like, and what is refused because readers of tar files disagree about it.

mod layers;

use std::fs;
#[cfg(feature = "zstd")]
use std::io::Write;
use std::os::unix::fs::MetadataExt;

use ampoule_image::unpack::Quotas;
use ampoule_image::{Compression, Digest, ErrorKind};

use layers::scene::{Scene, kind, unprivileged};
use layers::tree::names;
use layers::{Archive, Entry, gzip, record};

const INVALID: Option<ErrorKind> = Some(ErrorKind::InvalidArchive);

fn refused(what: &str, layer: &[u8]) {
    let scene = Scene::new();
    let result = scene.unpack(&unprivileged(), layer);
    assert_eq!(kind(&result), INVALID, "{what}: {result:?}");
}

fn accepted(layer: &[u8]) -> Scene {
    let scene = Scene::new();
    scene.unpack(&unprivileged(), layer).expect("a layer");
    scene
}

#[test]
fn both_digests_cover_every_byte() {
    let plain = Archive::new().dir("d").file("d/f", "content").end();
    let (head, tail) = plain.split_at(700);
    let members = [gzip(head), gzip(b""), gzip(tail)].concat();
    for blob in [plain.clone(), gzip(&plain), members] {
        let scene = Scene::new();
        let unpacked = scene.unpack(&unprivileged(), &blob).expect("a layer");
        assert_eq!(unpacked.blob, Digest::of(&blob));
        assert_eq!(unpacked.blob_size, blob.len() as u64);
        assert_eq!(unpacked.diff_id, Digest::of(&plain));
        assert_eq!(unpacked.diff_size, plain.len() as u64);
        assert_eq!((unpacked.entries, unpacked.file_bytes), (2, 7));
        assert_eq!(fs::read(scene.root().join("d/f")).expect("a file"), b"content");
    }
}

#[cfg(feature = "zstd")]
#[test]
fn zstd_frames_and_windows() {
    let plain = Archive::new().file("f", "content".repeat(1000)).end();
    let (head, tail) = plain.split_at(700);
    let pack = |bytes: &[u8]| zstd::encode_all(bytes, 3).expect("memory");
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0], b"abc".as_slice()].concat();
    let blob = [skippable.clone(), pack(head), pack(tail), skippable].concat();
    let scene = Scene::new();
    let unpacked = scene.unpack(&unprivileged(), &blob).expect("a layer");
    assert_eq!((unpacked.blob, unpacked.diff_id), (Digest::of(&blob), Digest::of(&plain)));
    let blob = pack(&plain);
    refused("junk", &[blob.as_slice(), b"junk"].concat());
    refused("cut off", &blob[..blob.len() - 5]);
    for (window_log, expected) in [(23, None), (24, INVALID)] {
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).expect("memory");
        encoder.window_log(window_log).expect("a window");
        encoder.write_all(&plain).expect("memory");
        let blob = encoder.finish().expect("memory");
        assert_eq!(kind(&Scene::new().unpack(&unprivileged(), &blob)), expected, "{window_log}");
    }
}

#[test]
fn ends_and_what_follows_them() {
    let members = Archive::new().file("f", "x");
    let end = members.clone().end();
    accepted(&members.0);
    accepted(&[members.0.as_slice(), &[0; 512]].concat());
    accepted(&[end.as_slice(), &[0; 10_240]].concat());
    accepted(&[end.as_slice(), &[0; 5]].concat());
    accepted(&[]);
    refused("a byte after the end", &[end.as_slice(), b"x"].concat());
    refused("an archive after the end", &[end.as_slice(), &end].concat());
    refused("a lone block", &[members.0.as_slice(), &[0; 512], &members.0].concat());
    refused("a cut header", &members.0[..100]);
    refused("a cut content", &members.0[..600]);
    refused("a cut padding", &Archive::new().file("f", vec![1; 600]).0[..1300]);
    let blob = gzip(&end);
    refused("junk after gzip", &[blob.as_slice(), b"junk"].concat());
    refused("zeros after gzip", &[blob.as_slice(), &[0; 512]].concat());
    refused("cut gzip", &blob[..blob.len() - 1]);
    refused("cut header of gzip", &blob[..5]);
    let mut wrong = blob.clone();
    let crc = wrong.len() - 8;
    wrong[crc] ^= 1;
    refused("wrong checksum of gzip", &wrong);
}

#[test]
fn a_compression_that_was_promised_has_to_be_there() {
    let plain = Archive::new().file("f", "x").end();
    for (compression, layer) in
        [(Compression::Gzip, plain.clone()), (Compression::Uncompressed, gzip(&plain))]
    {
        let mut options = unprivileged();
        options.compression = Some(compression);
        assert_eq!(kind(&Scene::new().unpack(&options, &layer)), INVALID, "{compression:?}");
    }
    #[cfg(not(feature = "zstd"))]
    {
        let result = Scene::new().unpack(&unprivileged(), &[0x28, 0xb5, 0x2f, 0xfd]);
        assert_eq!(kind(&result), Some(ErrorKind::UnsupportedMediaType));
    }
}

/// A file in a file: what a reader finds who believes the wrong size.
fn smuggled() -> Vec<u8> {
    Archive::new().file("smuggled", "x").0
}

#[test]
fn sizes_that_disagree() {
    let inner = smuggled();
    let size = inner.len().to_string();
    let record_counts = Archive::new().pax(&[("size", &size)]);
    let header = Entry { size: Some(0), data: &inner, ..Entry::default() };
    let scene = accepted(&record_counts.clone().entry(&header).end());
    assert_eq!(names(&scene.tree()), ["file"], "the record's size counts");
    let header = Entry { size: Some(7), data: &inner, ..Entry::default() };
    refused("two sizes", &record_counts.entry(&header).end());
    let zero = Archive::new().pax(&[("size", "0")]);
    let header = Entry { data: &inner, ..Entry::default() };
    refused("a record says nothing", &zero.entry(&header).end());
    for kind_of_member in *b"23456" {
        let entry = Entry {
            kind: kind_of_member,
            link: b"x",
            device: (1, 3),
            data: &inner,
            ..Entry::default()
        };
        refused("content of what has none", &Archive::new().entry(&entry).end());
        let sized = Archive::new().pax(&[("size", &size)]);
        let entry = Entry { size: Some(0), ..entry };
        refused("content of what has none, by record", &sized.entry(&entry).end());
    }
    let link = Entry { kind: b'1', name: b"l", link: b"f", size: Some(512), ..Entry::default() };
    let scene = accepted(&Archive::new().file("f", "").entry(&link).file("g", "").end());
    assert_eq!(names(&scene.tree()), ["f", "g", "l"], "the size of a hard link is its file's");
}

#[test]
fn a_record_is_for_the_member_not_for_what_stands_between() {
    let inner = smuggled();
    let size = inner.len().to_string();
    let long = "n".repeat(150);
    let entry = Entry { name: long.as_bytes(), data: &inner, ..Entry::default() };
    let scene = accepted(&Archive::new().pax(&[("size", &size)]).entry(&entry).end());
    assert_eq!(names(&scene.tree()), [long]);
}

#[test]
fn extensions_that_contradict_or_are_alone() {
    let twice = Archive::new().pax(&[("path", "a")]).pax(&[("path", "b")]).file("c", "").end();
    refused("two extended headers", &twice);
    let long = "n".repeat(150);
    refused("two names", &Archive::new().pax(&[("path", "a")]).file(&long, "").end());
    refused(
        "a long name alone",
        &Archive::new().entry(&Entry { kind: b'L', data: b"x\0", ..Entry::default() }).end(),
    );
    refused("an extended header alone", &Archive::new().pax(&[("path", "a")]).end());
    let path = record("path", "a").repeat(2);
    refused("a key twice", &Archive::new().raw_pax(b'x', path.as_bytes()).file("b", "").end());
    refused("a bad length", &Archive::new().raw_pax(b'x', b"99 path=a\n").file("b", "").end());
    refused(
        "a global name",
        &Archive::new().raw_pax(b'g', record("path", "a").as_bytes()).file("b", "").end(),
    );
    refused(
        "a global size",
        &Archive::new().raw_pax(b'g', record("size", "9").as_bytes()).file("b", "").end(),
    );
    let comment = Archive::new().raw_pax(b'g', record("comment", "c0ffee").as_bytes());
    assert_eq!(names(&accepted(&comment.file("b", "").end()).tree()), ["b"]);
}

#[test]
fn fields_that_are_off() {
    refused("an unknown type", &Archive::new().kind(b'D', "d").end());
    refused("a volume label", &Archive::new().kind(b'V', "d").end());
    let mut wrong = Archive::new().file("f", "").end();
    wrong[0] ^= 1;
    refused("a wrong checksum", &wrong);
    for (key, value) in
        [("uid", "4294967295"), ("gid", "4294967296"), ("uid", "x"), ("mtime", "1e9")]
    {
        refused(key, &Archive::new().pax(&[(key, value)]).file("f", "").end());
    }
    let major = Entry { kind: b'3', device: (4096, 0), ..Entry::default() };
    refused("a major number", &Archive::new().entry(&major).end());
    let negative = {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().size = [0xff; 12];
        header.as_old_mut().name[0] = b'f';
        header.set_cksum();
        Archive::new().header(&header).end()
    };
    refused("a negative size", &negative);
    let slash = Archive::new().file("f/", "x").end();
    assert_eq!(kind(&Scene::new().unpack(&unprivileged(), &slash)), Some(ErrorKind::UnsafeLayer));
    let old = Archive::new().kind(0, "d/").end();
    assert!(accepted(&old).root().join("d").is_dir());
}

#[test]
fn sparse_files_in_every_notation() {
    let data = [b"head".as_slice(), &[7; 600]].concat();
    let expected = [b"head".as_slice(), &vec![0; 1_000_000 - 4], &[7; 600], &[0; 400]].concat();
    let map = "0,4,1000000,600,1001000,0";
    let size = "1001000";
    let version_0_0: String = [
        record("GNU.sparse.size", size),
        record("GNU.sparse.numblocks", "3"),
        record("GNU.sparse.offset", "0") + &record("GNU.sparse.numbytes", "4"),
        record("GNU.sparse.offset", "1000000") + &record("GNU.sparse.numbytes", "600"),
        record("GNU.sparse.offset", size) + &record("GNU.sparse.numbytes", "0"),
    ]
    .concat();
    let version_0_0 = Archive::new().raw_pax(b'x', version_0_0.as_bytes()).file("s", &data);
    let version_0_1 =
        [("GNU.sparse.size", size), ("GNU.sparse.name", "s"), ("GNU.sparse.map", map)];
    let version_0_1 = Archive::new().pax(&version_0_1).file("GNUSparseFile.1/s", &data);
    let version_1_0 = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.name", "s"),
        ("GNU.sparse.realsize", size),
    ];
    let mut in_content = b"3\n0\n4\n1000000\n600\n1001000\n0\n".to_vec();
    in_content.resize(512, 0);
    let in_content = [in_content, data].concat();
    let version_1_0 = Archive::new().pax(&version_1_0).file("GNUSparseFile.1/s", &in_content);
    for archive in [version_0_0, version_0_1, version_1_0] {
        let scene = accepted(&archive.file("after", "").end());
        assert_eq!(names(&scene.tree()), ["after", "s"]);
        let path = scene.root().join("s");
        assert!(fs::read(&path).expect("a file") == expected);
        let blocks = fs::metadata(&path).expect("a file").blocks();
        assert!(blocks * 512 < 100_000, "{blocks} blocks: holes were written");
    }
}

#[test]
fn maps_of_sparse_files_that_are_off() {
    for (map, size, data) in [
        ("0,4,2,8", "10", 12),
        ("0,4", "10", 4),
        ("0,4,6,0,8,2", "10", 6),
        ("8,4", "10", 4),
        ("0,4", "4", 5),
        ("0,4", "4", 3),
        ("18446744073709551615,4", "10", 4),
        ("0", "10", 0),
    ] {
        let records = [("GNU.sparse.size", size), ("GNU.sparse.map", map)];
        refused(map, &Archive::new().pax(&records).file("s", vec![1; data]).end());
    }
    let records =
        [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", "9")];
    for content in ["", "1\n0\n", "x\n", "99999999999999999999999\n", "1\n0\n600\n"] {
        let mut content = content.as_bytes().to_vec();
        content.resize(content.len().next_multiple_of(512), 0);
        refused("map in the content", &Archive::new().pax(&records).file("s", content).end());
    }
}

#[test]
fn an_error_says_where() {
    let layer = Archive::new().file("fine", "").file("a/../b", "").end();
    let error = Scene::new().unpack(&unprivileged(), &layer).expect_err("refused");
    let text = "layer, member \"a/../b\", before byte 1024: the name goes up with `..`";
    assert_eq!(error.to_string(), text);
    let mut options = unprivileged();
    options.quotas = Quotas::default();
    options.quotas.entries = 1;
    let layer = Archive::new().file("one", "").file("two", "").end();
    let error = Scene::new().unpack(&options, &layer).expect_err("refused");
    assert_eq!(error.to_string(), "layer, before byte 1024: more than 1 members");
}
