//! From a filter to `linux.seccomp`.
//!
//! Kernel objects: none. Invariant: what is written reads back as the same filter; what the format cannot say is an
//! error.

use super::document::{Argument, Document, Entry};
use super::name;
use crate::action::Action;
use crate::condition::Condition;
use crate::error::{Error, Result};
use crate::filter::{Filter, Rule};
use crate::problem::{Inexpressible, Problem};

impl Filter {
    /// `linux.seccomp` of an OCI configuration, as JSON; Docker and Podman read it, too.
    ///
    /// # Errors
    /// [`InvalidFilter`](crate::ErrorKind::InvalidFilter) with everything that the format cannot say: rules for some
    /// entries only, two conditions on one argument, answers for entries that are not covered other than killing the
    /// process, and for newer calls other than [`newer_action`](Filter::newer_action) when it is not set.
    pub fn to_oci_json(&self) -> Result<String> {
        let problems = self.inexpressible();
        if !problems.is_empty() {
            return Err(Error::problems_of(problems));
        }
        let (default_action, default_errno_ret) = name::action_name(self.default);
        let flags = name::FLAGS.iter().filter(|(_, flag)| self.flags.contains(*flag));
        let document = Document {
            default_action: default_action.to_owned(),
            default_errno_ret,
            architectures: self
                .archs
                .iter()
                .map(|arch| name::arch_name(*arch).to_owned())
                .collect(),
            flags: flags.map(|(name, _)| (*name).to_owned()).collect(),
            syscalls: self.rules.iter().map(entry).collect(),
            ..Document::default()
        };
        serde_json::to_string_pretty(&document).map_err(Error::json)
    }

    fn inexpressible(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.foreign != Action::KillProcess {
            problems.push(Problem::Inexpressible { rule: None, what: Inexpressible::Foreign });
        }
        if self.newer.is_some() {
            problems.push(Problem::Inexpressible { rule: None, what: Inexpressible::Newer });
        }
        for (rule, settings) in self.rules.iter().enumerate() {
            if !self.archs.iter().all(|arch| settings.covers(*arch)) {
                let what = Inexpressible::SomeArchitectures;
                problems.push(Problem::Inexpressible { rule: Some(rule), what });
            }
            let args = || settings.conditions.iter().map(|condition| condition.arg);
            if args().any(|arg| args().filter(|other| *other == arg).count() > 1) {
                let what = Inexpressible::SameArgument;
                problems.push(Problem::Inexpressible { rule: Some(rule), what });
            }
        }
        problems
    }
}

fn entry(rule: &Rule) -> Entry {
    let (action, errno_ret) = name::action_name(rule.action);
    Entry {
        names: rule.calls.iter().map(|call| call.clone().into_owned()).collect(),
        action: action.to_owned(),
        errno_ret,
        args: rule.conditions.iter().map(argument).collect(),
        ..Entry::default()
    }
}

fn argument(condition: &Condition) -> Argument {
    let (op, value, value_two) = name::operator_name(condition.operator, condition.value);
    Argument { index: u64::from(condition.arg), value, value_two, op: op.to_owned() }
}
