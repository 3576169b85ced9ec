//! Are the fixtures what attacks need, and the parsers of payload reports strict?
//!
//! Kernel objects: files below `/dev/shm` or the temporary directory. Invariant: the same as of
//! every integration test: the host is unchanged.

mod oracle;

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;

use oracle::fixture::{self, APPLETS, Rootfs};
use oracle::payload::{self, IdRange, Limit};
use oracle::processes::{Process, Table};
use oracle::unchanged;
use proptest::prelude::{any, prop_assert_eq, proptest};

/// Runs a shell script with the root's own busybox, not inside the root.
fn busybox(root: &Rootfs, script: &str) -> String {
    let mut command = Command::new(root.at("bin/busybox"));
    let output = command.args(["sh", "-c", script]).output().expect("busybox");
    assert!(output.status.success(), "{script}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Runs a shell script inside the root.
fn inside(root: &Rootfs, enter: &[&str], script: &str) -> String {
    let mut command = Command::new(root.at("bin/busybox"));
    command.args(enter).arg(root.path()).args(["/bin/sh", "-c", script]);
    let output = command.output().expect("busybox");
    assert!(output.status.success(), "{script}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("an entry").permissions().mode() & 0o7777
}

#[test]
fn every_applet_exists() {
    unchanged(|| {
        let list = busybox(&fixture::rootfs(), "busybox --list");
        let missing: Vec<_> =
            APPLETS.iter().filter(|name| !list.lines().any(|l| l == **name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    });
}

#[test]
fn the_root_is_open_to_everybody_and_removed() {
    let path = unchanged(|| {
        let root = fixture::rootfs();
        assert_eq!(mode(root.path()), 0o755);
        assert_eq!(mode(&root.at("/bin/busybox")), 0o755);
        assert_eq!(mode(&root.at("tmp")), 0o1777);
        root.path().to_owned()
    });
    assert!(!path.exists());
}

#[test]
fn user_enters_the_root() {
    unchanged(|| {
        let root = fixture::rootfs();
        let seen =
            inside(&root, &["unshare", "-r", "chroot"], "id -u; hostname; cat /etc/hostname");
        assert!(seen.starts_with("0\n") && seen.ends_with("from-the-image\n"), "{seen}");
    });
}

#[test]
fn the_builder_replaces_and_never_follows() {
    unchanged(|| {
        let canary = fixture::canary();
        let root = fixture::rootfs()
            .with_symlink("out", canary.open_dir())
            .with_symlink("etc/passwd", canary.open_file())
            .with_file("etc/passwd", "mine", 0o640);
        assert_eq!(root.read("etc/passwd").as_deref(), Some("mine"));
        assert_eq!(mode(&root.at("etc/passwd")), 0o640);
        let through = catch_unwind(AssertUnwindSafe(|| root.with_file("out/file", "", 0o644)));
        assert!(through.is_err());
        let up = catch_unwind(|| fixture::empty_rootfs().with_file("../file", "", 0o644));
        assert!(up.is_err());
        canary.assert_untouched();
    });
}

#[test]
fn attack_roots_can_be_built_by_everybody() {
    unchanged(|| {
        let root = fixture::rootfs()
            .with_fake_proc()
            .with_fake_sys()
            .with_dev_links("/etc/hostname")
            .with_endless_users()
            .with_own_exe()
            .with_cwd_links()
            .with_socket("run/socket")
            .with_hard_link("bin/second", "bin/busybox")
            .with_sparse_file("huge", 10 << 30)
            .with_script("bin/hello", "echo hello")
            .with_dir("closed/inside", 0o755)
            .with_dir("closed", 0)
            .without("bin/wc");
        let kind = |path| fs::symlink_metadata(root.at(path)).expect("an entry").file_type();
        assert!(kind("etc/passwd").is_fifo() && kind("run/socket").is_socket());
        assert!(kind("dev/null").is_symlink() && kind("proc/self/attr/exec").is_file());
        assert!(!root.has("bin/wc") && root.has("bin/second"));
        let root = root.with_proc_link("/").with_sys_link("..").with_dev_link("/dev");
        assert!(root.at("proc").is_symlink());
        let hello = root.with_dev_link("/nowhere").with_huge_users(1 << 40);
        assert_eq!(busybox(&hello, &hello.at("bin/hello").display().to_string()), "hello\n");
    });
}

/// Does something to a canary, and asserts that it shows.
fn shows(touch: impl FnOnce(&Path)) {
    let canary = fixture::canary();
    canary.assert_untouched();
    touch(canary.path());
    let seen = catch_unwind(AssertUnwindSafe(|| canary.assert_untouched()));
    assert!(seen.is_err());
}

#[test]
fn a_canary_shows_every_touch() {
    let attribute = rustix::fs::XattrFlags::empty();
    unchanged(|| {
        shows(|dir| fs::write(dir.join("open-dir/new"), "").expect("a new file"));
        shows(|dir| fs::write(dir.join("open"), "other").expect("other contents"));
        shows(|dir| fs::remove_file(dir.join("dangling")).expect("one less"));
        shows(|dir| fs::hard_link(dir.join("open"), dir.join("x")).expect("one name more"));
        shows(|dir| fs::rename(dir.join("open"), dir.join("program")).expect("replaced"));
        shows(|dir| {
            fs::set_permissions(dir.join("private"), PermissionsExt::from_mode(0o755))
                .expect("mode")
        });
        let root = rustix::process::geteuid().is_root();
        let name = if root { "trusted.x" } else { "user.x" };
        shows(|dir| {
            rustix::fs::lsetxattr(dir.join("open"), name, b"", attribute).expect("an attribute")
        });
    });
}

#[test]
fn a_canary_knows_its_secret() {
    unchanged(|| {
        let canary = fixture::canary();
        canary.assert_unseen("harmless");
        let leak = fs::read(canary.secret_file()).expect("its owner");
        assert!(catch_unwind(AssertUnwindSafe(|| canary.assert_unseen(leak))).is_err());
    });
}

/// A process table: pid, parent, contained.
fn table(own: u32, rows: &[(u32, u32, bool)]) -> Table {
    let row = |&(pid, parent, contained): &(u32, u32, bool)| {
        let (name, started) = (format!("p{pid}"), "1".to_owned());
        (pid, Process { parent, name, started, contained, zombie: false })
    };
    Table { own, processes: rows.iter().map(row).collect() }
}

#[test]
fn containers_of_neighbours_are_not_ours() {
    // 1 reaper, 10 cargo, 20 this test, 30 a neighbour with the container 31, 32 inside it.
    let rows = [(1, 0, false), (10, 1, false), (20, 10, false), (30, 10, false)];
    let neighbours = [(31, 30, true), (32, 31, true)];
    let ours = [(21, 20, true), (22, 21, true), (40, 1, true), (41, 40, true), (50, 1, false)];
    let table = table(20, &[&rows[..], &neighbours, &ours].concat());
    assert_eq!(table.children().into_values().collect::<Vec<_>>(), ["p21"]);
    assert_eq!(table.strays().into_values().collect::<Vec<_>>(), ["p22", "p40", "p41"]);
}

#[test]
fn own_process_parses() {
    let text = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).expect("procfs");
    let status = payload::status(&text("status")).expect("status");
    assert_eq!(status.pid, std::process::id());
    assert_eq!(status.uid[1], rustix::process::geteuid().as_raw());
    assert!(status.threads >= 2 && status.caught != 0);
    let mounts = payload::mountinfo(&text("mountinfo")).expect("mountinfo");
    assert_eq!(payload::mount_at(&mounts, "/proc").expect("/proc").kind, "proc");
    let limits = payload::limits(&text("limits")).expect("limits");
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    assert_eq!(limits["Max open files"], Limit { soft: files.current, hard: files.maximum });
    assert!(!payload::id_map(&text("uid_map")).expect("uid_map").is_empty());
    assert!(payload::network_devices(&text("net/dev")).contains(&"lo".to_owned()));
    let link = fs::read_link("/proc/self/ns/pid").expect("a link");
    assert!(payload::namespace(&link.display().to_string(), "pid").is_ok());
}

#[test]
fn malformed_reports_are_refused() {
    assert!(payload::status("Name: x\n").is_err());
    assert!(payload::status("no colon").is_err());
    assert!(payload::mountinfo("1 2 3").is_err());
    assert!(payload::limits("head\nMax open files            many 4 files").is_err());
    assert!(payload::id_map("0 1").is_err() && payload::id_map("0 -1 1").is_err());
    assert!(payload::namespace("mnt:[1]", "pid").is_err());
}

#[test]
fn mount_points_are_unescaped() {
    let line =
        r"36 35 98:0 /a\040b /mnt\134x rw,noatime shared:1 master:2 - ext3 /dev/root rw,err=x";
    let mounts = payload::mountinfo(line).expect("a mount");
    assert_eq!((mounts[0].root.as_str(), mounts[0].point.as_str()), ("/a b", r"/mnt\x"));
    assert_eq!(mounts[0].propagation, ["shared:1", "master:2"]);
    assert!(mounts[0].has("noatime") && !mounts[0].has("ro"));
}

#[test]
fn descriptors_of_a_listing() {
    let listing = "total 0\nlrwx------ 1 0 0 64 Jan 1 00:00 0 -> /dev/null\n\
                   l-wx------ 1 0 0 64 Jan 1 00:00 /proc/self/fd/12 -> pipe:[7]\n";
    let wanted = [(0, "/dev/null".to_owned()), (12, "pipe:[7]".to_owned())];
    assert_eq!(payload::descriptors(listing), wanted);
}

#[test]
fn payload_main() {
    if payload::verb().as_deref() == Some("say hello") {
        payload::print_report("hello from the test binary");
    }
}

#[test]
fn the_test_binary_is_a_payload() {
    unchanged(|| {
        let own = payload::own_program("say hello");
        let (name, value) = own.env;
        let output = Command::new(own.program).args(own.args).env(name, value).output();
        let printed = String::from_utf8(output.expect("itself").stdout).expect("text");
        assert_eq!(payload::report(&printed), Some("hello from the test binary"));
    });
}

proptest! {
    #[test]
    fn parsers_never_panic(text in any::<String>()) {
        let lines = format!("head\n{text}");
        drop((payload::status(&text), payload::mountinfo(&text), payload::limits(&lines)));
        drop((payload::id_map(&text), payload::descriptors(&text)));
        drop((payload::network_devices(&text), payload::namespace(&text, "pid")));
    }

    #[test]
    fn id_maps_round_trip(inside in any::<u32>(), outside in any::<u32>(), count in any::<u32>()) {
        let text = format!("{inside:>10} {outside:>10} {count:>10}\n");
        prop_assert_eq!(payload::id_map(&text), Ok(vec![IdRange { inside, outside, count }]));
    }

    #[test]
    fn limits_round_trip(soft in any::<u64>(), hard in proptest::option::of(any::<u64>())) {
        let last = hard.map_or("unlimited".to_owned(), |hard| hard.to_string());
        let text = format!("head\n{:<25} {soft:<20} {last:<20} bytes\n", "Max file size");
        let limit = payload::limits(&text).expect("a limit")["Max file size"];
        prop_assert_eq!(limit, Limit { soft: Some(soft), hard });
    }
}
