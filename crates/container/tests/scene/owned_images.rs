//! A store whose files belong to whom the images say, without being root.
//!
//! Kernel objects: a store of the test's own, a user namespace with the caller's ranges; those of the containers. Invariant:
//! the store is collected in the end, so that no file stays that the caller could not remove.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use ampoule::image::diff::OwnerRange;
use ampoule::image::store::{Patience, Unpacker};
use ampoule::image::unpack::Unpack;
use ampoule::image::{
    Configuration, ErrorKind as ImageError, Image, MappedIds, NewImage, Platform, Store,
};
use ampoule::{Builder, Container, IdMap, IdRange, Owners, Root, User};
use ampoule_ns::prepared::id_maps::Writer;
use tar::{EntryType, Header};
use tempfile::TempDir;

use super::images::{import, name};
use super::printed;
use crate::oracle::fixture;

/// `cap_net_raw+ep` as files have it (capabilities(7)), of the second version.
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A store with an image whose files belong to many.
pub(crate) struct Owned {
    pub(crate) store: Store,
    pub(crate) image: Image,
    files: TempDir,
}

impl Owned {
    pub(crate) fn new() -> Self {
        let files = fixture::directory("owned");
        let store = Owners::SubIds.open(files.path().join("store")).expect("a store");
        let config = Configuration::new(Platform::host());
        let base = import(&store, &fixture::rootfs(), config, &name("localhost/base:1"));
        let target = name("localhost/owned:1");
        let new = NewImage::on(&base, &target).created("2026-01-01T00:00:00Z");
        let image = store.import(&new, layer().as_slice()).expect("an image");
        store.unpack(&image, &store.suited(), &()).expect("unpacked");
        Self { store, image, files }
    }

    pub(crate) fn builder(&self) -> Builder {
        Container::from_image(&self.image)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        for entry in self.store.list().expect("a list") {
            self.store.remove(&entry.reference).expect("removed");
        }
        let place = self.files.path().join("store/pending");
        let base = name("localhost/none:1");
        let config = Configuration::new(Platform::host());
        // The image is in use as long as there is a handle.
        self.image = self
            .store
            .commit(
                &NewImage::from_scratch(config, &base),
                std::os::fd::AsFd::as_fd(&fs::File::open(&place).expect("a directory")),
                &ampoule::image::diff::Diff::suited(),
            )
            .expect("an empty image");
        self.store.gc(Patience::Wait).expect("collected");
        let layers = fs::read_dir(self.files.path().join("store/layers/sha256")).expect("layers");
        assert_eq!(layers.count(), 0, "no unpacked layer stays");
        assert_eq!(fs::read_dir(place).expect("pending").count(), 0, "nothing stays half");
    }
}

fn header(kind: EntryType, ids: (u64, u64), mode: u32, size: usize) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_uid(ids.0);
    header.set_gid(ids.1);
    header.set_mode(mode);
    header.set_mtime(1_700_000_000);
    header.set_size(size as u64);
    header
}

/// A layer with files of root, 33, 1000 and 65535.
pub(crate) fn layer() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let directories = [
        ("srv/", (33, 33), 0o755),
        ("srv/secret/", (33, 33), 0o700),
        ("srv/secret/inner/", (1000, 42), 0o2700),
        ("srv/closed/", (0, 0), 0),
        ("srv/last/", (65535, 65535), 0o1777),
    ];
    for (path, ids, mode) in directories {
        let mut header = header(EntryType::Directory, ids, mode, 0);
        tar.append_data(&mut header, path, std::io::empty()).expect("a member");
    }
    let files: [(&str, (u64, u64), u32); 7] = [
        ("srv/secret/file", (33, 33), 0o600),
        ("srv/secret/inner/file", (1000, 42), 0o400),
        ("srv/closed/file", (33, 0), 0),
        ("srv/file", (1000, 42), 0o644),
        ("srv/set-id", (33, 42), 0o6755),
        ("srv/root-set-id", (0, 0), 0o4755),
        ("srv/roots", (0, 0), 0o640),
    ];
    for (path, ids, mode) in files {
        let mut header = header(EntryType::Regular, ids, mode, path.len());
        tar.append_data(&mut header, path, path.as_bytes()).expect("a member");
    }
    let mut link = header(EntryType::Symlink, (33, 42), 0o777, 0);
    tar.append_link(&mut link, "srv/link", "secret/file").expect("a member");
    let mut link = header(EntryType::Link, (1000, 42), 0o644, 0);
    tar.append_link(&mut link, "srv/secret/hard", "srv/file").expect("a member");
    let mut fifo = header(EntryType::Fifo, (42, 33), 0o620, 0);
    tar.append_data(&mut fifo, "srv/fifo", std::io::empty()).expect("a member");
    let attribute = ("SCHILY.xattr.security.capability", CAPABILITY.as_slice());
    tar.append_pax_extensions([attribute]).expect("an extended header");
    let mut capable = header(EntryType::Regular, (0, 42), 0o755, 0);
    tar.append_data(&mut capable, "srv/capable", std::io::empty()).expect("a member");
    tar.into_inner().expect("a tar file")
}

/// What the container shows of all that the layer has.
pub(crate) const LOOK: &str = "cd /srv && stat -c '%n %u:%g %a %h' . secret secret/file secret/inner secret/inner/file closed \
    closed/file file secret/hard set-id root-set-id roots link fifo last capable";

pub(crate) const SEEN: &str = "\
. 33:33 755 5
secret 33:33 700 3
secret/file 33:33 600 1
secret/inner 1000:42 2700 2
secret/inner/file 1000:42 400 1
closed 0:0 0 2
closed/file 33:0 0 1
file 1000:42 644 2
secret/hard 1000:42 644 2
set-id 33:42 6755 1
root-set-id 0:0 4755 1
roots 0:0 640 1
link 33:42 777 1
fifo 42:33 620 1
last 65535:65535 1777 2
capable 0:42 755 1
";

fn outside(ranges: &[OwnerRange], inside: u32) -> u32 {
    let found = ranges.iter().find(|range| inside - range.inside < range.count);
    found.map(|range| range.outside + inside - range.inside).expect("it is mapped")
}

pub(crate) fn files_belong_to_whom_the_image_says() {
    let owned = Owned::new();
    let ids = owned.store.ids().expect("ids").clone();
    let layers = owned.image.layers(&owned.store.suited().form());
    let layers = layers.expect("layers");
    let srv = layers.last().expect("a layer").path().join("srv");
    let stat = |name: &str| fs::symlink_metadata(srv.join(name)).expect("it is there");
    let expected = (outside(ids.uid_map(), 33), outside(ids.gid_map(), 42));
    for name in ["link", "set-id"] {
        assert_eq!((stat(name).uid(), stat(name).gid()), expected, "{name}");
    }
    assert_eq!(stat("set-id").permissions().mode() & 0o7777, 0o6755);
    assert_eq!(stat("file").mtime(), 1_700_000_000);
    assert_eq!(stat("closed").mtime(), 1_700_000_000);
    let mut value = [0; 64];
    let len = rustix::fs::getxattr(srv.join("capable"), "security.capability", &mut value[..]);
    let own = rustix::process::geteuid().as_raw().to_le_bytes();
    let expected = [&[1, 0, 0, 3], &CAPABILITY[4..], &own].concat();
    assert_eq!(&value[..len.expect("an attribute")], expected, "root of the namespace has it");
    drop(layers);
    let command = owned.builder().command("/bin/sh").args(["-c", LOOK]);
    assert_eq!(printed(command.output().expect("it runs")), SEEN);
}

pub(crate) fn a_user_of_the_image_writes_where_it_may() {
    let owned = Owned::new();
    let script = "cat /srv/secret/file && echo more >> /srv/secret/file && cat /srv/secret/file; \
        touch /srv/secret/inner/x 2>/dev/null || echo denied; id -u";
    let builder = owned.builder().user(User::ids(33, 33));
    let command = builder.command("/bin/sh").args(["-c", script]);
    let seen = printed(command.output().expect("it runs"));
    assert_eq!(seen, "srv/secret/filesrv/secret/filemore\ndenied\n33\n");
}

/// Directories and files that the host's user may neither enter nor read, and one that hides what was there.
const WRITE: &str = "cd /srv && rm -r secret && mkdir -m 700 secret secret/inner && echo mine > secret/inner/private && \
    ln -s private secret/inner/link && chmod 400 secret/inner/private && chown -R -h 33:42 secret && \
    for i in $(seq 200); do echo $i > data-$i; done && chmod 600 data-* && chown 65535:1 data-* && \
    chown 1000 capable && rm file && mkdir plain && chown 42:33 plain";

const LOOK_AGAIN: &str = "cd /srv && stat -c '%n %u:%g %a' secret secret/inner secret/inner/private secret/inner/link \
    data-1 data-200 plain; cat secret/inner/private data-200; ls secret; ls -d file 2>&1 || true";

const SEEN_AGAIN: &str = "\
secret 33:42 700
secret/inner 33:42 700
secret/inner/private 33:42 400
secret/inner/link 33:42 777
data-1 65535:1 600
data-200 65535:1 600
plain 42:33 755
mine
200
inner
ls: file: No such file or directory
";

pub(crate) fn what_others_wrote_becomes_an_image() {
    let owned = Owned::new();
    let kept = fixture::empty_rootfs();
    for root in [Root::Ephemeral { size: 1 << 22 }, Root::Persistent(kept.at("upper"))] {
        let mut container = owned
            .builder()
            .root(root)
            .command("/bin/sh")
            .args(["-c", WRITE])
            .spawn()
            .expect("it starts");
        assert!(container.wait().expect("it ends").success());
        let target = name("localhost/derived:1");
        let derived = container.commit(&owned.store, &NewImage::on(&owned.image, &target));
        let derived = derived.expect("an image");
        owned.store.unpack(&derived, &owned.store.suited(), &()).expect("unpacked");
        let command = Container::from_image(&derived).command("/bin/sh").args(["-c", LOOK_AGAIN]);
        assert_eq!(printed(command.output().expect("it runs")), SEEN_AGAIN);
        container.discard().expect("nothing is in the way");
    }
}

/// The members of a layer with one file of this owner.
pub(crate) fn one_file(uid: u64) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = header(EntryType::Regular, (uid, 0), 0o600, 0);
    tar.append_data(&mut header, "file", std::io::empty()).expect("a member");
    tar.into_inner().expect("a tar file")
}

pub(crate) fn an_id_that_is_not_mapped_is_told() {
    let owned = Owned::new();
    let target = name("localhost/far:1");
    let new = NewImage::on(&owned.image, &target);
    let image = owned.store.import(&new, one_file(3_000_000).as_slice()).expect("an image");
    let error = owned.store.unpack(&image, &owned.store.suited(), &()).expect_err("it is refused");
    assert_eq!(error.kind(), ImageError::NotMapped, "{error}");
    let text = error.to_string();
    let own = format!("0={} 1-", rustix::process::geteuid());
    for word in ["user 3000000", "\"file\"", own.as_str()] {
        assert!(text.contains(word), "{text:?} has no {word:?}");
    }
    // With one id everything can be unpacked.
    owned.store.unpack(&image, &Unpack::suited(), &()).expect("unpacked");
}

/// The ids of the owner's store without the last ones.
fn fewer(ids: &MappedIds) -> MappedIds {
    let map = |ranges: &[OwnerRange]| {
        let (first, second) = (ranges[0], ranges[1]);
        vec![first, OwnerRange { count: second.count / 2, ..second }]
    };
    let (uid, gid) = (map(ids.uid_map()), map(ids.gid_map()));
    let ranges = |map: &[OwnerRange]| {
        map.iter().map(|range| IdRange::new(range.inside, range.outside, range.count)).collect()
    };
    let made = IdMap { uid: ranges(&uid), gid: ranges(&gid) };
    let namespace = ampoule_ns::user_namespace::create(&made, Writer::Helpers).expect("it is made");
    MappedIds::new(namespace, uid, gid).expect("ids")
}

pub(crate) fn other_ids_make_other_layers() {
    let owned = Owned::new();
    let other = owned.store.with_ids(&fewer(owned.store.ids().expect("ids")));
    assert_ne!(other.suited().form(), owned.store.suited().form());
    let error = owned.image.layers(&other.suited().form()).expect_err("it is refused");
    assert_eq!(error.kind(), ImageError::NotFound, "{error}");
    let error = other.unpack(&owned.image, &other.suited(), &()).expect_err("it is refused");
    assert_eq!(error.kind(), ImageError::NotMapped, "65535 is cut off: {error}");
    // Without ids what belongs to others cannot be removed; whoever opens the store is not in the way of who has them.
    let target = name("localhost/owned:1");
    owned.store.remove(&target).expect("removed");
    let plain = Store::open(owned.store.path()).expect("it opens");
    assert!(plain.ids().is_none());
    assert_eq!(Owners::Single.ids().expect("none are needed"), None);
    assert_eq!(Owners::Automatic.ids().expect("ids"), owned.store.ids().cloned());
}

pub(crate) fn what_a_killed_unpacking_left_is_collected() {
    let owned = Owned::new();
    let form = owned.store.suited().form();
    let layers = owned.image.layers(&form).expect("layers");
    let whole = layers.last().expect("a layer").path().parent().expect("above").to_owned();
    drop(layers);
    // As a process leaves it that was killed after the files got their owners.
    let pending = owned.store.path().join("pending").join("layer-sha256-left");
    fs::rename(&whole, &pending).expect("moved");
    let plain = Store::open(owned.store.path()).expect("it opens");
    assert!(pending.exists(), "only who has the ids removes it");
    let error = plain.gc(Patience::Refuse).expect_err("it is refused");
    assert_eq!(error.kind(), ImageError::Denied, "{error}");
    owned.store.gc(Patience::Refuse).expect("collected");
    assert!(!pending.exists());
    owned.store.unpack(&owned.image, &owned.store.suited(), &()).expect("unpacked again");
    let command = owned.builder().command("/bin/sh").args(["-c", LOOK]);
    assert_eq!(printed(command.output().expect("it runs")), SEEN);
}
