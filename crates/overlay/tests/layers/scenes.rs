//! What is the same for root and for an ordinary user.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::PathBuf;

use ampoule_overlay::{ErrorKind, Kernel, Overlay};

use super::{Layers, at, lines, read, unchanged};

/// The oldest kernel, one that appends layers by name, and the one that runs.
fn kernels() -> [Kernel; 3] {
    [Kernel::OLDEST, Kernel::new(6, 8), Kernel::running()]
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
