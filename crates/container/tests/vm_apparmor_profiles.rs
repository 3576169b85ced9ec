//! Payloads under AppArmor profiles, on a machine that has AppArmor enabled.
//!
//! Kernel objects: profiles loaded by apparmor_parser(8), and what the payload reads of itself. Invariant: the host is
//! unchanged but for the profiles, which only these tests name.

mod oracle;
mod scene;

use std::io::Write;
use std::process::{Command, Stdio};

use ampoule::{Builder, Container, Control, ErrorKind, Stage, State};
use oracle::{tier, unchanged};
use scene::{is_error, print, refused, run};

/// Everything but one file.
fn load(name: &str, flags: &str) {
    let profile = format!(
        "profile {name} flags=({flags}) {{\n  file,\n  capability,\n  network,\n  unix,\n  \
         signal,\n  ptrace,\n  deny /secret r,\n}}\n"
    );
    let mut parser = Command::new("apparmor_parser");
    parser.args(["--replace", "--skip-cache"]).stdin(Stdio::piped());
    let mut parser = parser.spawn().expect("the package apparmor");
    let mut stdin = parser.stdin.take().expect("piped");
    stdin.write_all(profile.as_bytes()).expect("a profile");
    drop(stdin);
    assert!(parser.wait().expect("a status").success(), "{profile}");
}

fn view() -> Builder {
    Container::host_view().file("/secret", "secret\n")
}

#[test]
fn the_payload_has_the_profile() {
    tier::vm();
    load("ampoule-test-enforced", "attach_disconnected");
    unchanged(|| {
        let builder = view().apparmor_profile("ampoule-test-enforced");
        let script = "cat /proc/self/attr/apparmor/current; cat /secret 2>/dev/null || echo denied";
        assert_eq!(print(builder.clone(), script), "ampoule-test-enforced (enforce)\ndenied\n");
        assert_eq!(print(view(), script), "unconfined\nsecret\n");
        // It lives when it is looked at.
        let command = builder.clone().command("sleep").arg("0.5");
        assert!(command.status().expect("a run").success());
        let plan = builder.command("true").plan().expect("a plan");
        let wanted = "profile \"ampoule-test-enforced\" (enforce)".to_owned();
        assert_eq!(plan.report().state(Control::AppArmor), Some(&State::InForce(wanted)));
        assert_eq!(print(view().apparmor_profile("unconfined"), script), "unconfined\nsecret\n");
    });
}

#[test]
fn a_profile_that_only_complains_is_reported() {
    tier::vm();
    load("ampoule-test-complains", "complain,attach_disconnected");
    unchanged(|| {
        let builder = view().apparmor_profile("ampoule-test-complains");
        let plan = builder.clone().command("true").plan().expect("a plan");
        let state = plan.report().state(Control::AppArmor);
        assert!(matches!(state, Some(State::NotPossible(_))), "{}", plan.report());
        let output = run(builder, "cat /proc/self/attr/apparmor/current");
        assert_eq!(output.stdout, b"ampoule-test-complains (complain)\n");
    });
}

#[test]
fn a_profile_that_is_not_loaded_is_an_error() {
    tier::vm();
    unchanged(|| {
        let command = || Container::host_view().apparmor_profile("ampoule-test-absent");
        let error = refused(command().command("true").plan());
        let words = ["\"ampoule-test-absent\" is not loaded", "apparmor_parser"];
        is_error(&error, ErrorKind::AppArmor, Stage::Plan, &words);
    });
    // One that goes between plan and launch is refused by the kernel.
    load("ampoule-test-removed", "attach_disconnected");
    unchanged(|| {
        let builder = Container::host_view().apparmor_profile("ampoule-test-removed");
        let plan = builder.command("true").plan().expect("a plan");
        assert!(plan.launch().status().expect("a run").success());
        std::fs::write("/sys/kernel/security/apparmor/.remove", "ampoule-test-removed")
            .expect("the profile");
        let error = refused(plan.launch().status());
        is_error(&error, ErrorKind::AppArmor, Stage::Process, &["attr/apparmor/exec"]);
    });
}
