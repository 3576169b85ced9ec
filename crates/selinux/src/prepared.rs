//! Labels of a container's process as steps.
//!
//! Kernel objects: `attr/` of the process itself in a procfs that the caller opened (proc_pid_attr(5)). Invariant: a step
//! fails unless the kernel then has the very label; what is written is what [`SelinuxFs::validate`](crate::SelinuxFs::validate) gave, because the
//! kernel writes categories in its own way.

use std::ffi::CStr;

use ampoule_init::steps::file;
use ampoule_init::{Fd, Step};

use crate::attribute::Attribute;

/// Where a label stands among the parameters of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelParameter {
    /// Position of its text, without a NUL in it.
    pub text: u16,
    /// Position of its length in bytes, as a number.
    pub length: u16,
}

/// Sets a label of the process that does the step.
///
/// [`Attribute::Exec`] counts for the next program, so that its step belongs right before the exec, while the
/// descriptor of procfs is open, and before a filter that refuses what it does. The exec unsets all others:
/// [`Attribute::KeyCreate`] belongs before the session keyring is made, [`Attribute::SockCreate`] before a socket, and
/// [`Attribute::FsCreate`] before files.
///
/// [`Attribute::Current`] changes the running process, which policies seldom permit.
#[must_use]
pub fn label(attribute: Attribute, proc: Fd, label: LabelParameter) -> Step {
    let (path, name): (&CStr, _) = match attribute {
        Attribute::Current => (c"self/attr/current", "label"),
        Attribute::Exec => (c"self/attr/exec", "exec label"),
        Attribute::FsCreate => (c"self/attr/fscreate", "file label"),
        Attribute::KeyCreate => (c"self/attr/keycreate", "key label"),
        Attribute::SockCreate => (c"self/attr/sockcreate", "socket label"),
    };
    file::write_label(proc, path, (label.text, name), label.length)
}
