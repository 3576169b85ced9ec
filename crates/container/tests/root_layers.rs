//! Roots of several layers, for a host that is root.
//!
//! Kernel objects: as in [`scene::layers`]. Invariant: the host is unchanged.

mod oracle;
mod scene;

use scene::in_tier;

in_tier!(root, layers:
    layers_are_one_root
    what_was_written_to_memory_is_listed
    what_was_written_to_a_directory_is_listed
    a_running_container_is_looked_at_and_not_emptied
    what_the_settings_made_is_no_change
    roots_without_an_upper_layer
    five_hundred_layers
    bad_layers_are_refused
);

in_tier!(root, model: changes_are_what_a_model_says);
