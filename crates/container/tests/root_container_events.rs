//! What a container's events tell, and when they end.
//!
//! Kernel objects: as in [`scene::container_events`]. Invariant: the host is unchanged.

mod oracle;
mod scene;

use scene::in_tier;

in_tier!(root, container_events:
    memory_runs_out
    the_limit_of_processes_is_met
    a_pause_is_seen_without_limits_too
    usage_above_high_is_told
    there_are_none_without_a_group
);
