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

/// Everything but one file, whose denial is logged.
fn load(name: &str, flags: &str) {
    let profile = format!(
        "profile {name} flags=({flags}) {{\n  file,\n  capability,\n  network,\n  unix,\n  \
         signal,\n  ptrace,\n  audit deny /secret r,\n}}\n"
    );
    let mut parser = Command::new("apparmor_parser");
    parser.args(["--replace", "--skip-cache"]).stdin(Stdio::piped());
    let mut parser = parser.spawn().expect("the package apparmor");
    let mut stdin = parser.stdin.take().expect("piped");
    stdin.write_all(profile.as_bytes()).expect("a profile");
    drop(stdin);
    assert!(parser.wait().expect("a status").success(), "{profile}");
}

/// The denials in the kernel's log of reading that file under a profile.
fn denials(profile: &str) -> usize {
    let log = Command::new("dmesg").output().expect("the kernel's log").stdout;
    let log = String::from_utf8_lossy(&log).into_owned();
    let profile = format!("profile=\"{profile}\"");
    let words = ["apparmor=\"DENIED\"", "name=\"/secret\"", profile.as_str()];
    log.lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
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
        assert_ne!(denials("ampoule-test-enforced"), 0, "the kernel's log has it");
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
fn what_joins_has_the_profile() {
    tier::vm();
    load("ampoule-test-joined", "attach_disconnected");
    unchanged(|| {
        let builder = view().apparmor_profile("ampoule-test-joined");
        let script = "cat /proc/self/attr/apparmor/current; cat /secret 2>/dev/null || echo denied";
        let wanted = "ampoule-test-joined (enforce)\ndenied\n";
        let show = |container: &Container| {
            let output = container.exec("/bin/sh").args(["-c", script]).output();
            scene::printed(output.expect("a run"))
        };
        let command = builder.clone().command("sleep").arg("1000").stdin(ampoule::Stdio::null());
        let container = command.spawn().expect("a container");
        assert_eq!(show(&container), wanted);
        let idle = builder.clone().idle().expect("a container");
        assert_eq!(show(&idle), wanted);
        let detail = "profile \"ampoule-test-joined\" (enforce); for each process that joins";
        let state = idle.report().state(Control::AppArmor);
        assert_eq!(state, Some(&State::InForce(detail.to_owned())));
        let init = std::fs::read_to_string(format!("/proc/{}/attr/apparmor/current", idle.pid()));
        assert_eq!(init.expect("a label"), "unconfined\n", "init stays outside");
        // One that lives is looked at from the host.
        let mut process = idle.exec("sleep").arg("1000").spawn().expect("a process");
        let shown = format!("/proc/{}/attr/apparmor/current", process.pid());
        let shown = std::fs::read_to_string(shown).expect("a label");
        assert_eq!(shown, "ampoule-test-joined (enforce)\n");
        process.kill(9).expect("a signal");
        process.wait().expect("a status");
        assert_eq!(show(&view().idle().expect("a container")), "unconfined\nsecret\n");
        // A profile that goes meanwhile: nothing runs without it.
        std::fs::write("/sys/kernel/security/apparmor/.remove", "ampoule-test-joined")
            .expect("the profile");
        let error = refused(idle.exec("true").status());
        is_error(&error, ErrorKind::AppArmor, Stage::Namespaces, &["attr/apparmor/exec"]);
    });
}

#[test]
fn an_ordinary_user_has_it_too() {
    tier::vm();
    load("ampoule-test-user", "attach_disconnected");
    let script = "cat /proc/self/attr/apparmor/current";
    let own = std::env::current_exe().expect("this program");
    unchanged(|| {
        let mut user = Command::new("setpriv");
        user.args(["--reuid=1000", "--regid=1000", "--clear-groups"]).arg(&own);
        user.args(["--exact", "as_the_user", "--nocapture"]).env("AMPOULE_TEST_SCRIPT", script);
        let user = user.output().expect("setpriv");
        let text = String::from_utf8_lossy(&user.stdout);
        let wanted = "payload: ampoule-test-user (enforce)\njoined: ampoule-test-user (enforce)\n";
        assert!(user.status.success() && text.contains(wanted), "{user:?}");
    });
}

/// What [`an_ordinary_user_has_it_too`] runs as another user; by itself there is nothing to do.
#[test]
fn as_the_user() {
    let Ok(script) = std::env::var("AMPOULE_TEST_SCRIPT") else { return };
    let builder = || Container::host_view().apparmor_profile("ampoule-test-user");
    let payload = print(builder(), &script);
    let idle = builder().idle().expect("a container");
    let joined = idle.exec("/bin/sh").args(["-c", script.as_str()]).output().expect("a run");
    println!("payload: {payload}joined: {}", scene::printed(joined).trim_end());
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
