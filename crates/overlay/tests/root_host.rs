//! Root file systems as root on hosts that are not plain: shared mounts, a chroot, somebody who swaps targets.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod sandbox;

use std::fs;
use std::os::unix::fs::symlink;

use ampoule_init::Draft;
use ampoule_overlay::{
    Base, ErrorKind, File, FileSystem, Mount, Root, Situation, UserNamespace, prepare,
};
use sandbox::{Place, run, standard};

fn as_root(fs: &FileSystem, script: &str) -> String {
    run(fs, &Situation::privileged(), None, script)
}

/// Runs a test of this binary again below a script that changes its mount namespace; true in that process.
fn again(test: &str, script: &str) -> bool {
    if std::env::var_os("AMPOULE_AGAIN").is_some() {
        return true;
    }
    let dir = tempfile::tempdir().unwrap();
    let status = std::process::Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-ec", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("AMPOULE_AGAIN", dir.path())
        .status()
        .unwrap();
    assert!(status.success());
    false
}

#[test]
fn a_shared_host_sees_no_mount() {
    if !again("a_shared_host_sees_no_mount", "mount --make-rshared / && exec \"$@\"") {
        return;
    }
    // `run` compares the host's mount table before and after.
    let place = Place::new();
    for root in [Root::InPlace, Root::ReadOnly, Root::Ephemeral { size: 1 << 20 }] {
        let mut fs = standard(Base::Directory(place.root()), root);
        fs.mounts.push(Mount::bind_rw(place.canary(), "/data"));
        fs.mounts.push(Mount::tmpfs("/data/below", 1 << 20));
        let said = as_root(&fs, "mount -t tmpfs none /data/below; cat /proc/self/mountinfo");
        assert!(!said.contains("shared:") && !said.contains("master:"));
    }
}

#[test]
fn a_chroot_is_refused() {
    let script = "d=$AMPOULE_AGAIN; cd /; for n in *; do \
         if [ -L $n ]; then cp -P $n $d/; elif [ -d $n ]; then mkdir $d/$n; mount --rbind $n $d/$n; fi; \
         done; exec chroot $d \"$@\"";
    if !again("a_chroot_is_refused", script) {
        return;
    }
    let place = Place::new();
    let fs = standard(Base::Directory(place.root()), Root::ReadOnly);
    let error = prepare(&fs, &Situation::privileged(), &mut Draft::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RootNotMount);
    assert!(error.hint().is_some());
}

#[test]
fn a_covered_proc_is_found_before_the_kernel_refuses() {
    let refused = "mount -t tmpfs none /proc/acpi; \
         ! unshare --user --map-root-user --mount --pid --fork mount -t proc none /mnt 2>&1; exec \"$@\"";
    if !again("a_covered_proc_is_found_before_the_kernel_refuses", refused) {
        return;
    }
    let mut fs = FileSystem::new(Base::Empty, Root::ReadOnly);
    fs.mounts = vec![Mount::proc()];
    let error = prepare(&fs, &Situation::unprivileged(), &mut Draft::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ProcMasked);
    assert!(prepare(&fs, &Situation::privileged(), &mut Draft::default()).is_ok());
}

#[test]
fn a_false_device_is_found() {
    if !again("a_false_device_is_found", "mount --bind /dev/zero /dev/null; exec \"$@\"") {
        return;
    }
    let mut fs = FileSystem::new(Base::Empty, Root::ReadOnly);
    fs.mounts = vec![Mount::dev()];
    let own_user = Situation { user_namespace: UserNamespace::New, ..Situation::privileged() };
    for situation in [Situation::unprivileged(), own_user] {
        let error = prepare(&fs, &situation, &mut Draft::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DeviceUnusable);
        assert_eq!(error.to_string(), "\"/dev/null\" is not the device that it should be");
    }
    // With its own nodes the host's do not matter.
    assert!(prepare(&fs, &Situation::privileged(), &mut Draft::default()).is_ok());
}

#[test]
fn a_strict_umask_changes_no_mode() {
    if !again("a_strict_umask_changes_no_mode", "umask 077; exec \"$@\"") {
        return;
    }
    let place = Place::new();
    let upper = place.dir.path().join("kept");
    fs::set_permissions(place.root(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for root in [Root::ReadOnly, Root::Persistent(upper.clone())] {
        let mut fs = standard(Base::Directory(place.root()), root);
        fs.mounts.push(Mount::tmpfs("/new/dir", 1 << 20));
        fs.files.push(File::new("/src/main", "x", 0o644));
        let said = as_root(
            &fs,
            "for path in / /new /new/dir /src /src/main /dev /dev/null /dev/pts; do stat -c '%a %n' $path; done; umask",
        );
        assert!(said.starts_with("755 /\n755 /new\n1777 /new/dir\n755 /src\n"));
        assert!(
            said.contains("644 /src/main\n")
                && said.contains("755 /dev\n666 /dev/null\n755 /dev/pts\n")
        );
        assert!(said.ends_with("0077\n"));
    }
}

#[test]
fn many_layers() {
    let place = Place::new();
    let layers: Vec<_> = (0..120)
        .map(|number| {
            let dir = place.dir.path().join(format!("layer{number}"));
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join(format!("file{number}")), "x").unwrap();
            dir
        })
        .collect();
    let mut fs = standard(Base::Directory(place.root()), Root::ReadOnly);
    fs.mounts.push(Mount::overlay(layers, "/data"));
    assert!(as_root(&fs, "ls /data | wc -l").starts_with("120\n"));
}

#[test]
fn race_swapped_targets() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let place = Place::new();
    let (volume, canary) = (place.dir.path().join("volume"), place.canary());
    fs::create_dir_all(volume.join("a")).unwrap();
    symlink(&canary, volume.join("b")).unwrap();
    let before = Place::picture(&canary);
    let stop = AtomicBool::new(false);
    let mut fs = standard(Base::Directory(place.root()), Root::ReadOnly);
    fs.mounts.push(Mount::bind_rw(&volume, "/data"));
    fs.mounts.push(Mount::tmpfs("/data/a/x/y", 1 << 20));
    fs.files.push(File::new("/data/a/file", "bytes\n", 0o644));
    std::thread::scope(|scope| {
        let swap = || {
            let (a, b) = (volume.join("a"), volume.join("b"));
            let exchange = rustix::fs::RenameFlags::EXCHANGE;
            while !stop.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(rustix::fs::CWD, &a, rustix::fs::CWD, &b, exchange)
                    .unwrap();
            }
        };
        scope.spawn(swap);
        let mut worked = 0;
        for _ in 0..150 {
            // Either outcome is right; what counts is the canary, and the host's mounts (`attempt` compares them).
            let (draft, _) = sandbox::draft(&fs, &Situation::privileged(), None).unwrap();
            worked += usize::from(sandbox::attempt(draft, "true").is_ok());
        }
        stop.store(true, Ordering::Relaxed);
        println!("{worked} of 150 launches worked");
    });
    assert_eq!(Place::picture(&canary), before);
}
