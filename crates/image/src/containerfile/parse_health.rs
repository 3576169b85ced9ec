//! The times of a HEALTHCHECK.
//!
//! Kernel objects: none. Invariant: a time is not negative.

use std::time::Duration;

use super::instruction::HealthTimes;
use super::options::Options;
use super::parse::value;
use super::problem::ProblemKind;

/// Reads the options.
pub(super) fn times(options: &mut Options) -> Result<HealthTimes, ProblemKind> {
    let mut time = |name| match options.value(name)? {
        Some(text) => duration(&text).map(Some).ok_or_else(|| value("a time such as 1m30s", &text)),
        None => Ok(None),
    };
    let interval = time("--interval")?;
    let timeout = time("--timeout")?;
    let start_period = time("--start-period")?;
    let start_interval = time("--start-interval")?;
    let retries = match options.value("--retries")? {
        Some(text) => Some(text.parse().map_err(|_| value("a number of retries", &text))?),
        None => None,
    };
    Ok(HealthTimes { interval, timeout, start_period, start_interval, retries })
}

/// Numbers with units, the largest unit first by custom, such as `1h`, `1m30s`, `1.5s`, `500ms`.
fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        total = total.checked_add(part)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_units() {
        for (text, millis) in
            [("0", 0), ("30s", 30_000), ("1m30s", 90_000), ("1.5h", 5_400_000), ("500ms", 500)]
        {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "s", "-1s", "1x", "1..5s", "1e9h", "99999999999999999999h"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
