//! Hosts in unusual states, as root.
//!
//! Kernel objects: as in [`scene::host`]. Invariant: the host lives.

mod oracle;
mod scene;

use scene::{alone_in_tier, host};

alone_in_tier!(root, host:
    closed_streams_are_named
    a_file_size_limit_is_an_error
    a_file_size_limit_counts_for_the_input
    three_descriptors_are_too_few
    the_hosts_mask_does_not_count
    a_working_directory_that_is_gone
    blocked_signals_are_not_handed_on
    somebody_else_waits_for_all_children
);

#[test]
fn sigchld_is_ignored() {
    oracle::tier::root();
    let ignore = |command: &mut std::process::Command| {
        let setup = "set -- \"$0\" \"$@\"; exec env --ignore-signal=CHLD \"$@\"";
        oracle::alone::after_shell(command, setup);
    };
    drop(oracle::alone_with(ignore, || {
        host::sigchld_is_ignored();
    }));
}
