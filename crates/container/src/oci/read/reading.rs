//! What is found out while a document is read.
//!
//! Kernel objects: none. Invariant: nothing stops at the first problem, and each is told by its place.

use std::fmt::Display;

use ampoule_spec::JsonPath;
use serde::de::DeserializeOwned;

use crate::error::{Error, Problem};

/// Problems so far.
#[derive(Debug, Default)]
pub(super) struct Reading(Vec<Problem>);

/// A problem of the document as one of settings.
pub(in crate::oci) fn problem(found: &ampoule_spec::Problem) -> Problem {
    Problem::new(found.path.to_string(), found.flaw.to_string())
}

impl Reading {
    pub(super) fn extend(&mut self, found: &[ampoule_spec::Problem]) {
        self.0.extend(found.iter().map(problem));
    }

    /// Notes what cannot be, once.
    pub(super) fn refuse(&mut self, at: &JsonPath, reason: impl Into<String>) {
        let problem = Problem::new(at.to_string(), reason);
        if !self.0.iter().any(|known| known.setting() == problem.setting()) {
            self.0.push(problem);
        }
    }

    /// Keeps a value, or notes why there is none.
    pub(super) fn keep<T>(&mut self, at: &JsonPath, result: Result<T, impl Display>) -> Option<T> {
        result.map_err(|error| self.refuse(at, error.to_string())).ok()
    }

    /// A number of the document where the kernel has a smaller one.
    pub(super) fn number<T, N>(&mut self, at: &JsonPath, number: N) -> Option<T>
    where
        N: Copy + Display,
        T: TryFrom<N>,
    {
        let fits = T::try_from(number).map_err(|_| format!("{number} is out of range"));
        self.keep(at, fits)
    }

    /// What the document and this crate call by the same name.
    pub(super) fn named<T: DeserializeOwned>(
        &mut self,
        at: &JsonPath,
        name: impl serde::Serialize,
    ) -> Option<T> {
        let value = serde_json::to_value(name).and_then(serde_json::from_value);
        self.keep(at, value)
    }

    /// The value, unless something is wrong.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, Error> {
        match value.filter(|_| self.0.is_empty()) {
            Some(value) => Ok(value),
            None => Err(Error::invalid(self.0)),
        }
    }
}
