//! A full disk, and layers that are larger than memory.

mod layers;

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use ampoule_image::ErrorKind;
use ampoule_image::unpack::{Unpack, Whiteouts};

use layers::scene::kind;
use layers::tree::{names, tree};
use layers::{Archive, record};

/// The directory to work in, for the process that is started for it.
const PLACE: &str = "AMPOULE_UNPACK_PLACE";

/// Runs one test of this file in a process of its own, after `script`.
fn again(test: &str, script: &str) {
    let place = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let own = std::env::current_exe().expect("own program");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-ec"]).arg(format!("{script}; exec \"$0\" \"$@\"")).arg(own);
    command.args(["--exact", test, "--nocapture"]).env(PLACE, place.path());
    let output = command.output().expect("unshare");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn place() -> Option<PathBuf> {
    std::env::var_os(PLACE).map(PathBuf::from)
}

fn applied() -> Unpack {
    let mut unpack = Unpack::default();
    unpack.whiteouts = Whiteouts::Applied;
    unpack
}

/// Unpacks into a new directory below `place`, and removes it again.
fn unpack(place: &Path, layer: &[u8]) -> (Option<ErrorKind>, Option<i32>, usize) {
    let root = place.join("root");
    fs::create_dir(&root).expect("a directory");
    let result = applied().apply(layer, File::open(&root).expect("the root").as_fd());
    let errno = result.as_ref().err().and_then(ampoule_image::Error::errno);
    let members = names(&tree(&root)).len();
    fs::remove_dir_all(&root).expect("removed");
    (kind(&result), errno, members)
}

#[test]
fn a_full_disk_is_an_error_wherever_it_comes() {
    let Some(place) = place() else {
        let mount = format!("mount -t tmpfs -o size=1m,nr_inodes=60 none \"${PLACE}\"");
        return again("a_full_disk_is_an_error_wherever_it_comes", &mount);
    };
    let mut layer = Archive::new().dir("d");
    for at in 0..10 {
        layer = layer
            .pax(&[("SCHILY.xattr.user.a", "v")])
            .file(format!("d/file{at}"), vec![1; 30_000])
            .symlink(format!("d/e{at}/link"), "target".repeat(30))
            .link(format!("d/hard{at}"), format!("d/file{at}"));
    }
    let layer = layer.end();
    let whole = unpack(&place, &layer);
    assert_eq!(whole, (None, None, 41));
    let mut seen = [0, 0];
    let filler = place.join("filler");
    for pages in (0..256).step_by(4) {
        fs::write(&filler, vec![1; pages * 4096]).expect("room for the filler");
        let (kind, errno, members) = unpack(&place, &layer);
        match kind {
            None => assert_eq!(members, 41),
            Some(kind) => {
                assert_eq!((kind, errno), (ErrorKind::NoSpace, Some(28)));
                assert!(members < 41 || pages > 0);
            }
        }
        seen[usize::from(kind.is_some())] += 1;
        fs::remove_file(&filler).expect("removed");
    }
    assert!(seen[0] > 5 && seen[1] > 5, "{seen:?}");
    for inodes in 0..58 {
        let many: Vec<_> = (0..inodes).map(|at| place.join(format!("i{at}"))).collect();
        many.iter().for_each(|path| fs::write(path, "").expect("an inode"));
        let room = fs::create_dir(place.join("root")).is_ok();
        if room {
            fs::remove_dir(place.join("root")).expect("removed");
            let (kind, ..) = unpack(&place, &layer);
            assert!(matches!(kind, None | Some(ErrorKind::NoSpace)), "{kind:?}");
        }
        many.iter().for_each(|path| fs::remove_file(path).expect("removed"));
    }
    assert_eq!(unpack(&place, &layer), whole, "with room again it works");
}

/// A layer that is made while it is read.
struct Endless<F> {
    members: u64,
    at: u64,
    make: F,
    buffer: Vec<u8>,
}

impl<F: Fn(u64) -> Vec<u8>> Read for Endless<F> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.buffer.is_empty() && self.at < self.members {
            self.buffer = (self.make)(self.at);
            self.at += 1;
        }
        let len = self.buffer.as_slice().read(out)?;
        self.buffer.drain(..len);
        Ok(len)
    }
}

/// The largest resident set of this process so far, in KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn stays_small(place: &Path, members: u64, make: impl Fn(u64) -> Vec<u8> + Send) {
    let root = place.join("root");
    fs::create_dir(&root).expect("a directory");
    let layer = Endless { members, at: 0, make, buffer: Vec::new() };
    applied().apply(layer, File::open(&root).expect("the root").as_fd()).expect("a layer");
    fs::remove_dir_all(&root).expect("removed");
    assert!(peak() < 64 << 10, "{} KiB", peak());
}

#[test]
fn memory_does_not_grow_with_the_layer() {
    let Some(place) = place() else {
        return again("memory_does_not_grow_with_the_layer", "true");
    };
    // Directories with long names, each of which has times to be set at the end.
    let long = "n".repeat(200);
    stays_small(&place, 10_000, |at| {
        Archive::new().dir(format!("{}/{long}{at}/{long}", at % 100)).0
    });
    // Content, and attributes as large as they may be.
    stays_small(&place, 150, |at| Archive::new().file(format!("{}", at % 2), vec![1; 1 << 20]).0);
    let value = "v".repeat(60_000);
    let records: String =
        (0..15).map(|at| record(&format!("SCHILY.xattr.x.{at}"), &value)).collect();
    stays_small(&place, 70, |at| {
        Archive::new().raw_pax(b'x', records.as_bytes()).file(format!("{at}"), "").0
    });
    // A map with as many pieces as it may have.
    let map: Vec<String> = (0..40_000_u64).map(|at| format!("{},1", at * 2)).collect();
    let map = map.join(",") + ",80000,0";
    let records = [("GNU.sparse.size", "80000"), ("GNU.sparse.map", &map)];
    stays_small(&place, 3, |_| Archive::new().pax(&records).file("s", vec![1; 40_000]).0);
}
