//! Images, for a host that is root.
//!
//! Kernel objects: as in [`scene::images`]. Invariant: the host is unchanged.

mod oracle;
mod scene;

use scene::in_tier;

in_tier!(root, images:
    an_image_runs_as_it_says
    the_user_of_an_image_is_looked_up_in_it
    what_an_image_says_wrongly_is_told
    layers_are_held_by_the_plan
    what_a_container_wrote_becomes_an_image
    what_a_directory_keeps_becomes_an_image
    what_a_layer_hides_stays_hidden
    a_file_is_built_and_runs
    a_recipe_in_rust_is_built
    an_image_from_scratch_is_built
    a_build_that_fails_says_where
);

in_tier!(root, run_mounts:
    nothing_of_a_mount_is_in_the_layer
    the_context_is_seen_and_not_changed
    a_stage_is_seen_as_its_layers_make_it
    a_cache_is_kept_for_later_builds
    a_secret_is_a_file_for_one_program
    a_recipe_has_the_same_mounts
    mounts_count_for_the_cache_of_steps
    a_mount_that_cannot_be_made_says_where
);

in_tier!(root, added_archives: an_archive_of_roots_build_gives_the_same);

in_tier!(root, image_attacks:
    directories_of_an_image_lead_nowhere
    users_of_an_image_are_exact_or_refused
    variables_of_an_image_are_exact_or_refused
);

in_tier!(root, builds:
    programs_of_a_build_have_the_hosts_network_or_none
    instructions_reach_the_configuration
    names_of_a_build_are_looked_up_inside
);
