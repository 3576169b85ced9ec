//! What layers of builds and commits hold, for a host that is root.
//!
//! Kernel objects: as in [`scene::image_layers`]. Invariant: the host is unchanged.

mod oracle;
mod scene;

use scene::in_tier;

in_tier!(root, image_layers:
    mount_points_are_no_part_of_a_layer
    what_a_program_makes_at_a_mount_point_is
    the_mode_of_the_root_is_kept
    a_build_keeps_the_mode_of_the_root
);
