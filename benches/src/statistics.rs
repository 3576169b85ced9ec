//! Percentiles of a list of samples. Touches no kernel object.
//!
//! Invariant: a percentile is one of the samples (nearest rank), never an interpolation.

use serde::{Deserialize, Serialize};

/// Summary of one list of durations, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How many samples there are.
    pub count: usize,
    /// The smallest one.
    pub min: f64,
    /// The median.
    pub p50: f64,
    /// 95 of 100 are at most this.
    pub p95: f64,
}

impl Summary {
    /// Summarizes `samples`; `None` when there are none.
    pub fn of(samples: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = samples.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            count: sorted.len(),
            min: *sorted.first()?,
            p50: percentile(&sorted, 50)?,
            p95: percentile(&sorted, 95)?,
        })
    }
}

/// The nearest-rank percentile of a sorted list.
fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::Summary;

    #[test]
    fn nearest_rank() {
        let summary = Summary::of((1..=100).rev().map(f64::from)).unwrap();
        assert_eq!((summary.min, summary.p50, summary.p95), (1.0, 50.0, 95.0));
        let one = Summary::of([7.0]).unwrap();
        assert_eq!((one.count, one.p50, one.p95), (1, 7.0, 7.0));
        assert_eq!(Summary::of([]), None);
    }
}
