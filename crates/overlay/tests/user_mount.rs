//! Root file systems as an ordinary user with one mapped id.

mod sandbox;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use ampoule_overlay::{
    Base, CopyUp, Depth, ErrorKind, File, FileSystem, IdMapped, Mount, MountFlags, MountKind,
    Namespace, Root, Situation, host_view,
};
use sandbox::{Ids, Place, as_ordinary_user, run, standard};

fn ids() -> Ids {
    let map = |id: u32| format!("0 {id} 1");
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    Ids { uid_map: map(uid), gid_map: map(gid) }
}

fn as_user(fs: &FileSystem, script: &str) -> String {
    run(fs, &Situation::unprivileged(), Some(&ids()), script)
}

#[test]
fn user_roots() {
    if !as_ordinary_user("user_roots") {
        return;
    }
    let place = Place::new();
    let upper = place.dir.path().join("kept");
    let before = Place::picture(&place.root());
    let script = "cat /etc/motd; echo one > /data/one && cat /data/one; echo keys $(cat /proc/keys | wc -c); \
         echo firmware $(ls /sys/firmware | wc -l); echo 1 > /proc/sys/kernel/printk; \
         cat /proc/self/mountinfo; readlink /proc/self/cwd; umask";
    let read_only = standard(Base::Directory(place.root()), Root::ReadOnly);
    let ephemeral = standard(Base::Directory(place.root()), Root::Ephemeral { size: 1 << 20 });
    let persistent = standard(Base::Directory(place.root()), Root::Persistent(upper.clone()));
    let said = as_user(&read_only, script);
    assert!(said.contains("can't create /data/one: Read-only file system"));
    for fs in [&ephemeral, &persistent] {
        let said = as_user(fs, script);
        assert!(said.starts_with("lower\none\nkeys 0\nfirmware 0\n"));
        assert!(said.contains("can't create /proc/sys/kernel/printk"));
        assert!(said.ends_with("\n/\n0022\n"));
        assert!(sandbox::mount_points(&said).iter().all(|point| !point.starts_with("/tmp")));
    }
    assert_eq!(fs::read_to_string(upper.join("data/one")).unwrap(), "one\n");
    // The kernel makes it with mode 0, in which an ordinary user cannot look for something to remove.
    fs::remove_dir(place.dir.path().join("kept.work/work")).unwrap();
    assert_eq!(Place::picture(&place.root()), before);
    let in_place = standard(Base::Directory(place.root()), Root::InPlace);
    as_user(&in_place, "echo two > /data/two");
    assert_eq!(fs::read_to_string(place.root().join("data/two")).unwrap(), "two\n");
}

#[test]
fn user_devices() {
    if !as_ordinary_user("user_devices") {
        return;
    }
    let place = Place::new();
    symlink(place.canary(), place.root().join("dev/null")).unwrap();
    let fs = standard(Base::Directory(place.root()), Root::ReadOnly);
    let said = as_user(
        &fs,
        "head -c 3 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c; echo z > /dev/null && echo null; \
         echo z > /dev/full; ls /dev; ls /dev/pts; echo x > /dev/shm/x && cat /dev/shm/x; \
         stat -c '%a %t:%T' /dev/tty",
    );
    assert!(said.starts_with("3\n3\nnull\n") && said.contains("No space left on device"));
    assert!(said.contains("fd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\n"));
    assert!(said.ends_with("ptmx\nx\n666 5:0\n"));
}

#[test]
fn user_mounts() {
    if !as_ordinary_user("user_mounts") {
        return;
    }
    let place = Place::new();
    let canary = place.canary();
    symlink(&canary, place.root().join("out")).unwrap();
    fs::create_dir_all(place.root().join(canary.strip_prefix("/").unwrap())).unwrap();
    let before = Place::picture(&canary);
    let kind = |target: &str, kind| Mount::new(target, kind, MountFlags::empty());
    let mut fs = standard(Base::Directory(place.root()), Root::ReadOnly);
    fs.mounts.extend([
        Mount::bind(&canary, "/new/ro"),
        Mount::bind_rw(place.root().join("data"), "/rw"),
        Mount::bind(canary.join("file"), "/out/f"),
        Mount::overlay(vec![canary.clone(), place.root().join("etc")], "/layers"),
        kind("/etc", MountKind::Tmpfs { size: 1 << 20, mode: 0o755, copy_up: CopyUp::Yes }),
        kind("/mq", MountKind::Mqueue),
        Mount::cgroup(),
    ]);
    fs.files =
        vec![File::new("/etc/motd", "new\n", 0o600), File::new("/new/ro/file", "over\n", 0o644)];
    let said = as_user(
        &fs,
        "cat /new/ro/file /out/f /layers/file /layers/motd /etc/motd; touch /new/ro/x; touch /x; \
         touch /layers/x; touch /rw/x; touch /sys/fs/cgroup/x; stat -c '%a %u' /etc/motd; \
         cat /proc/self/mountinfo",
    );
    assert!(said.starts_with("over\nuntouched\nuntouched\nlower\nnew\n"));
    assert_eq!(said.matches("Read-only file system").count(), 4);
    assert!(said.contains("\n600 0\n"));
    assert!(place.root().join("data/x").exists());
    assert_eq!(Place::picture(&canary), before);
}

#[test]
fn user_host_view() {
    if !as_ordinary_user("user_host_view") {
        return;
    }
    let view = host_view("/".as_ref());
    let mut fs = standard(Base::Empty, Root::ReadOnly);
    fs.mounts.extend(view.mounts);
    fs.links = view.links;
    fs.files = view.files;
    fs.files.push(File::new("/src/run", "#!/bin/sh\necho \"$(/usr/bin/id -un) ran\"\n", 0o755));
    let said = as_user(
        &fs,
        "export PATH=/usr/bin; /src/run; touch /tmp/x && echo tmp; touch /usr/x; ls /",
    );
    assert!(said.starts_with("root ran\ntmp\n") && said.contains("/usr/x': Read-only file system"));
}

#[test]
fn user_shared_namespaces() {
    if !as_ordinary_user("user_shared_namespaces") {
        return;
    }
    let place = Place::new();
    let fs = standard(Base::Directory(place.root()), Root::ReadOnly);
    let situation = Situation {
        pid_namespace: Namespace::Shared,
        net_namespace: Namespace::Shared,
        ipc_namespace: Namespace::Shared,
        ..Situation::unprivileged()
    };
    // The namespaces are new in this test all the same: what counts is that the host's are bound.
    let (draft, prepared) = sandbox::draft(&fs, &situation, Some(&ids())).unwrap();
    assert_eq!(prepared.substitutions.len(), 2);
    let said = sandbox::run_draft(draft, "ls /dev; cat /proc/1/comm; touch /sys/x; cat /proc/keys");
    assert!(!said.contains("mqueue") && said.contains("touch: /sys/x: Read-only"));
}

#[test]
fn user_swapped_source() {
    if !as_ordinary_user("user_swapped_source") {
        return;
    }
    let place = Place::new();
    let mut fs = standard(Base::Directory(place.root()), Root::ReadOnly);
    fs.mounts.push(Mount::bind(place.canary(), "/data"));
    let (draft, _) = sandbox::draft(&fs, &Situation::unprivileged(), Some(&ids())).unwrap();
    fs::rename(place.canary(), place.dir.path().join("old")).unwrap();
    symlink("old/..", place.canary()).unwrap();
    let error = sandbox::attempt(draft, "true").unwrap_err().to_string();
    assert!(error.contains("verify(") && error.contains("Stale"), "{error}");
}

#[test]
fn user_problems() {
    if !as_ordinary_user("user_problems") {
        return;
    }
    let place = Place::new();
    let bind = |source: &str, depth, idmapped| Mount {
        kind: MountKind::Bind { source: source.into(), depth, idmapped },
        ..Mount::bind("/", "/data")
    };
    let mut fs = FileSystem::new(Base::Directory("/etc/passwd".into()), Root::InPlace);
    fs.mounts = vec![
        bind("/dev", Depth::One, IdMapped::Container),
        Mount::bind("/missing", "/data"),
        Mount::bind("relative", "/data"),
        Mount::bind(place.canary(), "/ro"),
        Mount::tmpfs("/ro/missing", 1),
    ];
    let situation = Situation::unprivileged();
    let mut draft = ampoule_init::Draft::default();
    let error = ampoule_overlay::prepare(&fs, &situation, &mut draft).unwrap_err();
    let kinds: Vec<_> = error.problems().map(|problem| problem.kind()).collect();
    for kind in [
        ErrorKind::RootNotDirectory,
        ErrorKind::IdMapUnavailable,
        ErrorKind::SubmountsLocked,
        ErrorKind::SourceMissing,
        ErrorKind::SourceNotAbsolute,
        ErrorKind::TargetMissing,
    ] {
        assert!(kinds.contains(&kind), "{kind:?} is missing in {kinds:?}");
    }
    let meta = fs::metadata(place.dir.path()).unwrap();
    assert_eq!(meta.uid(), rustix::process::getuid().as_raw());
    println!("{error}");
}
