//! Root file systems as root: every kind of root and mount, seen from inside.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod sandbox;

use std::fs;
use std::os::unix::fs::symlink;

use ampoule_init::Draft;
use ampoule_overlay::{
    Access, Base, CopyUp, Depth, File, FileSystem, HidePid, IdMapped, Link, Mount, MountFlags,
    MountKind, Namespace, PidSubset, Propagation, Root, Situation, TtyGroup, UserNamespace,
    host_view,
};
use sandbox::{Ids, Place, run, standard};

fn as_root(fs: &FileSystem, script: &str) -> String {
    run(fs, &Situation::privileged(), None, script)
}

#[test]
fn a_read_only_directory_cannot_be_changed() {
    let place = Place::new();
    let fs = standard(Base::Directory(place.root()), Root::ReadOnly);
    let before = Place::picture(place.dir.path());
    let said = as_root(
        &fs,
        "cat /proc/self/mountinfo; touch /x; echo keys $(cat /proc/keys | wc -c); \
         echo firmware $(ls /sys/firmware | wc -l); touch /sys/firmware/x; \
         echo 1 > /proc/sys/kernel/printk; cat /etc/motd; readlink /proc/self/cwd; umask",
    );
    assert!(said.contains("touch: /x: Read-only file system"));
    assert!(said.contains("can't create /proc/sys/kernel/printk: Read-only"));
    assert!(said.contains("touch: /sys/firmware/x: Read-only"));
    assert!(said.contains("keys 0\n") && said.contains("firmware 0\n"));
    assert!(said.ends_with("lower\n/\n0022\n"));
    assert!(!said.contains("overlay"), "everything was there: no overlay");
    assert!(
        sandbox::mount_points(&said).iter().all(|point| !point.starts_with("/tmp")),
        "the old root is gone"
    );
    assert_eq!(Place::picture(place.dir.path()), before);
}

#[test]
fn a_read_only_directory_without_targets_gets_them() {
    let place = Place::new();
    let mut fs = standard(Base::Directory(place.root()), Root::ReadOnly);
    fs.mounts.push(Mount::bind(place.canary(), "/new/dir"));
    fs.files.push(File::new("/src/main", "main\n", 0o600));
    fs.links.push(Link::new("/etc/motd", "/new/dir/file"));
    let before = Place::picture(place.dir.path());
    let said = as_root(
        &fs,
        "touch /x; touch /new/x; touch /new/dir/x; cat /new/dir/file /src/main /etc/motd; \
         stat -c %a /src/main; stat -c %a /src",
    );
    assert_eq!(said.matches("Read-only file system").count(), 3);
    assert!(said.ends_with("untouched\nmain\nuntouched\n600\n755\n"));
    assert_eq!(Place::picture(place.dir.path()), before);
}

#[test]
fn an_ephemeral_root_keeps_nothing_and_has_a_limit() {
    let place = Place::new();
    let mut fs = standard(Base::Directory(place.root()), Root::Ephemeral { size: 1 << 20 });
    fs.files.push(File::new("/etc/motd", "replaced\n", 0o644));
    let before = Place::picture(place.dir.path());
    let said = as_root(
        &fs,
        "cat /etc/motd; echo mine > /etc/new && cat /etc/new; rm /bin/id; \
         dd if=/dev/zero of=/big bs=65536 count=64; echo size $(stat -c %s /big)",
    );
    assert!(said.starts_with("replaced\nmine\n"));
    assert!(said.contains("No space left on device"));
    let size: u64 = said.rsplit("size ").next().unwrap().trim().parse().unwrap();
    assert!(size <= (1 << 20) + 3 * 4096);
    assert_eq!(Place::picture(place.dir.path()), before);
}

#[test]
fn a_persistent_root_keeps_what_is_written() {
    let place = Place::new();
    let upper = place.dir.path().join("kept");
    let fs = standard(Base::Directory(place.root()), Root::Persistent(upper.clone()));
    let before = Place::picture(&place.root());
    as_root(&fs, "echo one > /data/one");
    assert_eq!(as_root(&fs, "cat /data/one"), "one\n");
    assert_eq!(fs::read_to_string(upper.join("data/one")).unwrap(), "one\n");
    assert_eq!(Place::picture(&place.root()), before);
}

#[test]
fn a_root_in_place_is_the_directory_itself() {
    let place = Place::new();
    let mut fs = standard(Base::Directory(place.root()), Root::InPlace);
    fs.files.push(File::new("/etc/motd", "bound\n", 0o644));
    let said = as_root(&fs, "echo one > /data/one; cat /etc/motd; echo x > /etc/motd");
    assert!(said.starts_with("bound\n") && said.contains("Read-only file system"));
    assert_eq!(fs::read_to_string(place.root().join("data/one")).unwrap(), "one\n");
    assert_eq!(fs::read_to_string(place.root().join("etc/motd")).unwrap(), "lower\n");
}

#[test]
fn device_nodes_work_and_those_of_the_directory_do_not() {
    let place = Place::new();
    let made = std::process::Command::new("mknod")
        .arg(place.root().join("data/zero"))
        .args(["c", "1", "5"])
        .status();
    assert!(made.unwrap().success());
    symlink(place.canary(), place.root().join("dev/null")).unwrap();
    let script = "head -c 3 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c; \
         echo z > /dev/null && echo null; echo z > /dev/full; ls /dev; stat -c '%a %t:%T' /dev/tty; \
         ls /dev/pts; echo x > /dev/shm/x && cat /dev/shm/x; head -c 1 /data/zero; \
         touch /dev/mqueue/x && echo mqueue; readlink /dev/ptmx; readlink /dev/stdin";
    for root in [Root::ReadOnly, Root::Ephemeral { size: 1 << 20 }, Root::InPlace] {
        let fs = standard(Base::Directory(place.root()), root);
        let said = as_root(&fs, script);
        assert!(said.starts_with("3\n3\nnull\n"));
        assert!(said.contains("No space left on device"));
        assert!(said.contains("fd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\n"));
        assert!(said.contains("666 5:0\nptmx\nx\n"));
        assert!(said.contains("head: /data/zero: Permission denied"));
        assert!(said.ends_with("pts/ptmx\n/proc/self/fd/0\n"));
    }
}

#[test]
fn links_in_targets_stay_inside() {
    let place = Place::new();
    let canary = place.canary();
    symlink(&canary, place.root().join("out")).unwrap();
    symlink("../../../../../../../data", place.root().join("up")).unwrap();
    symlink(canary.join("file"), place.root().join("outfile")).unwrap();
    let before = Place::picture(&canary);
    let mut fs = standard(Base::Directory(place.root()), Root::Ephemeral { size: 1 << 20 });
    fs.mounts.push(Mount::tmpfs("/up", 1 << 20));
    fs.files.push(File::new("/out/file", "inside\n", 0o644));
    fs.files.push(File::new("/outfile", "new\n", 0o644));
    fs.links.push(Link::new("/out/link", "file"));
    let error = sandbox::fails(&fs, &Situation::privileged(), None, "true");
    assert!(error.starts_with("step "), "a dangling link is refused: {error}");
    fs::create_dir_all(place.root().join(canary.strip_prefix("/").unwrap())).unwrap();
    let said = as_root(&fs, "cat /out/file /out/link /outfile; cat /proc/self/mountinfo");
    assert!(said.starts_with("inside\ninside\nnew\n"));
    assert!(sandbox::mount_points(&said).contains(&"/data"));
    assert_eq!(Place::picture(&canary), before);
}

#[test]
fn bind_mounts() {
    let place = Place::new();
    let canary = place.canary();
    let mut fs = standard(Base::Empty, Root::ReadOnly);
    fs.mounts.extend([
        Mount::bind(place.root().join("bin"), "/bin"),
        Mount::bind(&canary, "/ro"),
        Mount::bind_rw(&canary, "/rw"),
        Mount::bind(canary.join("file"), "/a/file"),
        Mount {
            flags: MountFlags::NOEXEC | MountFlags::NOATIME | MountFlags::RDONLY,
            ..Mount::bind(place.root().join("bin"), "/noexec")
        },
        Mount { propagation: Some(Propagation::Slave), ..Mount::tmpfs("/t", 1 << 20) },
    ]);
    fs.files = vec![
        File::new("/t/in", "tmpfs\n", 0o640),
        File::new("/ro/file", "over\n", 0o644),
        File::new("/etc/x", "first\n", 0o644),
        File::new("/etc/x", "second\n", 0o644),
    ];
    let said = as_root(
        &fs,
        "cat /ro/file /rw/file /a/file /t/in /etc/x; touch /ro/x; touch /x; echo w > /rw/w; \
         /noexec/ls; stat -c %a /t/in; grep noexec /proc/self/mountinfo",
    );
    assert!(said.starts_with("over\nuntouched\nuntouched\ntmpfs\nsecond\n"));
    assert!(said.contains("touch: /ro/x: Read-only") && said.contains("touch: /x: Read-only"));
    assert!(said.contains("/noexec/ls: Permission denied") && said.contains("\n640\n"));
    assert!(said.contains("/noexec ro,nosuid,nodev,noexec,noatime"));
    assert_eq!(fs::read_to_string(canary.join("w")).unwrap(), "w\n");
}

#[test]
fn every_other_kind() {
    let place = Place::new();
    let layer = |name: &str| {
        let dir = place.dir.path().join(name);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join(name), format!("{name}\n")).unwrap();
        dir
    };
    let (a, b, upper) = (layer("a"), layer("b"), layer("upper"));
    let kind = |target: &str, kind| Mount::new(target, kind, MountFlags::empty());
    let mut fs = standard(Base::Directory(place.root()), Root::Ephemeral { size: 1 << 20 });
    fs.mounts.extend([
        Mount::overlay(vec![a.clone(), b.clone()], "/layers"),
        kind("/w", MountKind::Overlay { lower: vec![a], upper: Some(upper.clone()), work: None }),
        kind("/etc", MountKind::Tmpfs { size: 1 << 20, mode: 0o755, copy_up: CopyUp::Yes }),
        kind("/pts", MountKind::Devpts { gid: None }),
        kind("/mq", MountKind::Mqueue),
        Mount::cgroup(),
        kind(
            "/p",
            MountKind::Proc { hide_pid: Some(HidePid::Invisible), subset: Some(PidSubset::Pid) },
        ),
    ]);
    fs.masked.push("/p/sys".into());
    let said = as_root(
        &fs,
        "cat /layers/a /layers/b; touch /layers/x; cat /w/a /w/upper; echo w > /w/w; \
         cat /etc/motd; echo changed > /etc/motd; cat /etc/motd; ls /pts; ls /p/sys; cat /p/1/comm; \
         touch /sys/fs/cgroup/x; cat /proc/self/mountinfo",
    );
    assert!(said.starts_with(
        "a\nb\ntouch: /layers/x: Read-only file system\na\nupper\nlower\nchanged\nptmx\n"
    ));
    assert!(said.contains("ls: /p/sys: No such file") && said.contains("\nsh\n"));
    assert!(said.contains("hidepid=invisible,subset=pid"));
    assert!(said.contains(" - mqueue "));
    assert_eq!(fs::read_to_string(upper.join("w")).unwrap(), "w\n");
    assert_eq!(fs::read_to_string(b.join("b")).unwrap(), "b\n");
    assert_eq!(fs::read_to_string(place.root().join("etc/motd")).unwrap(), "lower\n");
}

#[test]
fn the_host_view_runs_the_hosts_programs() {
    let view = host_view("/".as_ref());
    let mut fs = standard(Base::Empty, Root::ReadOnly);
    fs.mounts.extend(view.mounts);
    fs.links = view.links;
    fs.files = view.files;
    fs.files.push(File::new("/src/run", "#!/bin/sh\necho \"$(/usr/bin/id -un) ran\"\n", 0o755));
    let said = as_root(
        &fs,
        "export PATH=/usr/bin; /src/run; ls /; ls /etc; touch /tmp/x && echo tmp; touch /usr/x; touch /etc/x",
    );
    assert!(said.starts_with("root ran\n"));
    assert!(said.contains("\ntmp\n") && said.matches("Read-only file system").count() == 2);
    assert!(!said.contains("shadow") && !said.contains("home") && !said.contains("root\n"));
}

#[test]
fn the_callers_own_mounts() {
    let place = Place::new();
    let mut fs = FileSystem::new(Base::Keep, Root::InPlace);
    fs.mounts = vec![Mount::proc(), Mount::tmpfs(place.canary(), 1 << 20)];
    fs.files = vec![
        File::new(place.canary().join("new"), "new\n", 0o644),
        File::new(place.root().join("etc/motd"), "bound\n", 0o644),
    ];
    fs.masked = vec!["/proc/keys".into()];
    let script = format!(
        "cat {0}/canary/new {0}/root/etc/motd; echo $$; cat /proc/keys; readlink /proc/self/cwd; \
         cat /proc/self/mountinfo",
        place.dir.path().display()
    );
    let said = as_root(&fs, &script);
    assert!(said.starts_with("new\nbound\n1\n/\n"));
    let roots = sandbox::mount_points(&said).into_iter().filter(|point| *point == "/").count();
    assert_eq!(roots, 1, "the staging tmpfs is gone");
    assert_eq!(fs::read_to_string(place.canary().join("file")).unwrap(), "untouched\n");
}

#[test]
fn shared_namespaces_show_the_hosts() {
    let place = Place::new();
    let fs = standard(Base::Directory(place.root()), Root::ReadOnly);
    let mut situation = Situation::privileged();
    situation.user_namespace = UserNamespace::New;
    situation.tty_group = TtyGroup::Unmapped;
    situation.pid_namespace = Namespace::Shared;
    situation.net_namespace = Namespace::Shared;
    let prepared = ampoule_overlay::prepare(&fs, &situation, &mut Draft::default()).unwrap();
    let sources: Vec<_> = prepared.substitutions.iter().map(|s| s.source.to_str()).collect();
    assert_eq!(sources, [Some("/proc"), Some("/sys")]);
    assert!(prepared.launcher.iter().any(|step| step.name() == "open_tree"));
}

#[test]
fn a_privileged_host_maps_owners() {
    let place = Place::new();
    let (mut holder, fd) = sandbox::user_namespace("0 100000 65536");
    let mut draft = Draft::default();
    let situation = Situation {
        user_namespace: UserNamespace::New,
        access: Access::Detached,
        userns_fd: Some(draft.inherit(fd)),
        ..Situation::privileged()
    };
    let upper = place.dir.path().join("kept");
    let mut fs = standard(Base::Directory(place.root()), Root::Persistent(upper.clone()));
    let bind = |idmapped, target| Mount {
        kind: MountKind::Bind { source: place.canary(), depth: Depth::One, idmapped },
        ..Mount::bind_rw("/", target)
    };
    fs.mounts.extend([bind(IdMapped::Container, "/mapped"), bind(IdMapped::No, "/unmapped")]);
    fs.files.push(File::new("/file", "bytes\n", 0o600));
    let map = "0 100000 65536".to_owned();
    let ids = Ids { uid_map: map.clone(), gid_map: map };
    let (draft, prepared) = sandbox::draft_in(draft, &fs, &situation, Some(&ids)).unwrap();
    assert!(prepared.launcher.iter().any(|step| step.to_string().contains("IDMAP")));
    let said = sandbox::run_draft(
        draft,
        "stat -c '%u %n' /bin/busybox /mapped /unmapped /dev/zero; touch /mapped/m /data/d; \
         cat /file; touch /unmapped/x; echo z > /dev/null && echo null; stat -c %g /dev/pts",
    );
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(
        said.starts_with("0 /bin/busybox\n0 /mapped\n65534 /unmapped\n65534 /dev/zero\nbytes\n")
    );
    assert!(said.contains("touch: /unmapped/x: Permission denied") && said.contains("null\n0\n"));
    let owner = |path: std::path::PathBuf| {
        std::os::unix::fs::MetadataExt::uid(&fs::metadata(path).unwrap())
    };
    assert_eq!(owner(place.canary().join("m")), 0);
    assert_eq!(owner(upper.join("data/d")), 0);
}
