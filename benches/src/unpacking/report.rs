//! The result of a run, as data and as a table. Touches one file.
//!
//! Invariant: it holds every sample, and a row without figures says why.

use std::fmt::{self, Display, Formatter};
use std::fs;
use std::path::Path;

use serde::Serialize;

use super::contender::Contender;
use super::layer::Layer;
use super::sample::Sample;
use crate::failure::Failure;
use crate::machine::{self, Machine};
use crate::statistics::Summary;

/// A whole run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The machine.
    pub machine: Machine,
    /// Load averages when the last sample was taken.
    pub load_after: String,
    /// What was unpacked.
    pub layer: Layer,
    /// One for each contender.
    pub rows: Vec<Row>,
}

/// A contender's figures.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Who.
    pub contender: &'static str,
    /// What it does.
    pub remark: &'static str,
    /// Start to reaped, in microseconds.
    pub wall: Option<Summary>,
    /// User and system time together, in microseconds.
    pub cpu: Option<Summary>,
    /// The largest resident set of all samples, in KiB.
    pub rss_kib: i64,
    /// Every sample.
    pub samples: Vec<Sample>,
    /// Why there are none.
    pub failure: Option<String>,
}

impl Row {
    /// Sums up.
    pub fn of(contender: &Contender, samples: Vec<Sample>, failure: Option<String>) -> Self {
        let cpu =
            |sample: &Sample| i32::try_from(sample.user + sample.system).map_or(0.0, f64::from);
        Self {
            contender: contender.name,
            remark: contender.remark,
            wall: Summary::of(samples.iter().map(|sample| sample.wall)),
            cpu: Summary::of(samples.iter().map(cpu)),
            rss_kib: samples.iter().map(|sample| sample.rss_kib).max().unwrap_or(0),
            samples,
            failure,
        }
    }
}

impl Report {
    /// Puts it together when the last sample was taken.
    pub fn new(machine: Machine, layer: Layer, rows: Vec<Row>) -> Self {
        Self { machine, load_after: machine::load(), layer, rows }
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

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (m, layer) = (&self.machine, &self.layer);
        writeln!(f, "kernel {} ({}), {} CPUs", m.kernel, m.architecture, m.cpus)?;
        writeln!(f, "load before {}, after {}", m.load, self.load_after)?;
        writeln!(
            f,
            "a gzip layer of {} MB, {} MB uncompressed, {} members, in {}; seconds\n",
            layer.blob_size / 1_000_000,
            layer.diff_size / 1_000_000,
            layer.members,
            layer.file.parent().unwrap_or(Path::new("/")).display(),
        )?;
        let columns = ["n", "p50", "p95", "CPU p50", "RSS MiB"];
        write!(f, "{:<11}", "contender")?;
        columns.iter().try_for_each(|column| write!(f, "{column:>9}"))?;
        writeln!(f)?;
        for row in &self.rows {
            write!(f, "{:<11}{:>9}", row.contender, row.samples.len())?;
            let figures = [
                row.wall.map(|wall| wall.p50),
                row.wall.map(|wall| wall.p95),
                row.cpu.map(|cpu| cpu.p50),
            ];
            for micros in figures {
                let text = micros.map_or("-".to_owned(), |micros| format!("{:.2}", micros / 1e6));
                write!(f, "{text:>9}")?;
            }
            let note = row.failure.as_deref().unwrap_or(row.remark);
            writeln!(f, "{:>9}  {note}", row.rss_kib / 1024)?;
        }
        Ok(())
    }
}
