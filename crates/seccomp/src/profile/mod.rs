//! Profiles of OCI, Docker and Podman: reading and writing.
//!
//! Kernel objects: none. Invariant: every name is known after [`Profile::from_json`], or is told; what does not concern
//! this machine is told by [`Resolved::ignored`], not dropped.
//!
//! One format serves both: `linux.seccomp` of an OCI configuration, and the profile file with `archMap`, `includes` and
//! `excludes`, which is a superset of it. A profile is *resolved* for a machine, a kernel and capabilities.
//!
//! Two conditions on the same argument of one entry mean that either may hold, as in runc and crun. Where several
//! entries name one call, the first one that holds counts; libseccomp prefers an entry without conditions wherever it
//! stands.

mod document;
mod name;
mod resolve;
mod write;

use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::problem::Problem;
use crate::syscall;
use document::{Document, Entry, When};
use name::Known;

/// Longer files are refused.
const LENGTH_MAX: usize = 4 << 20;
/// Names of users are kept up to this many characters.
const NAME_MAX: usize = 80;

/// A profile as it is written, all names known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Document", into = "Document")]
pub struct Profile(Document);

impl From<Profile> for Document {
    fn from(profile: Profile) -> Self {
        profile.0
    }
}

impl TryFrom<Document> for Profile {
    type Error = Error;

    fn try_from(document: Document) -> Result<Self> {
        let mut problems = Vec::new();
        check_head(&document, &mut problems);
        for (entry, settings) in document.syscalls.iter().enumerate() {
            check_entry(entry, settings, &mut problems);
        }
        if problems.is_empty() { Ok(Self(document)) } else { Err(Error::problems_of(problems)) }
    }
}

/// A profile made a filter for one machine, kernel and set of capabilities.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resolved {
    /// The filter.
    pub filter: Filter,
    /// What it says about other machines, or about calls that are not known.
    pub ignored: Vec<Ignored>,
    /// Where notifications are to be sent (`listenerPath`).
    pub listener_path: Option<String>,
    /// What is sent with them (`listenerMetadata`).
    pub listener_metadata: Option<String>,
}

/// A part of a profile that has no effect here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Ignored {
    /// A call that no entry of any machine is known to have; it meets the default action.
    #[error("entry {entry}: no system call is called {name:?}")]
    UnknownCall {
        /// Its position in `syscalls`.
        entry: usize,
        /// The name, shortened to 80 characters.
        name: String,
    },
    /// A call of other machines only.
    #[error("entry {entry}: {name} is a system call of other machines")]
    ForeignCall {
        /// Its position in `syscalls`.
        entry: usize,
        /// The name.
        name: String,
    },
    /// A call that an earlier entry decides in every case, otherwise than this one; libseccomp drops it, too.
    #[error("entry {entry}: {action} for {name} has no effect: entry {earlier} says {other}")]
    NoEffect {
        /// Its position in `syscalls`.
        entry: usize,
        /// The name.
        name: String,
        /// What the entry says.
        action: Action,
        /// The position of the earlier entry.
        earlier: usize,
        /// What that one says.
        other: Action,
    },
    /// An entry into the kernel that this machine does not have.
    #[error("{name} is another machine")]
    ForeignArchitecture {
        /// The name.
        name: String,
    },
}

fn shortened(name: &str) -> String {
    name.chars().take(NAME_MAX).collect()
}

impl Profile {
    /// Reads a profile, and checks every name in it but those of calls, which may be newer than this crate.
    ///
    /// # Errors
    /// [`Malformed`](crate::ErrorKind::Malformed) when it is no such JSON, or longer than 4 MiB;
    /// [`InvalidFilter`](crate::ErrorKind::InvalidFilter) with every unknown action, architecture, operator, flag,
    /// capability and kernel version, and every number out of range.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > LENGTH_MAX {
            return Err(Error::too_long(bytes.len()));
        }
        serde_json::from_slice::<Document>(bytes).map_err(Error::json)?.try_into()
    }
}

/// The number of an action with its default, `EPERM`.
fn number(given: Option<u64>) -> Option<u16> {
    u16::try_from(given.unwrap_or(1)).ok()
}

fn check_action(place: Option<usize>, name: &str, given: Option<u64>, problems: &mut Vec<Problem>) {
    if name::action(name, 0).is_none() {
        problems.push(Problem::UnknownAction { place, name: shortened(name) });
    }
    if number(given).is_none() {
        problems.push(Problem::ErrnoOutOfRange { number: given.unwrap_or(0) });
    }
}

fn check_head(document: &Document, problems: &mut Vec<Problem>) {
    check_action(None, &document.default_action, document.default_errno_ret, problems);
    let mapped = document.arch_map.iter();
    let mapped =
        mapped.flat_map(|entry| entry.sub_architectures.iter().chain([&entry.architecture]));
    let unknown = document
        .architectures
        .iter()
        .chain(mapped)
        .filter(|name| name::arch(name) == Known::Nowhere);
    problems.extend(unknown.map(|name| Problem::UnknownArchitecture { name: shortened(name) }));
    let known = |flag: &&String| name::FLAGS.iter().any(|(known, _)| known == flag);
    let flags = document.flags.iter().filter(|flag| !known(flag));
    problems.extend(flags.map(|flag| Problem::UnknownFlag { name: shortened(flag) }));
}

fn check_entry(entry: usize, settings: &Entry, problems: &mut Vec<Problem>) {
    check_action(Some(entry), &settings.action, settings.errno_ret, problems);
    if settings.names.is_empty() && settings.name.is_empty() {
        problems.push(Problem::NoCall { rule: entry });
    }
    for argument in &settings.args {
        if argument.index >= u64::from(crate::Condition::ARGS) {
            problems.push(Problem::NoSuchArgument { rule: entry, arg: argument.index });
        }
        if name::operator(&argument.op, 0, 0).is_none() {
            problems.push(Problem::UnknownOperator { rule: entry, name: shortened(&argument.op) });
        }
    }
    for when in settings.includes.iter().chain(&settings.excludes) {
        check_when(entry, when, problems);
    }
}

fn check_when(rule: usize, when: &When, problems: &mut Vec<Problem>) {
    let caps = when.caps.iter().filter(|name| crate::host::capability(name).is_none());
    problems.extend(caps.map(|name| Problem::UnknownCapability { rule, name: shortened(name) }));
    let arches = when.arches.iter().filter(|name| name::machine(name) == Known::Nowhere);
    problems.extend(arches.map(|name| Problem::UnknownArchitecture { name: shortened(name) }));
    if !when.min_kernel.is_empty() && when.min_kernel.parse::<crate::Kernel>().is_err() {
        problems.push(Problem::UnknownKernel { rule, name: shortened(&when.min_kernel) });
    }
}

/// A call's name that has no effect here.
fn ignored_call(entry: usize, name: &str) -> Option<Ignored> {
    if syscall::is_known(name) {
        None
    } else if name::is_call_elsewhere(name) {
        Some(Ignored::ForeignCall { entry, name: name.to_owned() })
    } else {
        Some(Ignored::UnknownCall { entry, name: shortened(name) })
    }
}
