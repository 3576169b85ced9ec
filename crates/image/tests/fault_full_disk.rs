//! Every operation that writes, on a disk that is full after so many bytes: one kind of error, nothing half, and the same
//! again works when there is room.
//!
//! Kernel objects: a tmpfs in a mount namespace of the test's own. Invariant: the machine's own mounts are not changed.

mod bare;
mod memory;

use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ampoule_image::build::Build;
use ampoule_image::containerfile::Containerfile;
use ampoule_image::destination::{
    DockerArchiveWriter, LayoutArchiveWriter, LayoutWriter, RootDirectory, RootTar,
};
use ampoule_image::diff::Diff;
use ampoule_image::source::{Layout, Spool};
use ampoule_image::store::Patience;
use ampoule_image::unpack::{Unpack, Whiteouts};
use ampoule_image::{
    Choice, Configuration, Destination, ErrorKind, Image, NewImage, Platform, Pull, Result, Store,
    copy,
};
use bare::Bare;
use memory::{Memory, name};

const PLACE: &str = "AMPOULE_IMAGE_PLACE";

/// How large the disk is.
const DISK: u64 = 4 << 20;

/// Bytes of the only file.
const FILE: usize = 256 << 10;

/// How much more room there is in the next round; less with `AMPOULE_LONG`.
fn step() -> usize {
    if std::env::var_os("AMPOULE_LONG").is_some() { 32 << 10 } else { 128 << 10 }
}

/// What there is beside the disk, and the disk.
struct Scene {
    place: PathBuf,
    disk: PathBuf,
    source: Memory,
    tar: Vec<u8>,
}

impl Scene {
    /// A tree with one large file, as an image and as an archive of one.
    fn new(place: &Path, disk: &Path) -> Self {
        let tree = place.join("tree");
        fs::create_dir(&tree).expect("tree");
        let noise: Vec<u8> = (0..FILE / 4)
            .flat_map(|at| u32::try_from(at).unwrap_or(0).wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        fs::write(tree.join("file"), noise).expect("file");
        let tar = Command::new("tar").args(["-c", "-C"]).arg(&tree).arg(".").output();
        let tar = tar.expect("tar").stdout;
        let source = Memory::image(&[&tar]);
        let archive = place.join("x.tar");
        let mut writer = LayoutArchiveWriter::create(&archive).expect("create");
        copy(&source, &mut writer, Some(&name("x:1")), &Choice::Host, &()).expect("copy");
        let encoder = File::create(place.join("x.tar.gz")).expect("create");
        let mut encoder = flate2::write::GzEncoder::new(encoder, flate2::Compression::fast());
        encoder.write_all(&fs::read(archive).expect("archive")).expect("gzip");
        encoder.finish().expect("gzip");
        Self { place: place.to_owned(), disk: disk.to_owned(), source, tar }
    }

    fn store(&self) -> Result<Store> {
        Store::open(self.disk.join("store"))
    }

    fn save(&self, destination: &mut dyn Destination) -> Result<()> {
        copy(&self.source, destination, Some(&name("x:1")), &Choice::Host, &()).map(drop)
    }

    /// Leaves so much room.
    fn fill(&self, free: u64) {
        let ballast = File::create(self.disk.join("ballast")).expect("ballast");
        let stat = rustix::fs::statvfs(&self.disk).expect("statvfs");
        let len = (stat.f_bavail * stat.f_frsize).saturating_sub(free);
        if len > 0 {
            let flags = rustix::fs::FallocateFlags::empty();
            rustix::fs::fallocate(&ballast, flags, 0, len).expect("ballast");
        }
    }

    /// Everything is as it was.
    fn clear(&self) {
        for entry in fs::read_dir(&self.disk).expect("disk") {
            let path = entry.expect("entry").path();
            let gone =
                if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            gone.expect("away");
        }
    }
}

type Operation = fn(&Scene) -> Result<()>;

fn commit(scene: &Scene) -> Result<Image> {
    let reference = name("committed");
    let mut diff = Diff::default();
    diff.whiteouts = Whiteouts::Applied;
    let tree = File::open(scene.place.join("tree")).expect("tree");
    let config = Configuration::new(Platform::host());
    scene.store()?.commit(&NewImage::from_scratch(config, &reference), tree.as_fd(), &diff)
}

const OPERATIONS: [(&str, Operation); 12] = [
    ("pull", |scene| scene.store()?.pull(&scene.source, &name("x"), &Pull::new()).map(drop)),
    ("pull and unpack", |scene| {
        let unpack = Unpack::default();
        let pull = Pull::new().unpack(&unpack);
        scene.store()?.pull(&scene.source, &name("x"), &pull).map(drop)
    }),
    ("commit", |scene| commit(scene).map(drop)),
    ("import", |scene| {
        let (reference, config) = (name("x"), Configuration::new(Platform::host()));
        let new = NewImage::from_scratch(config, &reference);
        scene.store()?.import(&new, Cursor::new(&scene.tar)).map(drop)
    }),
    ("build", |scene| {
        let file = Containerfile::parse("FROM scratch\nCOPY file /x\nCMD x").expect("it parses");
        let store = scene.store()?;
        let build = Build::new(&store, &Bare).context(scene.place.join("tree"));
        build.run(&file, &name("x")).map(drop)
    }),
    ("collect", |scene| {
        let store = scene.store()?;
        store.gc(Patience::Wait).map(drop)?;
        store.put(ampoule_image::MediaType::Other("x".to_owned()), &scene.tar).map(drop)
    }),
    ("save a layout", |scene| scene.save(&mut LayoutWriter::open(scene.disk.join("layout"))?)),
    ("save an archive", |scene| {
        scene.save(&mut LayoutArchiveWriter::create(scene.disk.join("saved"))?)
    }),
    ("save a Docker archive", |scene| {
        scene.save(&mut DockerArchiveWriter::create(scene.disk.join("saved"))?)
    }),
    ("save a root directory", |scene| {
        let unpack = Unpack::default();
        let path = scene.disk.join("root");
        fs::remove_dir_all(&path).unwrap_or_default();
        scene.save(&mut RootDirectory::create(path, &unpack)?)
    }),
    ("save a tar file of a root", |scene| {
        let (unpack, diff) = (Unpack::default(), Diff::default());
        scene.save(&mut RootTar::create(scene.disk.join("saved"), &unpack, &diff)?)
    }),
    ("open a compressed archive", |scene| {
        let mut spool = Spool::default();
        spool.directory = scene.disk.clone();
        Layout::archive_spooled(scene.place.join("x.tar.gz"), None, &spool).map(drop)
    }),
];

/// One operation, with ever more room.
fn with_more_and_more_room(scene: &Scene, what: &str, operation: Operation) {
    let (mut full, mut fine) = (0, 0);
    for free in (0..DISK / 3).step_by(step()) {
        scene.fill(free);
        match operation(scene) {
            Ok(()) => fine += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NoSpace, "{what}, {free} bytes: {error}");
                assert!(error.hint().is_some(), "{error}");
                full += 1;
            }
        }
        fs::remove_file(scene.disk.join("ballast")).expect("room");
        let saved = scene.disk.join("saved");
        assert!(!saved.exists() || fine > 0, "{what}, {free} bytes: half a file is visible");
        let store = scene.store().expect("store");
        assert_eq!(store.verify().expect("verify").problems, Vec::new(), "{what}, {free} bytes");
        drop(store);
        operation(scene).unwrap_or_else(|error| panic!("{what}, with room again: {error}"));
        let store = scene.store().expect("store");
        assert_eq!(store.verify().expect("verify").problems, Vec::new(), "{what}, {free} bytes");
        let left = fs::read_dir(store.path().join("pending")).expect("pending").count();
        assert_eq!(left, 0, "{what}, {free} bytes");
        drop(store);
        scene.clear();
    }
    assert!(full > 1 && fine > 1, "{what}: {full} times too full, {fine} times not");
    let done = File::options().append(true).create(true).open(scene.place.join("done"));
    writeln!(done.expect("done"), "{what}: {full} times too full, {fine} times not").expect("done");
}

fn on_the_disk(place: &Path) {
    let disk = place.join("disk");
    fs::create_dir(&disk).expect("disk");
    let size = format!("size={DISK}");
    let mut mount = Command::new("mount");
    let mount = mount.args(["-t", "tmpfs", "-o", &size, "none"]).arg(&disk).status();
    assert!(mount.expect("mount").success());
    let scene = Scene::new(place, &disk);
    for (what, operation) in OPERATIONS {
        with_more_and_more_room(&scene, what, operation);
    }
}

#[test]
fn every_operation() {
    if let Some(place) = std::env::var_os(PLACE) {
        return on_the_disk(Path::new(&place));
    }
    let place = tempfile::tempdir_in("/dev/shm").expect("directory");
    let own = std::env::current_exe().expect("own program");
    let mut command = Command::new("unshare");
    command.arg("--mount").arg(own).args(["--exact", "every_operation", "--nocapture"]);
    let output = command.env(PLACE, place.path()).stdin(Stdio::null()).output().expect("unshare");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let done = fs::read_to_string(place.path().join("done")).expect("done");
    assert_eq!(done.lines().count(), OPERATIONS.len(), "{done}");
}
