//! Archives that are compressed as a whole, as `docker save | gzip` leaves them.

mod memory;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use ampoule_image::destination::{DockerArchiveWriter, LayoutArchiveWriter, copy};
use ampoule_image::source::{DockerArchive, Layout, Source, Spool};
use ampoule_image::{Choice, Destination, Error, ErrorKind, Pull, Store};
use flate2::Compression;
use flate2::write::GzEncoder;
use memory::{Memory, name};

fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").expect("directory")
}

fn write(source: &dyn Source, destination: &mut dyn Destination, tag: &str) {
    copy(source, destination, Some(&name(tag)), &Choice::Host, &()).expect("copy");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("gzip");
    encoder.finish().expect("gzip")
}

#[cfg(feature = "zstd")]
fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 1).expect("zstd")
}

/// Both kinds of archives, in `at`, and the image that they hold.
fn archives(at: &Path) -> (Memory, [Vec<u8>; 2]) {
    let source = Memory::image(&[b"a", &vec![7; 600 << 10], b"a"]);
    let (oci, docker) = (at.join("oci.tar"), at.join("docker.tar"));
    write(&source, &mut LayoutArchiveWriter::create(&oci).expect("create"), "x:1");
    write(&source, &mut DockerArchiveWriter::create(&docker).expect("create"), "x:1");
    let bytes = [oci, docker].map(|path| fs::read(path).expect("archive"));
    (source, bytes)
}

/// How an archive is opened.
type Open = fn(&Path, &Spool) -> Result<Box<dyn Source>, Error>;

const OPEN: [Open; 2] = [
    |path, spool| Ok(Box::new(Layout::archive_spooled(path, None, spool)?)),
    |path, spool| Ok(Box::new(DockerArchive::open_spooled(path, None, spool)?)),
];

fn spool(at: &Path) -> Spool {
    let mut spool = Spool::default();
    spool.directory = at.to_owned();
    spool
}

fn pulls(at: &Path, compress: impl Fn(&[u8]) -> Vec<u8>) {
    let (source, archives) = archives(at);
    let path = at.join("x.tar.compressed");
    let store = Store::open(at.join("store")).expect("store");
    for (bytes, open) in archives.iter().zip(OPEN) {
        fs::write(&path, compress(bytes)).expect("compressed");
        let archive = open(&path, &spool(at)).expect("archive");
        let image = store.pull(&*archive, &name("y"), &Pull::new()).expect("pull");
        assert_eq!(image.descriptor().digest, source.root.digest);
        store.remove(&name("y")).expect("remove");
    }
    assert_eq!(store.verify().expect("verify").problems, Vec::new());
    assert_eq!(fs::read_dir(at).expect("list").count(), 4, "no spool is left");
}

#[test]
fn of_gzip() {
    let at = directory();
    pulls(at.path(), gzip);
    // Several members, as pigz and bgzip write them.
    let at = directory();
    pulls(at.path(), |bytes| bytes.chunks(10_000).flat_map(gzip).collect());
}

#[cfg(feature = "zstd")]
#[test]
fn of_zstd() {
    let at = directory();
    pulls(at.path(), zstd);
    let at = directory();
    pulls(at.path(), |bytes| bytes.chunks(100_000).flat_map(zstd).collect());
}

#[cfg(not(feature = "zstd"))]
#[test]
fn of_zstd() {
    let at = directory();
    let path = at.path().join("x.tar.zst");
    fs::write(&path, [0x28, 0xb5, 0x2f, 0xfd, 0, 0]).expect("zstd");
    for open in OPEN {
        let error = open(&path, &spool(at.path())).err().expect("zstd");
        assert_eq!(error.kind(), ErrorKind::UnsupportedMediaType, "{error}");
    }
}

#[test]
fn of_the_programs() {
    let at = directory();
    let (source, [oci, _]) = archives(at.path());
    let path = at.path().join("x.tar");
    fs::write(&path, oci).expect("archive");
    assert!(Command::new("gzip").arg(&path).status().expect("gzip").success());
    let archive = Layout::archive(at.path().join("x.tar.gz"), Some("1")).expect("archive");
    assert_eq!(archive.root().expect("root").digest, source.root.digest);
}

#[test]
fn what_is_damaged_is_refused() {
    let at = directory();
    let (_, archives) = archives(at.path());
    let path = at.path().join("x.tar.gz");
    for (bytes, open) in archives.iter().zip(OPEN) {
        let whole = gzip(bytes);
        let mut flipped = whole.clone();
        // One of the checksum: within the data some say the same after a change.
        *flipped.get_mut(whole.len() - 8).expect("a byte") ^= 1;
        for (what, damaged) in [
            ("cut", whole.get(..whole.len() / 2).expect("half").to_vec()),
            ("its checksum cut", whole.get(..whole.len() - 2).expect("most").to_vec()),
            ("junk", [&whole, b"junk".as_slice()].concat()),
            ("a byte flipped", flipped),
            ("only the magic", vec![0x1f, 0x8b, 8, 0]),
            ("twice", gzip(&whole)),
        ] {
            fs::write(&path, damaged).expect(what);
            let error = open(&path, &spool(at.path())).err().expect(what);
            assert_eq!(error.kind(), ErrorKind::InvalidArchive, "{what}: {error}");
        }
    }
    assert_eq!(fs::read_dir(at.path()).expect("list").count(), 3, "no spool is left");
}

#[test]
fn a_bomb_ends_at_the_limit() {
    let at = directory();
    let path = at.path().join("x.tar.gz");
    fs::write(&path, gzip(&vec![0; 2 << 20])).expect("bomb");
    let mut small = spool(at.path());
    small.bytes = 100 << 10;
    for open in OPEN {
        let error = open(&path, &small).err().expect("a bomb");
        assert_eq!(error.kind(), ErrorKind::QuotaExceeded, "{error}");
    }
    let absent = spool(&at.path().join("absent"));
    let error = Layout::archive_spooled(&path, None, &absent).expect_err("no place");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("absent"), "{error}");
}
