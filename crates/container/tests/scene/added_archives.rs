//! ADD of an archive over files that belong to many.
//!
//! Kernel objects: as in [`super::owned_images`]. Invariant: what an archive says nothing about keeps its owner and its
//! permissions.

use std::fs;

use ampoule::image::build::Build;
use ampoule::image::containerfile::{Containerfile, RunNetwork};
use ampoule::image::{Image, NewImage, Store};
use ampoule::{Container, ContainerWorkshop};
use tar::{EntryType, Header};

use super::images::{name, stocked};
use super::owned_images::{Owned, layer};
use super::printed;
use crate::oracle::fixture::{self, Rootfs};

/// The base has `/srv/closed` (0:0, mode 0), `/srv/secret` (33:33, 0700) with `inner` (1000:42, 2700), `/srv/last`
/// (65535:65535, 1777) and `/srv/file` (1000:42), and this in `/srv/last`.
const FILE: &str = "\
FROM localhost/owned:1
COPY --chown=33:33 --chmod=700 deep /srv/last/deep
ADD archive.tar /srv
ADD rooted.tar /srv/closed
";

const LOOK: &str = "cd /srv && stat -c '%n %u:%g %a' . closed closed/file closed/new closed/sub closed/sub/new secret \
    secret/file secret/inner secret/inner/file secret/inner/new last file linked secret/made secret/made/new; cat last";

const SEEN: &str = "\
. 33:33 755
closed 1000:42 2710
closed/file 33:0 0
closed/new 33:42 640
closed/sub 0:0 0
closed/sub/new 0:0 644
secret 33:33 700
secret/file 42:42 400
secret/inner 33:33 710
secret/inner/file 1000:42 400
secret/inner/new 65535:0 4755
last 33:42 644
file 1000:42 644
linked 1000:42 644
secret/made 0:0 755
secret/made/new 0:0 600
last
";

/// A kind, a path, an owner, a mode and where a link leads.
type Entry<'a> = (EntryType, &'a str, (u64, u64), u32, &'a str);

fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (kind, path, (uid, gid), mode, target) in entries {
        let mut header = Header::new_ustar();
        header.set_entry_type(*kind);
        header.set_uid(*uid);
        header.set_gid(*gid);
        header.set_mode(*mode);
        let text = format!("{path}\n");
        match kind {
            EntryType::Regular => {
                header.set_size(text.len() as u64);
                tar.append_data(&mut header, path, text.as_bytes()).expect("a member");
            }
            EntryType::Link => tar.append_link(&mut header, path, target).expect("a member"),
            _ => tar.append_data(&mut header, path, std::io::empty()).expect("a member"),
        }
    }
    tar.into_inner().expect("a tar file")
}

fn context() -> Rootfs {
    use EntryType::{Directory, Link, Regular};
    let context = fixture::empty_rootfs().with_file("deep/er/file", "old\n", 0o600);
    let over = archive(&[
        (Regular, "closed/new", (33, 42), 0o640, ""),
        (Directory, "closed/sub/", (0, 0), 0, ""),
        (Regular, "closed/sub/new", (0, 0), 0o644, ""),
        (Regular, "secret/file", (42, 42), 0o400, ""),
        (Regular, "secret/inner/new", (65535, 0), 0o4755, ""),
        // After a file in it, and without one for its parent.
        (Directory, "secret/inner/", (33, 33), 0o710, ""),
        (Regular, "secret/made/new", (0, 0), 0o600, ""),
        // In the place of a directory with those of others in it.
        (Regular, "last", (33, 42), 0o644, ""),
        (Link, "linked", (0, 0), 0o600, "file"),
    ]);
    fs::write(context.path().join("archive.tar"), over).expect("written");
    // The directory that it is unpacked into.
    let rooted = archive(&[(Directory, "./", (1000, 42), 0o2710, "")]);
    fs::write(context.path().join("rooted.tar"), rooted).expect("written");
    context
}

fn built(store: &Store, context: &Rootfs) -> Image {
    let file = Containerfile::parse(FILE).expect("it parses");
    let workshop = ContainerWorkshop::new();
    let build = Build::new(store, &workshop).context(context.path()).network(RunNetwork::None);
    build.run(&file, &name("localhost/added:1")).unwrap_or_else(|error| panic!("{error}"))
}

fn shown(image: &Image) -> String {
    let command = Container::from_image(image).user("0".parse().expect("a user"));
    printed(command.command("/bin/sh").args(["-c", LOOK]).output().expect("it runs"))
}

/// An ordinary user with ranges of ids.
pub(crate) fn an_archive_lands_on_directories_of_others() {
    let (owned, context) = (Owned::new(), context());
    let image = built(&owned.store, &context);
    assert_eq!(shown(&image), SEEN);
    assert_eq!(owned.store.verify().expect("looked at").problems, []);
    let left = fs::read_dir(owned.store.path().join("pending")).expect("pending").count();
    assert_eq!(left, 0, "nothing is left behind");
}

/// Root gives away files at once: the same comes of it.
pub(crate) fn an_archive_of_roots_build_gives_the_same() {
    let (stocked, context) = (stocked(|_| {}), context());
    let target = name("localhost/owned:1");
    let new = NewImage::on(&stocked.image, &target);
    stocked.store.import(&new, layer().as_slice()).expect("an image");
    let image = built(&stocked.store, &context);
    // The owners are the host's ids there.
    let command = Container::from_image(&image).share(ampoule::Namespace::User);
    let seen = command.command("/bin/sh").args(["-c", LOOK]).output().expect("it runs");
    assert_eq!(printed(seen), SEEN);
}
