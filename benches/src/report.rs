//! The result of a run as data, as it is written to `target/bench/spawn.json`. Touches one file.
//!
//! Invariant: it holds every sample, so that any other percentile can be computed from it.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::configuration::Configuration;
use crate::contender::Sample;
use crate::failure::Failure;
use crate::host_size::{HostSize, Measured};
use crate::machine::{self, Machine};
use crate::schedule::Outcome;
use crate::statistics::Summary;

/// A whole run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The machine.
    pub machine: Machine,
    /// Load averages when the last sample was taken.
    pub load_after: String,
    /// File system that the root file system is on.
    pub file_system: String,
    /// Where the root file system was.
    pub rootfs: String,
    /// Rows in the table's order.
    pub rows: Vec<Line>,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Who.
    pub contender: &'static str,
    /// How set up.
    pub configuration: Configuration,
    /// The host size asked for.
    pub size: HostSize,
    /// The host size measured.
    pub host: Option<Measured>,
    /// Start to reaped, in microseconds.
    pub reaped: Option<Summary>,
    /// Start to cleaned, in microseconds.
    pub cleaned: Option<Summary>,
    /// Median of cleaned over that of the configuration's floor from a host of the same size, or from a small
    /// host where that floor is not measured.
    pub ratio: Option<f64>,
    /// Containers per second with 1, 2, 8 and 64 threads, where measured.
    pub throughput: Vec<f64>,
    /// In what the row differs from the floor's configuration.
    pub remark: &'static str,
    /// Why figures are missing.
    pub failure: Option<String>,
    /// Every sample.
    pub samples: Vec<Sample>,
}

impl Report {
    /// Summarizes the outcomes.
    pub fn of(machine: Machine, file_system: String, rootfs: &Path, all: Vec<Outcome>) -> Self {
        let mut rows: Vec<Line> = all.into_iter().map(line).collect();
        let ratios: Vec<_> = rows.iter().map(|line| ratio(line, &rows)).collect();
        rows.iter_mut().zip(ratios).for_each(|(line, ratio)| line.ratio = ratio);
        Self {
            machine,
            load_after: machine::load(),
            file_system,
            rootfs: rootfs.display().to_string(),
            rows,
        }
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

/// The line's median over its floor's.
fn ratio(line: &Line, rows: &[Line]) -> Option<f64> {
    let floor = |size| {
        let same =
            |other: &&Line| other.contender == "floor" && other.configuration == line.configuration;
        let mut floors = rows.iter().filter(same);
        Some(floors.find(|other| other.size == size)?.cleaned?.p50)
    };
    let base = floor(line.size).or_else(|| floor(HostSize::default()))?;
    Some(line.cleaned?.p50 / base)
}

/// One outcome as data, still without its ratio.
fn line(outcome: Outcome) -> Line {
    let row = outcome.row;
    Line {
        contender: row.contender,
        configuration: row.configuration,
        size: row.size,
        host: outcome.host,
        reaped: Summary::of(outcome.samples.iter().map(|sample| sample.reaped)),
        cleaned: Summary::of(outcome.samples.iter().map(|sample| sample.cleaned)),
        ratio: None,
        throughput: outcome.throughput,
        remark: row.remark,
        failure: outcome.failure.map(|failure| failure.to_string()),
        samples: outcome.samples,
    }
}
