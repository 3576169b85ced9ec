//! Ampoule itself as a contender.
//!
//! Invariant: the plan is made once, before the first sample; a sample is launch, wait and drop.

use std::path::Path;

use crate::configuration::Configuration;
use crate::contender::Contender;
use crate::failure::Failure;

/// Makes the plan of a configuration for the root file system `rootfs`.
///
/// # Errors
/// Whatever the plan reports.
pub fn contender(
    configuration: Configuration,
    rootfs: &Path,
) -> Result<Box<dyn Contender>, Failure> {
    let where_to = format!("{configuration} in {}", rootfs.display());
    Err(Failure::Unknown { what: "the library's API for", name: where_to.into() })
}
