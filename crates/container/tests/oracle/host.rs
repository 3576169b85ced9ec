//! The state of the host at one moment, and the wait until it is as before.
//!
//! Reads what [`Field`] names. Invariant: taking a snapshot changes nothing that a snapshot shows.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::difference::{self, Difference};
use super::field::{Facts, Field, Watch};
use super::lock;

/// How long the kernel may take to remove namespaces, devices and the like.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// The process that runs the tests and the machine it runs on.
#[derive(Debug)]
pub(crate) struct Host;

impl Host {
    /// The state of the host, as the calling thread sees it, once it holds still: something that
    /// the test harness has open for a moment is not part of it.
    pub(crate) fn snapshot() -> HostState {
        let _held = lock::hold();
        let deadline = Instant::now() + PATIENCE;
        let mut state = HostState::now();
        loop {
            let next = HostState::now();
            if next.is_steady_since(&state) || Instant::now() > deadline {
                return next;
            }
            state = next;
        }
    }
}

/// All facts about the host at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HostState {
    fields: BTreeMap<Field, Facts>,
}

impl HostState {
    /// What every field shows at this moment.
    fn now() -> Self {
        Self { fields: Field::ALL.iter().map(|field| (*field, field.read())).collect() }
    }

    /// Whether nothing of the process itself moved; neighbours may.
    fn is_steady_since(&self, earlier: &Self) -> bool {
        let own = Field::ALL.iter().filter(|field| field.watch() == Watch::Everything);
        own.copied().all(|field| self.facts(field) == earlier.facts(field))
    }

    /// The facts of one field.
    pub(crate) fn facts(&self, field: Field) -> &Facts {
        &self.fields[&field]
    }

    /// What is different in `after`.
    pub(crate) fn compare(&self, after: &Self) -> Vec<Difference> {
        let differ =
            |field: &Field| difference::of_field(*field, self.facts(*field), after.facts(*field));
        Field::ALL.iter().flat_map(differ).collect()
    }

    /// What is different now and stays so for `patience`.
    ///
    /// Something that was gone at any moment in between is no leak: it was being taken down,
    /// or it belongs to another process that happens to use our name.
    pub(crate) fn differences(&self, patience: Duration) -> Vec<Difference> {
        let _held = lock::hold();
        let deadline = Instant::now() + patience;
        let mut now = self.compare(&Self::now());
        while !now.is_empty() && Instant::now() < deadline {
            sleep(Duration::from_millis(10));
            let known: BTreeSet<_> = now.into_iter().map(|one| (one.field, one.key)).collect();
            now = self.compare(&Self::now());
            now.retain(|one| known.contains(&(one.field, one.key.clone())));
        }
        now
    }

    /// Panics with a readable list unless the host is, within [`PATIENCE`], as it was.
    pub(crate) fn assert_same(&self) {
        let differences = self.differences(PATIENCE);
        assert!(differences.is_empty(), "{}", difference::report(&differences));
    }
}
