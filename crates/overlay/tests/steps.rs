//! The steps of small file systems, as they are printed: nothing is run.

use ampoule_init::{Draft, Step};
use ampoule_overlay::{
    Base, ErrorKind, File, FileSystem, Link, Mount, MountFlags, MountKind, MountLabel, Namespace,
    Prepared, Propagation, Root, Situation, prepare,
};

fn lines(steps: &[Step]) -> Vec<String> {
    steps.iter().map(ToString::to_string).collect()
}

fn prepared(fs: &FileSystem, situation: &Situation) -> Prepared {
    prepare(fs, situation, &mut Draft::default()).expect("nothing is wrong with it")
}

#[test]
fn an_empty_root() {
    let mut fs = FileSystem::new(Base::Empty, Root::ReadOnly);
    fs.mounts = vec![Mount::bind("/usr", "/usr")];
    fs.files = vec![File::new("/etc/hosts", "x\n", 0o644)];
    fs.links = vec![Link::new("/bin", "usr/bin")];
    let steps = prepared(&fs, &Situation::privileged());
    assert_eq!(
        lines(&steps.launcher),
        [
            r#"open_tree(plan:0, "", OPEN_TREE_CLONE|AT_RECURSIVE) = %5"#,
            r#"mount_setattr(%5, "", AT_EMPTY_PATH|AT_RECURSIVE, {set=RDONLY|NOSUID|NODEV propagation=MS_PRIVATE}, 32)"#,
        ]
    );
    assert_eq!(
        lines(&steps.open),
        [
            r#"mount_setattr(AT_FDCWD, "/", 0|AT_RECURSIVE, {propagation=MS_PRIVATE}, 32)"#,
            "umask(0o0) = %1",
        ]
    );
    assert_eq!(
        lines(&steps.build),
        [
            r#"fsopen("tmpfs", FSOPEN_CLOEXEC) = %3"#,
            r#"fsconfig(%3, SET_STRING, "size", "1056768", 0)"#,
            r#"fsconfig(%3, SET_STRING, "mode", "0755", 0)"#,
            "fsconfig(%3, CMD_CREATE, NULL, NULL, 0)",
            "fsmount(%3, FSMOUNT_CLOEXEC, NOSUID|NODEV) = %4",
            "close(%3)",
            r#"move_mount(%4, "", AT_FDCWD, "/", F_EMPTY_PATH)"#,
            r#"unlinkat(%4, "bin", 0)"#,
            r#"symlinkat("usr/bin", %4, "bin")"#,
            r#"target(%4, "/etc", 0o40755, 0755) = %3"#,
            r#"unlinkat(%3, "hosts", 0)"#,
            r#"write(%3, "hosts", O_CREAT|O_EXCL, 0o644, "x\n", 2)"#,
            "close(%3)",
            r#"target(%4, "/usr", 0o40755, 0755) = %3"#,
            r#"move_mount(%5, "", %3, "", F_EMPTY_PATH|T_EMPTY_PATH)"#,
            "close(%3)",
            "close(%5)",
        ]
    );
    assert_eq!(
        lines(&steps.enter),
        ["fchdir(%4)", r#"pivot_root(".", ".")"#, r#"umount2(".", MNT_DETACH)"#]
    );
    assert_eq!(
        lines(&steps.seal),
        [r#"mount_setattr(%4, "", AT_EMPTY_PATH, {set=RDONLY}, 32)"#, "umask(%1)"]
    );
}

#[test]
fn an_ordinary_user_opens_by_path_and_compares() {
    let mut fs = FileSystem::new(Base::Empty, Root::ReadOnly);
    fs.mounts = vec![Mount::bind("/usr", "/usr")];
    let steps = prepared(&fs, &Situation::unprivileged());
    assert_eq!(steps.launcher, []);
    let names: Vec<_> = steps.open.iter().map(Step::name).collect();
    assert_eq!(
        names,
        ["mount_setattr", "umask", "openat2", "verify", "open_tree", "close", "mount_setattr"]
    );
}

#[test]
fn nothing_is_staged_without_need() {
    let mut fs = FileSystem::new(Base::Directory("/usr".into()), Root::ReadOnly);
    let steps = prepared(&fs, &Situation::privileged());
    assert!(!steps.build.iter().any(|step| step.name() == "fsopen"));
    assert_eq!(steps.enter.len(), 3);
    // What is missing in a directory that must not change needs an overlay.
    fs.mounts.push(Mount::tmpfs("/not/there", 4096));
    let steps = prepared(&fs, &Situation::privileged());
    let shown = lines(&steps.build).join("\n");
    assert!(shown.contains(r#"fsopen("overlay""#) && shown.contains(r#""lowerdir", "l1""#));
    assert!(!shown.contains("userxattr"));
    assert_eq!(steps.enter.len(), 3);
    assert!(lines(&steps.seal)[0].contains("{set=RDONLY}"));
}

#[test]
fn the_host_is_left_in_time() {
    let mut fs = FileSystem::new(Base::Empty, Root::ReadOnly);
    fs.propagation = Propagation::Shared;
    fs.mounts = vec![Mount::bind("/usr", "/usr")];
    let steps = prepared(&fs, &Situation::privileged());
    assert!(lines(&steps.open)[0].contains("MS_SLAVE"));
    assert!(lines(&steps.launcher)[1].contains("MS_SLAVE"), "not in the host's peer group");
    assert!(lines(&steps.seal)[1].contains("MS_SHARED"), "after the old root is gone");
}

fn problems(fs: &FileSystem, situation: &Situation) -> Vec<ErrorKind> {
    let error = prepare(fs, situation, &mut Draft::default()).expect_err("something is wrong");
    assert_eq!(error.problems().next().map(|first| first.kind()), Some(error.kind()));
    assert!(std::io::Error::from(error.clone()).to_string() == error.to_string());
    error.problems().map(|problem| problem.kind()).collect()
}

#[test]
fn what_the_host_does_not_have() {
    let mut fs = FileSystem::new(Base::Directory("/etc".into()), Root::ReadOnly);
    fs.mounts = vec![
        Mount::bind("/etc/passwd/x", "/etc"),
        Mount::tmpfs("/passwd/x", 1),
        Mount::bind("/usr", "/usr"),
    ];
    fs.links = vec![Link::new("/usr/link", "x")];
    fs.files = vec![File::new("/usr/not/there", "", 0o644)];
    assert_eq!(
        problems(&fs, &Situation::privileged()),
        [
            ErrorKind::SourceUnusable,
            ErrorKind::TargetUnusable,
            ErrorKind::TargetMissing,
            ErrorKind::LinkOnMount
        ]
    );
    for (base, kind) in [
        ("relative", ErrorKind::SourceNotAbsolute),
        ("/missing", ErrorKind::SourceMissing),
        ("/etc/passwd", ErrorKind::RootNotDirectory),
        ("/a\0b", ErrorKind::NulByte),
    ] {
        for root in [Root::ReadOnly, Root::Ephemeral { size: 1 }] {
            let fs = FileSystem::new(Base::Directory(base.into()), root);
            assert_eq!(problems(&fs, &Situation::privileged()), [kind]);
        }
    }
}

#[test]
fn an_error_leaves_nothing_behind() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let upper = dir.path().join("upper");
    let mut fs = FileSystem::new(Base::Directory("/etc".into()), Root::Persistent(upper.clone()));
    fs.masked = vec!["/passwd".into(), "/not/there".into()];
    fs.mounts = vec![Mount::bind("/missing", "/x")];
    assert_eq!(problems(&fs, &Situation::privileged()), [ErrorKind::SourceMissing]);
    assert!(!upper.exists());
    fs.mounts.clear();
    let steps = prepared(&fs, &Situation::privileged());
    assert!(upper.is_dir() && dir.path().join("upper.work").is_dir());
    // The one that is there is masked, on the base's word: the upper layer is new.
    assert_eq!(lines(&steps.build).iter().filter(|line| line.contains("\"/passwd\"")).count(), 1);
}

#[test]
fn message_queues_of_the_host() {
    let mut fs = FileSystem::new(Base::Empty, Root::ReadOnly);
    fs.mounts = vec![Mount::new("/q", MountKind::Mqueue, MountFlags::DATA)];
    let shared = Situation { ipc_namespace: Namespace::Shared, ..Situation::unprivileged() };
    if std::path::Path::new("/dev/mqueue").exists() {
        assert_eq!(prepared(&fs, &shared).substitutions.len(), 1);
    } else {
        assert_eq!(problems(&fs, &shared), [ErrorKind::MqueueUnavailable]);
    }
}

#[test]
fn the_callers_own_root_is_not_written_to() {
    let mut fs = FileSystem::new(Base::Keep, Root::InPlace);
    fs.mounts = vec![Mount::tmpfs("/ampoule-not-there", 1)];
    fs.files = vec![File::new("/ampoule-not-here", "", 0o644)];
    fs.links = vec![Link::new("/ampoule-link", "x")];
    let situation = Situation::privileged();
    assert_eq!(
        problems(&fs, &situation),
        [ErrorKind::TargetMissing, ErrorKind::TargetMissing, ErrorKind::LinkOnMount]
    );
}

#[test]
fn a_mount_label_is_on_all_that_has_no_labels_of_its_own() {
    let mut fs = FileSystem::new(Base::Directory("/usr".into()), Root::Ephemeral { size: 1 << 20 });
    fs.mounts = vec![Mount::proc(), Mount::sysfs(), Mount::dev(), Mount::tmpfs("/tmp", 4096)];
    let labels = |situation: &Situation| {
        let steps = prepared(&fs, situation);
        let all = lines(&[steps.launcher, steps.build].concat());
        let made = all.iter().filter(|line| line.starts_with("fsopen"));
        let labelled = r#"SET_STRING, "context", {mount label}, 0)"#;
        let next: Vec<bool> = all.windows(2).map(|pair| pair[1].ends_with(labelled)).collect();
        let opened = all.iter().enumerate().filter(|(_, line)| line.starts_with("fsopen"));
        let kinds: Vec<String> = opened
            .filter(|(index, _)| next[*index])
            .map(|(_, line)| line.split('"').nth(1).unwrap_or_default().to_owned())
            .collect();
        (kinds, made.count(), all.iter().filter(|line| line.ends_with(labelled)).count())
    };
    let label =
        Situation { mount_label: Some(MountLabel::Parameter(3)), ..Situation::privileged() };
    let (kinds, made, all) = labels(&label);
    // The staging directory, the root, /dev, its terminals and shared memory, /tmp; what is masked.
    assert!(kinds.len() >= 6 && all == kinds.len(), "{kinds:?}");
    let others = 3;
    assert_eq!(made, kinds.len() + others, "all but proc, sysfs and mqueue: {kinds:?}");
    assert_eq!(labels(&Situation::privileged()).2, 0);
    // Nodes that the launcher makes are in a labelled file system, too.
    let root_ids = Some((1000, 1000));
    let user_namespace = ampoule_overlay::UserNamespace::New;
    let mapped = Situation { root_ids, user_namespace, ..label };
    let (_, _, all) = labels(&mapped);
    assert!(all >= 6);
}

#[test]
fn an_exact_mount_label_is_on_all_that_takes_one() {
    let mut fs = FileSystem::new(Base::Directory("/usr".into()), Root::InPlace);
    let other = MountKind::FileSystem { name: "ramfs".to_owned(), source: None };
    fs.mounts = vec![
        Mount::new("/ram", other, MountFlags::empty()),
        Mount::new("/mqueue", MountKind::Mqueue, MountFlags::empty()),
        Mount::proc(),
        Mount { data: vec!["context=mine".to_owned()], ..Mount::tmpfs("/tmp", 4096) },
    ];
    let label = Some(MountLabel::Exact("a:b:c:s0".to_owned()));
    let all =
        lines(&prepared(&fs, &Situation { mount_label: label, ..Situation::privileged() }).build);
    let labelled = all.iter().filter(|line| line.contains(r#""context", "a:b:c:s0""#)).count();
    let opened =
        |kind: &str| all.iter().position(|line| line.starts_with(&format!("fsopen({kind:?}")));
    let ram = opened("ramfs").expect("a ramfs");
    assert!(all[ram + 1].ends_with(r#"SET_STRING, "context", "a:b:c:s0", 0)"#), "{all:#?}");
    assert_eq!(labelled, 1, "{all:#?}");
    let queues = opened("mqueue").expect("message queues");
    let set = all.iter().position(|line| line.starts_with("fsetxattr(")).expect("an attribute");
    assert!(set > queues && all[set].contains(r#""security.selinux", 9 bytes"#), "{all:#?}");
}
