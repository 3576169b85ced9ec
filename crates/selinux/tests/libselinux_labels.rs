//! The second back end where SELinux need not be on: the rules by which files are labelled, and its state.
//!
//! Kernel objects: a file of rules. Invariant: the machine is unchanged.

use std::fs;
use std::path::Path;

use ampoule_selinux::libselinux::{self, DefaultLabels};
use ampoule_selinux::{Context, ErrorKind, SelinuxFs, State};

const RULES: &str = "\
/.*	system_u:object_r:default_t:s0
/srv(/.*)?	system_u:object_r:var_t:s0
/srv/www(/.*)?	system_u:object_r:web_t:s0:c1,c2
/srv/socket	-s	system_u:object_r:socket_t:s0
/srv/odd	system_u:object_r
/srv/nothing	<<none>>
";
const FILE: u32 = 0o100_644;
const SOCKET: u32 = 0o140_755;

#[test]
fn rules_say_the_label_of_a_path() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("file_contexts");
    fs::write(&file, RULES).expect("the rules");
    let labels = DefaultLabels::of_file(&file).expect("rules");
    let of = |path: &str, mode| labels.get(Path::new(path), mode);
    let name = |path: &str, mode| {
        let label = of(path, mode).expect("a label").expect("a rule");
        format!("{}:{}", label.kind(), label.range().expect("a range"))
    };
    assert_eq!(name("/etc/passwd", FILE), "default_t:s0");
    assert_eq!(name("/srv", 0), "var_t:s0");
    assert_eq!(name("/srv/www/a/b", FILE), "web_t:s0:c1,c2");
    assert_eq!(name("/srv/socket", SOCKET), "socket_t:s0");
    assert_eq!(name("/srv/socket", FILE), "var_t:s0");
    assert_eq!(of("/srv/nothing", FILE).expect("an answer"), None);
    let error = of("/srv/odd", FILE).expect_err("no context");
    assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
}

#[test]
fn rules_that_are_not_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let error = DefaultLabels::of_file(&dir.path().join("none")).expect_err("no file");
    assert_eq!(error.kind(), ErrorKind::System, "{error}");
    let error = DefaultLabels::of_file(Path::new("a\0b")).expect_err("no path");
    assert_eq!(error.kind(), ErrorKind::System, "{error}");
}

#[test]
fn both_know_whether_selinux_is_on() {
    let state = State::of_this_machine().expect("a state");
    assert_eq!(libselinux::state().expect("a state"), state);
    let context: Context = "system_u:system_r:init_t:s0".parse().expect("a context");
    let own = SelinuxFs::open().expect("selinuxfs or none");
    let own = own.filter(|_| state != State::Disabled);
    let said = libselinux::validate(&context);
    match own {
        Some(own) => assert_eq!(said.ok(), own.validate(&context).ok()),
        None => {
            assert_eq!(said.expect_err("no SELinux").kind(), ErrorKind::Disabled);
            let said = libselinux::allows(&context, &context, ("process", "fork"));
            assert_eq!(said.expect_err("no SELinux").kind(), ErrorKind::Disabled);
        }
    }
}
