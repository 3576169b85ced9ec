//! `only-spec`: what it writes is valid, and what is wrong is told with its place.

#[path = "commands/place.rs"]
mod place;

use std::path::Path;
use std::process::{Command, Output};

fn run(arguments: &[&str], directory: &Path) -> Output {
    let mut command = Command::new(place::example("only-spec"));
    command.args(arguments).arg(directory).output().expect("a run")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn what_it_makes_is_valid() {
    let directory = tempfile::tempdir().expect("a directory");
    for arguments in [["--new"], ["--rootless"]] {
        assert!(run(&arguments, directory.path()).status.success());
        let checked = run(&[], directory.path());
        assert!(checked.status.success(), "{checked:?}");
        assert!(
            text(&checked.stdout).starts_with("valid; the root file system is "),
            "{checked:?}"
        );
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("config.json");
    assert_eq!(run(&[], directory.path()).status.code(), Some(1), "no bundle");
    assert!(run(&["--new"], directory.path()).status.success());
    let made = std::fs::read_to_string(&config).expect("a configuration");
    let odd = made.replace("\"hostname\"", "\"vendor\": 1,\n  \"hostname\"");
    std::fs::write(&config, odd).expect("a write");
    let checked = run(&[], directory.path());
    let lines = text(&checked.stdout);
    assert!(lines.starts_with("not of the specification: vendor = 1\n"), "{checked:?}");
    std::fs::write(&config, made.replace("\"uts\"", "\"utz\"")).expect("a write");
    let refused = run(&[], directory.path());
    assert_eq!(refused.status.code(), Some(1));
    let told = text(&refused.stderr);
    assert!(told.contains("linux.namespaces[3].type (line "), "{told}");
}
