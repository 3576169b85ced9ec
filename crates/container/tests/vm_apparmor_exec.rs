//! The AppArmor profile of one process that joins.
//!
//! Kernel objects: profiles loaded by apparmor_parser(8), and what processes read of themselves. Invariant: the host is
//! unchanged but for the profiles, which only these tests name.

mod oracle;
mod scene;

use std::io::Write;
use std::process::{Command, Stdio};

use ampoule::oci::process;
use ampoule::{Container, ErrorKind, Exec, Stage};
use oracle::{tier, unchanged};
use scene::{is_error, printed, refused};

const CURRENT: &str = "cat /proc/self/attr/apparmor/current";

/// Permits everything but a file that has the profile's name.
fn load(name: &str) {
    let profile = format!(
        "profile {name} flags=(attach_disconnected) {{\n  file,\n  capability,\n  network,\n  unix,\n  \
         signal,\n  ptrace,\n  audit deny /{name} r,\n}}\n"
    );
    let mut parser = Command::new("apparmor_parser");
    parser.args(["--replace", "--skip-cache"]).stdin(Stdio::piped());
    let mut parser = parser.spawn().expect("the package apparmor");
    let mut stdin = parser.stdin.take().expect("piped");
    stdin.write_all(profile.as_bytes()).expect("a profile");
    drop(stdin);
    assert!(parser.wait().expect("a status").success(), "{profile}");
}

fn shell<'a>(container: &'a Container, script: &str) -> Exec<'a> {
    container.exec("/bin/sh").args(["-c", script])
}

#[track_caller]
fn said(exec: Exec<'_>) -> String {
    printed(exec.output().unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn a_process_has_a_profile_of_its_own() {
    tier::vm();
    load("ampoule-exec-usual");
    load("ampoule-exec-own");
    unchanged(|| {
        let view = || Container::host_view().file("/ampoule-exec-own", "secret\n");
        let usual = view().apparmor_profile("ampoule-exec-usual").idle().expect("a container");
        let read = format!("{CURRENT}; cat /ampoule-exec-own 2>/dev/null || echo denied");
        let own = || shell(&usual, &read).apparmor_profile("ampoule-exec-own");
        assert_eq!(said(own()), "ampoule-exec-own (enforce)\ndenied\n");
        let log = Command::new("dmesg").output().expect("the kernel's log").stdout;
        let log = String::from_utf8_lossy(&log).into_owned();
        let words = ["DENIED", "profile=\"ampoule-exec-own\"", "name=\"/ampoule-exec-own\""];
        let logged = |line: &&str| words.iter().all(|word| line.contains(word));
        assert_ne!(log.lines().filter(logged).count(), 0, "{log}");
        assert_eq!(said(shell(&usual, &read)), "ampoule-exec-usual (enforce)\nsecret\n");
        // One that lives is looked at from the host.
        let mut process = shell(&usual, "exec sleep 1000").apparmor_profile("ampoule-exec-own");
        process = process.stdin(ampoule::Stdio::null());
        let mut process = process.spawn().expect("a process");
        let shown = format!("/proc/{}/attr/apparmor/current", process.pid());
        let shown = std::fs::read_to_string(shown).expect("a label");
        assert_eq!(shown, "ampoule-exec-own (enforce)\n");
        process.kill(9).expect("a signal");
        process.wait().expect("a status");
        // In a container that has none, and none in one that has.
        let plain = view().idle().expect("a container");
        let own = shell(&plain, CURRENT).apparmor_profile("ampoule-exec-own");
        assert_eq!(said(own), "ampoule-exec-own (enforce)\n");
        assert_eq!(said(shell(&plain, CURRENT)), "unconfined\n");
        assert_eq!(said(shell(&usual, CURRENT).apparmor_profile("unconfined")), "unconfined\n");
    });
}

#[test]
fn a_document_says_the_profile() {
    tier::vm();
    load("ampoule-exec-document");
    unchanged(|| {
        let container = Container::host_view().idle().expect("a container");
        let run = |profile: &str| {
            let json = format!(
                r#"{{"args": ["/bin/sh", "-c", "{CURRENT}"], "cwd": "/", "env": ["PATH=/usr/bin:/bin"],
                    "user": {{"uid": 1, "gid": 1}}, "apparmorProfile": "{profile}"}}"#
            );
            process(&container, json.as_bytes()).and_then(Exec::output)
        };
        let found = printed(run("ampoule-exec-document").expect("a run"));
        assert_eq!(found, "ampoule-exec-document (enforce)\n");
        assert_eq!(printed(run("").expect("a run")), "unconfined\n");
        assert_eq!(refused(run("ampoule-exec-absent")).kind(), ErrorKind::AppArmor);
        assert_eq!(refused(run("a//&b")).kind(), ErrorKind::InvalidSettings);
    });
}

/// Nothing of the program runs under a profile that cannot be had.
#[test]
fn a_wrong_profile_is_an_error_before_anything_runs() {
    tier::vm();
    load("ampoule-exec-removed");
    unchanged(|| {
        let container = Container::host_view().tmpfs("/run/it", ampoule::Bytes::mib(1));
        let container = container.idle().expect("a container");
        let touch =
            |profile: &str| shell(&container, "echo > /run/it/ran").apparmor_profile(profile);
        let error = refused(touch("ampoule-exec-absent").status());
        is_error(
            &error,
            ErrorKind::AppArmor,
            Stage::Launch,
            &["\"ampoule-exec-absent\" is not loaded"],
        );
        assert!(error.hint().is_some_and(|hint| hint.contains("apparmor_parser")), "{error:?}");
        let error = refused(touch(" a").status());
        is_error(&error, ErrorKind::InvalidSettings, Stage::Plan, &["apparmor_profile"]);
        let there = "test -e /run/it/ran && echo there || echo nothing";
        assert_eq!(said(shell(&container, there)), "nothing\n");
        assert!(touch("ampoule-exec-removed").status().expect("a run").success());
        assert_eq!(said(shell(&container, there)), "there\n");
        let remove = "/sys/kernel/security/apparmor/.remove";
        std::fs::write(remove, "ampoule-exec-removed").expect("the profile");
        assert_eq!(refused(touch("ampoule-exec-removed").status()).kind(), ErrorKind::AppArmor);
    });
}
