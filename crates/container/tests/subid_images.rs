//! Images whose files belong to many, for an ordinary user with ranges of `/etc/subuid`.
//!
//! Kernel objects: as in [`scene::owned_images`]. Invariant: the host is unchanged; nothing stays that the user could not
//! remove.

mod oracle;
mod scene;

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use ampoule::{ErrorKind, Owners};
use oracle::{fixture, tier, unchanged};
use scene::in_tier;

in_tier!(user, owned_images:
    files_belong_to_whom_the_image_says
    a_user_of_the_image_writes_where_it_may
    what_others_wrote_becomes_an_image
    an_id_that_is_not_mapped_is_told
    other_ids_make_other_layers
    what_a_killed_unpacking_left_is_collected
);

/// What is missing, for the process that is started for it.
const MISSING: &str = "AMPOULE_MISSING";

/// In namespaces of its own, where another file stands in the place of it: then without the capabilities for that.
const HIDE: &str = "mount --bind \"$1\" \"$2\" && shift 2 && \
    exec setpriv --ambient-caps=-all --inh-caps=-all \"$@\"";

/// With neither the helpers nor ranges there is one owner, unless more are asked for.
#[test]
fn what_is_missing_for_many_owners_is_told() {
    tier::user();
    if let Some(missing) = std::env::var_os(MISSING) {
        return without(&missing.to_string_lossy());
    }
    unchanged(|| {
        let own = std::env::current_exe().expect("own program");
        let empty = tempfile::NamedTempFile::new().expect("an empty file");
        let (none, empty) = (Path::new("/dev/null"), empty.path());
        for (missing, instead) in [
            ("/usr/bin/newuidmap", none),
            ("/usr/bin/newgidmap", none),
            ("/etc/subuid", empty),
            ("/etc/subgid", empty),
        ] {
            let mut command = Command::new("unshare");
            command.args(["--user", "--map-current-user", "--keep-caps", "--mount"]);
            command.args(["sh", "-ec", HIDE, "sh"]).arg(instead).arg(missing).arg(&own);
            command.args(["--exact", "what_is_missing_for_many_owners_is_told", "--nocapture"]);
            let out = command.env(MISSING, missing).process_group(0).output().expect("it starts");
            let said = String::from_utf8_lossy(&out.stdout);
            assert!(out.status.success() && said.contains("1 passed"), "{missing}: {out:?}");
        }
    });
}

fn without(missing: &str) {
    let error = Owners::SubIds.ids().expect_err("they cannot be had");
    assert_eq!(error.kind(), ErrorKind::IdMap, "{error}");
    let name = missing.rsplit('/').next().unwrap_or_default();
    assert!(error.to_string().contains(name), "{error}");
    assert_eq!(Owners::Automatic.ids().expect("one is enough"), None);
    let files = fixture::directory("without");
    let store = Owners::Automatic.open(files.path().join("store")).expect("a store");
    assert!(store.ids().is_none());
    let error = Owners::SubIds.open(files.path().join("other")).expect_err("they cannot be had");
    assert_eq!(error.kind(), ErrorKind::IdMap, "{error}");
}
