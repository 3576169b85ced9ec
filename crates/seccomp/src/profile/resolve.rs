//! From a profile to a filter for one machine, kernel and set of capabilities.
//!
//! Kernel objects: none. Invariant: an entry is left out only when its `includes` or `excludes` say so.

use std::borrow::Cow;

use super::document::{Argument, Document, Entry, When};
use super::name::{self, Known};
use super::{Ignored, Profile, Resolved, ignored_call, number};
use crate::action::Action;
use crate::arch::Arch;
use crate::condition::Condition;
use crate::error::{Error, Result};
use crate::filter::{Filter, Rule};
use crate::host::Host;
use crate::problem::Problem;

impl Profile {
    /// The filter for a machine, its kernel and the capabilities of the program. Calls through entries that the profile
    /// does not name kill the process.
    ///
    /// # Errors
    /// As [`Filter::validate`], such as conditions that nothing meets; entries without effect are told in
    /// [`Resolved::ignored`], as profiles in use have some.
    pub fn resolve(&self, host: &Host) -> Result<Resolved> {
        let document = &self.0;
        let mut ignored = Vec::new();
        let default = action(&document.default_action, document.default_errno_ret);
        let mut filter = Filter::new(default).archs(archs(document, host, &mut ignored));
        // The entry of each rule.
        let mut positions = Vec::new();
        for (flag, bits) in name::FLAGS {
            if document.flags.iter().any(|name| name == flag) {
                filter.flags |= bits;
            }
        }
        for (position, entry) in document.syscalls.iter().enumerate() {
            if applies(entry, host) {
                let rules = rules(position, entry, &mut ignored);
                positions.extend(rules.iter().map(|_| position));
                filter.rules.extend(rules);
            }
        }
        if let Err(error) = filter.validate() {
            drop_ineffective(&mut filter, &positions, error, &mut ignored)?;
        }
        ignored.sort_unstable();
        ignored.dedup();
        let (listener_path, listener_metadata) =
            (document.listener_path.clone(), document.listener_metadata.clone());
        Ok(Resolved { filter, ignored, listener_path, listener_metadata })
    }
}

/// Takes calls out of rules that never decide them; any other problem stays one.
fn drop_ineffective(
    filter: &mut Filter,
    positions: &[usize],
    error: Error,
    ignored: &mut Vec<Ignored>,
) -> Result<()> {
    let position = |rule: &usize| positions.get(*rule).copied().unwrap_or(*rule);
    for problem in error.problems() {
        let Problem::Conflict { name, rule, action, earlier, other } = problem else {
            return Err(error);
        };
        let (action, other, name) = (*action, *other, name.clone());
        let (entry, earlier) = (position(rule), position(earlier));
        ignored.push(Ignored::NoEffect { entry, name, action, earlier, other });
    }
    for problem in error.problems() {
        if let Problem::Conflict { name, rule, .. } = problem
            && let Some(rule) = filter.rules.get_mut(*rule)
        {
            rule.calls.retain(|call| call != name);
        }
    }
    filter.rules.retain(|rule| !rule.calls.is_empty());
    filter.validate()
}

fn action(name: &str, given: Option<u64>) -> Action {
    // Reading has checked both.
    number(given).and_then(|number| name::action(name, number)).unwrap_or(Action::KillProcess)
}

/// The machine's own entry, and those that the profile names beside it.
fn archs(document: &Document, host: &Host, ignored: &mut Vec<Ignored>) -> Vec<Arch> {
    let own = |entry: &&super::document::ArchEntry| {
        name::arch(&entry.architecture) == Known::Here(host.arch)
    };
    let mapped = document.arch_map.iter().find(own);
    let mapped = mapped.into_iter().flat_map(|entry| &entry.sub_architectures);
    let mut archs = vec![host.arch];
    for name in document.architectures.iter().chain(mapped) {
        match name::arch(name) {
            Known::Here(arch) if host.arch.family().contains(&arch) => archs.push(arch),
            _ => ignored.push(Ignored::ForeignArchitecture { name: name.clone() }),
        }
    }
    archs.sort_unstable();
    archs.dedup();
    archs
}

/// Whether an entry is meant for this machine, kernel and program.
fn applies(entry: &Entry, host: &Host) -> bool {
    let has = |name: &String| host.granted.has(name);
    let here = |name: &String| name::machine(name) == Known::Here(host.arch);
    let new_enough = |when: &When| when.min_kernel.parse().is_ok_and(|least| host.kernel >= least);
    let included = entry.includes.as_ref().is_none_or(|when| {
        when.caps.iter().all(has)
            && (when.arches.is_empty() || when.arches.iter().any(here))
            && (when.min_kernel.is_empty() || new_enough(when))
    });
    let excluded = entry.excludes.as_ref().is_some_and(|when| {
        when.caps.iter().any(has) || when.arches.iter().any(here) || new_enough(when)
    });
    included && !excluded
}

fn rules(position: usize, entry: &Entry, ignored: &mut Vec<Ignored>) -> Vec<Rule> {
    let single = Some(&entry.name).filter(|name| !name.is_empty());
    let mut calls = Vec::new();
    for name in entry.names.iter().chain(single) {
        match ignored_call(position, name) {
            Some(none) => ignored.push(none),
            None => calls.push(Cow::Owned(name.clone())),
        }
    }
    if calls.is_empty() {
        return Vec::new();
    }
    let rule = Rule::new(action(&entry.action, entry.errno_ret), calls);
    let conditions: Vec<_> = entry.args.iter().filter_map(condition).collect();
    let twice = |at: &Condition| conditions.iter().filter(|other| other.arg == at.arg).count() > 1;
    if conditions.iter().any(twice) {
        return conditions.iter().map(|condition| rule.clone().when(*condition)).collect();
    }
    vec![conditions.into_iter().fold(rule, Rule::when)]
}

fn condition(argument: &Argument) -> Option<Condition> {
    let (operator, value) = name::operator(&argument.op, argument.value, argument.value_two)?;
    Some(Condition { arg: u8::try_from(argument.index).ok()?, operator, value })
}
