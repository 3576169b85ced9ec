//! Where a launch waits for the host's part of it, such as a network that is made from outside.
//!
//! Kernel objects: none. Invariant: the payload's program does not run before the host has said that its part is done.

use std::os::fd::OwnedFd;

/// The host's part could not be done; the caller knows why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// The host's part; it takes what it needs of the descriptors that steps sent until then, with what they say.
pub type Gate<'g> = &'g mut dyn FnMut(&mut Vec<(u32, OwnedFd)>) -> Result<(), Refused>;
