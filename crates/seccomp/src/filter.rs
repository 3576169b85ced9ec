//! A filter: which system calls are made, and what happens to the others.
//!
//! Kernel objects: none; it becomes a program for seccomp(2). Invariant: plain data. What it means for one call is
//! [`Filter::decide`] and nothing else: the compiler and its tests are held against that.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::arch::Arch;
use crate::bpf::Data;
use crate::condition::Condition;
use crate::syscall;

bitflags::bitflags! {
    /// Flags of the load (seccomp(2), `SECCOMP_FILTER_FLAG_…`).
    ///
    /// Whether a listener is made is not said here: it is when an action is [`Action::Notify`].
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(transparent)]
    pub struct Flags: u32 {
        /// All threads of the process get the filter.
        const TSYNC = 1;
        /// Every action but «allow» is logged, where `actions_logged` has it (Linux 4.14).
        const LOG = 1 << 1;
        /// No protection against speculative store bypass comes with the filter (Linux 4.17).
        const SPEC_ALLOW = 1 << 2;
        /// A notified call is interrupted by fatal signals only (Linux 5.19).
        const WAIT_KILLABLE_RECV = 1 << 5;
    }
}

/// System calls, the conditions on their arguments, and what happens to them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Rule {
    /// The calls by name; on an entry that does not have one it says nothing.
    pub calls: Vec<Cow<'static, str>>,
    /// All of them have to hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// What happens.
    pub action: Action,
    /// Only on these entries; everywhere when it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub archs: Vec<Arch>,
}

impl Rule {
    /// `action` for these calls.
    #[must_use]
    pub fn new<N: Into<Cow<'static, str>>>(
        action: Action,
        calls: impl IntoIterator<Item = N>,
    ) -> Self {
        let calls = calls.into_iter().map(Into::into).collect();
        Self { calls, conditions: Vec::new(), action, archs: Vec::new() }
    }

    /// Only when this holds, too.
    #[must_use]
    pub fn when(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    /// Only on this entry (and those named before).
    #[must_use]
    pub fn on(mut self, arch: Arch) -> Self {
        self.archs.push(arch);
        self
    }

    /// Whether it says something about this entry.
    #[must_use]
    pub fn covers(&self, arch: Arch) -> bool {
        self.archs.is_empty() || self.archs.contains(&arch)
    }

    /// Whether it decides this call.
    fn matches(&self, arch: Arch, number: u32, args: &[u64; 6]) -> bool {
        self.covers(arch)
            && self.calls.iter().any(|call| syscall::number(arch, call) == Some(number))
            && self.conditions.iter().all(|condition| condition.holds(args))
    }
}

/// Which system calls are made, and what happens to the others.
///
/// The first rule that names the call and whose conditions hold decides; if none does, [`default`](Self::default).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Filter {
    /// What happens to a call that no rule decides.
    pub default: Action,
    /// What happens to a call that is newer than this crate's tables. `None` is `ENOSYS`, so that programs fall back to
    /// calls that they know, and [`default`](Self::default) where that permits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newer: Option<Action>,
    /// The entries to which the rules apply.
    pub archs: Vec<Arch>,
    /// What happens to every call through another entry.
    pub foreign: Action,
    /// How it is loaded.
    #[serde(default, skip_serializing_if = "Flags::is_empty")]
    pub flags: Flags,
    /// The rules, in order.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

impl Filter {
    /// A filter without rules for this machine's own entry; calls through another one kill the process.
    #[must_use]
    pub fn new(default: Action) -> Self {
        Self {
            default,
            newer: None,
            archs: vec![Arch::native()],
            foreign: Action::KillProcess,
            flags: Flags::empty(),
            rules: Vec::new(),
        }
    }

    /// Adds a rule, behind those that are there.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Permits these calls.
    #[must_use]
    pub fn allow<N: Into<Cow<'static, str>>>(self, calls: impl IntoIterator<Item = N>) -> Self {
        self.rule(Rule::new(Action::Allow, calls))
    }

    /// Refuses these calls with `EPERM`.
    #[must_use]
    pub fn deny<N: Into<Cow<'static, str>>>(self, calls: impl IntoIterator<Item = N>) -> Self {
        self.rule(Rule::new(Action::NOT_PERMITTED, calls))
    }

    /// Lets these calls wait for an answer, whatever the rules that are there say about them.
    #[must_use]
    pub fn notify<N: Into<Cow<'static, str>>>(
        mut self,
        calls: impl IntoIterator<Item = N>,
    ) -> Self {
        let asks = Rule::new(Action::Notify, calls);
        for rule in &mut self.rules {
            rule.calls.retain(|call| !asks.calls.contains(call));
        }
        self.rules.retain(|rule| !rule.calls.is_empty());
        self.rule(asks)
    }

    /// The entries to which the rules apply, in place of this machine's own.
    #[must_use]
    pub fn archs(mut self, archs: impl IntoIterator<Item = Arch>) -> Self {
        self.archs = archs.into_iter().collect();
        self
    }

    /// What happens to every call through another entry.
    #[must_use]
    pub fn foreign(mut self, action: Action) -> Self {
        self.foreign = action;
        self
    }

    /// What happens to calls that are newer than this crate's tables.
    #[must_use]
    pub fn newer(mut self, action: Action) -> Self {
        self.newer = Some(action);
        self
    }

    /// Adds flags.
    #[must_use]
    pub fn flags(mut self, flags: Flags) -> Self {
        self.flags |= flags;
        self
    }

    /// What happens to calls that are newer than this crate's tables, when it is not said.
    #[must_use]
    pub fn newer_action(&self) -> Action {
        match self.newer {
            Some(action) => action,
            None if self.default.permits() => self.default,
            None => Action::NOT_IMPLEMENTED,
        }
    }

    /// Every action that a call can meet.
    pub fn actions(&self) -> impl Iterator<Item = Action> {
        let others = [self.default, self.foreign, self.newer_action()];
        self.rules.iter().map(|rule| rule.action).chain(others)
    }

    /// The rules of each number that an entry's rules name, in order.
    pub(crate) fn by_number(&self, arch: Arch) -> BTreeMap<u32, Vec<&Rule>> {
        let mut rules: BTreeMap<u32, Vec<&Rule>> = BTreeMap::new();
        for rule in self.rules.iter().filter(|rule| rule.covers(arch)) {
            for number in rule.calls.iter().filter_map(|call| syscall::number(arch, call)) {
                let of_number = rules.entry(number).or_default();
                // A rule may name a call twice.
                if of_number.last().is_none_or(|last| !std::ptr::eq(*last, rule)) {
                    of_number.push(rule);
                }
            }
        }
        rules
    }

    /// What happens to one call.
    #[must_use]
    pub fn decide(&self, call: &Data) -> Action {
        let arch = Arch::of(call.arch, call.number);
        let Some(arch) = arch.filter(|arch| self.archs.contains(arch)) else {
            return self.foreign;
        };
        let mut args = call.args;
        if arch.is_32_bit() {
            args = args.map(|arg| arg & 0xffff_ffff);
        }
        match self.rules.iter().find(|rule| rule.matches(arch, call.number, &args)) {
            Some(rule) => rule.action,
            None => self.decide_unnamed(arch, call.number),
        }
    }
}
