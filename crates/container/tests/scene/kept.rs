//! Containers that are written down, and used by whoever opens their directory later.
//!
//! Kernel objects: those of the container, its directory. Invariant: every handle is made from the directory alone, and
//! nothing is left behind the deletion.

use std::path::Path;
use std::time::Duration;

use ampoule::{
    Builder, Command, Container, Details, ErrorKind, Force, Limits, Max, OwnGroup, Pid1, RunState,
    Stage, StateDirectory, Stdio, User,
};
use tempfile::TempDir;

use super::outside::{descendants, lives};
use super::{is_error, printed, refused, shell, soon};

/// A state directory of its own.
pub(crate) fn states() -> (TempDir, StateDirectory) {
    let place = TempDir::new().expect("a directory");
    let states = StateDirectory::open(place.path().join("run/ampoule-test")).expect("a state");
    (place, states)
}

fn kinds() -> [Builder; 2] {
    [Pid1::Reaper, Pid1::Payload].map(|pid1| Container::host_view().pid1(pid1))
}

fn quiet(command: Command) -> Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

pub(crate) fn sleeper(builder: Builder) -> Command {
    quiet(builder.command("sleep").arg("1000"))
}

pub(crate) fn a_container_goes_through_its_life() {
    let (_place, states) = states();
    for builder in kinds() {
        let details = Details::default();
        let made = states.create("web", sleeper(builder), details).expect("a container");
        assert_eq!(made.state(), RunState::Created);
        let mut kept = states.get("web").expect("the container");
        assert_eq!((kept.state(), kept.id()), (RunState::Created, "web"));
        kept.start().expect("a start");
        let error = refused(states.get("web").expect("again").start());
        is_error(&error, ErrorKind::WrongState, Stage::Running, &["start", "running"]);
        let error = refused(states.delete("web", Force::No));
        is_error(&error, ErrorKind::WrongState, Stage::Running, &["delete", "running"]);
        assert_eq!(made.state(), RunState::Running);
        let again = states.get("web").expect("it");
        let running = again.container().expect("it runs");
        let output = running.exec("/bin/sh").args(["-c", "id -u; tr '\\0' ' ' < /proc/1/cmdline"]);
        assert!(!printed(output.output().expect("a run")).is_empty());
        kept.kill(9).expect("a signal");
        assert!(soon(|| kept.state() == RunState::Stopped));
        let error = refused(kept.kill(15));
        is_error(&error, ErrorKind::WrongState, Stage::Running, &["kill", "stopped"]);
        assert_eq!(kept.wait().expect("a status").signal(), Some(9));
        states.delete("web", Force::No).expect("it has ended");
        is_error(&refused(states.get("web")), ErrorKind::NotFound, Stage::Running, &["web"]);
        assert_eq!(descendants(), 0);
    }
}

pub(crate) fn an_exec_is_confined_as_the_payload_is() {
    const SCRIPT: &str = "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp|Umask)' /proc/self/status; \
        cat /proc/self/limits; for n in cgroup ipc mnt net time user uts; do readlink /proc/self/ns/$n; done; \
        cat /proc/self/cgroup; pwd; env | grep -v -E '^(PWD|SHLVL|_|OLDPWD)=' | sort; hostname";
    let (_place, states) = states();
    for builder in kinds() {
        let script = format!("({SCRIPT}) > /tmp/said; mv /tmp/said /tmp/all; sleep 1000");
        let builder = builder.env("A", "b").own_group(OwnGroup::Counted);
        let command = quiet(shell(builder, &script)).current_dir("/usr");
        let mut kept = states.create("a", command, Details::default()).expect("a container");
        kept.start().expect("a start");
        let kept = states.get("a").expect("it");
        let container = kept.container().expect("it runs");
        let said = |path: &str| container.read(path, ampoule::Bytes::kib(64));
        assert!(soon(|| said("/tmp/all").is_ok()));
        let payload = String::from_utf8(said("/tmp/all").expect("a file")).expect("text");
        let joined = container.exec("/bin/sh").args(["-c", SCRIPT]).output().expect("a run");
        assert_eq!(printed(joined), payload);
        let other = container.exec("/usr/bin/id").arg("-u").user(User::ids(7, 7)).output();
        match other {
            Ok(output) => assert_eq!(printed(output), "7\n"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::IdMap),
        }
        // It goes on without its handle.
        let process = container.exec("sleep").arg("999").stdin(Stdio::null()).spawn();
        let process = process.expect("a process");
        let pid = process.pid();
        drop(process);
        assert!(lives(pid));
        states.delete("a", Force::Yes).expect("a deletion");
        assert!(soon(|| !lives(pid) && descendants() == 0));
    }
}

pub(crate) fn what_cannot_be_is_refused() {
    let (place, states) = states();
    let create = |id: &str, command| states.create(id, command, Details::default());
    let long = "x".repeat(129);
    for id in ["", ".", "..", "../x", "/", "a/b", "a b", "a\n", "-a", "ü", "a\0", &long] {
        let error = refused(create(id, sleeper(Container::host_view())));
        is_error(&error, ErrorKind::InvalidSettings, Stage::Plan, &["id"]);
        is_error(&refused(states.get(id)), ErrorKind::NotFound, Stage::Running, &[]);
    }
    let timed = sleeper(Container::host_view()).timeout(Duration::from_secs(1));
    is_error(&refused(create("a", timed)), ErrorKind::InvalidSettings, Stage::Plan, &["timeout"]);
    let piped = sleeper(Container::host_view()).stdout(Stdio::piped());
    is_error(&refused(create("a", piped)), ErrorKind::InvalidSettings, Stage::Plan, &["stdio"]);
    let missing = quiet(Container::host_view().command("/no/such"));
    is_error(
        &refused(create("a", missing)),
        ErrorKind::ProgramNotFound,
        Stage::Exec,
        &["/no/such"],
    );
    create("a", sleeper(Container::host_view())).expect("a container");
    let error = refused(create("a", sleeper(Container::host_view())));
    is_error(&error, ErrorKind::Exists, Stage::Launch, &["\"a\""]);
    states.delete("a", Force::No).expect("one that was only created");
    is_error(&refused(states.delete("a", Force::No)), ErrorKind::NotFound, Stage::Running, &[]);
    states.delete("a", Force::Yes).expect("forced");
    assert_eq!(std::fs::read_dir(place.path().join("run/ampoule-test")).expect("it").count(), 0);
}

/// The file of a container.
fn file(states: &StateDirectory, id: &str) -> std::path::PathBuf {
    states.path().join(id).join("state.json")
}

pub(crate) fn files_that_cannot_be_used_say_so() {
    let (_place, states) = states();
    let command = sleeper(Container::host_view());
    let kept = states.create("a", command, Details::default()).expect("a container");
    let path = file(&states, "a");
    let text = std::fs::read_to_string(&path).expect("the file");
    for (bad, word) in [
        (text.replacen("\"version\": 1", "\"version\": 7", 1), "version 7"),
        (text.replacen("\"version\": 1", "\"version\": 0", 1), "version 0"),
        (text[..text.len() / 2].to_owned(), "line"),
        (String::new(), "line 1"),
    ] {
        std::fs::write(&path, bad).expect("a file");
        is_error(&refused(states.get("a")), ErrorKind::StateFile, Stage::Running, &[word]);
        let listed = states.list().expect("a list");
        assert!(listed.len() == 1 && listed[0].container.is_err());
        is_error(
            &refused(states.delete("a", Force::No)),
            ErrorKind::StateFile,
            Stage::Running,
            &[],
        );
        assert_eq!(states.reconcile().expect("nothing to do"), Vec::<String>::new());
    }
    std::fs::write(&path, text).expect("a file");
    assert_eq!(kept.state(), RunState::Created);
    states.delete("a", Force::Yes).expect("a deletion");
    assert_eq!(descendants(), 0);
}

pub(crate) fn a_file_of_another_boot_means_a_stopped_container() {
    let (_place, states) = states();
    let command = sleeper(Container::host_view());
    states.create("a", command, Details::default()).expect("a container");
    let path = file(&states, "a");
    let text = std::fs::read_to_string(&path).expect("the file");
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("an id");
    std::fs::write(&path, text.replace(boot.trim(), "another")).expect("a file");
    assert_eq!(states.get("a").expect("it").state(), RunState::Stopped);
    std::fs::write(&path, &text).expect("a file");
    let other = text.replacen("\"start\": ", "\"start\": 1", 1);
    std::fs::write(&path, other).expect("a file");
    assert_eq!(states.get("a").expect("it").state(), RunState::Stopped, "another process's id");
    std::fs::write(&path, text).expect("a file");
    states.delete("a", Force::Yes).expect("a deletion");
}

pub(crate) fn a_group_is_found_again() {
    let (_place, states) = states();
    let builder = Container::host_view().pids_max(64);
    let command = sleeper(builder);
    let mut kept = states.create("a", command, Details::default()).expect("a container");
    kept.start().expect("a start");
    let kept = states.get("a").expect("it");
    let container = kept.container().expect("it runs");
    assert_eq!(container.processes().expect("a list").len(), 2, "init and its payload");
    container.pause().expect("a pause");
    assert_eq!(states.get("a").expect("it").state(), RunState::Paused);
    container.resume().expect("it goes on");
    let mut limits = Limits::default();
    limits.pids_max = Some(Max::Limit(32));
    container.update(&limits).expect("an update");
    container.stats().expect("statistics");
    container.events().expect("a stream");
    let paths: Vec<_> = container.group().expect("a group").paths().collect();
    container.pause().expect("a pause");
    states.delete("a", Force::Yes).expect("a deletion of a frozen one");
    assert!(paths.iter().all(|path| !Path::new(path).exists()));
    assert_eq!(descendants(), 0);
}

pub(crate) fn a_stop_asks_and_then_kills() {
    let (_place, states) = states();
    for (script, grace, signal) in [
        ("trap 'exit 4' USR1; touch /tmp/set; while :; do sleep 0.02; done", 20, None),
        ("trap '' USR1; touch /tmp/set; while :; do sleep 0.02; done", 0, Some(9)),
    ] {
        let builder = Container::host_view().stop_signal(10);
        let command = quiet(shell(builder, script));
        let mut kept = states.create("a", command, Details::default()).expect("a container");
        let before = std::time::SystemTime::now();
        kept.start().expect("a start");
        assert_eq!(kept.ended(), None);
        let container = kept.container().expect("it runs");
        assert!(soon(|| container.read("/tmp/set", ampoule::Bytes::kib(1)).is_ok()));
        let status = states.get("a").expect("it").stop(Duration::from_secs(grace)).expect("an end");
        assert_eq!(status.signal(), signal, "{script}");
        assert_eq!(status.code(), signal.is_none().then_some(4), "{script}");
        // The clock of files is some milliseconds behind.
        let at = kept.ended().expect("a time") + Duration::from_millis(50);
        assert!(at >= before && at <= std::time::SystemTime::now() + Duration::from_millis(50));
        // The time of its life ends with it.
        std::thread::sleep(Duration::from_millis(30));
        let wall = kept.wait().expect("a status").wall();
        assert_eq!(kept.wait().expect("a status").wall(), wall);
        let error = refused(kept.stop(Duration::ZERO));
        is_error(&error, ErrorKind::WrongState, Stage::Running, &["kill", "stopped"]);
        states.delete("a", Force::No).expect("it has ended");
    }
}
