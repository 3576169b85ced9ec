//! The group of an ordinary user's container: made where it was delegated, else the report says why not.
//!
//! Kernel objects: containers of an ordinary user. Invariant: what is asserted comes from the kernel's files.

mod oracle;
mod scene;

use ampoule::{Container, Control, State};
use oracle::{tier, unchanged};
use scene::shell;

#[test]
fn it_is_made_or_reported() {
    tier::user();
    unchanged(|| {
        let container = shell(Container::host_view(), "sleep 100").spawn().expect("a container");
        let path = format!("/proc/{}/cgroup", container.pid());
        let groups = std::fs::read_to_string(path).expect("a living process");
        let has_id = groups.contains(&format!("/ampoule/{}.", container.id()));
        match container.report().state(Control::Group).expect("every control is in the report") {
            State::InForce(place) => assert!(has_id && place.contains("ampoule"), "{groups}"),
            State::NotPossible(reason) => {
                assert!(reason.contains("no group can be made in /"), "{reason}");
                assert!(container.group().is_none() && !has_id, "{groups}");
                let text = container.report().to_string();
                assert!(text.contains("Delegate=yes"), "{text}");
            }
            other => panic!("{other:?}"),
        }
    });
}
