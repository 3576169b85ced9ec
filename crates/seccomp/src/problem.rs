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
    /// A call that is made between the load and the program's first instruction is refused.
    #[error("{name} is needed to execute the program, and the answer is {action}")]
    LocksOut {
        /// The call.
        name: &'static str,
        /// What happens to it.
        action: Action,
    },
}
