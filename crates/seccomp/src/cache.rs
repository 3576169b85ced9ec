//! Compiled filters by what they were compiled from.
//!
//! Kernel objects: none. Invariant: an entry is found by the whole filter, not by a digest of it; there are never more
//! entries than the capacity.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use crate::compiled::Compiled;
use crate::error::Result;
use crate::filter::Filter;

/// Compiled filters by what they were compiled from.
#[derive(Debug)]
pub struct Cache {
    capacity: usize,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    compiled: HashMap<Arc<Filter>, Compiled>,
    /// Oldest first.
    order: VecDeque<Arc<Filter>>,
}

/// Filters of one program are few.
const SHARED: usize = 64;

impl Cache {
    /// Keeps up to `capacity` filters; the oldest one makes room.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, entries: Mutex::default() }
    }

    /// The cache of this program, for 64 filters.
    #[must_use]
    pub fn shared() -> &'static Self {
        static CACHE: LazyLock<Cache> = LazyLock::new(|| Cache::new(SHARED));
        &CACHE
    }

    /// What [`Filter::compile`] gives, made once. No lock is held while a filter is compiled.
    ///
    /// # Errors
    /// As [`Filter::compile`]; errors are not kept.
    pub fn compile(&self, filter: &Filter) -> Result<Compiled> {
        if let Some(compiled) = self.lock().compiled.get(filter) {
            return Ok(compiled.clone());
        }
        let compiled = filter.compile()?;
        self.lock().insert(self.capacity, filter, &compiled);
        Ok(compiled)
    }

    /// How many filters are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().compiled.len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn insert(&mut self, capacity: usize, filter: &Filter, compiled: &Compiled) {
        if capacity == 0 || self.compiled.contains_key(filter) {
            return;
        }
        while self.order.len() >= capacity {
            if let Some(oldest) = self.order.pop_front() {
                self.compiled.remove(&oldest);
            }
        }
        let key = Arc::new(filter.clone());
        self.order.push_back(Arc::clone(&key));
        self.compiled.insert(key, compiled.clone());
    }
}
