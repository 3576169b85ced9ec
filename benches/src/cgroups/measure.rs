//! What is measured, and how one sample of it is taken.
//!
//! Touches groups, through a contender. Invariant: what is not named in [`Measure::what`] is outside the time.

use std::fmt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::contender::{Contender, Group};
use super::hierarchy::Hierarchies;
use super::lineup::{Entrant, Program};
use super::member::Member;
use super::worker::Assignment;
use crate::contender::Contender as Starter;
use crate::failure::Failure;
use crate::network_teardown;

/// How long nobody moves a process before [`Measure::AddAfterRest`]: longer than a grace period of the kernel.
const REST: Duration = Duration::from_millis(50);

/// One block of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Create, five limits, remove.
    Cycle,
    /// Statistics of a group with a process.
    Stat,
    /// [`Measure::Cycle`] with many groups beside it.
    CycleAmongMany,
    /// [`Measure::Stat`] with many groups beside it.
    StatAmongMany,
    /// Adding a process, soon after one was moved.
    Add,
    /// Adding a process when none was moved for a while.
    AddAfterRest,
    /// Starting a container in a group of its own.
    Spawn,
}

impl Measure {
    /// All, in the table's order.
    pub const ALL: [Self; 7] = [
        Self::Cycle,
        Self::Stat,
        Self::CycleAmongMany,
        Self::StatAmongMany,
        Self::Add,
        Self::AddAfterRest,
        Self::Spawn,
    ];

    /// What is inside the time.
    pub fn what(self) -> &'static str {
        match self {
            Self::Cycle => "create, 5 limits, remove",
            Self::Stat => "stat, one process in it",
            Self::CycleAmongMany => "create, 5 limits, remove, with many groups beside it",
            Self::StatAmongMany => "stat, one process in it, with many groups beside it",
            Self::Add => "add a process",
            Self::AddAfterRest => "add a process after 50 ms of rest",
            Self::Spawn => "start /bin/true isolated in a group with 5 limits, wait, remove",
        }
    }

    /// Whether a contender takes part: the peers of this table start no containers.
    pub fn includes(self, entrant: &Entrant) -> bool {
        self != Self::Spawn || entrant.program == Program::Bench
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.what())
    }
}

/// What the harness asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Samples of what.
    pub measure: Measure,
    /// Samples that are not reported.
    pub lead: usize,
    /// Samples that are.
    pub count: usize,
}

/// Takes samples of one contender.
pub struct Meter<'a> {
    contender: &'a dyn Contender,
    hierarchies: &'a Hierarchies,
    rootfs: &'a Path,
    prefix: String,
    made: usize,
    starter: Option<Box<dyn Starter>>,
}

impl fmt::Debug for Meter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl<'a> Meter<'a> {
    /// Its groups begin with `prefix`.
    pub fn new(
        contender: &'a dyn Contender,
        hierarchies: &'a Hierarchies,
        assignment: &'a Assignment,
        prefix: &str,
    ) -> Self {
        let (rootfs, prefix) = (assignment.rootfs.as_path(), prefix.to_owned());
        Self { contender, hierarchies, rootfs, prefix, made: 0, starter: None }
    }

    /// Takes the samples of one request, in microseconds.
    ///
    /// # Errors
    /// What the contender reports.
    pub fn answer(&mut self, request: Request) -> Result<Vec<f64>, Failure> {
        let all = self.take(request.measure, request.lead + request.count)?;
        Ok(all.into_iter().skip(request.lead).collect())
    }

    /// A name that was not used before.
    pub fn name(&mut self) -> String {
        self.made += 1;
        format!("{}{}", self.prefix, self.made)
    }

    fn take(&mut self, measure: Measure, count: usize) -> Result<Vec<f64>, Failure> {
        match measure {
            Measure::Stat | Measure::StatAmongMany => self.stat(count),
            Measure::Add => (0..count).map(|_| self.add(Duration::ZERO)).collect(),
            Measure::AddAfterRest => (0..count).map(|_| self.add(REST)).collect(),
            Measure::Cycle | Measure::CycleAmongMany => (0..count).map(|_| self.cycle()).collect(),
            Measure::Spawn => self.spawn(count),
        }
    }

    fn cycle(&mut self) -> Result<f64, Failure> {
        let name = self.name();
        timed(|| self.contender.create(&name)?.remove()).map(|(micros, ())| micros)
    }

    fn stat(&mut self, count: usize) -> Result<Vec<f64>, Failure> {
        self.with_member(Duration::ZERO, |group, _| {
            (0..count).map(|_| timed(|| group.stat()).map(|(micros, _)| micros)).collect()
        })
    }

    fn add(&mut self, rest: Duration) -> Result<f64, Failure> {
        self.with_member(rest, |_, micros| Ok(micros))
    }

    fn spawn(&mut self, count: usize) -> Result<Vec<f64>, Failure> {
        let starter = match &mut self.starter {
            Some(starter) => starter,
            empty => empty.insert(self.contender.starter(self.rootfs, &self.prefix)?),
        };
        let member = Member::start()?;
        let start = |_| {
            // So that no start waits for a grace period, which on v1 is longer than all the rest.
            member.take_back(self.hierarchies)?;
            starter.spawn().map(|sample| sample.cleaned)
        };
        let samples = (0..count).map(start).collect();
        network_teardown::wait();
        samples
    }

    /// Makes a group, adds a process, calls `body` with how long that took, and removes both.
    fn with_member<T>(
        &mut self,
        rest: Duration,
        body: impl FnOnce(&dyn Group, f64) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let member = Member::start()?;
        let group = self.contender.create(&self.name())?;
        if rest.is_zero() {
            // So that the last move is no older for one contender than for another.
            member.take_back(self.hierarchies)?;
        }
        thread::sleep(rest);
        let (micros, ()) = timed(|| group.add(member.id()))?;
        let result = body(group.as_ref(), micros)?;
        member.take_back(self.hierarchies)?;
        group.remove()?;
        Ok(result)
    }
}

/// Runs `body` and says how many microseconds it took.
fn timed<T>(body: impl FnOnce() -> Result<T, Failure>) -> Result<(f64, T), Failure> {
    let start = Instant::now();
    let value = body()?;
    Ok((start.elapsed().as_secs_f64() * 1e6, value))
}
