//! Somebody exchanges a directory of a volume for a link to the outside, over and over, while the volume is relabelled.
//!
//! Kernel objects: files in memory and their attributes, which root may write without SELinux, too. Invariant: nothing
//! outside the volume is labelled, and nothing is mounted.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use ampoule_selinux::{Context, FileLabels, Relabel};
use rustix::fs::{CWD, Mode, OFlags, RenameFlags, openat, renameat_with};

const ROUNDS: usize = 400;

fn label(categories: &str) -> Context {
    format!("system_u:object_r:container_file_t:s0:{categories}").parse().expect("a context")
}

fn label_of(path: &Path) -> Option<Context> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(CWD, path, flags, Mode::empty()).expect("a file");
    FileLabels::open().expect("procfs").get(file).expect("a label or none")
}

#[test]
fn nothing_outside_is_labelled() {
    let dir = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let (volume, outside) = (dir.path().join("volume"), dir.path().join("outside"));
    for place in [volume.join("swapped/deep"), outside.join("swapped/deep")] {
        fs::create_dir_all(&place).expect("directories");
        for number in 0..20 {
            File::create(place.join(format!("file{number}"))).expect("a file");
        }
    }
    symlink(outside.join("swapped"), volume.join("link")).expect("a link");
    let canary = [outside.clone(), outside.join("swapped"), outside.join("swapped/deep")];
    let files = (0..20).map(|number| outside.join(format!("swapped/deep/file{number}")));
    let canary: Vec<_> = canary.into_iter().chain(files).collect();
    let before: Vec<_> = canary.iter().map(|path| label_of(path)).collect();

    let (one, other) = (volume.join("swapped"), volume.join("link"));
    let stop = AtomicBool::new(false);
    let mut whole = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE)
                    .expect("both are there");
            }
        });
        for round in 0..ROUNDS {
            // Each time another label, so that every file is written.
            let label = label(&format!("c{},c{}", round % 500, round % 500 + 500));
            let relabel = Relabel::new(&label).expect("a label");
            // What it finds is what stands there at that moment: either way is right.
            whole += usize::from(relabel.path(&volume).is_ok());
        }
        stop.store(true, Ordering::Relaxed);
    });
    let after: Vec<_> = canary.iter().map(|path| label_of(path)).collect();
    assert_eq!(after, before);
    assert!(whole > 0, "no round was whole");
}
