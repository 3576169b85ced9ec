//! A configuration: the typed one of `oci-spec`, and beside it what that does not know.
//!
//! Kernel objects: none. Invariant: what was read is written back, unknown fields included; nothing that was read is
//! dropped without being told.

use serde_json::Value;

use crate::dialect;
use crate::error::{Error, Result};
use crate::fields::FIELDS;
use crate::oci::Spec;
use crate::path::JsonPath;
use crate::problem::{Flaw, Problem};
use crate::read;
use crate::shape::{self, LeftOut, Typed};
use crate::supported;
use crate::unknown::{Beyond, Unknown};
use crate::validate;

/// A runtime configuration (`config.json`).
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    spec: Spec,
    beyond: Option<Beyond>,
}

impl Document {
    /// A configuration without unknown fields.
    #[must_use]
    pub fn new(spec: Spec) -> Self {
        Self { spec, beyond: None }
    }

    /// Reads a configuration whose every value is of its type; whether they make sense is for
    /// [`validate`](Self::validate).
    ///
    /// # Errors
    /// [`TooLarge`](crate::ErrorKind::TooLarge) over 4 MiB; [`Malformed`](crate::ErrorKind::Malformed) for what is no
    /// JSON, ends early, is nested more than 64 deep or says a thing twice, with line, column and place;
    /// [`Invalid`](crate::ErrorKind::Invalid) with everything that is wrong, also what [`validate`](Self::validate)
    /// would find.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let whole = read::read(bytes, FIELDS)?;
        let mut typed = typed(&whole);
        match typed.value.take() {
            Some(spec) if typed.problems.is_empty() => Self::beside(bytes, spec, &whole),
            spec => Err(Error::invalid(located(bytes, all(spec.as_ref(), typed)))),
        }
    }

    /// Reads a configuration, and checks it.
    ///
    /// # Errors
    /// As [`parse`](Self::parse); every problem is told with its line and column.
    pub fn check(bytes: &[u8]) -> Result<Self> {
        let document = Self::parse(bytes)?;
        match validate::problems(&document.spec) {
            problems if problems.is_empty() => Ok(document),
            problems => Err(Error::invalid(located(bytes, problems))),
        }
    }

    fn beside(bytes: &[u8], spec: Spec, whole: &Value) -> Result<Self> {
        let known = known(&spec)?;
        let mut others = Vec::new();
        shape::other_forms(whole, &known, &JsonPath::root(), &mut others);
        if others.is_empty() {
            return Ok(Self { spec, beyond: Beyond::of(whole, &known) });
        }
        Err(Error::invalid(located(bytes, others)))
    }

    /// The typed configuration.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The typed configuration, to be changed. Unknown fields of an element of a list stay with it: it is found again
    /// by its value, or by its position if that was changed.
    pub fn spec_mut(&mut self) -> &mut Spec {
        &mut self.spec
    }

    /// The typed configuration, without the unknown fields.
    #[must_use]
    pub fn into_spec(self) -> Spec {
        self.spec
    }

    /// The fields that are not of the specification, by their places in what was read.
    #[must_use]
    pub fn unknown(&self) -> Vec<Unknown> {
        let mut list = Vec::new();
        if let Some(beyond) = &self.beyond {
            beyond.list(&JsonPath::root(), &mut list);
        }
        list
    }

    /// What it says beyond the properties that a runtime honours, by place; for a runtime that refuses by name what it
    /// would else ignore.
    ///
    /// An entry of `supported` stands for everything below it: `process.user` or `linux.namespaces[].type`, `[]` being
    /// any element. What is told is named as far out as the list allows: `linux.seccomp`, not every field of it. Empty
    /// lists and objects say nothing. Fields that are not of the specification are told by [`unknown`](Self::unknown).
    ///
    /// # Errors
    /// As [`to_json`](Self::to_json).
    pub fn not_among(&self, supported: &[&str]) -> Result<Vec<JsonPath>> {
        Ok(supported::uncovered(&known(&self.spec)?, supported))
    }

    /// Finds everything that is wrong with it.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) with every problem.
    pub fn validate(&self) -> Result<()> {
        match validate::problems(&self.spec) {
            problems if problems.is_empty() => Ok(()),
            problems => Err(Error::invalid(problems)),
        }
    }

    /// It as JSON, unknown fields included, in an order that depends on nothing else.
    ///
    /// # Errors
    /// [`Malformed`](crate::ErrorKind::Malformed) for a path that is not UTF-8, which JSON cannot say.
    pub fn to_json(&self) -> Result<String> {
        let mut value = known(&self.spec)?;
        if let Some(beyond) = &self.beyond {
            beyond.restore(&mut value);
        }
        // `{:#}` of a value is indented JSON.
        Ok(format!("{value:#}\n"))
    }
}

impl From<Spec> for Document {
    fn from(spec: Spec) -> Self {
        Self::new(spec)
    }
}

/// The typed configuration as the specification writes it.
fn known(spec: &Spec) -> Result<Value> {
    let value = serde_json::to_value(spec);
    let mut value = value.map_err(|error| Error::json(JsonPath::root(), &error))?;
    dialect::from_types(&mut value);
    Ok(value)
}

fn typed(whole: &Value) -> Typed<Spec> {
    let mut theirs = whole.clone();
    dialect::to_types(&mut theirs);
    shape::typed(theirs)
}

/// What is of a wrong type, and what is wrong with the rest.
fn all(rest: Option<&Spec>, typed: Typed<Spec>) -> Vec<Problem> {
    let Typed { mut problems, left_out, .. } = typed;
    let further = rest.map(validate::problems).unwrap_or_default();
    let further = further.into_iter().filter_map(|problem| original(problem, &problems, &left_out));
    let further: Vec<_> = further.collect();
    problems.extend(further);
    problems
}

/// A problem of what is left at its place in the document; `None` if it is one only for want of what was left out.
fn original(problem: Problem, known: &[Problem], left_out: &LeftOut) -> Option<Problem> {
    let path = left_out.in_document(&problem.path);
    let follows = known.iter().any(|known| {
        let is_missed = matches!(problem.flaw, Flaw::Missing | Flaw::Empty);
        let is_namespace = known.path.is_within(&JsonPath::root().key("linux").key("namespaces"));
        path.is_within(&known.path)
            || (is_missed && known.path.is_within(&path))
            || (is_namespace && matches!(problem.flaw, Flaw::NeedsNamespace(_)))
    });
    let flaw = problem.flaw.relocated(|path| left_out.in_document(path));
    (!follows).then_some(Problem { path, flaw, position: None })
}

/// The problems with their lines and columns; what is missing is where its object ends.
fn located(bytes: &[u8], mut problems: Vec<Problem>) -> Vec<Problem> {
    for problem in &mut problems {
        problem.position = read::position(bytes, &problem.path);
    }
    problems
}
