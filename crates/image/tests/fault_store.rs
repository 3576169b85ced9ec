//! A store on a full disk, and one whose users are killed: nothing half is ever visible, and the
//! next one finishes the job.

mod memory;

use std::fs;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ampoule_image::destination::{LayoutWriter, copy};
use ampoule_image::diff::Diff;
use ampoule_image::source::Layout;
use ampoule_image::store::{Patience, Unpacker};
use ampoule_image::unpack::{Unpack, Whiteouts};
use ampoule_image::{Choice, Compression, ErrorKind, Image, NewImage, Pull, Result, Store};
use memory::{Memory, name};

/// The directory to work in, for the process that is started for it.
const PLACE: &str = "AMPOULE_IMAGE_PLACE";

/// Runs one test of this file in a process of its own, in `place`.
fn again(test: &str, place: &Path, wrapper: &[&str]) -> Command {
    let own = std::env::current_exe().expect("own program");
    let mut words = wrapper.iter().map(AsRef::as_ref).chain([own.as_os_str()]);
    let mut command = Command::new(words.next().expect("a word"));
    command.args(words).args(["--exact", test, "--nocapture", "--include-ignored"]);
    command.env(PLACE, place).stdin(Stdio::null());
    command
}

/// A layer of GNU tar with a few hundred files, beside the place.
fn layer(place: &Path, seed: u8) -> Vec<u8> {
    let tree = place.join(format!("tree-{seed}"));
    fs::create_dir_all(&tree).expect("tree");
    for at in 0..200_u16 {
        fs::write(tree.join(format!("file-{at}")), vec![seed; usize::from(at) * 50]).expect("file");
    }
    let tar = Command::new("tar").args(["-c", "-C"]).arg(&tree).arg(".").output().expect("tar");
    assert!(tar.status.success());
    tar.stdout
}

/// A layout `L` with an image of three layers.
fn layout(place: &Path) {
    let layers: Vec<Vec<u8>> = (1..4).map(|seed| layer(place, seed)).collect();
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let mut writer = LayoutWriter::open(place.join("L")).expect("layout");
    let source = Memory::image(&layers);
    copy(&source, &mut writer, Some(&name("x:1")), &Choice::Host, &()).expect("copy");
}

/// In memory: the disk is not what is tested.
fn place() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").expect("directory")
}

/// A further layer: the tree of the first one, as a directory.
fn commit(place: &Path, store: &Store, image: &Image) -> Result<Image> {
    let reference = name("committed");
    let mut diff = Diff::default();
    (diff.whiteouts, diff.compression) = (Whiteouts::Applied, Compression::Uncompressed);
    let tree = fs::File::open(place.join("tree-1")).expect("tree");
    store.commit(&NewImage::on(image, &reference), tree.as_fd(), &diff)
}

/// What one loop does, one after the other: a letter for each in the file `phases`.
const PHASES: &[u8] = b"pucrg";

/// Notes that a phase begins.
fn begin(place: &Path, phase: u8) {
    let file = fs::File::options().append(true).create(true).open(place.join("phases"));
    file.and_then(|mut file| file.write_all(&[phase])).expect("phases");
}

/// How often a phase was begun by any process so far.
fn begun(place: &Path, phase: u8) -> usize {
    let begun = fs::read(place.join("phases")).unwrap_or_default();
    begun.iter().filter(|one| **one == phase).count()
}

/// Waits until a phase was begun so many times.
fn wait_for(place: &Path, phase: u8, times: usize) {
    while begun(place, phase) < times {
        std::thread::sleep(Duration::from_micros(50));
    }
}

/// A number from 0 up to 1, another one each time.
fn random() -> f64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let bits = RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(bits >> 32).expect("32 bits")) / f64::from(u32::MAX)
}

/// How long each phase takes, by a process that works alone.
fn phase_times(place: &Path) -> Vec<Duration> {
    let mut one = start(place);
    let mut begins = Vec::new();
    for (phase, times) in PHASES.iter().zip([1; 5]).chain([(&PHASES[0], 2)]) {
        wait_for(place, *phase, times);
        begins.push(Instant::now());
    }
    one.kill().and_then(|()| one.wait()).expect("kill");
    begins.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// Pulls, unpacks, commits, names again and removes, collects: over and over.
fn work(place: &Path) {
    let layout = Layout::directory(place.join("L"), None).expect("layout");
    let unpack = Unpack::default();
    let parent = std::os::unix::process::parent_id();
    // A test that is ended itself leaves nobody behind.
    for at in (0..1000).take_while(|_| std::os::unix::process::parent_id() == parent) {
        begin(place, b'p');
        let store = Store::open(place.join("S")).expect("store");
        let own = name(&format!("x:{}", at % 2));
        let image = store.pull(&layout, &own, &Pull::new()).expect("pull");
        begin(place, b'u');
        store.unpack(&image, &unpack, &()).expect("unpack");
        begin(place, b'c');
        commit(place, &store, &image).expect("commit");
        begin(place, b'r');
        store.tag(image.descriptor(), &name("y")).expect("tag");
        drop(image);
        for entry in store.list().expect("list") {
            // The other one may have been faster.
            if let Err(error) = store.remove(&entry.reference) {
                assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
            }
        }
        begin(place, b'g');
        store.gc(Patience::Wait).expect("gc");
    }
}

/// Everything under its own name is whole.
fn check(place: &Path) {
    let store = Store::open(place.join("S")).expect("store");
    let verified = store.verify().expect("verify");
    assert_eq!(verified.problems, Vec::new());
    for entry in store.list().expect("list") {
        store.image(&entry.reference).expect("a named image is whole");
    }
    for layer in fs::read_dir(store.path().join("layers/sha256")).expect("layers") {
        let diff = layer.expect("layer").path().join("diff");
        let files = fs::read_dir(&diff).expect("a layer has files").count();
        assert_eq!(files, 200, "{}", diff.display());
    }
}

/// The next one finishes the job, and nothing is left when everything is collected.
fn finish(place: &Path) {
    let store = Store::open(place.join("S")).expect("store");
    let layout = Layout::directory(place.join("L"), None).expect("layout");
    let unpack = Unpack::default();
    let image = store.pull(&layout, &name("z"), &Pull::new().unpack(&unpack)).expect("pull");
    assert_eq!(image.layers(&Unpack::default().form()).expect("layers").len(), 3);
    drop(image);
    check(place);
    for entry in store.list().expect("list") {
        store.remove(&entry.reference).expect("remove");
    }
    store.gc(Patience::Wait).expect("gc");
    let verified = store.verify().expect("verify");
    assert_eq!((verified.blobs, verified.layers), (0, 0));
    let left = fs::read_dir(store.path().join("pending")).expect("pending").count();
    assert_eq!(left, 0);
}

fn start(place: &Path) -> Child {
    let mut command = again("killed_at_any_instant", place, &[]);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    command.spawn().expect("start")
}

#[test]
fn killed_at_any_instant() {
    if let Some(place) = std::env::var_os(PLACE) {
        return work(Path::new(&place));
    }
    let place = place();
    layout(place.path());
    let long = std::env::var_os("AMPOULE_LONG").is_some();
    let rounds: usize = if long { 500 } else { 20 };
    let times = phase_times(place.path());
    for round in 0..rounds {
        // One that works alone, or two that work at once.
        let both = 1 + round % 2;
        let at = round % PHASES.len();
        let before = begun(place.path(), PHASES[at]);
        let mut children: Vec<Child> = (0..both).map(|_| start(place.path())).collect();
        wait_for(place.path(), PHASES[at], before + both);
        std::thread::sleep(times[at].mul_f64(random() * 1.2));
        for child in &mut children {
            child.kill().expect("kill");
            let status = child.wait().expect("wait");
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
        }
        check(place.path());
        if round % 10 == 9 {
            finish(place.path());
        }
    }
}

/// Fills the disk up to a number of free bytes.
fn fill(path: &Path, free: u64) {
    let file = fs::File::create(path.join("ballast")).expect("ballast");
    let stat = rustix::fs::statvfs(path).expect("statvfs");
    let ballast = (stat.f_bavail * stat.f_frsize).saturating_sub(free);
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, ballast).expect("ballast");
}

/// Works in a file system of its own, in a mount namespace of its own.
fn on_a_full_disk(place: &Path) {
    let disk = place.join("disk");
    fs::create_dir(&disk).expect("disk");
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=16m", "none"])
        .arg(&disk)
        .status()
        .expect("mount");
    assert!(mount.success());
    let layout = Layout::directory(place.join("L"), None).expect("layout");
    let unpack = Unpack::default();
    let (mut full, mut fine) = (0, 0);
    for free in (0..9 << 20).step_by(500 << 10) {
        let at = disk.join(format!("store-{free}"));
        fill(&disk, free);
        let pulled = Store::open(&at).and_then(|store| {
            store.pull(&layout, &name("x"), &Pull::new().unpack(&unpack)).map(drop)
        });
        match pulled {
            Ok(()) => fine += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
                full += 1;
            }
        }
        fs::remove_file(disk.join("ballast")).expect("room");
        let store = Store::open(&at).expect("store");
        assert_eq!(store.verify().expect("verify").problems, Vec::new());
        let image = store.pull(&layout, &name("x"), &Pull::new().unpack(&unpack)).expect("room");
        assert_eq!(image.layers(&Unpack::default().form()).expect("layers").len(), 3);
        fill(&disk, free / 10);
        match commit(place, &store, &image) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}"),
        }
        fs::remove_file(disk.join("ballast")).expect("room");
        commit(place, &store, &image).expect("room");
        assert_eq!(store.verify().expect("verify").problems, Vec::new());
        drop(image);
        fs::remove_dir_all(&at).expect("away");
    }
    assert!(full > 5 && fine > 2, "{full} were too full, {fine} were not");
}

#[test]
fn a_full_disk() {
    if let Some(place) = std::env::var_os(PLACE) {
        return on_a_full_disk(Path::new(&place));
    }
    let place = place();
    layout(place.path());
    let output = again("a_full_disk", place.path(), &["unshare", "--mount"]).output();
    let output = output.expect("unshare");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
