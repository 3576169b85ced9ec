//! The vocabulary: every step that a plan can hold, by what it touches.
//!
//! Each function makes one [`crate::Step`]; none makes a system call.

pub mod file;
pub mod landlock;
pub mod launch;
pub mod mount;
pub mod process;
pub mod seccomp;
