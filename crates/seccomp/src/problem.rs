//! What can be wrong with a filter or a profile.
//!
//! Kernel objects: none. Invariant: each problem names the place (the rule by its position, from 0) and the value.

use crate::action::Action;
use crate::arch::Arch;

/// One reason why a filter or a profile cannot be used. Rules are named by their position, from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// No entry has a call of this name.
    #[error("rule {rule}: no system call is called {name:?}")]
    UnknownCall {
        /// The rule.
        rule: usize,
        /// The name, shortened to 80 characters.
        name: String,
    },
    /// A rule names no call.
    #[error("rule {rule} names no system call")]
    NoCall {
        /// The rule.
        rule: usize,
    },
    /// An error number above 4095.
    #[error("error number {number} is above 4095")]
    ErrnoOutOfRange {
        /// The number.
        number: u64,
    },
    /// A system call has six arguments, numbered from 0.
    #[error("rule {rule}: there is no argument {arg}")]
    NoSuchArgument {
        /// The rule.
        rule: usize,
        /// The argument.
        arg: u64,
    },
    /// A condition that no value meets, such as a bit that its mask leaves out.
    #[error("rule {rule}: no value meets {condition}")]
    NeverHolds {
        /// The rule.
        rule: usize,
        /// The condition.
        condition: crate::Condition,
    },
    /// A rule that can never decide, because one before it says something else for the same call.
    #[error(
        "rule {rule} ({action} for {name}) has no effect: rule {earlier} says {other} for all that it covers"
    )]
    Conflict {
        /// The call.
        name: String,
        /// The rule without effect.
        rule: usize,
        /// Its action.
        action: Action,
        /// The rule before it.
        earlier: usize,
        /// That rule's action.
        other: Action,
    },
    /// A filter that covers no entry.
    #[error("no architecture is covered")]
    NoArchitecture,
    /// Entries of machines that are not the same.
    #[error("{one} and {other} are not entries of one machine")]
    MixedArchitectures {
        /// One of them.
        one: Arch,
        /// Another one.
        other: Arch,
    },
    /// A rule is for an entry that the filter does not cover.
    #[error("rule {rule} is for {arch}, which is not covered")]
    NotCovered {
        /// The rule.
        rule: usize,
        /// The entry.
        arch: Arch,
    },
    /// More rules than a filter can hold.
    #[error("{rules} rules are more than 4096")]
    TooManyRules {
        /// How many there are.
        rules: usize,
    },
    /// More conditions than fit into one filter.
    #[error("{conditions} conditions are more than 4096")]
    TooManyConditions {
        /// How many there are.
        conditions: usize,
    },
    /// A flag of notifications without one.
    #[error("WAIT_KILLABLE_RECV is for filters that notify")]
    NothingNotifies,
    /// A profile names an action that does not exist.
    #[error("{}action {name:?} is not known", in_entry(place))]
    UnknownAction {
        /// The entry's position in `syscalls`; `None` is the default action.
        place: Option<usize>,
        /// The name, shortened to 80 characters.
        name: String,
    },
    /// A profile names an architecture that does not exist.
    #[error("architecture {name:?} is not known")]
    UnknownArchitecture {
        /// The name, shortened to 80 characters.
        name: String,
    },
    /// A profile names an operator that does not exist.
    #[error("rule {rule}: operator {name:?} is not known")]
    UnknownOperator {
        /// The entry's position in `syscalls`.
        rule: usize,
        /// The name, shortened to 80 characters.
        name: String,
    },
    /// A profile names a flag that does not exist.
    #[error("flag {name:?} is not known")]
    UnknownFlag {
        /// The name, shortened to 80 characters.
        name: String,
    },
    /// A profile names a capability that does not exist.
    #[error("rule {rule}: capability {name:?} is not known")]
    UnknownCapability {
        /// The entry's position in `syscalls`.
        rule: usize,
        /// The name, shortened to 80 characters.
        name: String,
    },
    /// A profile depends on something that is not a kernel's version.
    #[error("rule {rule}: {name:?} is not a kernel's version")]
    UnknownKernel {
        /// The entry's position in `syscalls`.
        rule: usize,
        /// The text, shortened to 80 characters.
        name: String,
    },
    /// libseccomp does not know the name on this entry.
    #[error("libseccomp does not know {name} on {arch}")]
    UnknownToLibseccomp {
        /// The entry.
        arch: Arch,
        /// The name.
        name: &'static str,
    },
    /// The other format, or the other back end, cannot say this.
    #[error("{}{what}", in_entry(rule))]
    Inexpressible {
        /// The rule, if it is about one.
        rule: Option<usize>,
        /// What cannot be said.
        what: Inexpressible,
    },
    /// A call that is made between the load and the program's first instruction is refused.
    #[error("{name} is needed to execute the program, and the answer is {action}")]
    LocksOut {
        /// The call.
        name: &'static str,
        /// What happens to it.
        action: Action,
    },
}

/// What an OCI profile, or libseccomp, cannot say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Inexpressible {
    /// What happens to calls through entries that are not covered.
    #[error("an answer for entries that are not covered")]
    Foreign,
    /// What happens to newer calls.
    #[error("an answer for newer calls")]
    Newer,
    /// A rule for some of the entries only.
    #[error("it is for some of the architectures only")]
    SomeArchitectures,
    /// Rules of one call that overlap and say different things.
    #[error("rules of one call overlap with different actions")]
    Overlap,
    /// An argument that it compares with another width.
    #[error("an argument is compared with another width")]
    Width,
    /// Calls of 32-bit x86 whose older, multiplexed form (`socketcall`, `ipc`) has no answer of its own.
    #[error("socketcall or ipc has no answer of its own")]
    Multiplexed,
    /// Two conditions on one argument, both of which have to hold.
    #[error("it has two conditions on one argument")]
    SameArgument,
}

fn in_entry(rule: &Option<usize>) -> String {
    rule.map_or_else(String::new, |rule| format!("rule {rule}: "))
}
