//! Containers with SELinux enforcing: each has its label, and none reads what has another's.
//!
//! Kernel objects: containers from a root on the guest's disk, a volume with a label, the kernel's log. Invariant: the
//! guest is unchanged.

mod oracle;
mod svirt;

use std::fs;

use ampoule::{Container, Control, ErrorKind, Selinux};
use ampoule_selinux::{FileLabels, Relabel};
#[cfg(target_arch = "x86_64")]
use oracle::fixture;
use svirt::{busybox, context, denials, label_of, labelled, on_disk, payload, root};

#[test]
fn a_payload_has_the_label_that_is_told() {
    oracle::tier::vm();
    let root = root();
    let plan = Container::from_rootfs(root.path()).command("/bin/busybox").arg("sleep").arg("100");
    let plan = plan.plan().expect("a plan");
    assert!(plan.report().is_in_force(Control::Selinux), "{}", plan.report());
    let (one, other) = (plan.launch().spawn().expect("one"), plan.launch().spawn().expect("two"));
    let told = |container: &Container| container.selinux_label().expect("a label").to_string();
    assert_ne!(told(&one), told(&other));
    for container in [&one, &other] {
        let found = label_of(&payload(container));
        assert_eq!(found, told(container));
        assert!(found.contains(":container_t:s0:c"), "{found}");
    }
}

/// What is mounted for a container has its label: nobody else's processes read it.
#[test]
fn file_systems_have_the_label_that_is_told() {
    oracle::tier::vm();
    let root = root();
    let builder = labelled(root.path(), "c105,c206").tmpfs("/memory", ampoule::Bytes::mib(1));
    let command = builder.file("/written", "x").command("/bin/busybox").args(["sleep", "100"]);
    let container = command.spawn().expect("a container");
    let inside = format!("/proc/{}/root", payload(&container));
    let labels = FileLabels::open().expect("procfs");
    for path in ["", "dev", "dev/null", "dev/shm", "bin/busybox", "memory", "written"] {
        let file = fs::File::open(format!("{inside}/{path}")).expect(path);
        let label = labels.get(file).expect("an answer").expect("a label").to_string();
        assert_eq!(label, "system_u:object_r:container_file_t:s0:c105,c206", "/{path}");
    }
}

/// The session keyring that each container gets has its label, and not that of who starts it.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_keyring_has_the_label_that_is_told() {
    oracle::tier::vm();
    let root = root();
    // The default profile keeps keyrings closed.
    let builder = labelled(root.path(), "c107,c208").seccomp(ampoule::Seccomp::Unconfined);
    let builder = builder.file_with_mode("/label", fixture::keyring_label(), 0o755);
    let output = builder.command("/label").output().expect("a run");
    let found = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(found.trim_end_matches('\0'), "system_u:system_r:container_t:s0:c107,c208");
}

#[test]
fn a_volume_is_for_its_container_only() {
    oracle::tier::vm();
    let root = root();
    let volume = on_disk();
    fs::write(volume.path().join("file"), "mine\n").expect("a file");
    // The policy does not log who may not search a directory, so that this one is everybody's.
    for (path, level) in [("", "s0"), ("file", "s0:c101,c202")] {
        let label = context(&format!("system_u:object_r:container_file_t:{level}"));
        let path = volume.path().join(path);
        Relabel::new(&label).and_then(|relabel| relabel.path(&path)).expect("labels");
    }
    let read = |categories| {
        let builder = labelled(root.path(), categories).bind_to(volume.path(), "/volume");
        busybox(builder, &["cat", "/volume/file"])
    };
    let own = read("c101,c202");
    assert_eq!(own.stdout, b"mine\n", "{}", String::from_utf8_lossy(&own.stderr));
    let other = read("c103,c204");
    assert_eq!(other.stdout, b"");
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(said.contains("Permission denied"), "{said}");
    let logged = denials(&["{ read }", "s0:c103,c204", "s0:c101,c202", "tclass=file"]);
    assert!(!logged.is_empty(), "nothing was logged");
}

#[test]
fn what_the_policy_does_not_have_or_permit() {
    oracle::tier::vm();
    let root = root();
    let refused = |label: &str| {
        let builder = Container::from_rootfs(root.path());
        let label = Selinux::Label(Box::new(context(label)));
        builder.selinux(label).command("/bin/busybox").plan().expect_err("no such label")
    };
    let error = refused("system_u:system_r:nobody_has_this_t:s0:c1,c2");
    assert_eq!(error.kind(), ErrorKind::Selinux, "{error}");
    // The host's programs cannot be entered: by default nothing is in force, and asked for it is an error.
    let plan = Container::host_view().command("true").plan().expect("a plan");
    assert!(!plan.report().is_in_force(Control::Selinux), "{}", plan.report());
    let label = context("system_u:system_r:container_t:s0:c1,c2");
    let view = Container::host_view().selinux(Selinux::Label(Box::new(label)));
    assert_eq!(view.clone().command("true").plan().expect_err("bin_t").kind(), ErrorKind::Selinux);
    let plan = view.best_effort(Control::Selinux).command("true").plan().expect("a plan");
    assert!(!plan.report().is_in_force(Control::Selinux), "{}", plan.report());
}
