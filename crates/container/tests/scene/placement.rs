//! Containers whose group is in a scope that systemd makes.
//!
//! Kernel objects: a transient scope, groups below it, whole containers. Invariant: nothing of them is left, in the tree
//! or in systemd, and the host is in the group in which it was.

use std::fs::read_to_string;
use std::path::{Path, PathBuf};
use std::process::Command;

use ampoule::{
    Builder, Bytes, Container, Control, ErrorKind, OnDrop, Placement, Plan, Scope, Stage, State,
};

use super::{guest, is_error, refused, shell, soon};

fn limited(builder: Builder) -> Builder {
    let builder = builder.memory_max(Bytes::mib(128)).pids_max(64);
    builder.cpus("0.5".parse().expect("a number"))
}

fn by_systemd() -> Placement {
    Placement::Systemd(Scope::default())
}

/// Where the report says that the group is.
fn place(plan: &Plan) -> PathBuf {
    let report = plan.report();
    let Some(State::InForce(detail)) = report.state(Control::Group) else { panic!("{report}") };
    let path = detail.strip_prefix("a group of its own in systemd's scope ");
    path.unwrap_or_else(|| panic!("{detail}")).into()
}

/// What systemd has of the scopes of this process.
fn units() -> String {
    let mut command = Command::new("systemctl");
    if !rustix::process::geteuid().is_root() {
        command.arg("--user");
    }
    let pattern = format!("ampoule-{}-*", std::process::id());
    command.args(["list-units", "--all", "--plain", "--no-legend", &pattern]);
    let output = command.output().expect("systemctl");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("text")
}

fn nothing_is_left(scope: &Path) {
    assert!(soon(|| units().is_empty()), "{}", units());
    assert!(soon(|| !scope.exists()), "{}", scope.display());
}

/// Limits are in force, every part of the interface works, and the last one to go takes the scope along.
pub(crate) fn a_container_in_a_scope() {
    let own = guest::own_group();
    let builder = limited(Container::host_view()).cgroup_placement(by_systemd());
    let plan = shell(builder, "sleep 100").plan().expect("a plan");
    let scope = place(&plan);
    assert!(units().contains("loaded active running"), "{}", units());
    let mut first = plan.launch().spawn().expect("a container");
    let second = plan.launch().spawn().expect("another one");
    drop(plan);
    let group = first.group().and_then(|group| group.paths().next()).expect("a group");
    let other = second.group().and_then(|group| group.paths().next()).expect("its group");
    assert_ne!(group, other, "containers of one scope share no limits");
    for group in [&group, &other] {
        assert_eq!(group.parent(), Some(scope.as_path()));
        assert_eq!(read_to_string(group.join("pids.max")).expect("a limit"), "64\n");
    }
    for (file, text) in
        [("memory.max", "134217728\n"), ("cpu.max", "50000 100000\n"), ("pids.max", "64\n")]
    {
        assert_eq!(read_to_string(group.join(file)).expect("a limit"), text, "{file}");
    }
    assert!(guest::words(&group.join("cgroup.procs")).contains(&first.pid().to_string()));
    first.pause().and_then(|()| first.resume()).expect("a pause");
    assert!(first.stats().expect("statistics").memory.current > Some(0));
    first.kill(9).expect("a signal");
    assert_eq!(first.wait().expect("the end").signal(), Some(9));
    assert!(!group.exists());
    drop(first);
    assert!(units().contains("loaded active running"), "the second is in it: {}", units());
    drop(second);
    nothing_is_left(&scope);
    assert_eq!(guest::own_group(), own);
}

/// The host has a group that it cannot share, so `Auto` asks systemd.
pub(crate) fn auto_finds_a_scope() {
    let plan = shell(limited(Container::host_view()), "exit 3").plan().expect("a plan");
    let scope = place(&plan);
    assert_eq!(
        plan.launch().spawn().and_then(|mut one| one.wait()).expect("a run").code(),
        Some(3)
    );
    drop(plan);
    nothing_is_left(&scope);
}

/// A scope that was asked for is there without limits, too.
pub(crate) fn a_scope_without_limits() {
    let builder = Container::host_view().cgroup_placement(by_systemd());
    let plan = builder.command("true").plan().expect("a plan");
    let scope = place(&plan);
    drop(plan);
    nothing_is_left(&scope);
}

/// A detached container keeps its scope, and its end is the scope's.
pub(crate) fn a_detached_container_keeps_its_scope() {
    let builder = limited(Container::host_view()).cgroup_placement(by_systemd());
    let plan = shell(builder.on_drop(OnDrop::Detach), "sleep 100").plan().expect("a plan");
    let scope = place(&plan);
    let container = plan.launch().spawn().expect("a container");
    let group = container.group().and_then(|group| group.paths().next()).expect("a group");
    let child = i32::try_from(container.pid()).ok().and_then(rustix::process::Pid::from_raw);
    drop((plan, container));
    assert!(!soon_gone(&scope), "it is in use");
    std::fs::write(group.join("cgroup.kill"), "1").expect("the right to kill");
    // Whoever detaches a child reaps it.
    rustix::process::waitpid(child, rustix::process::WaitOptions::empty()).expect("a child");
    nothing_is_left(&scope);
}

fn soon_gone(scope: &Path) -> bool {
    std::thread::sleep(std::time::Duration::from_millis(500));
    !scope.exists()
}

/// Two places at once are refused, together with everything else that is wrong.
pub(crate) fn two_places_are_refused() {
    let builder = Container::host_view().cgroup_placement(by_systemd()).cgroup_parent("/a");
    let error = refused(builder.umask(0o7777).command("true").plan());
    is_error(&error, ErrorKind::InvalidSettings, Stage::Plan, &["cgroup_placement", "umask"]);
}
