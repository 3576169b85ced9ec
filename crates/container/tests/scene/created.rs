//! Containers that are created before they are started, by one process.
//!
//! Kernel objects: the waiting process of the payload. Invariant: nothing of the program has run before the start, and
//! nothing of the container is there after its handle.

use std::time::{Duration, Instant};

use ampoule::{Builder, Container, ErrorKind, Namespace, Outcome, Pid1, RunState, Stage, Stdio};

use super::outside::{descendants, lives};
use super::{is_error, read_until, refused, shell, soon};

const KINDS: [Pid1; 2] = [Pid1::Reaper, Pid1::Payload];

/// Both kinds of first process.
fn kinds() -> [Builder; 2] {
    KINDS.map(|pid1| Container::host_view().pid1(pid1))
}

pub(crate) fn a_program_runs_only_after_its_start() {
    for (pid1, builder) in KINDS.into_iter().zip(kinds()) {
        let command = shell(builder, "echo ran; exit 7").stdout(Stdio::piped());
        let mut container = command.create().expect("a container");
        assert_eq!(container.state(), RunState::Created);
        match container.namespace(Namespace::Net) {
            Ok(_) => {}
            // Nobody but root looks into what waits without an init to be asked.
            Err(error) => {
                assert!(pid1 == Pid1::Payload && !rustix::process::geteuid().is_root(), "{error}");
                is_error(&error, ErrorKind::PermissionDenied, Stage::Running, &[]);
            }
        }
        assert_eq!(container.try_wait().expect("no error"), None);
        // Its `exe` is closed to a host without privilege.
        let name = std::fs::read_to_string(format!("/proc/{}/comm", container.pid()));
        assert_eq!(name.expect("it lives"), "ampoule-init\n");
        container.start().expect("a start");
        read_until(container.stdout.as_mut().expect("piped"), "ran\n");
        assert_eq!(container.wait().expect("a status").code(), Some(7));
        assert_eq!(container.state(), RunState::Stopped);
    }
}

pub(crate) fn one_that_is_dropped_ends() {
    for builder in kinds() {
        let container = shell(builder, "exit 0").create().expect("a container");
        let pid = container.pid();
        assert!(lives(pid));
        drop(container);
        assert!(!lives(pid) && descendants() == 0);
    }
}

pub(crate) fn states_follow_the_operations() {
    let mut container = Container::host_view().command("sleep").arg("1000").create().expect("one");
    is_error(
        &refused(wrong(&mut container, 2)),
        ErrorKind::WrongState,
        Stage::Running,
        &["running"],
    );
    assert_eq!(container.state(), RunState::Running);
    if container.group().is_some_and(|group| group.freeze_state().is_ok()) {
        container.pause().expect("a pause");
        assert_eq!(container.state(), RunState::Paused);
        container.resume().expect("it goes on");
    }
    container.kill(9).expect("a signal");
    assert!(soon(|| container.state() == RunState::Stopped));
    let error = refused(container.start());
    is_error(&error, ErrorKind::WrongState, Stage::Running, &["start", "stopped"]);
}

/// Starts it so often.
fn wrong(container: &mut Container, times: usize) -> Result<(), ampoule::Error> {
    (0..times).try_for_each(|_| container.start())
}

pub(crate) fn a_program_that_cannot_be_is_found_when_it_is_created() {
    let cases = [
        ("/bin/no-such-program", ErrorKind::ProgramNotFound),
        ("no-such-program", ErrorKind::ProgramNotFound),
        ("/usr", ErrorKind::ProgramIsDirectory),
        ("/etc/passwd", ErrorKind::ProgramNotExecutable),
    ];
    for (program, kind) in cases {
        for builder in kinds() {
            is_error(&refused(builder.command(program).create()), kind, Stage::Exec, &[program]);
        }
    }
    let elsewhere = Container::host_view().command("true").current_dir("/no/such");
    is_error(
        &refused(elsewhere.create()),
        ErrorKind::WorkingDirectory,
        Stage::Process,
        &["/no/such"],
    );
    let idle = Container::host_view().command("true").plan().expect("a plan");
    drop(idle.launch().create().expect("a container"));
    assert_eq!(descendants(), 0);
}

pub(crate) fn what_the_kernel_cannot_execute_is_found_when_it_is_started() {
    for builder in kinds() {
        let builder = builder.file_with_mode("/bad", "no program", 0o755);
        let builder = builder.file_with_mode("/dangling", "#!/no/such\n", 0o755);
        for (program, kind) in
            [("/bad", ErrorKind::ProgramFormat), ("/dangling", ErrorKind::InterpreterNotFound)]
        {
            let mut container = builder.clone().command(program).create().expect("a container");
            is_error(&refused(container.start()), kind, Stage::Exec, &[program]);
            assert_eq!((container.state(), descendants()), (RunState::Stopped, 0));
        }
    }
}

pub(crate) fn a_time_limit_counts_from_the_start() {
    for builder in kinds() {
        let command = builder.command("sleep").arg("1000").timeout(Duration::from_millis(200));
        let mut container = command.create().expect("a container");
        std::thread::sleep(Duration::from_millis(250));
        assert_eq!(container.state(), RunState::Created);
        container.start().expect("a start");
        let started = Instant::now();
        assert_eq!(container.wait().expect("a status").outcome(), Outcome::TimedOut);
        assert!(started.elapsed() > Duration::from_millis(150), "{:?}", started.elapsed());
    }
}

pub(crate) fn a_signal_ends_what_was_never_started() {
    let mut container = Container::host_view().command("true").create().expect("a container");
    container.kill(15).expect("a signal");
    assert_eq!(container.wait().expect("a status").signal(), Some(15));
}
