//! Killed for want of memory: told from other kills, whose limit it was, and how soon it is known.
//!
//! Kernel objects: as in [`scene::out_of_memory`]. Invariant: the host is unchanged.

mod oracle;
mod scene;

use scene::in_tier;

in_tier!(root, out_of_memory:
    it_is_told_from_other_kills
    the_limit_of_a_group_above_is_named
    it_is_known_at_once
);
