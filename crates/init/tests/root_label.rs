//! The step that writes a label and reads it back, on files that keep what is written and on files that do not.

mod support;

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::Path;

use ampoule_init::steps::{file, launch as l, process as p};
use ampoule_init::{Draft, Parameter, Program};
use support::{finish, refused, run, shell, turn};

const LABEL: &str = "system_u:system_r:container_t:s0:c1,c2";

/// A program that writes the launch's label to a file of a directory.
fn program(dir: &Path, name: &str) -> Program {
    let mut draft = Draft::default();
    let dir = draft.inherit(OwnedFd::from(File::open(dir).expect("a directory")));
    draft.launcher(l::clone_first(0, "", None));
    draft.launcher(l::release());
    draft.first_all([l::wait_for_release(), p::undumpable()]);
    let name = CString::new(name).expect("a name");
    draft.first(file::write_label(dir, &name, (0, "label"), 1));
    draft.first_all([l::become_reaper(None), l::reset_signals(), l::close_others(), l::exec()]);
    Program::seal(draft).expect("a small program")
}

fn parameters() -> Vec<Parameter> {
    let text = CString::new(LABEL).expect("no NUL");
    vec![Parameter::Text(text), Parameter::Number(LABEL.len() as u64)]
}

#[test]
fn a_label_that_is_kept() {
    let _turn = turn();
    let dir = tempfile::tempdir_in("/dev/shm").expect("a directory");
    fs::write(dir.path().join("label"), "").expect("a file");
    let mut launch = shell("exit 5");
    launch.parameters = parameters();
    let ended = finish(&run(&program(dir.path(), "label"), &launch)).expect("a status");
    assert_eq!(ended.status, 5 << 8);
    assert_eq!(fs::read_to_string(dir.path().join("label")).expect("a label"), LABEL);
}

#[test]
fn a_label_that_reads_otherwise_stops_the_launch() {
    let _turn = turn();
    let dir = tempfile::tempdir_in("/dev/shm").expect("a directory");
    // More than what is written: the kernel has another label than the one that was asked for.
    fs::write(dir.path().join("longer"), "x".repeat(LABEL.len() + 9)).expect("a file");
    let mut launch = shell("exit 5");
    launch.parameters = parameters();
    for (place, name) in [(dir.path(), "longer"), (Path::new("/dev"), "null")] {
        let error = refused(&program(place, name), &launch);
        assert_eq!(error.errno(), Some(libc::EIO), "{name}: {error}");
    }
    let error = refused(&program(dir.path(), "missing"), &launch);
    assert_eq!(error.errno(), Some(libc::ENOENT), "{error}");
}
