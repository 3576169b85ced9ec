//! Unpacking as an ordinary user, who cannot pass over permissions.

mod layers;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Mutex;

use ampoule_image::ErrorKind;
use ampoule_image::unpack::{Unpack, Whiteouts};

use layers::scene::{Scene, kind, unprivileged};
use layers::tree::names;
use layers::{Archive, Entry};

/// Runs a test of this binary again as an ordinary user; true in that process.
fn as_ordinary_user(test: &str) -> bool {
    static COPYING: Mutex<()> = Mutex::new(());
    if !rustix::process::getuid().is_root() {
        return true;
    }
    let place = tempfile::tempdir().expect("a directory");
    fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).expect("mode");
    let binary = place.path().join("test");
    let mut child = Command::new("setpriv");
    child.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&binary);
    child.args(["--exact", test, "--nocapture"]).env_remove("TMPDIR");
    // A child of another thread must not inherit the file while it is written.
    let copying = COPYING.lock();
    fs::copy(std::env::current_exe().expect("own program"), &binary).expect("a copy");
    let mut child = child.spawn().expect("setpriv");
    drop(copying);
    assert!(child.wait().expect("setpriv").success());
    false
}

fn directory(name: &str, mode: u32) -> Archive {
    Archive::new().entry(&Entry { kind: b'5', name: name.as_bytes(), mode, ..Entry::default() })
}

fn concat(archives: &[Archive]) -> Vec<u8> {
    archives
        .iter()
        .fold(Archive::new(), |all, next| Archive([all.0, next.0.clone()].concat()))
        .end()
}

fn mode(scene: &Scene, name: &str) -> u32 {
    let path = scene.root().join(name);
    fs::metadata(path).expect("a file").permissions().mode() & 0o7777
}

#[test]
fn directories_without_permissions() {
    if !as_ordinary_user("directories_without_permissions") {
        return;
    }
    let scene = Scene::new();
    let mut layer = vec![directory("a", 0o555), directory("a/b", 0o111)];
    // More directories than are kept open.
    layer.extend((0..100).map(|at| directory(&format!("many{at}"), 0)));
    layer.extend((0..100).map(|at| Archive::new().file(format!("many{at}/f"), "")));
    layer.push(Archive::new().file("a/b/c", "content").file("a/gone", ""));
    scene.unpack(&unprivileged(), &concat(&layer)).expect("a layer");
    assert_eq!((mode(&scene, "a"), mode(&scene, "a/b")), (0o555, 0o111));
    assert!((0..100).all(|at| mode(&scene, &format!("many{at}")) == 0));
    let second = Archive::new().file("a/new", "").file("a/.wh.gone", "").file("many7", "a file");
    let second = second.file("many8/.wh..wh..opq", "").file("many8/g", "").file(".wh.many9", "");
    scene.unpack(&unprivileged(), &second.end()).expect("a layer");
    assert_eq!((mode(&scene, "a"), mode(&scene, "many8")), (0o555, 0));
    assert!(scene.root().join("many7").is_file() && !scene.root().join("many9").exists());
    fs::set_permissions(scene.root().join("a/b"), PermissionsExt::from_mode(0o755)).expect("mode");
    let rest = (0..100).filter(|at| ![7, 9].contains(at));
    for at in rest {
        let path = scene.root().join(format!("many{at}"));
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("mode");
    }
    let found = names(&scene.tree());
    assert!(found.contains(&"a/new".to_owned()) && !found.contains(&"a/gone".to_owned()));
    assert!(found.contains(&"many8/g".to_owned()) && !found.contains(&"many8/f".to_owned()));
    fs::set_permissions(scene.root().join("a"), PermissionsExt::from_mode(0o755)).expect("mode");
}

#[test]
fn whiteouts_for_an_overlay_of_a_user() {
    if !as_ordinary_user("whiteouts_for_an_overlay_of_a_user") {
        return;
    }
    let scene = Scene::new();
    let mut options = unprivileged();
    options.whiteouts = Whiteouts::User;
    let layer = Archive::new().file(".wh.a", "").file("d/.wh..wh..opq", "").kind(b'6', "fifo");
    let device = Entry { kind: b'3', name: b"null", device: (1, 3), ..Entry::default() };
    scene.unpack(&options, &layer.entry(&device).end()).expect("a layer");
    let tree = scene.tree();
    assert_eq!((tree[b"a".as_slice()].mode, tree[b"a".as_slice()].device), (0o020_000, 0));
    assert_eq!(tree[b"d".as_slice()].attributes[b"user.overlay.opaque".as_slice()], b"y");
    let stands_for =
        &tree[b"null".as_slice()].attributes[b"user.containers.override_stat".as_slice()];
    assert_eq!(stands_for, b"0:0:0644:char-1-3");
}

#[test]
fn real_owners_need_privilege() {
    if !as_ordinary_user("real_owners_need_privilege") {
        return;
    }
    let scene = Scene::new();
    let layer = Archive::new().file("f", "").end();
    assert_eq!(kind(&scene.unpack(&Unpack::default(), &layer)), Some(ErrorKind::Denied));
}
