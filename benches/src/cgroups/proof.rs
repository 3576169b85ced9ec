//! What a contender's group is in the kernel's eyes, before anything is measured.
//!
//! Touches the files of one group, reading. Invariant: what a contender does not do stands in its row.

use std::fs;

use serde::{Deserialize, Serialize};

use super::hierarchy::Hierarchies;
use super::limits::Write;
use crate::failure::Failure;

/// What a group is made of, and what its statistics are read from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// The hierarchies in which the group has a directory.
    pub directories: Vec<String>,
    /// The files that `stat` opens, as `hierarchy/file`, in their order.
    pub reads: Vec<String>,
}

/// What there is after `create`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// What the contender does.
    pub work: Work,
    /// Limits that are not as asked for, as sentences.
    pub not_in_force: Vec<String>,
}

impl Proof {
    /// Looks at a group.
    pub fn of(group: &str, hierarchies: &Hierarchies, writes: &[Write]) -> Self {
        let wrong = writes.iter().filter_map(|write| check(group, hierarchies, write).err());
        let not_in_force = wrong.map(|failure| failure.to_string()).collect();
        let work = Work { directories: hierarchies.holding(group), reads: Vec::new() };
        Self { work, not_in_force }
    }
}

/// Whether the kernel shows what was asked for.
///
/// # Errors
/// [`Failure::NotInForce`], or when the file cannot be read.
pub fn check(group: &str, hierarchies: &Hierarchies, write: &Write) -> Result<(), Failure> {
    let missing = || Failure::Unknown { what: "controller", name: write.controller.into() };
    let hierarchy = hierarchies.of(write.controller).ok_or_else(missing)?;
    let file = hierarchy.place.join(group).join(write.file);
    let shown = fs::read_to_string(&file).map_err(Failure::file("read", &file))?;
    let (shown, wanted) = (shown.trim_end().to_owned(), write.text.clone());
    if shown == wanted { Ok(()) } else { Err(Failure::NotInForce { file, shown, wanted }) }
}
