//! Attacks of what joined, on what the container must not reach: groups, devices, mounts, terminals, the host's patience.
//!
//! Kernel objects: as in [`super::attacks`]. Invariant: the canary is as it was and its secret unread.

use std::io::Read as _;
use std::time::{Duration, Instant};

use ampoule::seccomp::Filter;
use ampoule::{Capability, Container, Control, Outcome, Pty, Stdio, WindowSize};

use super::attacks::bounded;
use super::rooted;
use crate::oracle::fixture::{self, Canary, Rootfs};

#[track_caller]
fn print(canary: &Canary, container: &Container, script: &str) -> String {
    let exec = container.exec("/bin/sh").args(["-c", script]);
    let output = bounded(canary, |limit| exec.timeout(limit).output()).expect("a run");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn control_groups_cannot_be_escaped_through_by_what_joins() {
    let canary = fixture::canary();
    let root = fixture::rootfs();
    let capable = rooted(&root).cap_add(Capability::SysAdmin);
    for builder in [rooted(&root), capable] {
        let container = builder.idle().expect("a container");
        let text = print(&canary, &container, super::attacks::GROUPS);
        assert!(text.ends_with("end\n"), "{text}");
        for word in ["wrote", "core", "uevent"] {
            assert!(!text.contains(word), "{text}");
        }
    }
    canary.assert_untouched();
}

pub(crate) fn devices_cannot_be_opened_by_what_joins() {
    let canary = fixture::canary();
    let root = fixture::rootfs();
    let container = rooted(&root).cap_add(Capability::Mknod).idle().expect("a container");
    assert_eq!(print(&canary, &container, super::attacks::NODES), "end\n");
    canary.assert_untouched();
}

/// What joins with the capability to mount changes no flag of the host's mounts where the report promises that.
pub(crate) fn mounts_are_locked_for_what_joins() {
    let canary = fixture::canary();
    let root = fixture::rootfs();
    let shared = fixture::empty_rootfs().with_file("file", "content", 0o666);
    for capable in [false, true] {
        let builder = rooted(&root).bind_to(shared.path(), "/data");
        let builder = if capable { builder.cap_add(Capability::SysAdmin) } else { builder };
        let container = builder.idle().expect("a container");
        let promised = container.report().is_in_force(Control::LockedMounts);
        let text = print(&canary, &container, super::attacks::REMOUNT);
        let held = shared.read("file").as_deref() == Some("content") && text == "end\n";
        assert!(held || !promised, "promised, but {text}, {:?}", shared.read("file"));
        assert!(capable || held, "{text}");
    }
    canary.assert_untouched();
}

/// What can be seen at a terminal, to its end.
fn seen(pty: Option<Pty>) -> String {
    let mut bytes = Vec::new();
    // The end of a terminal is an error.
    drop(pty.expect("a terminal").read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The terminal is one of the container's own, whatever the root has in place of `/dev`.
pub(crate) fn terminals_come_from_no_forged_device() {
    const SCRIPT: &str = "tty; stat -L -c '%F %t' /dev/console /dev/ptmx 2>&1; \
        for f in /dev/console /dev/tty /dev/pts/0; do (echo typed > $f) 2>/dev/null; done; echo end";
    let canary = fixture::canary();
    let roots: [fn(&Canary) -> Rootfs; 3] = [
        |canary| fixture::rootfs().with_dev_link(canary.open_dir()),
        |canary| fixture::rootfs().with_dev_links(canary.open_file()),
        |_| fixture::rootfs().with_dev_files(),
    ];
    let limit = Duration::from_secs(10);
    let mut terminals = 0;
    for make in roots {
        let root = make(&canary);
        let payload = super::shell(rooted(&root), SCRIPT).tty(WindowSize::default()).timeout(limit);
        let mut shown = Vec::new();
        match payload.spawn() {
            Ok(mut container) => {
                shown.push(seen(container.pty.take()));
                container.wait().expect("a status");
            }
            Err(error) => canary.assert_unseen(error.to_string()),
        }
        if let Ok(container) = rooted(&root).idle() {
            let exec = container.exec("/bin/sh").args(["-c", SCRIPT]).tty(WindowSize::default());
            let mut process = exec.timeout(limit).spawn().expect("a process");
            shown.push(seen(process.pty.take()));
            process.wait().expect("a status");
        }
        terminals += shown.len();
        for text in shown {
            canary.assert_unseen(&text);
            assert!(text.starts_with("/dev/pts/0\r\n") && text.contains("end\r\n"), "{text}");
            assert!(text.contains("character special file 5\r\n"), "{text}");
            assert!(!text.contains("regular"), "{text}");
        }
        canary.assert_untouched();
    }
    assert!(terminals >= 2, "every root was refused");
}

/// The host has its deadline for one process, and the container goes on.
pub(crate) fn a_notification_of_what_joins_that_is_never_answered() {
    let root = fixture::rootfs();
    let filter = Filter::default_profile().notify(["mkdir", "mkdirat"]);
    let container = rooted(&root).seccomp(filter).idle().expect("a container");
    let asks = || container.exec("mkdir").arg("/x").stdin(Stdio::null());
    let begun = Instant::now();
    let mut kept = asks().timeout(Duration::from_millis(300)).spawn().expect("a process");
    assert_eq!(kept.wait().expect("an end").outcome(), Outcome::TimedOut);
    assert!(kept.listener.is_some(), "it was there all the time");
    drop(asks().spawn().expect("a process"));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert!(container.exec("true").status().expect("a run").success());
}
