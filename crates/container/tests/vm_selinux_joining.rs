//! Labels of what joins a container, and the pair of one that goes on without its host.
//!
//! Kernel objects: containers, the locks of pairs, a further process of this test binary. Invariant: the guest is
//! unchanged.

mod oracle;
mod svirt;

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ampoule::{Container, Control, ErrorKind, OnDrop, Pid1};
use ampoule_selinux::{Pair, Pairs};
use svirt::{busybox, label_of, labelled, on_disk, payload, root};

const READ: &[&str] = &["cat", "/proc/self/attr/current"];
/// The root of the container that is started, in the environment of this binary's further process.
const ROOT: &str = "AMPOULE_TEST_LABELLED_ROOT";
/// There if the payload is to be its own process 1.
const WITHOUT_INIT: &str = "AMPOULE_TEST_WITHOUT_INIT";

#[test]
fn what_joins_has_the_containers_label() {
    oracle::tier::vm();
    let _alone = alone();
    let root = root();
    let volume = on_disk();
    std::fs::write(volume.path().join("file"), "mine\n").expect("a file");
    let everybody = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(volume.path(), everybody).expect("its mode");
    let builder = Container::from_rootfs(root.path())
        .bind_to(volume.path(), "/volume")
        .relabel("/volume", ampoule::Relabel::Private);
    let running = || builder.clone().command("/bin/busybox").args(["sleep", "100"]);
    // One after the other: the second takes the volume.
    let starts: [&dyn Fn() -> _; 2] = [&|| running().spawn(), &|| builder.clone().idle()];
    for start in starts {
        let container = start().expect("a container");
        assert!(container.report().is_in_force(Control::Selinux), "{}", container.report());
        let told = container.selinux_label().expect("a label").to_string();
        let exec = |args: &[&str]| {
            let output = container.exec("/bin/busybox").args(args.to_vec()).output();
            let output = output.expect("a process");
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(stderr, "", "{args:?}");
            String::from_utf8(output.stdout).expect("a text")
        };
        assert_eq!(exec(READ).trim_end_matches('\0'), told);
        assert_eq!(exec(&["cat", "/volume/file"]), "mine\n");
        let mut process = container.exec("/bin/busybox").args(["sleep", "100"]);
        process = process.stdin(ampoule::Stdio::null());
        let process = process.spawn().expect("a process");
        assert_eq!(label_of(&process.pid().to_string()), told);
    }
}

/// A pair that is free may be another container's at once: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_pair_is_free_when_its_container_ends() {
    oracle::tier::vm();
    let _alone = alone();
    let root = root();
    let pairs = Pairs::open("/run/ampoule-selinux").expect("the locks");
    let pid1s = [Pid1::Reaper, Pid1::Payload];
    for pid1 in pid1s {
        let command = Container::from_rootfs(root.path()).pid1(pid1).command("/bin/busybox");
        let container = command.args(["sleep", "100"]).spawn().expect("a container");
        let pair = container.selinux_label().and_then(|label| label.pair()).expect("a pair");
        assert!(pairs.in_use().expect("a list").contains(&pair));
        drop(container);
        assert!(!pairs.in_use().expect("a list").contains(&pair));
    }
}

/// What the further process does: it starts a container, says what it has, and ends.
#[test]
fn start_and_leave() {
    let Some(root) = std::env::var_os(ROOT).map(PathBuf::from) else { return };
    let builder = Container::from_rootfs(root).on_drop(OnDrop::Detach);
    let without = std::env::var_os(WITHOUT_INIT).is_some();
    let builder = if without { builder.pid1(Pid1::Payload) } else { builder };
    let container = builder.command("/bin/busybox").args(["sleep", "1000"]).spawn();
    let container = container.expect("a container");
    let pair = container.selinux_label().and_then(|label| label.pair()).expect("a pair");
    let labelled = if without { container.pid().to_string() } else { payload(&container) };
    println!("left {} {pair} {labelled}", container.pid());
}

/// The first process of a container whose host is gone, and its pair.
fn left(root: &Path, variables: &[&str]) -> (String, Pair) {
    let own = std::env::current_exe().expect("this program");
    let mut host = Command::new(own);
    host.args(["--exact", "start_and_leave", "--nocapture", "--test-threads", "1"]);
    let host = host.env(ROOT, root).envs(variables.iter().map(|name| (name, "1")));
    let mut host = host.stdout(Stdio::piped()).spawn().expect("a process");
    let mut said = String::new();
    host.stdout.take().expect("its output").read_to_string(&mut said).expect("its output");
    assert!(host.wait().expect("its end").success(), "{said}");
    let line = said.lines().find_map(|line| line.split_once("left ")).expect("what it says").1;
    let words: Vec<&str> = line.split(' ').collect();
    let pair: Pair = words[1].parse().expect("a pair");
    assert!(label_of(words[2]).ends_with(&format!(":container_t:s0:{pair}")));
    (words[0].to_owned(), pair)
}

fn kill(pid: &str) {
    assert!(Command::new("kill").args(["-9", pid]).status().expect("kill").success());
}

/// As the report says: nothing holds the pair of one that has neither its host nor an init.
#[test]
fn a_detached_payload_without_init_keeps_no_pair() {
    oracle::tier::vm();
    let _alone = alone();
    let root = root();
    let (pid, pair) = left(root.path(), &[WITHOUT_INIT]);
    let pairs = Pairs::open("/run/ampoule-selinux").expect("the locks");
    assert!(!pairs.in_use().expect("a list").contains(&pair));
    kill(&pid);
}

#[test]
fn a_detached_container_keeps_its_pair() {
    oracle::tier::vm();
    let _alone = alone();
    let root = root();
    let (pid, pair) = left(root.path(), &[]);

    // Its host is gone; nobody gets the pair while it runs.
    let pairs = Pairs::open("/run/ampoule-selinux").expect("the locks");
    assert!(pairs.in_use().expect("a list").contains(&pair));
    assert_eq!(
        pairs.share(pair).expect_err("in use").kind(),
        ampoule_selinux::ErrorKind::PairInUse
    );
    let asked = labelled(root.path(), &pair.to_string()).command("/bin/busybox").arg("true");
    assert_eq!(asked.spawn().expect_err("in use").kind(), ErrorKind::Selinux);

    kill(&pid);
    let deadline = Instant::now() + Duration::from_secs(20);
    while pairs.in_use().expect("a list").contains(&pair) {
        assert!(Instant::now() < deadline, "it is never free again");
        std::thread::sleep(Duration::from_millis(20));
    }
    let again = busybox(labelled(root.path(), &pair.to_string()), READ);
    assert!(String::from_utf8_lossy(&again.stdout).contains(&pair.to_string()));
}
