//! AppArmor profiles that cannot be had, on any machine.
//!
//! Kernel objects: files of securityfs. Invariant: the host is unchanged. A machine with AppArmor enabled is that of
//! `vm_apparmor_profiles`.

mod oracle;
mod scene;

use ampoule::{Container, Control, ErrorKind, Stage, State};
use oracle::{tier, unchanged};
use scene::{is_error, refused};

#[test]
fn a_profile_that_is_not_loaded_is_an_error_or_reported() {
    tier::root();
    unchanged(|| {
        let builder = Container::host_view().apparmor_profile("ampoule-test-is-not-loaded");
        let error = refused(builder.clone().command("true").plan());
        is_error(&error, ErrorKind::AppArmor, Stage::Plan, &["AppArmor"]);
        let tolerant = builder.best_effort(Control::AppArmor).command("true");
        let plan = tolerant.plan().expect("a plan");
        let state = plan.report().state(Control::AppArmor);
        assert!(matches!(state, Some(State::NotPossible(_))), "{}", plan.report());
        assert!(!plan.to_string().contains("apparmor"), "{plan}");
        assert!(plan.launch().status().expect("a run").success());
        let plan = Container::host_view().command("true").plan().expect("a plan");
        assert_eq!(plan.report().state(Control::AppArmor), Some(&State::Off));
    });
}
