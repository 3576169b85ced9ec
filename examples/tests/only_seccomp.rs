//! `only-seccomp`: what it refuses, what it explains, and what it writes.

#[path = "commands/place.rs"]
mod place;

use std::process::{Command, Output};

use ampoule_seccomp::{Filter, Host, Profile};

fn run(arguments: &[&str]) -> Output {
    Command::new(place::example("only-seccomp")).args(arguments).output().expect("a run")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_command_is_confined() {
    let shown = run(&[]);
    let out = text(&shown.stdout);
    assert!(out.contains("Seccomp:\t2\n") && out.contains("made a directory\n"), "{shown:?}");
    assert!(text(&shown.stderr).contains("unshare"), "{shown:?}");
    let denied = run(&["--deny", "mkdir", "--deny", "mkdirat"]);
    assert!(!text(&denied.stdout).contains("made a directory"), "{denied:?}");
    let status = run(&["sh", "-c", "exit 7"]).status;
    assert_eq!(status.code(), Some(7));
}

#[test]
fn a_filter_that_locks_out_the_command_is_told_before() {
    let refused = run(&["--deny", "execve", "true"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("execve is needed to execute the program"),
        "{refused:?}"
    );
    let unknown = run(&["--deny", "mkdri", "true"]);
    assert!(text(&unknown.stderr).contains("no system call is called \"mkdri\""), "{unknown:?}");
}

#[test]
fn a_filter_is_explained_and_written() {
    let explained = text(&run(&["--profile", "build", "--explain"]).stdout);
    assert_eq!(explained, Filter::build().explain().to_string());
    let written = run(&["--profile", "client", "--oci"]).stdout;
    let file = std::env::temp_dir().join(format!("only-seccomp.{}", std::process::id()));
    std::fs::write(&file, &written).unwrap();
    let read = Profile::from_json(&written).unwrap().resolve(&Host::this()).unwrap().filter;
    let explained = text(&run(&["--profile", file.to_str().unwrap(), "--explain"]).stdout);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(explained, read.explain().to_string());
}
