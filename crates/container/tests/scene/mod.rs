//! Containers to look at, and what a payload shows of itself: shared by the tests of all tiers.
//!
//! Kernel objects: those of the container. Invariant: what is asserted comes from the kernel's own files as the
//! payload reads them, never from what the test asked for.

#![allow(dead_code, unused_imports, reason = "each test file uses its part")]

#[cfg(feature = "image")]
pub(crate) mod added_archives;
pub(crate) mod attacks;
pub(crate) mod attributes;
#[cfg(feature = "image")]
pub(crate) mod builds;
pub(crate) mod container_events;
pub(crate) mod created;
pub(crate) mod defaults;
pub(crate) mod ends;
pub(crate) mod errors;
pub(crate) mod exec;
pub(crate) mod exec_attacks;
pub(crate) mod exec_limits;
pub(crate) mod exec_surface;
pub(crate) mod fault;
pub(crate) mod files;
pub(crate) mod group_files;
pub(crate) mod groups;
pub(crate) mod guest;
pub(crate) mod host;
pub(crate) mod idle;
#[cfg(feature = "image")]
pub(crate) mod image_attacks;
#[cfg(feature = "image")]
pub(crate) mod image_layers;
pub(crate) mod images;
pub(crate) mod inside;
pub(crate) mod kept;
pub(crate) mod kept_limits;
pub(crate) mod killed_host;
#[cfg(feature = "landlock")]
pub(crate) mod landlock;
#[cfg(feature = "landlock")]
pub(crate) mod landlock_exec;
pub(crate) mod layers;
pub(crate) mod look;
pub(crate) mod model;
pub(crate) mod network;
#[cfg(feature = "net")]
pub(crate) mod networks;
pub(crate) mod noise;
pub(crate) mod notify;
#[cfg(feature = "oci")]
pub(crate) mod oci;
pub(crate) mod out_of_memory;
pub(crate) mod outside;
pub(crate) mod own_group;
#[cfg(feature = "image")]
pub(crate) mod owned_builds;
#[cfg(feature = "image")]
pub(crate) mod owned_images;
#[cfg(feature = "systemd")]
pub(crate) mod placement;
#[cfg(feature = "net")]
pub(crate) mod pods;
pub(crate) mod pool;
#[cfg(feature = "image")]
pub(crate) mod run_mounts;
pub(crate) mod seccomp;
pub(crate) mod stdio;

pub(crate) use look::Look;

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use ampoule::{Builder, Command, Container, Error, ErrorKind, Output, Stage, Stdio};

use crate::oracle::fixture::Rootfs;

/// Tests that are the same in several tiers: `in_tier!(root, ends: wait kill);` runs `scene::ends::wait` and so on.
#[allow(unused_macros, reason = "most files have tests of their own")]
macro_rules! in_tier {
    ($tier:ident, $module:ident: $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                $crate::oracle::tier::$tier();
                $crate::oracle::unchanged(|| $crate::scene::$module::$name());
            }
        )*
    };
}
#[allow(unused_imports, reason = "most files have tests of their own")]
pub(crate) use in_tier;

/// As [`in_tier`], for tests that change their process: each runs in one of its own.
#[allow(unused_macros, reason = "most files have tests of their own")]
macro_rules! alone_in_tier {
    ($tier:ident, $module:ident: $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                $crate::oracle::tier::$tier();
                $crate::oracle::alone(|| $crate::scene::$module::$name());
            }
        )*
    };
}
#[allow(unused_imports, reason = "most files have tests of their own")]
pub(crate) use alone_in_tier;

/// Whether the long form of the tests was asked for.
pub(crate) fn is_long() -> bool {
    std::env::var_os("AMPOULE_LONG").is_some_and(|value| value == "1")
}

/// A number of repetitions for the short and for the long form.
pub(crate) fn times(short: usize, long: usize) -> usize {
    if is_long() { long } else { short }
}

/// A container on a fixture's root.
pub(crate) fn rooted(root: &Rootfs) -> Builder {
    Container::from_rootfs(root.path())
}

/// A shell script in a container.
pub(crate) fn shell(builder: Builder, script: &str) -> Command {
    builder.command("/bin/sh").args(["-c", script])
}

/// Runs a script and gives everything about its end.
#[track_caller]
pub(crate) fn run(builder: Builder, script: &str) -> Output {
    shell(builder, script).output().unwrap_or_else(|error| panic!("{script}: {error}"))
}

/// What a script prints; it must succeed.
#[track_caller]
pub(crate) fn print(builder: Builder, script: &str) -> String {
    printed(run(builder, script))
}

/// The standard output of a run that must have succeeded.
#[track_caller]
pub(crate) fn printed(output: Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {stderr}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

/// The error of a plan or launch that must fail.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> Error {
    result.expect_err("this must be refused")
}

/// Asserts kind, stage, and that the text names `words`.
#[track_caller]
pub(crate) fn is_error(error: &Error, kind: ErrorKind, stage: Stage, words: &[&str]) {
    let text = error.to_string();
    assert_eq!((error.kind(), error.stage()), (kind, stage), "{text}");
    let missing: Vec<_> = words.iter().filter(|word| !text.contains(**word)).collect();
    assert!(missing.is_empty(), "{text:?} does not say {missing:?}");
}

/// Waits until a condition holds; false after ten seconds.
pub(crate) fn soon(mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    false
}

/// Reads from a payload's stream until it has printed a line that ends with `mark`.
#[track_caller]
pub(crate) fn read_until(stream: &mut (impl std::io::Read + AsFd), mark: &str) -> String {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&seen).contains(mark) {
        assert!(readable(&*stream), "no {mark:?} in {:?}", String::from_utf8_lossy(&seen));
        let read = stream.read(&mut byte).expect("the payload's stream");
        assert_eq!(read, 1, "no {mark:?} in {:?}", String::from_utf8_lossy(&seen));
        seen.push(byte[0]);
    }
    String::from_utf8(seen).expect("text")
}

/// Whether a stream has something to read, or ends, within ten seconds.
pub(crate) fn readable(stream: impl AsFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
    poll(&mut [PollFd::new(&stream, PollFlags::IN)], Some(&limit)) == Ok(1)
}
