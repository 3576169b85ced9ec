//! What changed between two states of the host, and how that reads.
//!
//! Touches no kernel object. Invariant: a key that is equal in both states is never reported.

use std::fmt;

use super::field::{Facts, Field, Watch};

/// One fact that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// What kind of fact it is.
    pub(crate) field: Field,
    /// Which one: a descriptor number, a process, a name.
    pub(crate) key: String,
    /// Its value before, if it was there.
    pub(crate) before: Option<String>,
    /// Its value after, if it is there.
    pub(crate) after: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = self.before.as_deref().unwrap_or("(none)");
        let after = self.after.as_deref().unwrap_or("(none)");
        write!(f, "{} {}: {before} → {after}", self.field, self.key)
    }
}

/// The differences of one field.
pub(crate) fn of_field(field: Field, before: &Facts, after: &Facts) -> Vec<Difference> {
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    let keys = after.keys().chain(gone);
    keys.filter_map(|key| {
        let (before, after) = (before.get(key), after.get(key));
        let relevant = match field.watch() {
            Watch::Everything => before != after,
            Watch::Additions => before.is_none(),
        };
        relevant.then(|| Difference {
            field,
            key: key.clone(),
            before: before.cloned(),
            after: after.cloned(),
        })
    })
    .collect()
}

/// All differences, one per line, under a heading.
pub(crate) fn report(differences: &[Difference]) -> String {
    let lines: Vec<String> = differences.iter().map(|one| format!("  {one}")).collect();
    format!("the host changed in {} places:\n{}", lines.len(), lines.join("\n"))
}
