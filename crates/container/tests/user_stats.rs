//! Statistics for an ordinary user, who may or may not make groups here.
//!
//! Kernel objects: a group where one can be made. Invariant: the container runs in any case, and the report says the
//! truth.

mod oracle;
mod scene;

use ampoule::{Container, Control, OwnGroup};
use oracle::{tier, unchanged};
use scene::shell;

#[test]
fn a_group_where_possible() {
    tier::user();
    unchanged(|| {
        let builder = Container::host_view().own_group(OwnGroup::Counted);
        let plan = shell(builder, "exit 3").plan().expect("a plan");
        let status = plan.launch().output().expect("a run").status;
        assert_eq!(status.code(), Some(3));
        let possible = plan.report().is_in_force(Control::Group);
        assert_eq!(status.resources().cpu.is_some(), possible, "{}", plan.report());
    });
}

#[test]
fn the_network_is_counted_until_the_end() {
    tier::user();
    unchanged(scene::network::is_counted_until_the_end);
}
