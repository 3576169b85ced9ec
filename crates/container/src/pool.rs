//! Containers that are parked: made beforehand, each used once.
//!
//! Kernel objects: those of containers that were created and wait. Invariant: a parked container has run nothing but init,
//! and belongs to nobody after it was claimed but to who claimed it.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{ChildStderr, ChildStdin, ChildStdout};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ampoule_init::{
    Begin, First, Launch as InitLaunch, Parameter, PidNamespace, Timings as Wanted,
};

use crate::container::Container;
use crate::created::{RunState, Waiting};
use crate::error::{Error, ErrorKind, Problem, Stage};
use crate::launch::Launch;
use crate::launch_error::explain;
use crate::plan::Plan;
use crate::stdio::Stdio;

/// The numbers that a launch may give further descriptors: they are kept free of init's own. A table of descriptors has 64
/// entries before it grows.
const FURTHER: std::ops::RangeInclusive<u16> = 3..=31;

/// Containers of one plan that wait for what they are to run. Dropping it ends all that were not claimed.
///
/// ```no_run
/// # fn main() -> Result<(), ampoule::Error> {
/// let pool = ampoule::Container::host_view().command("true").plan()?.pool(8)?;
/// let output = pool.launch().program("id").args(["-u"]).output()?; // no namespace or mount is made now
/// pool.fill()?; // when there is time
/// # drop(output); Ok(()) }
/// ```
#[derive(Debug)]
pub struct Pool {
    plan: Plan,
    size: usize,
    parked: Mutex<Vec<Container>>,
}

impl Plan {
    /// Parks so many containers: everything is done but what differs from launch to launch.
    ///
    /// # Errors
    /// As [`Launch::create`]; then none is left.
    pub fn pool(&self, size: usize) -> Result<Pool, Error> {
        let pool = Pool { plan: self.clone(), size, parked: Mutex::default() };
        pool.fill()?;
        Ok(pool)
    }
}

impl Pool {
    /// A launch in a parked container; in a new one where none is left. It differs from the plan in its program, arguments,
    /// environment, directory, streams, further descriptors (3 to 31) and time limit.
    #[must_use]
    pub fn launch(&self) -> Launch {
        let mut launch = self.plan.launch();
        let alive = |container: &Container| container.state() == RunState::Created;
        // One that somebody killed is ended with its handle.
        launch.parked = std::iter::from_fn(|| self.parked().pop()).find(alive).map(Box::new);
        launch
    }

    /// How many wait now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parked().len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Parks as many as are missing.
    ///
    /// # Errors
    /// As [`Plan::pool`]; those that wait stay.
    pub fn fill(&self) -> Result<(), Error> {
        while self.len() < self.size {
            let null = || Stdio::null();
            let mut launch = self.plan.launch().stdin(null()).stdout(null()).stderr(null());
            launch.order.fds = placeholders()?;
            let made = launch.create()?;
            self.parked().push(made);
        }
        Ok(())
    }

    fn parked(&self) -> MutexGuard<'_, Vec<Container>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What stands at the numbers meanwhile; init closes what no launch replaces.
fn placeholders() -> Result<Vec<(u16, OwnedFd)>, Error> {
    let failed = |error: std::io::Error| Error::io(Stage::Launch, "open of /dev/null", &error);
    let null = std::fs::File::open("/dev/null").map_err(failed)?;
    FURTHER.map(|number| Ok((number, null.try_clone().map_err(failed)?.into()))).collect()
}

impl Launch {
    /// Starts this launch in a parked container.
    pub(crate) fn claim(
        mut self,
        mut container: Container,
        defaults: [fn() -> Stdio; 3],
    ) -> Result<Container, Error> {
        let begun = Instant::now();
        self.fits_a_parked_one()?;
        let texts = self.texts()?;
        let streams = self.streams(defaults)?;
        let Some(Waiting { held, .. }) = container.waiting.take() else {
            return Err(Error::new(ErrorKind::InitDied, Stage::Launch));
        };
        let mut payload_fds: Vec<(i32, BorrowedFd<'_>)> = match self.plan.settings.tty {
            // Its streams are the terminal.
            Some(_) => Vec::new(),
            None => (0..).zip(streams.iter().map(|stream| stream.payload.as_fd())).collect(),
        };
        payload_fds
            .extend(self.order.fds.iter().map(|(number, fd)| (i32::from(*number), fd.as_fd())));
        let launch = InitLaunch {
            argv: texts.argv,
            env: texts.env,
            paths: texts.paths,
            parameters: vec![Parameter::Text(texts.current_dir)],
            payload_fds,
            fds: Vec::new(),
            host: None,
            status: None,
            kept: None,
            first: First::Payload,
            pid_namespace: PidNamespace::New,
            timeout: None,
            timings: Wanted::Off,
            deadline: begun + self.start_timeout,
            begin: Begin::AtOnce,
            fault: None,
        };
        let went = held.claim(&launch, &self.plan.tail());
        let went = went.map_err(|error| {
            let stage = error.step().and_then(|step| self.plan.stage_of(step));
            explain(error, stage, &launch)
        })?;
        drop(launch);
        container.begun = begun;
        container.deadline = self.order.timeout.and_then(|limit| begun.checked_add(limit));
        container.take(went);
        let mut host_ends = streams.into_iter().map(|stream| stream.host);
        let mut next = || host_ends.next().flatten();
        container.stdin = next().map(ChildStdin::from);
        container.stdout = next().map(ChildStdout::from);
        container.stderr = next().map(ChildStderr::from);
        match self.plan.settings.apparmor.clone() {
            Some(profile) => profile.verify(&mut container).map(|()| container),
            None => Ok(container),
        }
    }

    /// What was decided when the container was parked.
    fn fits_a_parked_one(&self) -> Result<(), Error> {
        let decided = [
            ("id", self.id.is_some()),
            ("join", !self.namespaces.is_empty()),
            ("status_fd", self.status_fd.is_some()),
            ("timings", self.timings == Wanted::On),
        ];
        let late = |(setting, _): (&'static str, bool)| {
            Problem::new(setting, "a container of a pool is made before its launch")
        };
        let mut problems: Vec<_> = decided.into_iter().filter(|(_, set)| *set).map(late).collect();
        let mut numbers = BTreeSet::new();
        for number in self.order.fds.iter().map(|(number, _)| *number) {
            if !FURTHER.contains(&number) {
                let (first, last) = FURTHER.into_inner();
                let reason = format!("in a container of a pool numbers go from {first} to {last}");
                problems.push(Problem::new("fd", reason));
            } else if !numbers.insert(number) {
                problems.push(Problem::new("fd", "one number is given twice"));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(Error::invalid(problems)) }
    }
}
