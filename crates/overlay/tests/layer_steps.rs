//! The steps of roots of several layers, as they are printed: nothing is run.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod layers;

use std::fs;
use std::os::unix::fs::symlink;

use ampoule_init::{Draft, Step};
use ampoule_overlay::{
    Base, ErrorKind, FileSystem, Kernel, MountLabel, Prepared, Root, Situation, prepare,
};
use layers::Layers;

fn base(layers: &Layers) -> Base {
    Base::Layers((0..layers.count).map(|number| layers.layer(number)).collect())
}

fn prepared(fs: &FileSystem, situation: &Situation) -> Prepared {
    prepare(fs, situation, &mut Draft::default()).unwrap()
}

/// The steps with this word, without their slots.
fn with(steps: &[Step], word: &str) -> Vec<String> {
    let lines = steps.iter().map(ToString::to_string);
    lines.filter(|line| line.contains(word)).collect()
}

#[test]
fn how_the_kernel_is_told() {
    let layers = Layers::new(&[&[] as &[_]; 3]);
    let fs = FileSystem::new(base(&layers), Root::Ephemeral { size: 1 << 20 });
    let on =
        |major, minor| Situation { kernel: Kernel::new(major, minor), ..Situation::unprivileged() };
    let steps = prepared(&fs, &on(6, 15));
    assert_eq!(with(&steps.open, "verify(").len(), 3);
    assert_eq!(with(&steps.build, "SET_FD, \"lowerdir+\"").len(), 3);
    assert!(with(&steps.build, "upperdir")[0].ends_with(r#""upperdir", "u1", 0)"#));
    let steps = prepared(&fs, &on(6, 14));
    assert_eq!(with(&steps.build, "SET_FD").len(), 0);
    assert!(with(&steps.build, "lowerdir")[0].contains(r#""lowerdir", "l1:l2:l3""#));

    let many = Layers::new(&[&[] as &[_]; 70]);
    let fs = FileSystem::new(base(&many), Root::ReadOnly);
    let steps = prepared(&fs, &on(6, 8));
    assert_eq!(with(&steps.build, "SET_STRING, \"lowerdir+\"").len(), 70);
    let steps = prepared(&fs, &on(6, 7));
    assert_eq!(with(&steps.build, "CMD_CREATE").len(), 1, "the staging tmpfs");
    let page = with(&steps.build, "mount(\"overlay\"");
    assert!(page[0].contains("lowerdir=l1:l2:") && page[0].contains(":l70,userxattr"), "{page:?}");
    // The label of a mount is the launch's, and a page is the plan's.
    let label = Situation { mount_label: Some(MountLabel::Parameter(1)), ..on(6, 7) };
    let error = prepare(&fs, &label, &mut Draft::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LabelUnavailable);
    let label = Situation { mount_label: Some(MountLabel::Parameter(1)), ..on(6, 8) };
    assert_eq!(with(&prepared(&fs, &label).build, "{mount label}").len(), 2);
    // What the plan keeps open does not grow with the layers.
    let mut draft = Draft::default();
    let steps = prepare(&fs, &Situation::privileged(), &mut draft).unwrap();
    assert_eq!(with(&steps.launcher, "open_tree(plan:").len(), 0);
    assert_eq!(with(&steps.launcher, "verify(").len(), 70);
    assert_eq!(with(&steps.build, "redirect_dir").len(), 1);
}

#[test]
fn a_read_only_root_of_layers() {
    let layers = Layers::new(&[&[("etc/motd", "")], &[("etc/passwd", ""), ("data/", "")]]);
    let mut fs = FileSystem::new(base(&layers), Root::ReadOnly);
    fs.mounts = vec![ampoule_overlay::Mount::tmpfs("/data", 1)];
    let steps = prepared(&fs, &Situation::privileged());
    assert_eq!(with(&steps.build, "upperdir").len(), 0, "everything is there");
    assert_eq!(with(&steps.seal, "RDONLY").len(), 1);
    fs.mounts = vec![ampoule_overlay::Mount::tmpfs("/new", 1)];
    let steps = prepared(&fs, &Situation::privileged());
    assert_eq!(with(&steps.build, "upperdir").len(), 1, "a target must be made");
    assert_eq!(with(&steps.seal, "RDONLY").len(), 1);
    assert!(steps.upper.is_none(), "nothing of it is the payload's");
}

#[test]
fn a_path_is_looked_for_in_all_layers() {
    let layers = Layers::new(&[
        &[("hidden/new", ""), ("etc/", "")],
        &[("hidden/old", ""), ("secret/shadow", ""), ("gone", "")],
    ]);
    symlink("../../../secret/shadow", layers.layer(0).join("etc/shadow")).unwrap();
    symlink("/etc", layers.layer(1).join("conf")).unwrap();
    let (none, mode) = (rustix::fs::XattrFlags::empty(), rustix::fs::Mode::empty());
    let hidden = layers.layer(0).join("hidden");
    rustix::fs::setxattr(hidden, "user.overlay.opaque", b"y", none).unwrap();
    let gone = layers.layer(0).join("gone");
    let kind = rustix::fs::FileType::CharacterDevice;
    rustix::fs::mknodat(rustix::fs::CWD, gone, kind, mode, 0).unwrap();
    let mut fs = FileSystem::new(base(&layers), Root::Ephemeral { size: 1 << 20 });
    for (path, in_namespace, on_host) in [
        ("/etc/shadow", true, true),
        ("/conf/shadow", true, true),
        ("/hidden/new", true, true),
        // As root on the host the attributes are others.
        ("/hidden/old", false, true),
        ("/gone", false, false),
        ("/etc/missing", false, false),
    ] {
        fs.masked = vec![path.into()];
        let is_masked = |situation| !with(&prepared(&fs, &situation).build, path).is_empty();
        assert_eq!(is_masked(Situation::unprivileged()), in_namespace, "{path}");
        assert_eq!(is_masked(Situation::privileged()), on_host, "{path}");
    }
    symlink("loop", layers.layer(0).join("loop")).unwrap();
    fs.masked = vec!["/loop".into()];
    let error = prepare(&fs, &Situation::privileged(), &mut Draft::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TargetUnusable);
}

#[test]
fn what_cannot_be() {
    let layers = Layers::new(&[&[] as &[_]; 2]);
    let kind = |base, root| {
        let fs = FileSystem::new(base, root);
        prepare(&fs, &Situation::privileged(), &mut Draft::default()).unwrap_err().kind()
    };
    assert_eq!(kind(Base::Layers(vec![]), Root::ReadOnly), ErrorKind::TooFewLayers);
    assert_eq!(kind(base(&layers), Root::InPlace), ErrorKind::RootNotSupported);
    let many = Base::Layers(vec![layers.layer(0); 501]);
    assert_eq!(kind(many, Root::ReadOnly), ErrorKind::TooManyLayers);
    let one = Base::Layers(vec![layers.layer(0)]);
    let one = FileSystem::new(one, Root::InPlace);
    let same = FileSystem::new(Base::Directory(layers.layer(0)), Root::InPlace);
    let lines = |fs: &FileSystem| with(&prepared(fs, &Situation::privileged()).build, "");
    assert_eq!(lines(&one), lines(&same));
    fs::remove_dir_all(layers.dir.path()).unwrap();
}
