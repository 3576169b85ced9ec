//! The result of a run as data, as it is written to `target/bench/cgroups.json`. Touches one file.
//!
//! Invariant: it holds every sample, so that any other percentile can be computed from it.

use std::fs;
use std::path::Path;

use serde::Serialize;

use super::lineup::Entrant;
use super::measure::Measure;
use super::proof::Proof;
use super::schedule::Outcome;
use super::start;
use crate::configuration::Configuration;
use crate::failure::Failure;
use crate::machine::{self, Machine};
use crate::statistics::Summary;

/// A whole run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The machine.
    pub machine: Machine,
    /// Load averages when the last sample was taken.
    pub load_after: String,
    /// The hierarchies that the machine has, in words.
    pub hierarchies: String,
    /// Groups alive beside those of the measures that say so.
    pub many: usize,
    /// How containers are set up.
    pub containers: Configuration,
    /// Who took part.
    pub contenders: Vec<Participant>,
    /// By measure, in it by contender.
    pub lines: Vec<Line>,
}

/// Who took part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Participant {
    /// Its name.
    pub name: &'static str,
    /// In what its work differs.
    pub remark: &'static str,
    /// What its groups are.
    pub proof: Option<Proof>,
}

/// One measure of one contender.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// What.
    pub measure: Measure,
    /// Who.
    pub contender: &'static str,
    /// Microseconds.
    pub summary: Option<Summary>,
    /// Median over that of the raw calls.
    pub p50_ratio: Option<f64>,
    /// The same of the 95th percentile.
    pub p95_ratio: Option<f64>,
    /// Why figures are missing.
    pub failure: Option<String>,
    /// Every sample, in microseconds.
    pub samples: Vec<f64>,
}

impl Report {
    /// Summarizes the outcomes.
    pub fn of(machine: Machine, hierarchies: String, many: usize, all: Vec<Outcome>) -> Self {
        let mut lines = Vec::new();
        for measure in Measure::ALL {
            let summary = |outcome: &Outcome| {
                Summary::of(outcome.samples.get(&measure).into_iter().flatten().copied())
            };
            let raw = all.iter().find(|outcome| outcome.entrant.name == "raw").and_then(summary);
            for outcome in all.iter().filter(|outcome| measure.includes(&outcome.entrant)) {
                let summary = summary(outcome);
                lines.push(Line {
                    measure,
                    contender: outcome.entrant.name,
                    summary,
                    p50_ratio: summary.zip(raw).map(|(own, raw)| own.p50 / raw.p50),
                    p95_ratio: summary.zip(raw).map(|(own, raw)| own.p95 / raw.p95),
                    failure: outcome.failures.get(&measure).cloned(),
                    samples: outcome.samples.get(&measure).cloned().unwrap_or_default(),
                });
            }
        }
        let contenders = all.into_iter().map(participant).collect();
        let (load_after, containers) = (machine::load(), start::configuration());
        Self { machine, load_after, hierarchies, many, containers, contenders, lines }
    }

    /// Whether the raw calls and ours did all that was asked; a peer may refuse.
    pub fn is_sound(&self) -> bool {
        let is_own = |name: &str| matches!(name, "raw" | "ours");
        let does_not = |who: &Participant| match &who.proof {
            Some(proof) => !proof.not_in_force.is_empty(),
            None => true,
        };
        let failed = self.lines.iter().any(|line| is_own(line.contender) && line.failure.is_some());
        !failed && !self.contenders.iter().any(|who| is_own(who.name) && does_not(who))
    }

    /// Writes the report as JSON, making the directory where necessary.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(Failure::file("create", directory))?;
        }
        fs::write(path, serde_json::to_vec(self)?).map_err(Failure::file("write", path))
    }
}

fn participant(outcome: Outcome) -> Participant {
    let Entrant { name, remark, .. } = outcome.entrant;
    Participant { name, remark, proof: outcome.proof }
}
