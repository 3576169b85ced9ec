//! The one table of a report, as text. Touches no kernel object.
//!
//! Invariant: a line without figures says why.

use std::fmt::{self, Display, Formatter};

use super::proof::Work;
use super::report::{Line, Participant, Report};

/// What a reader of the lines about processes must know.
const GRACE: &str = "adding: a write to cgroup.procs takes a lock from all forks and exits; the first after a while waits for \
    a grace period of RCU, which rcu_expedited shortens, those soon after it do not; a process born in a group of v2 \
    never does; a start is measured soon after a write";

/// Displays a report.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a>(pub &'a Report);

impl Display for Table<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        header(self.0, f)?;
        let mut last = None;
        for line in &self.0.lines {
            if last.replace(line.measure) != Some(line.measure) {
                writeln!(f, "\n{}", line.measure)?;
            }
            row(line, f)?;
        }
        writeln!(f, "\n{GRACE}")?;
        self.0.contenders.iter().try_for_each(|who| notes(who, f))
    }
}

/// The machine, and what the columns are.
fn header(report: &Report, f: &mut Formatter<'_>) -> fmt::Result {
    let m = &report.machine;
    writeln!(
        f,
        "kernel {} ({}), {} CPUs, {} MiB available",
        m.kernel, m.architecture, m.cpus, m.available_mib
    )?;
    writeln!(
        f,
        "rcu_expedited {}, load before {}, after {}",
        m.rcu_expedited, m.load, report.load_after
    )?;
    writeln!(f, "hierarchies: {}; many are {}", report.hierarchies, report.many)?;
    writeln!(f, "containers are set up as `{}` of bench spawn\n", report.containers)?;
    writeln!(
        f,
        "  {:<12} {:>6} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "contender", "n", "min us", "p50 us", "p95 us", "p50 / raw", "p95 / raw"
    )
}

fn row(line: &Line, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "  {:<12} ", line.contender)?;
    if let Some(summary) = line.summary {
        write!(f, "{:>6} ", summary.count)?;
        write!(f, "{:>10.1} {:>10.1} {:>10.1} ", summary.min, summary.p50, summary.p95)?;
        for ratio in [line.p50_ratio, line.p95_ratio] {
            write!(f, "{:>10} ", ratio.map_or("-".into(), |ratio| format!("{ratio:.2}")))?;
        }
    }
    match &line.failure {
        Some(failure) => writeln!(f, "refuses: {failure}"),
        None => writeln!(f),
    }
}

/// What is to know about a contender.
fn notes(who: &Participant, f: &mut Formatter<'_>) -> fmt::Result {
    if !who.remark.is_empty() {
        writeln!(f, "{}: {}", who.name, who.remark)?;
    }
    let Some(proof) = &who.proof else { return Ok(()) };
    let Work { directories, reads } = &proof.work;
    let count = directories.len();
    writeln!(f, "{}: {count} directories: {}", who.name, directories.join(" "))?;
    writeln!(f, "{}: stat opens {} files", who.name, reads.len())?;
    proof
        .not_in_force
        .iter()
        .try_for_each(|wrong| writeln!(f, "{}: not as asked for: {wrong}", who.name))
}
