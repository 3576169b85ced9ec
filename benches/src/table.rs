//! The one table of a report, as text. Touches no kernel object.
//!
//! Invariant: a row without figures has a note that says why.

use std::fmt::{self, Display, Formatter};

use crate::report::{Line, Report};
use crate::throughput::THREADS;

/// Displays a report.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a>(pub &'a Report);

impl Display for Table<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        header(self.0, f)?;
        let mut notes = Vec::new();
        writeln!(
            f,
            "{:<13}{:<10} {:>8} {:>7} {:>5} {:>5} {:>9} {:>9} {:>9} {:>8}",
            "contender",
            "set up",
            "RSS MiB",
            "threads",
            "files",
            "n",
            "reaped",
            "cleaned",
            "p95",
            "x floor"
        )?;
        for line in &self.0.rows {
            row(line, &mut notes, f)?;
        }
        throughput(&self.0.rows, f)?;
        for (index, note) in notes.iter().enumerate() {
            writeln!(f, "[{}] {note}", index + 1)?;
        }
        Ok(())
    }
}

/// The machine.
fn header(report: &Report, f: &mut Formatter<'_>) -> fmt::Result {
    let m = &report.machine;
    writeln!(
        f,
        "kernel {} ({}), {} CPUs, {} MiB available",
        m.kernel, m.architecture, m.cpus, m.available_mib
    )?;
    writeln!(
        f,
        "rcu_expedited {}, transparent huge pages {}, load before {}, after {}",
        m.rcu_expedited, m.huge_pages, m.load, report.load_after
    )?;
    writeln!(f, "rootfs {} on {}", report.rootfs, report.file_system)?;
    writeln!(
        f,
        "/bin/true, start to reaped and to cleaned: p50 in ms; p95 and ratio are of cleaned\n"
    )
}

/// One row, and its notes.
fn row(line: &Line, notes: &mut Vec<String>, f: &mut Formatter<'_>) -> fmt::Result {
    let host = line.host.map_or([0, 0, 0], |h| [h.rss_mib, h.threads, h.files as u64]);
    let [rss, threads, files] =
        host.map(|n| if line.host.is_some() { n.to_string() } else { "-".into() });
    write!(
        f,
        "{:<13}{:<10} {rss:>8} {threads:>7} {files:>5} ",
        line.contender, line.configuration
    )?;
    write!(f, "{:>5} ", line.samples.len())?;
    write!(f, "{} ", milliseconds(line.reaped.map(|s| s.p50)))?;
    write!(f, "{} ", milliseconds(line.cleaned.map(|s| s.p50)))?;
    write!(f, "{} ", milliseconds(line.cleaned.map(|s| s.p95)))?;
    write!(f, "{:>8}", line.ratio.map_or("-".into(), |ratio| format!("{ratio:.2}")))?;
    let failure = line.failure.as_ref().map(|failure| {
        let size = line.size.to_string();
        let parts = [line.contender, line.configuration.name(), &size];
        format!("{}: {failure}", parts.join(" ").trim_end())
    });
    let remark = (!line.remark.is_empty()).then(|| format!("{}: {}", line.contender, line.remark));
    for note in failure.into_iter().chain(remark) {
        let known = notes.iter().position(|n| *n == note);
        let number = known.unwrap_or_else(|| {
            notes.push(note);
            notes.len() - 1
        });
        write!(f, " [{}]", number + 1)?;
    }
    writeln!(f)
}

/// Microseconds as milliseconds, nine wide.
fn milliseconds(micros: Option<f64>) -> String {
    micros.map_or_else(|| format!("{:>9}", "-"), |micros| format!("{:>9.3}", micros / 1e3))
}

/// Containers per second, for the rows that have them.
fn throughput(rows: &[Line], f: &mut Formatter<'_>) -> fmt::Result {
    let measured: Vec<&Line> = rows.iter().filter(|line| !line.throughput.is_empty()).collect();
    if measured.is_empty() {
        return writeln!(f);
    }
    write!(f, "\n{:<23}", "containers per second")?;
    for threads in THREADS {
        write!(f, " {:>11}", format!("{threads} threads"))?;
    }
    writeln!(f)?;
    for line in measured {
        write!(f, "{:<13}{:<10}", line.contender, line.configuration)?;
        for rate in &line.throughput {
            write!(f, " {rate:>11.0}")?;
        }
        writeln!(f)?;
    }
    writeln!(f)
}
