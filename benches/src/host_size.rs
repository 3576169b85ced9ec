//! How big the host process is: resident memory, threads, open files; and making a process that big.
//!
//! Touches anonymous memory, threads and open file descriptions of the calling process.
//! Invariant: the ballast stays as long as its value lives.

use std::fmt;
use std::fs::{self, File};
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::thread;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// A page of the smallest size that Linux has.
const PAGE: usize = 4096;
/// Stack of a parked thread, in bytes.
const PARKED_STACK: usize = 64 * 1024;
/// Descriptors that the bench itself needs beside the ballast.
const SPARE_FILES: u64 = 256;

/// What a row's host process holds beside the contender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSize {
    /// MiB of touched anonymous memory.
    pub resident_mib: usize,
    /// Parked threads beside the main one.
    pub threads: usize,
    /// Open files, close-on-exec.
    pub files: usize,
}

impl fmt::Display for HostSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.resident_mib > 0 {
            parts.push(format!("{} MiB", self.resident_mib));
        }
        if self.threads > 0 {
            parts.push(format!("{} threads", self.threads));
        }
        if self.files > 0 {
            parts.push(format!("{} files", self.files));
        }
        f.pad(&parts.join(", "))
    }
}

/// Memory, threads and files that make the calling process big.
#[derive(Debug)]
pub struct Ballast {
    memory: Vec<u8>,
    files: Vec<File>,
}

impl Ballast {
    /// Makes the calling process as big as `size` says.
    ///
    /// # Errors
    /// When a thread or a file cannot be had, EMFILE above the hard limit included.
    pub fn take(size: HostSize) -> Result<Self, Failure> {
        let mut memory = vec![0_u8; size.resident_mib << 20];
        memory.iter_mut().step_by(PAGE).for_each(|page| *page = 1);
        park_threads(size.threads)?;
        Ok(Self { memory, files: open_files(size.files)? })
    }

    /// Bytes and files held.
    pub fn held(&self) -> (usize, usize) {
        (self.memory.len(), self.files.len())
    }
}

/// Starts `count` threads that sleep until the process ends.
fn park_threads(count: usize) -> Result<(), Failure> {
    let started = Arc::new(Barrier::new(count + 1));
    for _ in 0..count {
        let started = Arc::clone(&started);
        let body = move || {
            started.wait();
            loop {
                thread::park();
            }
        };
        let builder = thread::Builder::new().stack_size(PARKED_STACK);
        builder.spawn(body).map_err(Failure::call("clone (parked thread)"))?;
    }
    started.wait();
    Ok(())
}

/// Opens /dev/null `count` times, raising the soft limit of this process where necessary.
fn open_files(count: usize) -> Result<Vec<File>, Failure> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = u64::try_from(count).unwrap_or(u64::MAX).saturating_add(SPARE_FILES);
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        setrlimit(Resource::Nofile, raised).map_err(Failure::call("setrlimit(RLIMIT_NOFILE)"))?;
    }
    let null = Path::new("/dev/null");
    (0..count).map(|_| File::open(null).map_err(Failure::file("open", null))).collect()
}

/// What the kernel says about the size of the calling process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// VmRSS in MiB, rounded up.
    pub rss_mib: u64,
    /// Threads.
    pub threads: u64,
    /// Open descriptors.
    pub files: usize,
}

impl Measured {
    /// Reads /proc/self (see proc(5)).
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn here() -> Result<Self, Failure> {
        let path = Path::new("/proc/self/status");
        let status = fs::read_to_string(path).map_err(Failure::file("read", path))?;
        let fds = Path::new("/proc/self/fd");
        let files = fs::read_dir(fds).map_err(Failure::file("read", fds))?.count() - 1;
        Ok(Self {
            rss_mib: status_field(&status, "VmRSS:").unwrap_or(0).div_ceil(1024),
            threads: status_field(&status, "Threads:").unwrap_or(0),
            files,
        })
    }
}

/// The first number after `name` in a file of "name value" lines.
pub(crate) fn status_field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Ballast, HostSize, Measured, status_field};

    #[test]
    fn ballast_is_measurable() {
        let size = HostSize { resident_mib: 64, threads: 3, files: 100 };
        let ballast = Ballast::take(size).unwrap();
        let measured = Measured::here().unwrap();
        assert_eq!(ballast.held(), (64 << 20, 100));
        assert!(measured.rss_mib >= 64 && measured.threads >= 4 && measured.files >= 100);
        assert_eq!(size.to_string(), "64 MiB, 3 threads, 100 files");
    }

    #[test]
    fn fields() {
        assert_eq!(status_field("VmRSS:\t  2048 kB\nThreads:\t5\n", "Threads:"), Some(5));
        assert_eq!(status_field("VmRSS:\tx\n", "VmRSS:"), None);
    }
}
