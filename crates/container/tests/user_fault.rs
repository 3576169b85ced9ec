//! Every operation of a launch fails in turn, for an ordinary user.
//!
//! Kernel objects: as in [`scene::fault`]. Invariant: the host is unchanged by the whole sweep.

mod oracle;
mod scene;

use scene::in_tier;

in_tier!(user, fault:
    a_view_of_the_host
    a_root_file_system
    a_read_only_root_with_everything
    a_terminal
);

#[cfg(feature = "landlock")]
in_tier!(user, fault: a_payload_under_landlock);
