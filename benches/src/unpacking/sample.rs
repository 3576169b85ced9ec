//! One sample: a command in a process that has no other child, so that its resources can be told.
//!
//! Touches that process. Invariant: the time runs from before the clone to after the wait.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// What one command took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Start to reaped, in microseconds.
    pub wall: f64,
    /// User and system time, in microseconds.
    pub user: i64,
    /// System time, in microseconds.
    pub system: i64,
    /// The largest resident set, in KiB; that of the process that waits is a lower bound.
    pub rss_kib: i64,
}

/// Runs `words` here, as the only child that this process has had.
///
/// # Errors
/// When it does not end with status 0.
pub fn measure(words: &[OsString]) -> Result<Sample, Failure> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(Failure::reported("no command"));
    };
    let begin = Instant::now();
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .map_err(Failure::call("execve"))?;
    let wall = begin.elapsed().as_secs_f64() * 1e6;
    if !output.status.success() {
        return Err(Failure::reported(String::from_utf8_lossy(&output.stderr).trim()));
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(Failure::call("getrusage"))?;
    Ok(Sample {
        wall,
        user: usage.user_time().num_microseconds(),
        system: usage.system_time().num_microseconds(),
        rss_kib: usage.max_rss(),
    })
}

/// Runs `words` in a new process of the bench, `own`.
///
/// # Errors
/// When that fails, with what it said.
pub fn elsewhere(own: &Path, words: &[OsString]) -> Result<Sample, Failure> {
    let output = Command::new(own).arg("sample").args(words).stdin(Stdio::null()).output();
    let output = output.map_err(Failure::call("execve"))?;
    if !output.status.success() {
        return Err(Failure::reported(String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
