//! Overlays by themselves as root: what is seen from outside, what lands where.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod layers;
mod sandbox;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use ampoule_overlay::{ErrorKind, Kernel, Overlay, UpperLayer};

use layers::{Layers, scenes};

#[test]
fn written_and_discarded() {
    scenes::written_and_discarded();
}

#[test]
fn five_hundred_layers() {
    scenes::five_hundred_layers();
}

#[test]
fn a_volatile_layer_is_accepted_or_discarded() {
    scenes::a_volatile_layer_is_accepted_or_discarded();
}

#[test]
fn without_an_upper_layer_nothing_is_written() {
    scenes::without_an_upper_layer_nothing_is_written();
}

#[test]
fn what_cannot_be_is_refused() {
    scenes::what_cannot_be_is_refused();
}

#[test]
fn a_hostile_tree_is_removed() {
    scenes::a_hostile_tree_is_removed();
}

#[test]
fn a_tree_is_attached_where_that_is_asked_for() {
    let layers = Layers::new(&[&[("etc/motd", "motd\n")], &[("usr/x", "x\n")]]);
    let target = layers.dir.path().join("target");
    fs::create_dir(&target).unwrap();
    layers::unchanged(|| {
        let mut mounted = layers.overlay().mount().unwrap();
        // Older kernels do it once.
        let rounds = if Kernel::running() < Kernel::new(6, 15) { 1 } else { 2 };
        for round in 0..rounds {
            mounted.mount_at(&target).unwrap();
            let error = mounted.mount_at(&target).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotAttached);
            assert_eq!(fs::read_to_string(target.join("etc/motd")).unwrap(), "motd\n");
            fs::write(target.join(format!("new{round}")), "new").unwrap();
            assert_eq!(layers::read(&mounted, &format!("new{round}")), "new");
            mounted.unmount().unwrap();
            assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
        }
        assert_eq!(mounted.unmount().unwrap_err().kind(), ErrorKind::NotMounted);
        let error = mounted.mount_at(layers.dir.path().join("missing")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotAttached);
        // Dropped while it is attached.
        if rounds == 1 {
            assert_eq!(mounted.mount_at(&target).unwrap_err().kind(), ErrorKind::NotAttached);
            mounted = layers.overlay().mount().unwrap();
        }
        mounted.mount_at(&target).unwrap();
        drop(mounted);
        assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
    });
}

#[test]
fn a_tree_that_was_left_stays_attached() {
    let layers = Layers::new(&[&[("etc/motd", "motd\n")]]);
    let target = layers.dir.path().join("target");
    fs::create_dir(&target).unwrap();
    layers::unchanged(|| {
        let mut mounted = layers.overlay().mount().unwrap();
        mounted.mount_at(&target).unwrap();
        mounted.leave();
        assert_eq!(fs::read_to_string(target.join("etc/motd")).unwrap(), "motd\n");
        rustix::mount::unmount(&target, rustix::mount::UnmountFlags::empty()).unwrap();
        // One that is attached nowhere ends.
        layers.overlay().mount().unwrap().leave();
    });
}

#[test]
fn what_is_mounted_over_a_tree_is_not_unmounted() {
    let layers = Layers::new(&[&[("a", "a")], &[("b", "b")]]);
    let target = layers.dir.path().join("target");
    fs::create_dir(&target).unwrap();
    layers::unchanged(|| {
        let [mut below, mut above] = [(); 2].map(|()| layers.read_only().mount().unwrap());
        below.mount_at(&target).unwrap();
        above.mount_at(&target).unwrap();
        assert_eq!(below.unmount().unwrap_err().kind(), ErrorKind::NotMounted);
        above.unmount().unwrap();
        below.unmount().unwrap();
    });
}

#[test]
fn overlays_are_stacked_twice_at_most() {
    let layers = Layers::new(&[&[("a", "a")], &[("b", "b")]]);
    let at = |name: &str| {
        let path = layers.dir.path().join(name);
        fs::create_dir(&path).unwrap();
        path
    };
    let [first, second] = [at("first"), at("second")];
    layers::unchanged(|| {
        let mut one = layers.read_only().mount().unwrap();
        one.mount_at(&first).unwrap();
        let mut two = Overlay::new([&first, &layers.layer(0)]).mount().unwrap();
        two.mount_at(&second).unwrap();
        assert_eq!(layers::read(&two, "b"), "b");
        let error = Overlay::new([&layers.layer(1), &second]).mount().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StackedTooDeep, "{error}");
        assert_eq!(error.problems().next().unwrap().path(), second);
        assert!(error.to_string().contains("at most two deep"), "{error}");
    });
}

#[test]
fn owners_of_lower_layers_are_mapped() {
    let layers = Layers::new(&[&[("d/file", "a")], &[("d/other", "b"), ("e/x", "x")]]);
    std::os::unix::fs::chown(layers.layer(1).join("d/other"), Some(7), Some(8)).unwrap();
    let (mut holder, namespace) = sandbox::user_namespace("0 100000 65536");
    for kernel in [Kernel::OLDEST, Kernel::running()] {
        let namespace = namespace.try_clone().unwrap();
        let overlay = layers.overlay().id_map(namespace).kernel(kernel);
        let mounted = overlay.mount().unwrap();
        let owner = |path: &str| {
            let found = fs::metadata(layers::at(&mounted, path)).unwrap();
            (found.uid(), found.gid())
        };
        assert_eq!((owner("d/file"), owner("d/other")), ((100_000, 100_000), (100_007, 100_008)));
        fs::write(layers::at(&mounted, "d/other"), "changed").unwrap();
        fs::write(layers::at(&mounted, "d/new"), "new").unwrap();
        assert_eq!((owner("d/other"), owner("d/new")), ((100_007, 100_008), (0, 0)));
        std::os::unix::fs::chown(layers::at(&mounted, "e"), Some(5), None).unwrap();
        let changes = overlay.changes().unwrap();
        // The upper layer is not mapped, so that the root's owner is another one.
        assert_eq!(layers::lines(&changes), ["M /", "A /d/new", "M /d/other", "M /e"]);
        drop(mounted);
        overlay.discard().unwrap();
    }
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(fs::metadata(layers.layer(0).join("d/file")).unwrap().uid(), 0);
}

/// What other mounters leave in layers: whiteouts as attributes, moved directories, files without data.
#[test]
fn notes_of_other_overlays_count_as_in_the_kernel() {
    let layers = Layers::new(&[
        &[("gone", ""), ("d/gone", ""), ("d/kept", "")],
        &[
            ("gone", "x"),
            ("d/gone", "x"),
            ("d/kept", "x"),
            ("m/a", "a"),
            ("m/s/b", "b"),
            ("big", "big"),
        ],
    ]);
    let mark = |path: PathBuf, name: &str, value: &[u8]| {
        let none = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(path, format!("trusted.overlay.{name}"), value, none).unwrap();
    };
    // Before Linux 6.8 a whiteout is a device.
    for name in ["gone", "d/gone"] {
        let path = layers.layer(0).join(name);
        if Kernel::running() >= Kernel::new(6, 8) {
            mark(path, "whiteout", b"");
        } else {
            let (kind, mode) = (rustix::fs::FileType::CharacterDevice, rustix::fs::Mode::empty());
            fs::remove_file(&path).unwrap();
            rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
        }
    }
    for dir in ["", "d"] {
        mark(layers.layer(0).join(dir), "opaque", b"x");
    }
    let script = "cd \"$1\" && mkdir upper work merged && \
        mount -t overlay none -o lowerdir=0:1,upperdir=upper,workdir=work,redirect_dir=on,metacopy=on merged && \
        cd merged && test ! -e gone && test ! -e d/gone && mv m n && mv n/s t && touch n/new && mkdir m && \
        chmod 600 big && rm d/kept && test $(cat n/a t/b big) = abbig";
    let command = ["-m", "--propagation", "private", "sh", "-ec", script, "sh"];
    let dir = layers.dir.path();
    let status = std::process::Command::new("unshare").args(command).arg(dir).status().unwrap();
    assert!(status.success());
    let lower = [layers.layer(0), layers.layer(1)];
    let upper = UpperLayer::new(fs::File::open(layers.upper()).unwrap(), lower);
    let expected =
        ["M /big", "D /d/kept", "D /m/a", "D /m/s", "A /n", "A /n/a", "A /n/new", "A /t", "A /t/b"];
    assert_eq!(layers::lines(&upper.changes().unwrap()), expected);
    upper.discard().unwrap();
    assert_eq!(upper.changes().unwrap(), []);
}
