//! Groups that are there while others are measured.
//!
//! Touches directories of cgroupfs. Invariant: they are gone when the value is dropped.

use super::contender::Contender;
use super::hierarchy::Hierarchies;
use super::proof::Work;
use super::raw::Raw;
use super::sweep::Sweeper;
use crate::failure::Failure;

/// How their names begin.
const PREFIX: &str = "crowd-";

/// Many groups, each with all directories and limits.
#[derive(Debug)]
pub struct Crowd<'a> {
    _sweeper: Sweeper<'a>,
}

impl<'a> Crowd<'a> {
    /// Makes `count` groups.
    ///
    /// # Errors
    /// When the kernel refuses one.
    pub fn gather(
        hierarchies: &'a Hierarchies,
        work: &Work,
        count: usize,
    ) -> Result<Self, Failure> {
        let raw = Raw::new(hierarchies, work)?;
        let crowd = Self { _sweeper: Sweeper { hierarchies, prefix: PREFIX.into() } };
        for number in 0..count {
            drop(raw.create(&format!("{PREFIX}{number}"))?);
        }
        Ok(crowd)
    }
}
