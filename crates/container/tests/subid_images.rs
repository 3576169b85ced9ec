//! Images whose files belong to many, for an ordinary user with ranges of `/etc/subuid`.
//!
//! Kernel objects: as in [`scene::owned_images`]. Invariant: the host is unchanged; nothing stays that the user could not
//! remove.

mod oracle;
mod scene;

use scene::in_tier;

in_tier!(user, owned_images:
    files_belong_to_whom_the_image_says
    a_user_of_the_image_writes_where_it_may
    what_others_wrote_becomes_an_image
    an_id_that_is_not_mapped_is_told
    other_ids_make_other_layers
    what_a_killed_unpacking_left_is_collected
);
