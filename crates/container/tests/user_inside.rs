//! Files in a running container, for a host that is an ordinary user.
//!
//! Kernel objects: as in [`scene::inside`]. Invariant: the host is unchanged.

mod oracle;
mod scene;

use scene::in_tier;

in_tier!(user, inside:
    files_are_made_and_replaced
    what_cannot_be_written_is_refused
);
