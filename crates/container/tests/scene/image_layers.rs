//! Layers of builds and commits, member by member.
//!
//! Kernel objects: a store of the test's own; those of the containers. Invariant: a layer holds what was changed, and
//! nothing that was only there to run a program.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Command, Stdio};

use ampoule::image::build::Build;
use ampoule::image::containerfile::Containerfile;
use ampoule::image::diff::Diff;
use ampoule::image::unpack::Unpack;
use ampoule::image::{Compression, Image, NewImage, Store};
use ampoule::{Container, ContainerWorkshop};

use super::images::{Stocked, name, stocked};
use super::printed;

/// The members of an image's uppermost layer, with mode and owner as tar(1) writes them.
pub(crate) fn members(store: &Store, image: &Image) -> BTreeMap<String, String> {
    let layer = image.manifest().layers.last().expect("a layer");
    let mut bytes = Vec::new();
    let read = store.blob(&layer.digest).expect("the blob").read_to_end(&mut bytes);
    read.expect("its bytes");
    let flags = match layer.media_type.compression() {
        Some(Compression::Gzip) => "-tvz",
        _ => "-tv",
    };
    let mut tar = Command::new("tar");
    let tar = tar.args([flags, "--numeric-owner", "-f", "-"]);
    let mut child = tar.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("tar");
    std::io::Write::write_all(&mut child.stdin.take().expect("stdin"), &bytes).expect("written");
    let listed = child.wait_with_output().expect("tar");
    assert!(listed.status.success());
    let text = String::from_utf8(listed.stdout).expect("text");
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        (words[5].to_owned(), format!("{} {}", words[0], words[1]))
    };
    text.lines().map(line).collect()
}

fn build(stocked: &Stocked, text: &str) -> Image {
    let file = Containerfile::parse(text).expect("it parses");
    let workshop = ContainerWorkshop::new();
    let mut diff = Diff::suited();
    diff.compression = Compression::Uncompressed;
    let unpack = Unpack::suited();
    let build = Build::new(&stocked.store, &workshop).layers(&unpack, diff);
    build.run(&file, &name("localhost/built:1")).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn names(members: &BTreeMap<String, String>) -> Vec<&str> {
    members.keys().map(String::as_str).collect()
}

/// With the host's network, which mounts two files in `/etc`.
pub(crate) fn mount_points_are_no_part_of_a_layer() {
    let stocked = stocked(|_| {});
    let image = build(&stocked, "FROM localhost/base:1\nRUN touch /new");
    assert_eq!(names(&members(&stocked.store, &image)), ["new"]);
    let image = build(&stocked, "FROM localhost/base:1\nRUN true");
    assert_eq!(image.manifest().layers.len(), 1, "nothing was changed");
    // A directory that is itself made for it.
    let image =
        build(&stocked, "FROM localhost/base:1\nRUN --network=none rm -r /etc\nRUN touch /new");
    assert_eq!(names(&members(&stocked.store, &image)), ["new"]);
}

pub(crate) fn what_a_program_makes_at_a_mount_point_is() {
    let stocked = stocked(|_| {});
    let image = build(&stocked, "FROM localhost/base:1\nRUN chmod 700 /etc");
    assert_eq!(members(&stocked.store, &image)["etc"], "drwx------ 0/0");
    let image = build(&stocked, "FROM localhost/base:1\nRUN touch /etc/new");
    assert_eq!(names(&members(&stocked.store, &image)), ["etc", "etc/new"]);
    let text = "FROM localhost/base:1\nRUN --network=none touch /etc/hosts";
    let image = build(&stocked, text);
    assert_eq!(names(&members(&stocked.store, &image)), ["etc", "etc/hosts"]);
}

/// Runs a script in a container of the image, and makes an image of what it changed.
fn committed(stocked: &Stocked, image: &Image, script: &str, target: &str) -> Image {
    let command = Container::from_image(image).command("/bin/sh").args(["-c", script]);
    let mut container = command.spawn().expect("it starts");
    assert!(container.wait().expect("it ends").success());
    let target = name(target);
    let made = container.commit(&stocked.store, &NewImage::on(image, &target)).expect("an image");
    stocked.store.unpack(&made, &Unpack::suited(), &()).expect("unpacked");
    made
}

fn root_mode(image: &Image) -> String {
    let command = Container::from_image(image).command("/bin/sh").args(["-c", "stat -c %a /"]);
    printed(command.output().expect("it runs"))
}

pub(crate) fn the_mode_of_the_root_is_kept() {
    let stocked = stocked(|_| {});
    let plain = committed(&stocked, &stocked.image, "touch /a", "localhost/one:1");
    assert_eq!(names(&members(&stocked.store, &plain)), ["a"], "nothing about the root");
    let narrow = committed(&stocked, &plain, "chmod 711 /", "localhost/two:1");
    let root = members(&stocked.store, &narrow);
    assert_eq!(root.into_iter().collect::<Vec<_>>(), [(".".into(), "drwx--x--x 0/0".into())]);
    assert_eq!(root_mode(&narrow), "711\n");
    // A layer on top of it that has nothing to do with the root.
    let above = committed(&stocked, &narrow, "touch /b", "localhost/three:1");
    assert_eq!(names(&members(&stocked.store, &above)), [".", "b"]);
    assert_eq!(root_mode(&above), "711\n");
    let back = committed(&stocked, &above, "chmod 755 /", "localhost/four:1");
    assert_eq!(members(&stocked.store, &back)["."], "drwxr-xr-x 0/0");
    assert_eq!(root_mode(&back), "755\n");
}

pub(crate) fn a_build_keeps_the_mode_of_the_root() {
    let stocked = stocked(|_| {});
    let image = build(&stocked, "FROM localhost/base:1\nRUN chmod 711 /");
    assert_eq!(names(&members(&stocked.store, &image)), ["."]);
    let text = "FROM localhost/base:1\nRUN chmod 711 /\nRUN touch /new\nWORKDIR /srv/made";
    let image = build(&stocked, text);
    assert_eq!(root_mode(&image), "711\n");
}
