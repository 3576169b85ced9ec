//! `test-runner` under cargo: a crate's suite has the same results as without it.
//!
//! By root only, because it needs the cargo that runs this test.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "commands/place.rs"]
mod place;

use std::fs;
use std::path::Path;
use std::process::Command;

const TESTS: &str = r#"
use std::{env, fs, net};
#[test]
fn reads_its_package() {
    assert!(fs::read_to_string("Cargo.toml").unwrap().contains("fixture"));
}
#[test]
fn writes_where_cargo_says() {
    fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/x"), "x").unwrap();
    fs::write(env::temp_dir().join("fixture-x"), "x").unwrap();
}
#[test]
fn talks_to_itself() {
    let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
    net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
}
#[test]
fn fails() {
    panic!("on purpose");
}
#[test]
#[ignore]
fn is_not_run() {}
#[test]
fn is_in_a_sandbox_if_that_is_wanted() {
    let boxed = fs::write("src/written", "x").is_err() && !fs::exists("/home").unwrap();
    assert_eq!(boxed, env::var_os("FIXTURE_BOXED").is_some());
    let _ = fs::remove_file("src/written");
}
"#;

fn fixture(dir: &Path) {
    fs::create_dir_all(dir.join("src")).unwrap();
    fs::create_dir_all(dir.join("tests")).unwrap();
    let manifest = "[package]\nname = \"fixture\"\nedition = \"2024\"\n[workspace]\n";
    fs::write(dir.join("Cargo.toml"), manifest).unwrap();
    fs::write(
        dir.join("src/lib.rs"),
        "/// ```\n/// assert_eq!(fixture::ONE, 1);\n/// ```\npub const ONE: i32 = 1;\n",
    )
    .unwrap();
    fs::write(dir.join("tests/suite.rs"), TESTS).unwrap();
}

/// The lines of results; what a run of the crate's tests says with a runner or without.
fn results(dir: &Path, runner: Option<&Path>) -> Vec<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--offline", "--no-fail-fast", "--target-dir"]).arg(dir.join("target"));
    cargo.current_dir(dir).env_remove("CARGO_TARGET_DIR");
    let triple = format!("{}_unknown_linux_gnu", std::env::consts::ARCH).to_uppercase();
    let variable = format!("CARGO_TARGET_{triple}_RUNNER");
    match runner {
        Some(runner) => cargo.env(variable, runner).env("FIXTURE_BOXED", "1"),
        None => cargo.env_remove(variable),
    };
    let output = cargo.output().unwrap();
    assert_eq!(output.status.code(), Some(101), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let of_test = |line: &&str| line.starts_with("test ") && !line.starts_with("test result");
    let mut lines: Vec<String> = text.lines().filter(of_test).map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn a_suite_has_the_same_results() {
    let dir = tempfile::tempdir().unwrap();
    fixture(dir.path());
    let plain = results(dir.path(), None);
    assert_eq!(plain.len(), 7, "{plain:?}");
    assert_eq!(plain.iter().filter(|line| line.ends_with("... ok")).count(), 5);
    assert_eq!(results(dir.path(), Some(&place::example("test-runner"))), plain);
    assert!(fs::exists(dir.path().join("target/tmp/x")).unwrap());
}
