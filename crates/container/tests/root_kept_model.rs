//! Any sequence of operations on a container that is written down, compared with a model.
//!
//! Kernel objects: those of one container at a time. Invariant: every operation succeeds or fails as the model says, and
//! the state that a new handle shows is the model's.

mod oracle;
mod scene;

use std::cell::RefCell;

use ampoule::{Container, Details, ErrorKind, Force, Kept, Pid1, RunState, StateDirectory, Stdio};
use oracle::{tier, unchanged};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use scene::kept::{sleeper, states};
use scene::outside::descendants;
use scene::{soon, times};

/// What is done next.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Create(Pid1),
    Start,
    Kill,
    /// Somebody else kills its first process.
    Vanish,
    Exec,
    Pause,
    Resume,
    Delete(Force),
    Reconcile,
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation as O;
    prop_oneof![
        3 => prop_oneof![Just(O::Create(Pid1::Reaper)), Just(O::Create(Pid1::Payload))],
        4 => Just(O::Start),
        1 => Just(O::Kill),
        1 => Just(O::Vanish),
        2 => Just(O::Exec),
        2 => Just(O::Pause),
        2 => Just(O::Resume),
        2 => prop_oneof![Just(O::Delete(Force::No)), Just(O::Delete(Force::Yes))],
        1 => Just(O::Reconcile),
    ]
}

/// What the model expects of an operation: the state behind it, or the kind of error.
fn expected(state: Option<RunState>, operation: Operation) -> Result<Option<RunState>, ErrorKind> {
    use Operation as O;
    use RunState::{Created, Paused, Running, Stopped};
    match (operation, state) {
        (O::Create(_), None) => Ok(Some(Created)),
        (O::Create(_), Some(_)) => Err(ErrorKind::Exists),
        (O::Reconcile, state) | (O::Delete(Force::Yes), state @ None) => Ok(state),
        (_, None) => Err(ErrorKind::NotFound),
        (O::Start, Some(Created)) => Ok(Some(Running)),
        (O::Delete(Force::Yes), Some(_)) => Ok(None),
        (O::Delete(Force::No), Some(Created | Stopped)) => Ok(None),
        (O::Vanish, Some(_)) | (O::Kill, Some(Created | Running)) => Ok(Some(Stopped)),
        (O::Exec, Some(state @ (Created | Running))) => Ok(Some(state)),
        (O::Exec, Some(Paused)) => Err(ErrorKind::StartTimeout),
        (O::Pause, Some(Running | Paused)) => Ok(Some(Paused)),
        (O::Resume, Some(Running | Paused)) => Ok(Some(Running)),
        _ => Err(ErrorKind::WrongState),
    }
}

/// Whether the model leaves something out: a created container that is frozen, a signal to a frozen one.
fn is_left_out(state: Option<RunState>, operation: Operation) -> bool {
    use Operation as O;
    match state {
        Some(RunState::Created) => matches!(operation, O::Pause | O::Resume),
        Some(RunState::Paused) => matches!(operation, O::Kill | O::Vanish),
        _ => false,
    }
}

/// A handle as another process would have it.
fn get(states: &StateDirectory) -> Result<Kept, ampoule::Error> {
    states.get("one")
}

fn perform(states: &StateDirectory, operation: Operation) -> Result<(), ampoule::Error> {
    match operation {
        Operation::Create(pid1) => {
            let command = sleeper(Container::host_view().pid1(pid1).pids_max(16));
            states.create("one", command, Details::default()).map(drop)
        }
        Operation::Start => get(states)?.start(),
        Operation::Kill => get(states)?.kill(9),
        Operation::Vanish => {
            let kept = get(states)?;
            if let Some(pidfd) = kept.pidfd().filter(|_| kept.pid().is_some()) {
                let kill = rustix::process::Signal::KILL;
                rustix::process::pidfd_send_signal(pidfd, kill).expect("our container");
            }
            Ok(())
        }
        Operation::Exec => {
            let kept = get(states)?;
            let exec = kept.container()?.exec("true").stdin(Stdio::null());
            let exec = exec.start_timeout(std::time::Duration::from_millis(150));
            let status = exec.status();
            // A slow machine is no frozen container.
            match status {
                Err(error)
                    if error.kind() == ErrorKind::StartTimeout
                        && kept.state() != RunState::Paused =>
                {
                    kept.container()?.exec("true").stdin(Stdio::null()).status().map(drop)
                }
                status => status.map(|status| assert!(status.success())),
            }
        }
        Operation::Pause => get(states)?.container()?.pause(),
        Operation::Resume => get(states)?.container()?.resume(),
        Operation::Delete(force) => states.delete("one", force),
        Operation::Reconcile => states.reconcile().map(|removed| assert!(removed.is_empty())),
    }
}

/// The state that a new handle shows.
fn shown(states: &StateDirectory) -> Option<RunState> {
    get(states).ok().map(|kept| kept.state())
}

#[test]
fn every_sequence_is_as_in_the_model() {
    tier::root();
    unchanged(|| {
        let (_place, states) = states();
        let cases = u32::try_from(times(32, 1000)).expect("a number");
        let config = Config { failure_persistence: None, cases, ..Config::default() };
        let done = RefCell::new(0_usize);
        let outcome =
            TestRunner::new(config).run(&prop::collection::vec(operation(), 1..14), |operations| {
                let mut state = None;
                for &operation in &operations {
                    if is_left_out(state, operation) {
                        continue;
                    }
                    let wanted = expected(state, operation);
                    let found = perform(&states, operation).map_err(|error| error.kind());
                    prop_assert_eq!(found, wanted.map(drop), "{:?} when {:?}", operation, state);
                    state = wanted.unwrap_or(state);
                    prop_assert!(soon(|| shown(&states) == state), "{operation:?}: {state:?}");
                    *done.borrow_mut() += 1;
                }
                states.delete("one", Force::Yes).expect("a deletion");
                prop_assert!(soon(|| descendants() == 0));
                Ok(())
            });
        drop(states.delete("one", Force::Yes));
        outcome.expect("every sequence");
        assert!(*done.borrow() > times(100, 3000), "{}", done.borrow());
    });
}
