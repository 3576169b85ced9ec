//! Asks all contenders in turn, so that a drift of the machine hits all alike.
//!
//! Touches its workers. Invariant: each round asks every contender for one batch of each measure, and begins one
//! contender later than the round before; a measure that failed is not asked again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::crowd::Crowd;
use super::hierarchy::Hierarchies;
use super::lineup::{Entrant, OURS, Program};
use super::measure::{Measure, Request};
use super::proof::{Proof, Work};
use super::worker::{Answer, Assignment};
use crate::conversation::Conversation;
use crate::failure::Failure;
use crate::remote::Programs;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Rounds.
    pub rounds: usize,
    /// Samples of cycle and stat per round and contender.
    pub batch: usize,
    /// Processes added, without and with rest, and containers started, per round and contender.
    pub adds: usize,
    /// Groups alive beside those that are measured.
    pub many: usize,
}

/// Samples that each batch begins with and that are not counted: the worker has slept meanwhile.
const LEAD: usize = 2;

/// What came out for one contender.
#[derive(Debug)]
pub struct Outcome {
    /// Who.
    pub entrant: Entrant,
    /// What its groups are.
    pub proof: Option<Proof>,
    /// All samples in microseconds.
    pub samples: BTreeMap<Measure, Vec<f64>>,
    /// Why a measure has no or no more samples.
    pub failures: BTreeMap<Measure, String>,
    worker: Option<Conversation>,
}

impl Outcome {
    /// Starts the worker.
    fn begin(entrant: Entrant, run: &Run<'_>, work: &Work) -> Self {
        let mut outcome = Self {
            entrant,
            proof: None,
            samples: BTreeMap::new(),
            failures: BTreeMap::new(),
            worker: None,
        };
        match start(entrant, run, work) {
            Ok((worker, proof)) => {
                outcome.worker = Some(worker);
                outcome.proof = Some(proof);
            }
            Err(failure) => outcome.fail(&Measure::ALL, &failure),
        }
        outcome
    }

    /// Asks for a measure that has not failed, and keeps the answer.
    fn ask(&mut self, request: Request) {
        let measure = request.measure;
        if self.failures.contains_key(&measure) || !measure.includes(&self.entrant) {
            return;
        }
        let Some(worker) = self.worker.as_mut() else { return };
        match worker.say(&request).and_then(|()| worker.hear()) {
            Ok(Answer::Samples(samples)) => {
                self.samples.entry(measure).or_default().extend(samples);
            }
            Ok(Answer::Failed(said)) => self.fail(&[measure], &Failure::reported(said)),
            Ok(Answer::Ready(_)) => {
                self.fail(&[measure], &Failure::NoAnswer("it answered something else"));
            }
            Err(failure) => {
                self.fail(&Measure::ALL, &failure);
                self.worker = None;
            }
        }
    }

    fn fail(&mut self, measures: &[Measure], failure: &Failure) {
        for measure in measures {
            self.failures.entry(*measure).or_insert_with(|| failure.to_string());
        }
    }
}

/// What all workers of a run have in common.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The hierarchies.
    pub hierarchies: &'a Hierarchies,
    /// The programs that workers are.
    pub programs: &'a Programs,
    /// The directory of the run in each hierarchy.
    pub place: &'a str,
    /// Where the workers' error output goes.
    pub logs: &'a Path,
    /// The root file system of containers.
    pub rootfs: &'a Path,
}

/// Starts a worker and waits until it has shown what its groups are.
fn start(entrant: Entrant, run: &Run<'_>, work: &Work) -> Result<(Conversation, Proof), Failure> {
    let program: &PathBuf = match entrant.program {
        Program::Bench => &run.programs.bench,
        Program::Peers => run.programs.peers.as_ref().map_err(Failure::reported)?,
    };
    let assignment = Assignment {
        contender: entrant.name.into(),
        place: run.place.into(),
        rootfs: run.rootfs.into(),
        work: work.clone(),
    };
    let mut command = Command::new(program);
    command.args(assignment.to_arguments());
    let errors = run.logs.join(format!("cgroups-{}.log", entrant.name));
    let mut worker = Conversation::begin(command, errors)?;
    match worker.hear()? {
        Answer::Ready(proof) => Ok((worker, proof)),
        Answer::Failed(said) => Err(Failure::reported(worker.with_errors(&said))),
        Answer::Samples(_) => Err(Failure::NoAnswer("it did not say that it is ready")),
    }
}

/// Measures all, calling `progress` after each round.
///
/// # Errors
/// When Ampoule's own worker cannot make a group: the raw calls have nothing to do then; or when the groups that are
/// to be alive beside the others cannot be made.
pub fn measure(
    entrants: &[Entrant],
    effort: Effort,
    run: &Run<'_>,
    mut progress: impl FnMut(&str),
) -> Result<Vec<Outcome>, Failure> {
    let work = start(OURS, run, &Work::default())?.1.work;
    let begin = |entrant: &Entrant| Outcome::begin(*entrant, run, &work);
    let mut outcomes: Vec<Outcome> = entrants.iter().map(begin).collect();
    let mut rounds = |what: &str, measures: &[(Measure, usize)]| {
        for round in 0..effort.rounds {
            for (measure, count) in measures {
                let request = Request { measure: *measure, lead: LEAD, count: *count };
                ask_all(&mut outcomes, round, request);
            }
            progress(&format!("{what}: {} of {} rounds", round + 1, effort.rounds));
        }
    };
    rounds("groups", &[(Measure::Cycle, effort.batch), (Measure::Stat, effort.batch)]);
    let crowd = Crowd::gather(run.hierarchies, &work, effort.many)?;
    let among = [(Measure::CycleAmongMany, effort.batch), (Measure::StatAmongMany, effort.batch)];
    rounds("groups among many", &among);
    drop(crowd);
    let processes = [Measure::Add, Measure::AddAfterRest, Measure::Spawn];
    rounds("processes", &processes.map(|measure| (measure, effort.adds)));
    Ok(outcomes)
}

/// Asks everyone once, beginning with another one each round.
fn ask_all(outcomes: &mut [Outcome], round: usize, request: Request) {
    let count = outcomes.len().max(1);
    let (front, back) = outcomes.split_at_mut(round % count);
    back.iter_mut().chain(front).for_each(|outcome| outcome.ask(request));
}
