//! Builds whose files belong to many, for an ordinary user with ranges of `/etc/subuid`.
//!
//! Kernel objects: as in [`scene::owned_builds`]. Invariant: the host is unchanged; nothing stays that the user could not
//! remove.

mod oracle;
mod scene;

use scene::in_tier;

in_tier!(user, owned_builds:
    a_build_gives_files_their_owners
    a_recipe_gives_files_their_owners
    a_build_that_asks_for_other_ids_says_so
    mounts_are_seen_where_files_have_owners
);

in_tier!(user, added_archives: an_archive_lands_on_directories_of_others);
