//! Labels of one process that joins: its own in place of the container's, by the builder and by `process.json`.
//!
//! Kernel objects: containers from a root on the guest's disk, a volume with a label, the kernel's log. Invariant: the
//! guest is unchanged but for its log.

mod oracle;
mod svirt;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use ampoule::oci::process;
use ampoule::{Builder, Container, ErrorKind, Exec, Output, Relabel, Stdio};
use svirt::{context, denials, label_of, labelled, on_disk, root};
use tempfile::TempDir;

const CURRENT: &[&str] = &["cat", "/proc/self/attr/current"];

/// A volume of the container's own, that any user may write to.
fn volume() -> TempDir {
    let dir = on_disk();
    fs::write(dir.path().join("file"), "mine\n").expect("a file");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).expect("its mode");
    dir
}

fn with(builder: Builder, volume: &TempDir) -> Builder {
    builder.bind_rw_to(volume.path(), "/volume").relabel("/volume", Relabel::Private)
}

fn busybox<'a>(container: &'a Container, args: &[&str]) -> Exec<'a> {
    container.exec("/bin/busybox").args(args.to_vec())
}

#[track_caller]
fn said(output: Result<Output, ampoule::Error>) -> String {
    let output = output.unwrap_or_else(|error| panic!("{error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end_matches('\0').to_owned()
}

#[test]
fn a_process_has_the_label_that_was_asked_for() {
    oracle::tier::vm();
    let (root, volume) = (root(), volume());
    let container = with(labelled(root.path(), "c511,c512"), &volume).idle().expect("a container");
    // It may enter the container's programs: its categories cover theirs.
    let own = "system_u:system_r:container_t:s0:c511,c512,c520";
    let exec = |args: &[&str]| busybox(&container, args).selinux_label(context(own));
    assert_eq!(said(exec(CURRENT).output()), own);
    assert_eq!(said(exec(&["cat", "/volume/file"]).output()), "mine\n");
    let sleeps = exec(&["sleep", "100"]).stdin(Stdio::null()).spawn().expect("a process");
    assert_eq!(label_of(&sleeps.pid().to_string()), own);
    // The next one has the container's again.
    let usual = "system_u:system_r:container_t:s0:c511,c512";
    assert_eq!(said(busybox(&container, CURRENT).output()), usual);
}

#[test]
fn a_document_says_the_label() {
    oracle::tier::vm();
    let root = root();
    let container = labelled(root.path(), "c521,c522").idle().expect("a container");
    let run = |label: &str| {
        let json = format!(
            r#"{{"args": ["/bin/busybox", "cat", "/proc/self/attr/current"], "cwd": "/",
                "user": {{"uid": 0, "gid": 0}}, "selinuxLabel": "{label}"}}"#
        );
        process(&container, json.as_bytes()).and_then(Exec::output)
    };
    let own = "system_u:system_r:container_t:s0:c521,c522,c530";
    assert_eq!(said(run(own)), own);
    assert_eq!(said(run("")), "system_u:system_r:container_t:s0:c521,c522");
    for (label, kind) in [
        ("nonsense", ErrorKind::InvalidSettings),
        ("system_u:system_r:container_t:s0:c5000", ErrorKind::InvalidSettings),
        ("system_u:system_r:nobody_has_this_t:s0", ErrorKind::Selinux),
    ] {
        let error = run(label).expect_err(label);
        assert_eq!(error.kind(), kind, "{label}: {error}");
    }
}

/// Nothing of the program runs with a label that cannot be had.
#[test]
fn a_wrong_label_is_an_error_before_anything_runs() {
    oracle::tier::vm();
    let (root, volume) = (root(), volume());
    let container = with(labelled(root.path(), "c531,c532"), &volume).idle().expect("a container");
    let refused = |label: &str| {
        let exec = busybox(&container, &["touch", "/volume/ran"]).selinux_label(context(label));
        exec.spawn().map(|process| process.pid()).expect_err(label)
    };
    // The policy does not have it, or this process may not give it.
    for label in [
        "system_u:system_r:nobody_has_this_t:s0:c531,c532",
        "nobody_u:system_r:container_t:s0:c531,c532",
        "system_u:system_r:container_t:s1000",
        "system_u:object_r:container_file_t:s0:c531,c532",
    ] {
        assert_eq!(refused(label).kind(), ErrorKind::Selinux, "{label}");
    }
    assert!(!volume.path().join("ran").exists());
    let usual = busybox(&container, &["touch", "/volume/ran"]).status().expect("a run");
    assert!(usual.success() && volume.path().join("ran").exists());
}

/// What joins is denied what is another container's, as the payload is.
#[test]
fn what_joins_reads_no_volume_of_another_container() {
    oracle::tier::vm();
    let (root, volume) = (root(), volume());
    let owner = with(labelled(root.path(), "c541,c542"), &volume).idle().expect("a container");
    let read = ["cat", "/volume/file"];
    assert_eq!(said(busybox(&owner, &read).output()), "mine\n");
    // The policy does not log a search that it denies, so that the other one sees the file alone.
    let other = labelled(root.path(), "c543,c544");
    let other = other.bind_to(volume.path().join("file"), "/file").idle().expect("a container");
    let output = busybox(&other, &["cat", "/file"]).output().expect("a run");
    assert_eq!(output.stdout, b"");
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaint.contains("Permission denied"), "{complaint}");
    let logged = denials(&["{ read }", "s0:c543,c544", "s0:c541,c542", "tclass=file"]);
    assert!(!logged.is_empty(), "nothing was logged");
}
