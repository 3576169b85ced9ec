//! The tree after unpacking an image equals umoci's, attribute by attribute.

mod layers;

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

use ampoule_image::unpack::{AttributeFilter, Unpack, Whiteouts};

use layers::tree::{Tree, names, tree};
use layers::{Archive, Entry};

/// Makes an image of these layers, and unpacks it with umoci.
fn by_umoci(place: &Path, layers: &[Vec<u8>]) -> Tree {
    let mut script = "umoci init --layout L; umoci new --image L:x".to_owned();
    for (at, layer) in layers.iter().enumerate() {
        fs::write(place.join(format!("{at}.tar")), layer).expect("a file");
        script += &format!("; umoci raw add-layer --image L:x {at}.tar");
    }
    script += "; umoci raw unpack --image L:x theirs";
    let output = Command::new("sh").args(["-ec", &script]).current_dir(place).output().expect("sh");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    tree(&place.join("theirs"))
}

fn by_us(place: &Path, layers: &[Vec<u8>]) -> Tree {
    let ours = place.join("ours");
    fs::create_dir(&ours).expect("a directory");
    let mut options = Unpack::default();
    options.whiteouts = Whiteouts::Applied;
    options.attributes = AttributeFilter::new(["user.", "security.capability", "trusted."]);
    for layer in layers {
        let root = File::open(&ours).expect("the root");
        options.apply(layer.as_slice(), root.as_fd()).expect("a layer");
    }
    tree(&ours)
}

/// Everything that images have, in layers that change each other.
fn image() -> Vec<Vec<u8>> {
    let member = |kind, name: &'static str| Entry {
        kind,
        name: name.as_bytes(),
        mode: 0o6754,
        ids: (1234, 70_000),
        mtime: 1_111_111_111,
        device: (5, 300),
        link: b"../target",
        ..Entry::default()
    };
    let attributes =
        [("SCHILY.xattr.user.a", "v"), ("SCHILY.xattr.trusted.b", "w"), ("mtime", "1234567890.5")];
    let long = format!("etc/{}", "n".repeat(180));
    let base = Archive::new()
        .entry(&Entry { mode: 0o755, ..member(b'5', "./") })
        .dir("etc")
        .dir("var")
        .dir("var/lib")
        .dir("var/lib/gone")
        .file("etc/passwd", "root")
        .file("etc/old", "old")
        .file(&long, "long")
        .pax(&attributes)
        .entry(&Entry { data: b"setuid", ..member(b'0', "etc/suid") })
        .link("etc/hard", "etc/passwd")
        .entry(&member(b'2', "etc/symlink"))
        .entry(&member(b'3', "etc/char"))
        .entry(&member(b'4', "etc/block"))
        .entry(&member(b'6', "etc/fifo"))
        .file("var/lib/gone/a", "")
        .file("var/lib/gone/b", "")
        .dir("flip")
        .file("flip/x", "")
        .file("flop", "")
        .symlink("flap", "etc")
        .end();
    let second = Archive::new()
        .dir("etc")
        .file("etc/.wh.old", "")
        .file("etc/passwd", "changed")
        .dir("var/lib/gone")
        .file("var/lib/gone/.wh..wh..opq", "")
        .file("var/lib/gone/new", "")
        .file("flip", "now a file")
        .dir("flop")
        .file("flop/x", "now a directory")
        .entry(&Entry { mode: 0o1777, ..member(b'5', "flap") })
        .end();
    let third = Archive::new()
        .file("etc/.wh.char", "")
        .link("var/again", "etc/passwd")
        .file("etc/passwd", "third")
        .pax(&[("SCHILY.xattr.user.c", "c")])
        .dir("var/lib")
        .file(".wh.flop", "")
        .end();
    vec![base, second, third]
}

#[test]
fn the_same_tree_as_umoci() {
    let place = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let layers = image();
    let (ours, theirs) = (by_us(place.path(), &layers), by_umoci(place.path(), &layers));
    assert!(ours.len() > 15, "{:?}", names(&ours));
    assert_eq!(names(&ours), names(&theirs));
    for (name, node) in &ours {
        let name_text = String::from_utf8_lossy(name);
        assert_eq!(Some(node), theirs.get(name), "{name_text}");
    }
}
