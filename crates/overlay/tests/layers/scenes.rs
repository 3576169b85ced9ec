//! What is the same for root and for an ordinary user.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use ampoule_overlay::{ErrorKind, Kernel, Overlay};

use super::{Layers, at, lines, read, unchanged};

/// The oldest kernel, one that appends layers by name, and the one that runs.
fn kernels() -> Vec<Kernel> {
    let running = Kernel::running();
    let older = [Kernel::OLDEST, Kernel::new(6, 8)].into_iter().filter(|kernel| *kernel < running);
    older.chain([running]).collect()
}

fn simple() -> Layers {
    Layers::new(&[
        &[("etc/motd", "upper\n"), ("bin/tool", "tool\n")],
        &[("etc/motd", "lower\n"), ("etc/passwd", "root\n"), ("var/log/old", "old\n")],
    ])
}

pub fn written_and_discarded() {
    let layers = simple();
    for kernel in kernels() {
        let overlay = layers.overlay().kernel(kernel);
        let mounted = unchanged(|| overlay.mount().unwrap());
        assert_eq!(read(&mounted, "etc/motd"), "upper\n");
        assert_eq!(mounted.lower().len(), 2);
        fs::write(at(&mounted, "etc/new"), "new\n").unwrap();
        fs::write(at(&mounted, "etc/motd"), "changed\n").unwrap();
        fs::remove_file(at(&mounted, "etc/passwd")).unwrap();
        fs::remove_dir_all(at(&mounted, "var/log")).unwrap();
        fs::create_dir(at(&mounted, "var/log")).unwrap();
        fs::create_dir_all(at(&mounted, "srv/a")).unwrap();
        symlink("../etc", at(&mounted, "srv/a/link")).unwrap();
        assert!(fs::read(at(&mounted, "etc/passwd")).is_err());
        let upper = mounted.upper().unwrap();
        assert_eq!(fs::read_to_string(upper.join("etc/new")).unwrap(), "new\n");
        let whiteout = upper.join("etc/passwd").symlink_metadata().unwrap();
        assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0);
        let expected = [
            "M /etc/motd",
            "A /etc/new",
            "D /etc/passwd",
            "A /srv",
            "A /srv/a",
            "A /srv/a/link",
            "D /var/log/old",
        ];
        assert_eq!(lines(&overlay.changes().unwrap()), expected);
        unchanged(|| drop(mounted));
        assert_eq!(lines(&overlay.changes().unwrap()), expected);
        overlay.discard().unwrap();
        assert_eq!(overlay.changes().unwrap(), []);
        assert_eq!(fs::read_dir(layers.upper()).unwrap().count(), 0);
        assert_eq!(fs::read_dir(overlay.work_dir().unwrap()).unwrap().count(), 0);
    }
    assert_eq!(fs::read_to_string(layers.layer(1).join("etc/passwd")).unwrap(), "root\n");
}

/// A layer with a path longer than a page.
fn far_away(layers: &Layers) -> PathBuf {
    let name = "n".repeat(250);
    let mut path = layers.dir.path().join("far");
    fs::create_dir(&path).unwrap();
    let mut dir = fs::File::open(&path).unwrap();
    for _ in 0..20 {
        rustix::fs::mkdirat(&dir, &name, rustix::fs::Mode::RWXU).unwrap();
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
        dir = rustix::fs::openat(&dir, &name, flags, rustix::fs::Mode::empty()).unwrap().into();
        path.push(&name);
    }
    let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CREATE;
    let file = rustix::fs::openat(&dir, "far", flags, rustix::fs::Mode::RUSR).unwrap();
    rustix::io::write(file, b"far\n").unwrap();
    path
}

pub fn five_hundred_layers() {
    let layers = Layers::new(&[]);
    let name = "long ".repeat(40);
    let layer = |number: usize| {
        let path = layers.dir.path().join(format!("{name}{number}/{name}:,\\"));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("who"), number.to_string()).unwrap();
        fs::write(path.join(format!("only{number}")), "").unwrap();
        path
    };
    let mut paths: Vec<PathBuf> = (0..499).map(layer).collect();
    paths.push(far_away(&layers));
    assert!(paths[499].as_os_str().len() > 4096 && paths[0].as_os_str().len() > 400);
    for kernel in kernels() {
        let overlay = Overlay::new(&paths).upper(layers.upper()).kernel(kernel);
        let mounted = unchanged(|| overlay.mount().unwrap());
        assert_eq!(read(&mounted, "who"), "0");
        assert_eq!(read(&mounted, "far"), "far\n");
        assert_eq!(fs::read_dir(at(&mounted, "")).unwrap().count(), 501);
        fs::write(at(&mounted, "only498"), "now").unwrap();
        fs::remove_file(at(&mounted, "who")).unwrap();
        assert_eq!(lines(&overlay.changes().unwrap()), ["M /only498", "D /who"]);
        drop(mounted);
        overlay.discard().unwrap();
    }
    paths.push(layers.dir.path().to_owned());
    let error = unchanged(|| Overlay::new(&paths).mount().unwrap_err());
    assert_eq!(error.kind(), ErrorKind::TooManyLayers);
    assert!(error.to_string().contains("the kernel takes 500"), "{error}");
}

pub fn a_volatile_layer_is_accepted_or_discarded() {
    let layers = simple();
    let overlay = layers.overlay().volatile();
    let write = |name: &str| {
        let mounted = overlay.mount().unwrap();
        fs::write(at(&mounted, name), name).unwrap();
        mounted
    };
    // Closed: nothing is left of the mark.
    write("closed").close().unwrap();
    // Dropped, as after a crash.
    drop(write("dropped"));
    for again in [overlay.clone(), layers.overlay()] {
        let error = unchanged(|| again.mount().unwrap_err());
        assert_eq!(error.kind(), ErrorKind::NotSynced, "{error}");
        assert!(error.hint().unwrap().contains("discard"));
    }
    overlay.accept_unsynced().unwrap();
    drop(write("accepted"));
    assert_eq!(lines(&overlay.changes().unwrap()), ["A /accepted", "A /closed", "A /dropped"]);
    overlay.discard().unwrap();
    write("last").close().unwrap();
    layers.overlay().mount().unwrap();
    overlay.accept_unsynced().unwrap();
}

pub fn without_an_upper_layer_nothing_is_written() {
    let layers = simple();
    for kernel in kernels() {
        for overlay in [layers.read_only(), Overlay::new([layers.layer(1)])] {
            let mounted = overlay.kernel(kernel).mount().unwrap();
            assert_eq!(read(&mounted, "etc/passwd"), "root\n");
            let error = fs::write(at(&mounted, "etc/passwd"), "").unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
            assert_eq!((mounted.upper(), mounted.work()), (None, None));
            assert_eq!(mounted.overlay().changes().unwrap_err().kind(), ErrorKind::NoUpper);
            assert_eq!(mounted.overlay().discard().unwrap_err().kind(), ErrorKind::NoUpper);
            mounted.close().unwrap();
        }
    }
}

pub fn what_cannot_be_is_refused() {
    let layers = simple();
    let kinds = |overlay: &Overlay| -> Vec<ErrorKind> {
        let error = unchanged(|| overlay.mount().unwrap_err());
        error.problems().map(ampoule_overlay::Problem::kind).collect()
    };
    let none: [&str; 0] = [];
    assert_eq!(kinds(&Overlay::new(none)), [ErrorKind::TooFewLayers]);
    let missing = Overlay::new(["/missing/a", "relative", "/etc/passwd", "/missing/b"]);
    assert_eq!(
        kinds(&missing),
        [
            ErrorKind::SourceMissing,
            ErrorKind::SourceNotAbsolute,
            ErrorKind::SourceNotDirectory,
            ErrorKind::SourceMissing
        ]
    );
    assert!(!layers.upper().exists(), "nothing is made when something is wrong");
    let upper = |name: &str| layers.read_only().upper(layers.dir.path().join(name));
    assert_eq!(kinds(&upper("a,b")), [ErrorKind::LayerName, ErrorKind::LayerName]);
    assert_eq!(kinds(&upper("missing/upper")), [ErrorKind::SourceMissing]);
    assert_eq!(kinds(&layers.overlay().work("/elsewhere")), [ErrorKind::WorkApart]);
    let twice = Overlay::new([layers.layer(0), layers.layer(1), layers.layer(0)]);
    assert_eq!(kinds(&twice), [ErrorKind::LayersOverlap]);
}

/// A tree that somebody has made to be in the way.
pub fn a_hostile_tree_is_removed() {
    let layers = simple();
    let overlay = layers.overlay();
    overlay.mount().unwrap().close().unwrap();
    let outside = layers.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("canary"), "canary").unwrap();
    let upper = layers.upper();
    symlink(&outside, upper.join("link")).unwrap();
    symlink("../outside/canary", upper.join("link2")).unwrap();
    fs::hard_link(outside.join("canary"), upper.join("hard")).unwrap();
    fs::write(upper.join(".discarded-1"), "").unwrap();
    fs::create_dir_all(upper.join(".discarded-2/x")).unwrap();
    // Deeper than descriptors and paths go.
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
    let mut dir: std::os::fd::OwnedFd = fs::File::open(&upper).unwrap().into();
    for depth in 0..3000 {
        rustix::fs::symlinkat("../../../outside", &dir, "link").unwrap_or_default();
        let name = if depth == 0 { "deep" } else { "directory" };
        rustix::fs::mkdirat(&dir, name, rustix::fs::Mode::RWXU).unwrap();
        dir = rustix::fs::openat(&dir, name, flags, rustix::fs::Mode::empty()).unwrap();
    }
    for (name, mode) in [("closed", 0), ("unreadable", 0o300), ("fixed", 0o500)] {
        fs::create_dir_all(upper.join(name).join("a/b")).unwrap();
        fs::write(upper.join(name).join("file"), "").unwrap();
        fs::set_permissions(upper.join(name).join("a"), PermissionsExt::from_mode(mode)).unwrap();
        fs::set_permissions(upper.join(name), PermissionsExt::from_mode(mode)).unwrap();
    }
    let error = overlay.changes().unwrap_err();
    let too_long = Some(rustix::io::Errno::NAMETOOLONG.raw_os_error());
    assert_eq!((error.kind(), error.errno()), (ErrorKind::Unreadable, too_long), "{error}");
    unchanged(|| overlay.discard().unwrap());
    assert_eq!(fs::read_dir(&upper).unwrap().count(), 0);
    assert_eq!(fs::read_to_string(outside.join("canary")).unwrap(), "canary");
    assert_eq!(fs::metadata(outside.join("canary")).unwrap().nlink(), 1);
}
