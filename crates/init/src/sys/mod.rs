//! The crate's unsafe code: the clone that shares memory, and kernel calls that no safe crate wraps.
//!
//! Invariant: every function here is safe to call with any arguments that its types allow.

pub mod bpf;
pub mod landlock;
pub mod ns_ioctl;
pub(crate) mod pidfd_info;
pub mod process_state;
pub mod seccomp;
pub mod seccomp_notify;
pub mod signal_mask;
pub(crate) mod vfork;
