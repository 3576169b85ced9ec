//! Every check of a configuration: one file for each part of it.
//!
//! Kernel objects: none. Invariant: no check stops at a problem, and none depends on the machine.
//!
//! What the specification says a runtime must refuse is refused, and what every kernel refuses. What only some runtime
//! cannot do is not looked at here.

mod cpus;
mod devices;
mod hooks;
mod id_maps;
mod linux;
mod mounts;
mod namespaces;
mod network;
mod process;
mod report;
mod resources;
mod scheduling;
mod seccomp;
mod text;

use serde_json::Value;

use crate::oci::Spec;
use crate::path::JsonPath;
use crate::problem::{Excerpt, Flaw, Problem};
use crate::version::Version;
use report::Report;

/// Everything that is wrong, in the order of the specification.
pub(crate) fn problems(spec: &Spec) -> Vec<Problem> {
    let mut report = Report::new(spec);
    let at = JsonPath::root();
    match spec.version().parse::<Version>() {
        Ok(version) if version.is_known() => {}
        _ => report.add(at.key("ociVersion"), Flaw::Version(Excerpt::of(spec.version()))),
    }
    match spec.root() {
        Some(root) => text::path(&mut report, at.key("root").key("path"), root.path()),
        None => report.add(at.key("root"), Flaw::Missing),
    }
    if let Some(process) = spec.process() {
        process::check(&mut report, &at.key("process"), process);
    }
    names(&mut report, spec);
    mounts::check(&mut report, &at.key("mounts"), spec.mounts().as_deref().unwrap_or_default());
    if let Some(hooks) = spec.hooks() {
        hooks::check(&mut report, &at.key("hooks"), hooks);
    }
    annotations(&mut report, spec);
    match spec.linux() {
        Some(linux) => linux::check(&mut report, &at.key("linux"), linux),
        None => report.add(at.key("linux"), Flaw::Missing),
    }
    if let Ok(value) = serde_json::to_value(spec) {
        no_nul(&mut report, &at, &value);
    }
    report.problems
}

/// The host name and the NIS domain name: 64 bytes in a namespace that is not the host's.
fn names(report: &mut Report, spec: &Spec) {
    for (key, name) in [("hostname", spec.hostname()), ("domainname", spec.domainname())] {
        let Some(name) = name.as_deref().filter(|name| !name.is_empty()) else { continue };
        let at = JsonPath::root().key(key);
        text::at_most(report, &at, name, 64);
        report.need(at, "uts");
    }
}

fn annotations(report: &mut Report, spec: &Spec) {
    let is_empty = |annotations: &std::collections::HashMap<_, _>| annotations.contains_key("");
    if spec.annotations().as_ref().is_some_and(is_empty) {
        report.add(JsonPath::root().key("annotations").key(""), Flaw::Empty);
    }
}

/// No text of a configuration can hold a NUL byte: the kernel would see what stands before it.
fn no_nul(report: &mut Report, at: &JsonPath, value: &Value) {
    match value {
        Value::String(text) if text.contains('\0') => report.add(at.clone(), Flaw::Nul),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                no_nul(report, &at.index(index), item);
            }
        }
        Value::Object(fields) => {
            for (key, value) in fields {
                if key.contains('\0') {
                    report.add(at.key(key), Flaw::Nul);
                }
                no_nul(report, &at.key(key), value);
            }
        }
        _ => {}
    }
}
