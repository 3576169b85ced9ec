//! Hosts that are themselves confined: in a container, without user namespaces, set-user-id.
//!
//! Kernel objects: an outer container with settings of its own, in which this test binary is the host. Invariant: what
//! is missing is named, and nothing of the machine is changed for it.

mod oracle;
mod scene;

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use ampoule::{Builder, Capability, Container, Error, IdMap, IdMapping, Namespace, Seccomp, User};
use oracle::{fixture, payload, tier, unchanged};
use scene::{printed, times};

/// What this binary does inside.
#[test]
fn payload_main() {
    let Some(verb) = payload::verb() else { return };
    let set = |name: &str, value: &str| {
        std::fs::write(format!("/proc/sys/user/{name}"), value)
            .expect("a limit of this user namespace");
    };
    match verb.as_str() {
        "run" | "run-mapped" | "run-shared" => {}
        "no-user-namespaces" => set("max_user_namespaces", "0"),
        "no-net-namespaces" => set("max_net_namespaces", "0"),
        other => panic!("{other}?"),
    }
    let view = Container::host_view();
    let view = match verb.as_str() {
        "run-mapped" => view
            .id_mapping(IdMapping::Explicit(IdMap::range(0, 1000, 64_000)))
            .user(User::ids(5, 5)),
        "run-shared" => view.share(Namespace::User).user(User::ids(0, 0)),
        _ => view,
    };
    let result = view.command("echo").arg("nested").output();
    payload::print_report(&match result {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => describe(&error),
    });
}

fn describe(error: &Error) -> String {
    format!("{:?} {:?} {error} hint {:?}", error.kind(), error.stage(), error.hint())
}

/// Runs this binary in a container; what it reports.
#[track_caller]
fn inside(builder: Builder, verb: &str) -> String {
    let own = payload::own_program(verb);
    let directory = own.program.parent().expect("a directory");
    let command = builder.bind(directory).command(own.program.clone()).args(own.args);
    let text = printed(command.env(own.env.0, own.env.1).output().expect("a run"));
    payload::report(&text).unwrap_or_else(|| panic!("no report in {text}")).to_owned()
}

/// An outer container without masks, in which user 0 may set limits and make namespaces.
fn open() -> Builder {
    let builder = Container::host_view().masked_paths([""; 0]).read_only_paths([""; 0]);
    builder.user(User::ids(0, 0)).cap_add(Capability::SysResource).seccomp(Seccomp::Unconfined)
}

#[test]
fn a_container_in_a_container() {
    tier::root();
    unchanged(|| {
        assert_eq!(inside(open(), "run"), "nested\n");
        assert_eq!(inside(open().user(User::ids(1000, 1000)), "run"), "nested\n");
    });
}

#[test]
fn a_filter_that_forbids_namespaces_is_named() {
    tier::root();
    unchanged(|| {
        let said = inside(open().seccomp(Seccomp::Default), "run");
        assert!(said.starts_with("PermissionDenied Namespaces"), "{said}");
        assert!(said.contains("seccomp filter"), "{said}");
    });
}

#[test]
fn user_namespaces_used_up() {
    tier::root();
    unchanged(|| {
        let said = inside(open(), "no-user-namespaces");
        assert!(said.starts_with("UserNamespacesDenied Plan"), "{said}");
        assert!(
            said.contains("user.max_user_namespaces=0") && !said.contains("hint None"),
            "{said}"
        );
    });
}

#[test]
fn other_namespaces_used_up() {
    tier::root();
    unchanged(|| {
        let said = inside(open(), "no-net-namespaces");
        assert!(said.starts_with("NamespaceLimit Namespaces"), "{said}");
        assert!(said.contains("max_*_namespaces"), "{said}");
    });
}

/// There are no 65536 further ids to give away: a host that is root of such a namespace must say which ones to use.
#[test]
fn privilege_in_a_user_namespace_only() {
    tier::root();
    unchanged(|| {
        let said = inside(open().cap_add(Capability::SysAdmin), "run");
        assert!(said.starts_with("IdMap Plan") && said.contains("explicit id map"), "{said}");
        assert_eq!(inside(open().cap_add(Capability::SysAdmin), "run-mapped"), "nested\n");
    });
}

/// What came from another user namespace cannot be taken away below `/`; further ids are not needed.
#[test]
fn the_root_of_a_namespace_whose_mounts_are_locked() {
    tier::root();
    unchanged(|| {
        for verb in ["run", "run-shared"] {
            let own = payload::own_program(verb);
            let mut command = std::process::Command::new("unshare");
            command.args(["--user", "--map-root-user", "--mount"]).arg(&own.program);
            command.args(&own.args).env(own.env.0, own.env.1).stdin(Stdio::null());
            let output = command.output().expect("unshare");
            let text = String::from_utf8_lossy(&output.stdout);
            assert_eq!(payload::report(&text), Some("nested\n"), "{verb}: {output:?}");
        }
    });
}

#[test]
fn a_masked_proc_is_named() {
    tier::root();
    unchanged(|| {
        let said = inside(Container::host_view(), "run");
        assert!(said.starts_with("ProcMasked"), "{said}");
    });
}

#[test]
fn a_set_user_id_host_is_refused() {
    tier::root();
    unchanged(|| {
        let place = fixture::empty_rootfs().with_dir("place", 0o755);
        let own = payload::own_program("run");
        let copy = place.at("place").join("host");
        std::fs::copy(&own.program, &copy).expect("a copy");
        chown(&copy, Some(1000), Some(1000)).expect("another owner");
        std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o4755)).expect("set-user-id");
        let mut command = std::process::Command::new(&copy);
        command.args(&own.args).env(own.env.0, own.env.1).stdin(Stdio::null());
        let output = command.uid(65534).gid(65534).current_dir("/").output().expect("a run");
        let text = String::from_utf8_lossy(&output.stdout);
        let said = payload::report(&text).unwrap_or_else(|| panic!("{output:?}"));
        assert!(said.starts_with("SecureHost Plan"), "{said}");
    });
}

/// Another process exchanges the target of a mount with a link to the outside, over and over.
#[test]
fn targets_that_change_while_mounting() {
    tier::root();
    unchanged(|| {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        let canary = fixture::canary();
        let root = fixture::rootfs()
            .with_dir("volume/target", 0o777)
            .with_symlink("volume/link", canary.open_dir())
            .with_dir("volume/deep/er", 0o777);
        let stop = std::sync::atomic::AtomicBool::new(false);
        let (target, link) = (root.path().join("volume/target"), root.path().join("volume/link"));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    renameat_with(CWD, &target, CWD, &link, RenameFlags::EXCHANGE)
                        .expect("both are there");
                }
            });
            let result = std::panic::catch_unwind(|| {
                for _ in 0..times(100, 5000) {
                    attack_volume(&root, &canary);
                }
            });
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
        canary.assert_untouched();
    });
}

fn attack_volume(root: &fixture::Rootfs, canary: &fixture::Canary) {
    let volume = root.path().join("volume");
    let builder = scene::rooted(root)
        .bind_rw_to(volume, "/mnt")
        .tmpfs("/mnt/target", ampoule::Bytes::mib(1))
        .tmpfs("/mnt/target/new", ampoule::Bytes::mib(1))
        .file("/mnt/target/file", "x");
    let script = "echo x > /mnt/target/inside; cat /mnt/target/secret /mnt/target/../secret";
    if let Ok(output) = scene::shell(builder, script).output() {
        canary.assert_unseen(&output.stdout);
    }
}
