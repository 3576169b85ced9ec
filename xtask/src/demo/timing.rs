//! What a runner costs each test process: the same program with `--list`, plain and through the
//! runner, one after the other, so that both see the same machine.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::workspace::Artifact;

/// The median and the 95th percentile of what the runner adds to one process.
pub(super) fn cost(
    dir: &Path,
    programs: &[Artifact],
    runner: &Path,
    rounds: usize,
) -> Result<[Duration; 2], Error> {
    let mut plain = Vec::new();
    let mut boxed = Vec::new();
    for _ in 0..rounds {
        for program in programs {
            plain.push(time(Command::new(&program.executable).arg("--list"), dir)?);
            let mut command = Command::new(runner);
            boxed.push(time(command.arg(&program.executable).arg("--list"), dir)?);
        }
    }
    plain.sort_unstable();
    boxed.sort_unstable();
    Ok([50, 95].map(|p| percentile(&boxed, p).saturating_sub(percentile(&plain, p))))
}

fn time(command: &mut Command, dir: &Path) -> Result<Duration, Error> {
    command.current_dir(dir).env("CARGO_MANIFEST_DIR", dir);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let begin = Instant::now();
    let status = command.status().map_err(|source| Error::start(command, source))?;
    let took = begin.elapsed();
    if status.success() { Ok(took) } else { Err(Error::exit(command, status)) }
}

/// The value below which `percent` of the sorted values are.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_few_and_many() {
        let values: Vec<Duration> = (0..100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&values, 50), Duration::from_millis(50));
        assert_eq!(percentile(&values, 95), Duration::from_millis(95));
        assert_eq!(percentile(&values[..1], 95), Duration::ZERO);
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }
}
