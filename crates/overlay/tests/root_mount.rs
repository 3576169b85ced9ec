//! Root file systems as root: every kind of root and mount, seen from inside.

mod sandbox;

use ampoule_overlay::{
    Base, File, FileSystem, Link, Mount, MountFlags, MountKind, Root, Situation,
};
use sandbox::{Place, run};

fn standard(base: Base, root: Root) -> FileSystem {
    let mut fs = FileSystem::new(base, root);
    fs.mounts = vec![Mount::proc(), Mount::sysfs(), Mount::dev()];
    fs.masked = FileSystem::default_masked();
    fs.read_only = FileSystem::default_read_only();
    fs
}

#[test]
fn root_read_only_directory() {
    let place = Place::new();
    let fs = standard(Base::Directory(place.root()), Root::ReadOnly);
    let before = Place::picture(place.dir.path());
    let said = run(
        &fs,
        &Situation::privileged(),
        None,
        "cat /proc/self/mountinfo; touch /x; cat /proc/kcore | wc -c; ls /sys/firmware | wc -l; \
         touch /sys/firmware/x; echo 1 > /proc/sys/kernel/printk; head -c 3 /dev/zero | wc -c; \
         echo z > /dev/null && echo null ok; echo z > /dev/full; ls -l /dev; ls /; umask; cat /etc/motd",
    );
    assert!(said.contains("touch: /x: Read-only file system"));
    assert!(said.contains("null ok"));
    assert!(said.contains("No space left"));
    assert!(said.contains("can't create /proc/sys/kernel/printk: Read-only"));
    assert!(said.contains("lower\n"));
    assert_eq!(Place::picture(place.dir.path()), before);
}
