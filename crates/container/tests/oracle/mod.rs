//! The leak oracle and the fixtures of all integration tests: `mod oracle;` in each test file.
//!
//! Kernel objects: everything of the calling process that `/proc/self` and `/proc/thread-self`
//! show, its children, and the mounts, network devices, groups, files, sockets and processes
//! that carry the name `ampoule`. Invariant: whatever a test body does, returning, failing or
//! panicking, the host is the same before and after it.
//!
//! How to use it:
//!
//! - [`unchanged`] goes around every test body that touches the system; fixtures are best made
//!   inside it, so that their removal is checked too.
//! - Bodies run one at a time: [`unchanged`], [`alone()`], snapshots and the fixture constructors
//!   take the process-wide lock. It is re-entrant on one thread, but never use them on a *second*
//!   thread inside a body.
//! - A test without [`unchanged`] must not start threads or children, nor keep files open: it runs
//!   beside the bodies that are being checked.
//! - What must change the process itself (umask, limits, closed descriptors) runs in [`alone()`].
//! - `tier::root()`, `tier::user()` or `tier::vm()` is the first line of a `root_*`, `user_*` or `vm_*` test.
//!
//! What it cannot see: the address of a signal handler (only which signals have one), keyrings,
//! locks, and what carries neither our name nor a tie to this process.

#![allow(dead_code, unused_imports, reason = "each test file uses its part of the oracle")]

pub(crate) mod alone;
pub(crate) mod difference;
pub(crate) mod field;
pub(crate) mod fixture;
pub(crate) mod host;
mod lock;
pub(crate) mod payload;
pub(crate) mod process;
pub(crate) mod processes;
mod procfs;
pub(crate) mod system;
pub(crate) mod tier;

pub(crate) use alone::{alone, alone_with};
pub(crate) use difference::Difference;
pub(crate) use field::Field;
pub(crate) use host::{Host, HostState};
pub(crate) use lock::hold;

use std::any::Any;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Runs `body` and panics unless the host is the same before and after it.
///
/// A body that panics, or returns an `Err`, is checked as well: the report then names both.
/// Waits up to [`host::PATIENCE`] for what the kernel takes down asynchronously.
pub(crate) fn unchanged<T: Debug>(body: impl FnOnce() -> T) -> T {
    let _held = lock::hold();
    let before = Host::snapshot();
    let outcome = catch_unwind(AssertUnwindSafe(body));
    let leaks = before.differences(host::PATIENCE);
    if leaks.is_empty() {
        return outcome.unwrap_or_else(|panic| resume_unwind(panic));
    }
    panic!("{}\n{}", describe(&outcome), difference::report(&leaks));
}

/// Says in one line how the body ended.
fn describe<T: Debug>(outcome: &Result<T, Box<dyn Any + Send>>) -> String {
    match outcome {
        Ok(value) => format!("the test body returned {value:?}"),
        Err(panic) => format!("the test body panicked: {}", panic_text(panic.as_ref())),
    }
}

/// The message of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("(no message)")
}
