//! Roots, programs and settings of an attacker; each with a canary outside.
//!
//! Kernel objects: whole containers, a tree outside of them. Invariant: the canary is as it was and its secret unread,
//! whatever the container does.

use std::time::{Duration, Instant};

use ampoule::{Builder, Bytes, Command, Container, Error, Output, Root};
use ampoule_init::wire::fault;

use super::{rooted, shell};
use crate::oracle::fixture::{self, Canary, Rootfs};

const ROOTS: [fn() -> Root; 3] =
    [|| Root::ReadOnly, || Root::Ephemeral { size: 8 << 20 }, || Root::InPlace];

/// Makes the host's read-only bind mount at `/data` writable, and uncovers what is masked.
pub(super) const REMOUNT: &str = "mount -o remount,bind,rw /data 2>/dev/null; umount /data 2>/dev/null; \
    (echo changed > /data/file) 2>/dev/null; umount /proc/keys 2>/dev/null && echo uncovered; echo end";
/// Writes whatever makes the kernel start a program of the host.
pub(super) const GROUPS: &str = "mkdir /tmp/g; mount -t cgroup -o memory none /tmp/g 2>/dev/null && echo mounted; \
    for f in $(find / -xdev -name release_agent 2>/dev/null) /sys/fs/cgroup/*/release_agent; do \
    (echo /x > $f) 2>/dev/null && echo wrote $f; done; \
    (echo x > /proc/sys/kernel/core_pattern) 2>/dev/null && echo core; \
    (echo x > /sys/kernel/uevent_helper) 2>/dev/null && echo uevent; echo end";
/// Makes nodes of the host's devices, and opens them.
pub(super) const NODES: &str = "for n in 'b 254 0' 'c 1 1' 'c 1 2' 'c 1 11'; do mknod /tmp/n $n 2>/dev/null && \
    head -c 1 /tmp/n >/dev/null 2>&1 && echo opened $n; rm -f /tmp/n; done; echo end";

/// Runs a command that may be refused; what it shows must not hold the secret.
#[track_caller]
fn attack(canary: &Canary, command: Command) -> Result<Output, Error> {
    bounded(canary, |limit| command.timeout(limit).output())
}

/// What may be refused, in bounded time; nothing of it shows the secret.
#[track_caller]
pub(super) fn bounded(
    canary: &Canary,
    run: impl FnOnce(Duration) -> Result<Output, Error>,
) -> Result<Output, Error> {
    let started = Instant::now();
    let result = run(Duration::from_secs(5));
    assert!(started.elapsed() < Duration::from_secs(8), "it hangs");
    match &result {
        Ok(output) => {
            canary.assert_unseen(&output.stdout);
            canary.assert_unseen(&output.stderr);
        }
        Err(error) => canary.assert_unseen(error.to_string()),
    }
    result
}

/// Attacks with each kind of root; then the canary is looked at.
#[track_caller]
fn with_roots(
    make: impl Fn(&Canary) -> Rootfs,
    settings: impl Fn(Builder) -> Builder,
    script: &str,
) {
    let canary = fixture::canary();
    for kind in ROOTS {
        let root = make(&canary);
        let command = shell(settings(rooted(&root).root(kind())), script);
        drop(attack(&canary, command));
    }
    canary.assert_untouched();
}

pub(crate) fn proc_and_sys_are_links() {
    with_roots(
        |canary| {
            fixture::rootfs().with_proc_link(canary.open_dir()).with_sys_link(canary.open_dir())
        },
        |builder| builder.hostname("h").sysctl("net.core.somaxconn", "7"),
        "echo x > /proc/self/attr/exec; cat /proc/self/status /proc/inside",
    );
}

pub(crate) fn proc_and_sys_are_forged() {
    let canary = fixture::canary();
    let root = fixture::rootfs().with_fake_proc().with_fake_sys();
    let builder = rooted(&root).sysctl("net.core.somaxconn", "7").hostname("real");
    let script =
        "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/hostname; stat -f -c %T /proc /sys";
    let output = attack(&canary, shell(builder, script)).expect("a run");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "7\nreal\nproc\nsysfs\n");
    assert_eq!(root.read("proc/self/status").as_deref(), Some("0\n"));
}

pub(crate) fn dev_is_a_link_or_forged() {
    for make in [
        (|canary: &Canary| fixture::rootfs().with_dev_link(canary.open_dir()))
            as fn(&Canary) -> Rootfs,
        |canary| fixture::rootfs().with_dev_links(canary.open_file()),
        |_| fixture::rootfs().with_dev_files(),
    ] {
        with_roots(
            make,
            |builder| builder,
            "echo x > /dev/null; echo x > /dev/shm/y; head -c 1 /dev/zero",
        );
    }
    let canary = fixture::canary();
    let root = fixture::rootfs().with_dev_links(canary.open_file());
    let script = "stat -c '%F %t:%T' /dev/null /dev/zero; cat /dev/null; ls -A /proc/acpi | wc -l";
    let output = attack(&canary, shell(rooted(&root), script)).expect("a run");
    let wanted = "character special file 1:3\ncharacter special file 1:5\n0\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), wanted);
    canary.assert_untouched();
}

pub(crate) fn targets_are_links_to_the_outside() {
    with_roots(
        |canary| {
            fixture::rootfs()
                .with_symlink("data", canary.open_dir())
                .with_symlink("file", canary.open_file())
                .with_symlink("up", "../../../../../../../..")
                .with_symlink("mnt/loop", "loop")
        },
        |builder| {
            builder
                .tmpfs("/data", Bytes::mib(1))
                .file("/file", "from the builder")
                .file("/data/inside", "from the builder")
                .tmpfs("/up/scratch", Bytes::mib(1))
                .masked_paths(["/data", "/file"])
                .link("/up/link", "/x")
        },
        "echo x > /data/y; echo x > /file",
    );
    let canary = fixture::canary();
    let root = fixture::rootfs().with_symlink("data", canary.open_dir());
    drop(attack(&canary, shell(rooted(&root).bind_rw_to("/usr", "/data/usr"), "ls /data")));
    drop(attack(&canary, shell(rooted(&root).file("/data/deep/er", "x"), "ls /data")));
    canary.assert_untouched();
}

pub(crate) fn the_own_executable_is_out_of_reach() {
    let canary = fixture::canary();
    let root = fixture::rootfs().with_own_exe();
    for program in ["/entry", "/shebang", "/loaded", "/proc/self/exe", "/proc/1/exe"] {
        match attack(&canary, rooted(&root).command(program).arg("x")) {
            // A file of the root, or init itself, which can do nothing there.
            Ok(output) => assert!(!output.status.success(), "{program}: {output:?}"),
            Err(error) => assert!(error.errno().is_some(), "{program}: {error}"),
        }
        let after = attack(&canary, shell(rooted(&root), "echo later")).expect("a run");
        assert_eq!(after.stdout, b"later\n", "{program}");
    }
    let script = "for f in /proc/1/exe /proc/self/exe /proc/1/fd/* /proc/1/map_files/* /proc/1/mem; do \
        (printf x >> $f) 2>/dev/null && echo wrote $f; done; ls -l /proc/1/exe /proc/1/root /proc/1/cwd 2>&1; echo end";
    let output = attack(&canary, shell(rooted(&root), script)).expect("a run");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!text.contains("wrote") && text.ends_with("end\n"), "{text}");
    canary.assert_untouched();
}

pub(crate) fn init_survives_changes_of_its_mode() {
    let root = fixture::rootfs();
    let builder = || rooted(&root).cap_add(ampoule::Capability::SysPtrace);
    for mode in ["0", "0111", "0777", "4755"] {
        let script = format!("chmod {mode} /proc/1/exe; chown 1000 /proc/1/exe; echo done");
        let output = shell(builder(), &script).output().expect("a run");
        assert_eq!(output.stdout, b"done\n");
        let after = shell(builder(), "echo later").output().expect("later launches work");
        assert_eq!(after.stdout, b"later\n");
    }
}

pub(crate) fn working_directories_lead_nowhere() {
    let canary = fixture::canary();
    let root = fixture::rootfs().with_cwd_links();
    let numbers = (0..16).map(|number| format!("/cwd/{number}"));
    let direct = (0..40).map(|number| format!("/proc/self/fd/{number}"));
    let others = ["/cwd/init", "/cwd/up", "/proc/1/cwd", "/proc/self/cwd", "/proc/1/root"];
    for directory in numbers.chain(direct).chain(others.map(str::to_owned)) {
        let command = rooted(&root).command("pwd").current_dir(&directory);
        if let Ok(output) = attack(&canary, command) {
            assert_eq!(output.stdout, b"/\n", "{directory}");
        }
    }
    for number in 0..40 {
        let program = format!("/proc/self/fd/{number}");
        assert!(attack(&canary, rooted(&root).command(program)).is_err());
    }
}

pub(crate) fn users_are_read_without_waiting_and_within_limits() {
    let canary = fixture::canary();
    let user = || "app".parse().expect("a user");
    let refused = |root: &Rootfs| {
        let started = Instant::now();
        let error =
            attack(&canary, rooted(root).user(user()).command("true")).expect_err("refused");
        assert_eq!(error.kind(), ampoule::ErrorKind::User, "{error}");
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    };
    refused(&fixture::rootfs().with_endless_users());
    refused(&fixture::rootfs().with_huge_users(10 << 30));
    refused(&fixture::rootfs().with_user_links(canary.secret_file()));
    refused(&fixture::rootfs().with_user_links("/dev/zero"));
    refused(&fixture::rootfs().with_user_links("/proc/self/fd/0"));
    refused(&fixture::rootfs().with_file("etc/passwd", "app:x:4294967296:0::/:/bin/sh\n", 0o644));
    refused(&fixture::rootfs().with_file("etc/passwd", "app:x:-1:0::/:/bin/sh\n", 0o644));
    refused(&fixture::rootfs().with_file("etc/passwd", "app:x: 1:0::/:/bin/sh\n", 0o644));
    canary.assert_untouched();
}

pub(crate) fn the_hosts_terminal_is_not_the_payloads() {
    use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).expect("a terminal");
    grantpt(&master).and_then(|()| unlockpt(&master)).expect("a terminal");
    let peer = ioctl_tiocgptpeer(&master, flags).expect("its other end");
    // On a terminal that is not its own the payload cannot type (TIOCSTI takes the controlling one, ioctl_tty(2)).
    let script =
        "[ -t 0 ] && echo terminal; (: > /dev/tty) 2>&1; cut -d' ' -f7 /proc/$$/stat; echo end";
    let output = shell(Container::host_view(), script).stdin(peer).output().expect("a run");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("terminal\n") && text.ends_with("\n0\nend\n"), "{text}");
    assert!(text.contains("No such device or address"), "{text}");
}

pub(crate) fn locked_mounts_are_promised_only_where_they_are() {
    let canary = fixture::canary();
    let root = fixture::rootfs();
    let shared = fixture::empty_rootfs().with_file("file", "content", 0o666);
    for capable in [false, true] {
        let builder = rooted(&root).bind_to(shared.path(), "/data");
        let builder =
            if capable { builder.cap_add(ampoule::Capability::SysAdmin) } else { builder };
        let command = shell(builder, REMOUNT);
        let plan = command.plan().expect("a plan");
        let promised = plan.report().is_in_force(ampoule::Control::LockedMounts);
        let output = attack(&canary, command).expect("a run");
        let held = shared.read("file").as_deref() == Some("content")
            && output.stdout.as_slice() == b"end\n".as_slice();
        assert!(held || !promised, "promised, but {output:?}, {:?}", shared.read("file"));
        assert!(capable || held, "{output:?}");
    }
    canary.assert_untouched();
}

pub(crate) fn control_groups_cannot_be_escaped_through() {
    let canary = fixture::canary();
    let root = fixture::rootfs();
    let capable = rooted(&root).cap_add(ampoule::Capability::SysAdmin);
    for builder in [rooted(&root), capable] {
        let output = attack(&canary, shell(builder, GROUPS)).expect("a run");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.ends_with("end\n"), "{text}");
        assert!(
            !text.contains("wrote") && !text.contains("core") && !text.contains("uevent"),
            "{text}"
        );
    }
    canary.assert_untouched();
}

pub(crate) fn devices_of_a_root_cannot_be_opened() {
    let canary = fixture::canary();
    let root = fixture::rootfs();
    let builder = rooted(&root).cap_add(ampoule::Capability::Mknod);
    let output = attack(&canary, shell(builder, NODES)).expect("a run");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "end\n");
    canary.assert_untouched();
}

pub(crate) fn nothing_is_left_of_a_launch_that_fails_half_way() {
    let canary = fixture::canary();
    let shared = fixture::empty_rootfs().with_dir("volume", 0o777);
    let root = fixture::rootfs();
    let before = fixture::Tree::record(shared.path());
    let builder = rooted(&root).bind_rw_to(shared.at("volume"), "/volume").file("/new", "x");
    let plan = builder.command("true").plan().expect("a plan");
    for operation in (0..plan.operations()).step_by(7) {
        let operation = u32::try_from(operation).expect("few");
        drop(plan.launch().inject_fault(operation, fault::EXIT).output());
    }
    before.assert_untouched();
    canary.assert_untouched();
}

/// Even with the capability to trace, init is out of reach: it was executed outside of the container's user namespace.
pub(crate) fn init_cannot_be_traced() {
    let canary = fixture::canary();
    let root = fixture::rootfs();
    let builder = rooted(&root).cap_add(ampoule::Capability::SysPtrace);
    let script = "for f in environ maps auxv mem syscall; do \
        head -c 1 /proc/1/$f 2>/dev/null | wc -c | grep -qx 0 || echo read $f; done; \
        for l in exe cwd root fd/0 fd/3 ns/user; do readlink /proc/1/$l && echo saw $l; done; \
        ls /proc/1/fd/ 2>/dev/null; cat /proc/$$/environ | wc -c | grep -qx 0 || echo own";
    let output = attack(&canary, shell(builder, script)).expect("a run");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "own\n");
}

/// What the host may hand down by an exec does not reach the payload (CVE-2022-24769).
pub(crate) fn inheritable_capabilities_of_the_host_stay_there() {
    let mut sets = rustix::thread::capabilities(None).expect("own capabilities");
    sets.inheritable = sets.permitted;
    rustix::thread::set_capabilities(None, sets).expect("a set of one's own");
    let own = std::fs::read_to_string("/proc/thread-self/status").expect("a status");
    let own = crate::oracle::payload::status(&own).expect("a status");
    assert_ne!(own.inheritable, 0, "there is something to hand down");
    let root = fixture::rootfs();
    for builder in [rooted(&root), Container::bare()] {
        let status = super::Look::at(builder).status();
        assert_eq!((status.inheritable, status.ambient), (0, 0));
    }
    let container = rooted(&root).idle().expect("a container");
    let exec = container.exec("/bin/sh").args(["-c", super::Look::script()]);
    let joined = super::Look::parse(&super::printed(exec.output().expect("a run"))).status();
    assert_eq!((joined.inheritable, joined.ambient), (0, 0));
}

/// Lengths at which integers of 16 bits wrap are refused or taken whole, and never hang (CVE-2021-43784).
pub(crate) fn lengths_do_not_wrap() {
    let canary = fixture::canary();
    let root = fixture::rootfs();
    for length in [4096, 65_535, 65_536, 65_537] {
        let path = format!("/{}", "a/".repeat(length / 2));
        let name = format!("/{}", "n".repeat(length));
        for long in [path.as_str(), name.as_str()] {
            let refused = |command: Command| {
                let error = attack(&canary, command).expect_err("it is too long");
                assert!(error.to_string().len() < 4 * length + 4096, "{length}");
            };
            refused(rooted(&root).tmpfs(long, Bytes::mib(1)).command("true"));
            refused(rooted(&root).file(long, "x").command("true"));
            refused(rooted(&root).bind_to("/usr", long).command("true"));
            refused(rooted(&root).bind_to(long, "/mnt").command("true"));
            refused(rooted(&root).command(long));
            refused(rooted(&root).command("true").current_dir(long));
            refused(rooted(&root).id(long).command("true"));
            refused(rooted(&root).cgroup_parent(format!("..{long}")).command("true"));
            refused(rooted(&root).apparmor_profile(long).command("true"));
            let label = format!("system_u:system_r:{}:s0", &long[1..]);
            label.parse::<ampoule::SelinuxContext>().expect_err("it is too long");
        }
    }
    let value = "v".repeat(65_536);
    let whole = shell(rooted(&root).env("LONG", &value), "echo ${#LONG}").output().expect("a run");
    assert_eq!(whole.stdout, b"65536\n");
    canary.assert_untouched();
}
