//! The problems found so far, and what checks of other parts depend on.

use crate::oci::{LinuxNamespaceType, Spec};
use crate::path::JsonPath;
use crate::problem::{Flaw, Problem};

/// What is found, while it is looked for.
pub(super) struct Report {
    pub(super) problems: Vec<Problem>,
    namespaces: Vec<LinuxNamespaceType>,
}

impl Report {
    pub(super) fn new(spec: &Spec) -> Self {
        let linux = spec.linux().as_ref();
        let namespaces = linux.and_then(|linux| linux.namespaces().as_deref());
        let namespaces = namespaces.unwrap_or_default().iter().map(|namespace| namespace.typ());
        Self { problems: Vec::new(), namespaces: namespaces.collect() }
    }

    pub(super) fn add(&mut self, path: JsonPath, flaw: Flaw) {
        self.problems.push(Problem { path, flaw, position: None });
    }

    /// The setting at this place is for a namespace of its own, by the specification's name of it.
    pub(super) fn need(&mut self, path: JsonPath, namespace: &'static str) {
        let needed = LinuxNamespaceType::try_from(namespace);
        if !needed.is_ok_and(|needed| self.namespaces.contains(&needed)) {
            self.add(path, Flaw::NeedsNamespace(namespace));
        }
    }

    /// A number has to be within these.
    pub(super) fn within(
        &mut self,
        path: JsonPath,
        value: impl Into<i128>,
        (min, max): (i128, i128),
    ) {
        let value = value.into();
        if !(min..=max).contains(&value) {
            self.add(path, Flaw::OutOfRange { value, min, max });
        }
    }
}
