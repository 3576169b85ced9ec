//! Asks all workers in turn, so that a drift of the machine hits all rows alike.
//!
//! Touches only its workers. Invariant: each round asks every row that has not failed for one batch, and each
//! round begins one row later than the one before.

use std::path::Path;

use crate::contender::Sample;
use crate::failure::Failure;
use crate::host_size::Measured;
use crate::lineup::Row;
use crate::network_teardown;
use crate::protocol::{Answer, Request};
use crate::remote::{Programs, Worker};
use crate::throughput::THREADS;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Samples per row.
    pub samples: usize,
    /// Samples that a row takes at its turn.
    pub batch: usize,
    /// Starts before the first sample of a row.
    pub warm_up: usize,
    /// How long each throughput figure is measured, in milliseconds; 0 for not at all.
    pub throughput_ms: u64,
}

/// Starts that each batch begins with and that are not counted: the worker has slept meanwhile.
const LEAD: usize = 1;

/// What came out for one row.
#[derive(Debug)]
pub struct Outcome {
    /// The row.
    pub row: Row,
    /// The size of its worker, when it got ready.
    pub host: Option<Measured>,
    /// All samples.
    pub samples: Vec<Sample>,
    /// Containers per second for each of [`THREADS`], where measured.
    pub throughput: Vec<f64>,
    /// Why there are no or no more samples.
    pub failure: Option<Failure>,
    worker: Option<Worker>,
}

impl Outcome {
    /// Starts the row's worker.
    fn begin(row: Row, programs: &Programs, stage: &Path) -> Self {
        let (worker, failure) = match Worker::start(&row, programs, stage) {
            Ok(worker) => (Some(worker), None),
            Err(failure) => (None, Some(failure)),
        };
        let host = worker.as_ref().map(Worker::host);
        Self { row, host, samples: Vec::new(), throughput: Vec::new(), failure, worker }
    }

    /// Asks the worker, keeps what it answers, and waits until the kernel is quiet again.
    fn ask(&mut self, request: &Request) {
        let Some(worker) = self.worker.as_mut() else { return };
        match worker.ask(request) {
            Ok(Answer::Samples(samples)) => self.samples.extend(samples),
            #[expect(clippy::cast_precision_loss, reason = "a count of containers is small")]
            Ok(Answer::Throughput { containers, seconds }) => {
                self.throughput.push(containers as f64 / seconds);
            }
            Ok(_) => self.fail(Failure::NoAnswer("it answered something else")),
            Err(failure) => self.fail(failure),
        }
        network_teardown::wait();
    }

    /// The row takes no further part.
    fn fail(&mut self, failure: Failure) {
        self.failure = Some(failure);
        self.worker = None;
    }
}

/// Measures all rows, calling `progress` with the share done after each round.
pub fn measure(
    rows: Vec<Row>,
    effort: Effort,
    programs: &Programs,
    stage: &Path,
    mut progress: impl FnMut(&str),
) -> Vec<Outcome> {
    let begin = |row: Row| {
        progress(&format!("starting {row}"));
        Outcome::begin(row, programs, stage)
    };
    let mut outcomes: Vec<Outcome> = rows.into_iter().map(begin).collect();
    progress("warming up");
    ask_all(&mut outcomes, 0, &Request::Run { lead: effort.warm_up, count: 0 });
    let mut done = 0;
    for round in 0.. {
        if done >= effort.samples {
            break;
        }
        let count = effort.batch.max(1).min(effort.samples - done);
        ask_all(&mut outcomes, round, &Request::Run { lead: LEAD, count });
        done += count;
        progress(&format!("{done} of {} samples", effort.samples));
    }
    if effort.throughput_ms > 0 {
        measure_throughput(&mut outcomes, effort.throughput_ms, progress);
    }
    outcomes
}

/// Asks every row once, beginning with another one each round.
fn ask_all(outcomes: &mut [Outcome], round: usize, request: &Request) {
    let count = outcomes.len().max(1);
    let (front, back) = outcomes.split_at_mut(round % count);
    back.iter_mut().chain(front).for_each(|outcome| outcome.ask(request));
}

/// Whether a row's throughput is measured: floor and ours, from a small host.
pub fn has_throughput(row: &Row) -> bool {
    matches!(row.contender, "floor" | "ours") && row.size == crate::host_size::HostSize::default()
}

/// Measures containers per second, the rows in turn for each number of threads.
fn measure_throughput(outcomes: &mut [Outcome], milliseconds: u64, mut progress: impl FnMut(&str)) {
    for threads in THREADS {
        progress(&format!("{threads} threads at once"));
        let rows = outcomes.iter_mut().filter(|outcome| has_throughput(&outcome.row));
        rows.for_each(|outcome| outcome.ask(&Request::Throughput { threads, milliseconds }));
    }
}
