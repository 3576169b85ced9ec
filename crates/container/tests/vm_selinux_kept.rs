//! What joins a container by its record has the label of its launch.
//!
//! Kernel objects: directories of records, containers from a root on the guest's disk. Invariant: the guest is unchanged.

mod oracle;
mod svirt;

use ampoule::{Builder, Container, Details, Force, Pid1, StateDirectory};
use svirt::{label_of, labelled, on_disk, root};

/// A container that was made, started, and found again as another process would.
fn joined(builder: Builder, pid1: Pid1) -> (String, String) {
    let place = on_disk();
    let command = builder.pid1(pid1).command("/bin/busybox").args(["sleep", "1000"]);
    let command = command.stdin(ampoule::Stdio::null()).stdout(ampoule::Stdio::null());
    let states = StateDirectory::open(place.path().join("states")).expect("a directory");
    drop(states.create("it", command, Details::default()).expect("a container"));
    states.get("it").expect("its record").start().expect("a start");

    let later = StateDirectory::open(place.path().join("states")).expect("a directory");
    let kept = later.get("it").expect("its record");
    let container = kept.container().expect("its settings");
    let told = container.selinux_label().expect("a label").to_string();
    let output = container.exec("/bin/busybox").args(["cat", "/proc/self/attr/current"]).output();
    let output = output.expect("a process");
    assert_eq!(output.stderr, b"", "{}", String::from_utf8_lossy(&output.stderr));
    let found = String::from_utf8(output.stdout).expect("a label");
    assert_eq!(found.trim_end_matches('\0'), told);
    let payload = match pid1 {
        Pid1::Payload => kept.pid().expect("it lives").to_string(),
        _ => svirt::payload(container),
    };
    let payload = label_of(&payload);
    later.delete("it", Force::Yes).expect("it goes");
    (told, payload)
}

#[test]
fn what_joins_by_the_record_has_the_label() {
    oracle::tier::vm();
    let root = root();
    for pid1 in [Pid1::Reaper, Pid1::Payload] {
        let (told, payload) = joined(Container::from_rootfs(root.path()), pid1);
        assert_eq!(told, payload);
        assert!(told.contains(":container_t:s0:c"), "{told}");
        let (told, payload) = joined(labelled(root.path(), "c501,c502"), pid1);
        assert_eq!(
            (told.as_str(), payload),
            ("system_u:system_r:container_t:s0:c501,c502", told.clone())
        );
    }
}
