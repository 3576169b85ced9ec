//! Mounts, files and links in the root, and what becomes of what is written.
//!
//! Kernel objects: mounts of the container. Invariant: what the host has is changed only where that was asked for.

use std::fs;
use std::path::Path;

use ampoule::{Bytes, Container, Mount, Root};

use super::{Look, print, rooted, run};
use crate::oracle::fixture::{self, Rootfs, Tree};

fn shared() -> Rootfs {
    fixture::empty_rootfs().with_file("file", "content\n", 0o666).with_dir("dir", 0o777)
}

fn script(lines: &[&str]) -> String {
    lines.join("\n")
}

pub(crate) fn binds_are_read_only_unless_asked() {
    let source = shared();
    let at = source.path().display();
    let before = Tree::record(source.path());
    let text = format!(
        "cat {at}/file; for f in {at}/new {at}/dir/new; do touch $f 2>/dev/null && echo wrote $f; done; \
         (echo x >> {at}/file) 2>/dev/null && echo wrote; rm {at}/file 2>/dev/null && echo removed; echo end"
    );
    let root = fixture::rootfs();
    for builder in [Container::host_view(), rooted(&root)] {
        let look = Look::at(builder.clone().bind(source.path()));
        let mount = look.mount(source.path().to_str().expect("text"));
        assert!(mount.has("ro") && mount.has("nosuid") && mount.has("nodev"), "{mount:?}");
        assert_eq!(print(builder.bind(source.path()), &text), "content\nend\n");
    }
    before.assert_untouched();
}

/// `/dev/shm` is a file system of its own, which everybody may write to.
pub(crate) fn mounts_below_a_bind_are_read_only_too() {
    let below = crate::oracle::payload::mountinfo(
        &fs::read_to_string("/proc/self/mountinfo").expect("mounts"),
    );
    let is_below = below.expect("mounts").iter().any(|mount| mount.point == "/dev/shm");
    assert!(is_below, "this test needs a file system at /dev/shm");
    let text = "touch /d/shm/ampoule-test 2>/dev/null && echo wrote; echo end";
    let root = fixture::rootfs();
    for builder in [Container::host_view(), rooted(&root)] {
        let builder = builder.bind_to("/dev", "/d");
        let look = Look::at(builder.clone());
        for mount in look.mounts().iter().filter(|mount| mount.point.starts_with("/d/")) {
            assert!(mount.has("ro") && mount.has("nosuid") && mount.has("nodev"), "{mount:?}");
        }
        assert_eq!(look.mount("/d/shm").kind, "tmpfs");
        assert_eq!(print(builder, text), "end\n");
    }
    assert!(!Path::new("/dev/shm/ampoule-test").exists());
}

pub(crate) fn writable_binds_reach_the_host() {
    let source = shared();
    let builder = Container::host_view().bind_rw_to(source.path(), "/data");
    let text = "echo more >> /data/file; echo made > /data/dir/made; cat /data/file";
    assert_eq!(print(builder.clone(), text), "content\nmore\n");
    assert_eq!(source.read("dir/made").as_deref(), Some("made\n"));
    let mount = Look::at(builder).mount("/data");
    assert!(!mount.has("ro") && mount.has("nosuid") && mount.has("nodev"), "{mount:?}");
    assert!(mount.propagation.is_empty(), "{mount:?}");
}

pub(crate) fn a_file_can_be_bound_over_a_file() {
    let source = shared();
    let root = fixture::rootfs();
    let builder = rooted(&root).bind_to(source.at("file"), "/etc/hostname");
    assert_eq!(print(builder, "cat /etc/hostname"), "content\n");
    let builder = rooted(&root).bind_to(source.at("file"), "/made/on/the/way");
    assert_eq!(print(builder, "cat /made/on/the/way"), "content\n");
    assert!(!root.has("made"));
}

pub(crate) fn memory_is_limited() {
    let builder = Container::host_view().tmpfs("/scratch", Bytes::mib(1));
    let text = script(&[
        "dd if=/dev/zero of=/scratch/a bs=1024 count=1000 2>/dev/null || echo early",
        "dd if=/dev/zero of=/scratch/b bs=1024 count=100 2>&1 | grep -o 'No space left on device'",
        "stat -f -c %b*%S /scratch",
        "rm /scratch/*; touch /scratch/again && echo again",
    ]);
    assert_eq!(print(builder.clone(), &text), "No space left on device\n256*4096\nagain\n");
    let mount = Look::at(builder).mount("/scratch");
    assert!(mount.has("nosuid") && mount.has("nodev"), "{mount:?}");
}

pub(crate) fn every_memory_of_the_container_is_limited() {
    let root = fixture::rootfs();
    for builder in [Container::host_view(), rooted(&root)] {
        let look = Look::at(builder.tmpfs("/scratch", Bytes::mib(1)));
        for mount in look.mounts().into_iter().filter(|mount| mount.kind == "tmpfs") {
            let sized = mount.super_options.iter().any(|option| option.starts_with("size="));
            let read_only =
                mount.has("ro") || mount.super_options.iter().any(|option| option == "ro");
            assert!(sized || read_only, "{mount:?}");
        }
    }
}

pub(crate) fn an_ephemeral_root_is_limited() {
    let root = fixture::rootfs();
    let builder = rooted(&root).root(Root::Ephemeral { size: 2 << 20 });
    let text = script(&[
        "dd if=/dev/zero of=/one bs=1024 count=1024 2>/dev/null && echo one",
        "dd if=/dev/zero of=/two bs=1024 count=2048 2>&1 | grep -o 'No space left on device'",
    ]);
    assert_eq!(print(builder, &text), "one\nNo space left on device\n");
    assert!(!root.has("one") && !root.has("two"));
}

pub(crate) fn a_read_only_root_cannot_be_written() {
    let root = fixture::rootfs();
    let before = Tree::record(root.path());
    let text = "for f in /new /etc/passwd /tmp/new; do (: >> $f) 2>/dev/null && echo wrote $f; done; echo end";
    assert_eq!(print(rooted(&root).root(Root::ReadOnly), text), "end\n");
    let with_tmp = rooted(&root).root(Root::ReadOnly).tmpfs("/tmp", Bytes::mib(1));
    assert_eq!(print(with_tmp, text), "wrote /tmp/new\nend\n");
    let missing = rooted(&root).root(Root::ReadOnly).tmpfs("/not/there", Bytes::mib(1));
    assert_eq!(print(missing, "touch /not/there/x && echo ok"), "ok\n");
    before.assert_untouched();
}

pub(crate) fn a_persistent_root_keeps_what_was_written() {
    let root = fixture::rootfs();
    let before = Tree::record(root.path());
    let place = fixture::empty_rootfs().with_dir("place", 0o755);
    let upper = place.at("place/upper");
    let builder = || rooted(&root).root(Root::Persistent(upper.clone()));
    print(
        builder(),
        "echo kept > /kept; rm /etc/hostname; echo changed > /etc/group; mkdir -p /d/e",
    );
    assert_eq!(
        print(builder(), "cat /kept /etc/group; ls -d /d/e; ls /etc"),
        "kept\nchanged\n/d/e\ngroup\npasswd\n"
    );
    assert_eq!(fs::read_to_string(upper.join("kept")).expect("kept"), "kept\n");
    before.assert_untouched();
    drop(place);
}

pub(crate) fn a_root_in_place_is_changed() {
    let root = fixture::rootfs();
    print(rooted(&root).root(Root::InPlace), "echo new > /new; rm /etc/hostname");
    assert_eq!(root.read("new").as_deref(), Some("new\n"));
    assert!(!root.has("etc/hostname"));
}

pub(crate) fn files_and_links_appear() {
    let root = fixture::rootfs();
    for builder in [Container::host_view(), rooted(&root)] {
        let builder = builder
            .file("/src/main.txt", "source\n")
            .file_with_mode("/src/run", "#!/bin/sh\necho ran\n", 0o755)
            .file_with_mode("/etc/passwd", "root:x:0:0::/:/bin/sh\n", 0o600)
            .file("/src/empty", "")
            .file("/tmp/in-memory", "m\n")
            .file("/src/big", vec![b'x'; 3 << 20])
            .link("/src/link", "main.txt")
            .link("/bin-link", "/src/run");
        let text = script(&[
            "cat /src/main.txt /src/link /tmp/in-memory; /bin-link",
            "stat -c '%a %s' /src/main.txt /src/run /src/empty /src/big",
        ]);
        let wanted = "source\nsource\nm\nran\n644 7\n755 19\n644 0\n644 3145728\n";
        assert_eq!(print(builder, &text), wanted);
    }
    assert!(root.has("etc/hostname") && !root.has("src"));
    assert!(root.read("etc/passwd").expect("passwd").contains("app"));
}

pub(crate) fn masks_and_read_only_paths_can_be_chosen() {
    let root = fixture::rootfs().with_file("var/secret", "s", 0o666).with_dir("var/dir", 0o777);
    let root = root.with_file("var/dir/inside", "i", 0o666);
    let builder = rooted(&root).masked_paths(["/var/secret", "/var/dir", "/not/there"]);
    let builder = builder.read_only_paths(["/home", "/not/there/either"]);
    let text = script(&[
        "cat /var/secret; ls -A /var/dir; (: > /var/dir/new) 2>/dev/null && echo wrote dir",
        "(: > /home/new) 2>/dev/null && echo wrote home; : > /home2 && echo wrote root",
        "[ -r /proc/keys ] && echo unmasked",
    ]);
    assert_eq!(print(builder, &text), "wrote root\nunmasked\n");
}

pub(crate) fn mounts_of_every_kind() {
    let root = fixture::rootfs().with_dir("low1", 0o755).with_file("low1/a", "1", 0o644);
    let root = root.with_file("low2/b", "2", 0o644);
    let layers = vec![root.at("low1"), root.at("low2")];
    let builder = rooted(&root).mount(Mount::overlay(layers, "/merged")).mount(Mount::proc());
    let look = Look::at(builder.clone());
    assert_eq!(look.mount("/merged").kind, "overlay");
    assert_eq!(look.mount("/sys").kind, "sysfs");
    assert!(look.mount("/sys").has("ro"));
    assert_eq!(look.mount("/dev/pts").kind, "devpts");
    assert_eq!(look.mount("/dev/mqueue").kind, "mqueue");
    assert_eq!(print(builder, "ls /merged"), "a\nb\n");
}

pub(crate) fn no_mount_spreads_and_none_of_the_hosts_is_seen() {
    let root = fixture::rootfs();
    for builder in [Container::host_view(), rooted(&root)] {
        let mounts = Look::at(builder).mounts();
        assert!(mounts.iter().all(|mount| mount.propagation.is_empty()), "{mounts:#?}");
        let points: Vec<_> = mounts.iter().map(|mount| mount.point.as_str()).collect();
        let known = ["/", "/usr", "/etc", "/proc", "/sys", "/dev", "/tmp", "/bin", "/sbin", "/lib"];
        let ours = |point: &&str| known.iter().any(|known| Path::new(point).starts_with(known));
        assert!(points.iter().all(ours), "{points:?}");
    }
}

pub(crate) fn the_nodes_of_dev_work() {
    let root = fixture::rootfs();
    let text = script(&[
        "cat /dev/null; head -c 3 /dev/zero | od -An -c; (echo x > /dev/full) 2>&1 | grep -o 'No space.*'",
        "[ \"$(head -c 8 /dev/urandom | wc -c)\" = 8 ] && echo random; echo out > /dev/stdout",
        "touch /dev/shm/x && echo shm; ls /dev | tr '\\n' ' '",
    ]);
    let nodes = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero ";
    let wanted = format!("  \\0  \\0  \\0\nNo space left on device\nrandom\nout\nshm\n{nodes}");
    let output = run(rooted(&root), &text);
    assert_eq!(String::from_utf8_lossy(&output.stdout), wanted, "{output:?}");
}
