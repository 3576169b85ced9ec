//! The lines between the harness and its workers: one JSON value per line, one answer per request.
//! Touches no kernel object.
//!
//! Invariant: a worker writes nothing else to its standard output.

use serde::{Deserialize, Serialize};

use crate::contender::Sample;
use crate::host_size::Measured;

/// What the harness asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Request {
    /// That many samples, one after the other.
    Run {
        /// Starts that are not reported.
        lead: usize,
        /// Starts that are.
        count: usize,
    },
    /// As many starts as `threads` threads manage in that time.
    Throughput {
        /// Threads that start containers at once.
        threads: usize,
        /// For how long.
        milliseconds: u64,
    },
}

/// What a worker answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Answer {
    /// Sent once, unasked, when the worker is ready.
    Ready {
        /// The size of the worker, ballast included.
        host: Measured,
    },
    /// To [`Request::Run`].
    Samples(Vec<Sample>),
    /// To [`Request::Throughput`].
    Throughput {
        /// Containers started and cleaned up.
        containers: u64,
        /// In how many seconds.
        seconds: f64,
    },
    /// To any request, or instead of [`Answer::Ready`].
    Failed(String),
}

#[cfg(test)]
mod tests {
    use super::{Answer, Request};

    #[test]
    fn lines() {
        let request = serde_json::to_string(&Request::Run { lead: 1, count: 10 }).unwrap();
        assert_eq!(request, r#"{"run":{"lead":1,"count":10}}"#);
        let answer = Answer::Failed("a\nb".into());
        let line = serde_json::to_string(&answer).unwrap();
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<Answer>(&line).unwrap(), answer);
    }
}
