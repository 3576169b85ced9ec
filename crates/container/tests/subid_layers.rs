//! What was written to a root of layers by users that only the container has, for an ordinary user with ranges of
//! `/etc/subuid`.
//!
//! Kernel objects: as in [`scene::layers`]. Invariant: the host is unchanged, also where it may not look itself.

mod oracle;
mod scene;

use std::fs;

use ampoule::{IdMapping, Root};
use oracle::{fixture, tier, unchanged};
use scene::layers::{builder, ended, lines, two_layers};

/// Directories that the host's user may neither enter nor remove.
const SCRIPT: &str = "mkdir -p /srv/secret/inner/deep; echo x > /srv/secret/inner/deep/file; \
    ln -s /etc/passwd /srv/secret/link; echo y > /srv/secret/inner/kept; \
    chown -R 1000:1000 /srv/secret; chmod 700 /srv/secret /srv/secret/inner; chmod 0 /srv/secret/inner/deep; \
    chown 1000 /home/app; rm /etc/motd";

const CHANGES: [&str; 8] = [
    "D /etc/motd",
    "M /home/app",
    "A /srv/secret",
    "A /srv/secret/inner",
    "A /srv/secret/inner/deep",
    "A /srv/secret/inner/deep/file",
    "A /srv/secret/inner/kept",
    "A /srv/secret/link",
];

#[test]
fn what_others_wrote_is_listed_and_discarded() {
    tier::user();
    unchanged(|| {
        let layers = two_layers();
        let place = fixture::empty_rootfs();
        let upper = place.at("upper");
        for root in [Root::Ephemeral { size: 1 << 20 }, Root::Persistent(upper.clone())] {
            let builder = builder(&layers).id_mapping(IdMapping::SubIds).root(root);
            let mut container = ended(builder, SCRIPT);
            assert_eq!(lines(&container.changes().expect("a list")), CHANGES);
            container.discard().expect("nothing is in the way");
            assert_eq!(container.changes().expect("a list"), []);
        }
        assert_eq!(fs::read_dir(&upper).expect("the upper layer").count(), 0);
    });
}
