//! What a kept container keeps of its builder, and directories that cannot be written, for a host that is root.
//!
//! Kernel objects: as in [`scene::kept_limits`]. Invariant: the host is unchanged.

mod oracle;
mod scene;

use oracle::alone::after_shell;
use oracle::{alone_with, tier, unchanged};
use scene::in_tier;

in_tier!(root, kept_limits: the_group_has_the_name_that_the_builder_gives);

#[cfg(feature = "landlock")]
in_tier!(root, kept_limits: rules_that_cannot_be_made_again_keep_others_out_but_not_signals);

/// For `alone_with`: mounts are seen by nobody else.
fn mounting(command: &mut std::process::Command) {
    let own = "exec unshare --mount --propagation private -- \"$0\" \"$@\"";
    after_shell(command, own);
}

#[test]
fn a_full_disk_is_an_error_and_leaves_nothing() {
    tier::root();
    alone_with(mounting, || {
        unchanged(scene::kept_limits::a_full_disk_is_an_error_and_leaves_nothing);
    });
}

#[test]
fn a_read_only_directory_is_an_error_and_what_is_in_it_can_be_used() {
    tier::root();
    alone_with(mounting, || {
        let body =
            scene::kept_limits::a_read_only_directory_is_an_error_and_what_is_in_it_can_be_used;
        unchanged(body);
    });
}
