//! Attacks on what joins a container: by its root, by its payload, by the names that the caller was talked into.
//!
//! Kernel objects: as in [`super::attacks`]. Invariant: the canary is as it was and its secret unread.

use std::time::{Duration, Instant};

use ampoule::seccomp::{Arch, syscall};
use ampoule::{Bytes, Capabilities, Capability, Container, Error, ErrorKind, Exec, Output, Root};

use super::attacks::bounded;
use super::rooted;
use crate::oracle::fixture::{self, Canary, Gate, Rootfs, one_call};

#[track_caller]
fn attack(canary: &Canary, exec: Exec<'_>) -> Result<Output, Error> {
    bounded(canary, |limit| exec.timeout(limit).output())
}

#[track_caller]
fn idle(root: &Rootfs) -> Container {
    rooted(root).idle().expect("a container")
}

#[track_caller]
fn print(canary: &Canary, container: &Container, script: &str) -> String {
    let output = attack(canary, container.exec("/bin/sh").args(["-c", script])).expect("a run");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// `cwd` and `args[0]` through descriptors of whoever joins, and through those of init.
pub(crate) fn what_joins_finds_no_way_out_in_procfs() {
    let canary = fixture::canary();
    let root = fixture::rootfs().with_cwd_links().with_own_exe();
    let container = idle(&root);
    let numbers = (0..40).map(|number| format!("/proc/self/fd/{number}"));
    let links = (0..16).map(|number| format!("/cwd/{number}"));
    let others = ["/cwd/init", "/cwd/up", "/proc/1/cwd", "/proc/self/cwd", "/proc/1/root"];
    for directory in numbers.clone().chain(links).chain(others.map(str::to_owned)) {
        let exec = container.exec("pwd").current_dir(&directory);
        if let Ok(output) = attack(&canary, exec) {
            assert_eq!(output.stdout, b"/\n", "{directory}");
        }
    }
    for program in numbers {
        assert!(attack(&canary, container.exec(&program)).is_err(), "{program}");
    }
    for program in ["/entry", "/shebang", "/loaded", "/proc/self/exe", "/proc/1/exe"] {
        match attack(&canary, container.exec(program).arg("x")) {
            // A file of the root, or init itself, which can do nothing there.
            Ok(output) => assert!(!output.status.success(), "{program}: {output:?}"),
            Err(error) => assert!(error.errno().is_some(), "{program}: {error}"),
        }
    }
    let script =
        "ls /proc/self/fd | tr '\\n' ' '; readlink /proc/self/cwd; readlink /proc/self/root";
    assert_eq!(print(&canary, &container, script), "0 1 2 3 /\n/\n");
    canary.assert_untouched();
}

/// A root whose `/proc`, `/sys` and `/dev` lead outside: what joins meets the container's own.
pub(crate) fn what_joins_meets_the_containers_own_file_systems() {
    let canary = fixture::canary();
    let outside = canary.open_dir();
    let roots: [fn() -> Root; 3] =
        [|| Root::ReadOnly, || Root::Ephemeral { size: 8 << 20 }, || Root::InPlace];
    for kind in roots {
        let root = fixture::rootfs().with_proc_link(&outside).with_sys_link(&outside);
        let root = root.with_dev_links(canary.open_file());
        // A root that cannot be built is refused before anything joins.
        let Ok(container) = rooted(&root).root(kind()).idle() else { continue };
        let script = "stat -f -c %T /proc /sys; stat -c '%t:%T' /dev/null; echo x > /dev/null; \
            (echo x > /proc/self/attr/exec) 2>/dev/null";
        let exec = container.exec("/bin/sh").args(["-c", script]);
        if let Ok(output) = attack(&canary, exec) {
            let seen = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(seen.is_empty() || seen.starts_with("proc\nsysfs\n1:3\n"), "{seen}");
        }
    }
    let root = fixture::rootfs().with_fake_proc().with_fake_sys();
    let shown = print(&canary, &idle(&root), "stat -f -c %T /proc /sys; cat /proc/self/comm");
    assert_eq!(shown, "proc\nsysfs\ncat\n");
    assert_eq!(root.read("proc/self/status").as_deref(), Some("0\n"));
    canary.assert_untouched();
}

/// The container changes its users between two processes that join it.
pub(crate) fn users_of_what_joins_are_read_within_limits() {
    let canary = fixture::canary();
    let root = fixture::rootfs();
    let container = idle(&root);
    let run_as = |user: &str| {
        let exec = container.exec("id").arg("-u").user(user.parse().expect("a user"));
        attack(&canary, exec)
    };
    assert_eq!(run_as("root").expect("a run").stdout, b"0\n");
    for change in [
        "rm /etc/passwd; mkfifo /etc/passwd",
        "rm /etc/passwd; ln -s /dev/zero /etc/passwd",
        "rm /etc/passwd; ln -s /proc/self/fd/0 /etc/passwd",
        "rm /etc/passwd; truncate -s 9999999999 /etc/passwd",
        "rm /etc/passwd; echo app:x:4294967296:0::/:/bin/sh > /etc/passwd",
        "rm /etc/passwd; echo app:x:-1:0::/:/bin/sh > /etc/passwd",
    ] {
        print(&canary, &container, change);
        let error = run_as("app").expect_err(change);
        // What cannot be opened in the root says so with its number.
        assert!(error.kind() == ErrorKind::User || error.errno().is_some(), "{change}: {error}");
    }
    canary.assert_untouched();
}

/// What joins under the default settings meets the same closed surface as the payload.
pub(crate) fn the_kernels_surface_is_closed_to_what_joins() {
    const EPERM: i32 = 1;
    const ENOSYS: i32 = 38;
    const EAFNOSUPPORT: i32 = 97;
    /// `CLONE_NEWUSER`.
    const NEW_USER: u64 = 0x1000_0000;
    let root = fixture::empty_rootfs();
    for (name, args, errno) in [
        ("unshare", [NEW_USER, 0, 0, 0, 0], EPERM),
        ("clone3", [0; 5], ENOSYS),
        ("fsopen", [0; 5], EPERM),
        ("keyctl", [0, 0xffff_fffd, 0, 0, 0], EPERM),
        ("bpf", [0; 5], EPERM),
        ("io_uring_setup", [1, 0, 0, 0, 0], EPERM),
        ("userfaultfd", [0; 5], EPERM),
        ("perf_event_open", [0; 5], EPERM),
        ("socket", [38, 5, 0, 0, 0], EAFNOSUPPORT),
        ("socket", [40, 1, 0, 0, 0], EAFNOSUPPORT),
        ("ioctl", [0, (1 << 32) | 0x5412, 0, 0, 0], EPERM),
        ("ioctl", [0, 0x541c, 0, 0, 0], EPERM),
        ("getpid", [0; 5], 0),
    ] {
        let number = syscall::number(Arch::native(), name).expect("a call");
        let program = one_call(Gate::Native, number, args);
        let builder = rooted(&root).file_with_mode("/call", program, 0o755);
        let container = builder.idle().expect("a container");
        let status = container.exec("/call").status().expect("a run");
        assert_eq!(status.code(), Some(errno), "{name} {args:x?}");
    }
}

/// On a terminal of the host's what joins cannot type: its session is its own.
pub(crate) fn the_hosts_terminal_is_not_that_of_what_joins() {
    use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).expect("a terminal");
    grantpt(&master).and_then(|()| unlockpt(&master)).expect("a terminal");
    let peer = ioctl_tiocgptpeer(&master, flags).expect("its other end");
    let root = fixture::rootfs();
    let container = idle(&root);
    let script =
        "[ -t 0 ] && echo terminal; (: > /dev/tty) 2>&1; cut -d' ' -f7 /proc/$$/stat; echo end";
    let exec = container.exec("/bin/sh").args(["-c", script]).stdin(peer);
    let output = exec.output().expect("a run");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("terminal\n") && text.ends_with("\n0\nend\n"), "{text}");
    assert!(text.contains("No such device or address"), "{text}");
}

/// A payload that changes the mode of init's file stops neither this container's processes nor others.
pub(crate) fn init_survives_changes_of_its_mode_by_what_joined() {
    let canary = fixture::canary();
    let root = fixture::rootfs();
    let container = idle(&root);
    for mode in ["0", "0111", "4755"] {
        let script = format!("chmod {mode} /proc/1/exe 2>/dev/null; echo done");
        assert_eq!(print(&canary, &container, &script), "done\n");
        assert_eq!(print(&canary, &container, "echo later"), "later\n");
        assert_eq!(print(&canary, &idle(&root), "echo elsewhere"), "elsewhere\n");
    }
    canary.assert_untouched();
}

/// Asking for capabilities gives those, and nothing is left to inherit (CVE-2022-29162).
pub(crate) fn capabilities_of_what_joins_are_those_that_were_asked_for() {
    let canary = fixture::canary();
    let root = fixture::rootfs();
    let container = idle(&root);
    let script = "grep -E '^Cap(Inh|Prm|Eff|Amb)' /proc/self/status | cut -f2 | tr '\\n' ' '";
    let show = |exec: Exec<'_>| {
        let output = attack(&canary, exec.args(["-c", script])).expect("a run");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let none = "0000000000000000 ";
    let dropped = container.exec("/bin/sh").capabilities(Capabilities::drop_all());
    assert_eq!(show(dropped), none.repeat(4));
    let one = Capabilities::drop_all().add(Capability::NetBindService);
    let one = show(container.exec("/bin/sh").capabilities(one));
    let wanted = "0000000000000400 ";
    assert_eq!(one, [none, wanted, wanted, none].concat());
    let usual = show(container.exec("/bin/sh"));
    assert!(usual.starts_with(none) && usual.ends_with(none), "{usual}");
}

/// Lengths at which integers of 16 bits wrap.
pub(crate) fn lengths_of_what_joins_do_not_wrap() {
    let canary = fixture::canary();
    let root = fixture::rootfs();
    let container = idle(&root);
    for length in [4096, 65_535, 65_536, 65_537] {
        let long = format!("/{}", "a/".repeat(length / 2));
        attack(&canary, container.exec(&long)).expect_err("it is too long");
        attack(&canary, container.exec("true").current_dir(&long)).expect_err("it is too long");
        let exec = container.exec("true").apparmor_profile(&long);
        attack(&canary, exec).expect_err("it is too long");
        container.read(&long, Bytes::kib(1)).expect_err("it is too long");
        container.write(&long, "x").expect_err("it is too long");
    }
    let value = "v".repeat(65_536);
    let exec = container.exec("/bin/sh").args(["-c", "echo ${#LONG}"]).env("LONG", &value);
    assert_eq!(attack(&canary, exec).expect("a run").stdout, b"65536\n");
    canary.assert_untouched();
}

/// A payload that writes without end is bounded, and the container goes on.
pub(crate) fn what_floods_its_streams_is_ended() {
    let root = fixture::rootfs();
    let container = idle(&root);
    let flood = container.exec("/bin/sh").args(["-c", "cat /dev/zero >&2"]);
    let output = flood.output_max(Bytes::kib(64)).timeout(Duration::from_secs(5)).output();
    let output = output.expect("a run");
    assert!(!output.status.success() && output.stderr.len() <= 64 << 10, "{}", output.status);
    assert!(container.exec("true").status().expect("a run").success());
}
