//! All checks of a filter.
//!
//! Kernel objects: none. Invariant: every problem is found, not only the first one, in time that grows with the square
//! of the rules of one call at most.

use std::collections::HashMap;

use ampoule_init::steps::seccomp::CALLS_OF_FAILED_EXEC;

use crate::action::Action;
use crate::arch::Arch;
use crate::condition::Condition;
use crate::error::{Error, Result};
use crate::filter::{Filter, Flags, Rule};
use crate::problem::Problem;
use crate::syscall;

/// A filter has no room for more.
const RULES_MAX: usize = 4096;
/// Names of users are kept up to this many characters.
const NAME_MAX: usize = 80;

/// What init calls between the load of a filter and the program's first instruction: the report, the exec, and the
/// report and end when the exec fails.
pub const CALLS_OF_EXEC: [&str; 5] = ampoule_init::steps::seccomp::CALLS_OF_EXEC;

impl Filter {
    /// Checks everything about it.
    ///
    /// # Errors
    /// [`InvalidFilter`](crate::ErrorKind::InvalidFilter) with every problem.
    pub fn validate(&self) -> Result<()> {
        let mut problems = Vec::new();
        self.check_archs(&mut problems);
        self.check_size(&mut problems);
        let errnos = self.actions().filter_map(|action| match action {
            Action::Errno(number) if number > Action::ERRNO_MAX => Some(u64::from(number)),
            _ => None,
        });
        problems.extend(errnos.map(|number| Problem::ErrnoOutOfRange { number }));
        if self.flags.contains(Flags::WAIT_KILLABLE_RECV) && !self.notifies() {
            problems.push(Problem::NothingNotifies);
        }
        for (rule, settings) in self.rules.iter().enumerate() {
            self.check_rule(rule, settings, &mut problems);
        }
        if problems.is_empty() {
            check_conflicts(&self.rules, &mut problems);
        }
        if problems.is_empty() { Ok(()) } else { Err(Error::problems_of(problems)) }
    }

    /// Checks that a program can be executed with it loaded.
    ///
    /// # Errors
    /// [`LocksOutExec`](crate::ErrorKind::LocksOutExec) with every call of [`CALLS_OF_EXEC`] that is refused whatever
    /// its arguments are, and with `statx`, which tells why an exec failed, when it kills or notifies.
    pub fn validate_for_exec(&self) -> Result<()> {
        let problems = self.lockouts();
        if problems.is_empty() { Ok(()) } else { Err(Error::problems_of(problems)) }
    }

    /// Checks that these calls can be made with it loaded: what has to be done between the load and the exec besides
    /// [`CALLS_OF_EXEC`].
    ///
    /// # Errors
    /// [`LocksOutExec`](crate::ErrorKind::LocksOutExec) with every one that is refused whatever its arguments are.
    pub fn validate_for_calls(&self, calls: impl IntoIterator<Item = &'static str>) -> Result<()> {
        let problems: Vec<_> = calls.into_iter().filter_map(|name| self.locks_out(name)).collect();
        if problems.is_empty() { Ok(()) } else { Err(Error::problems_of(problems)) }
    }

    pub(crate) fn lockouts(&self) -> Vec<Problem> {
        let harmless = |problem: &Problem| {
            matches!(problem, Problem::LocksOut { action: Action::Errno(_) | Action::Trace(_), .. })
        };
        let failed = CALLS_OF_FAILED_EXEC.into_iter().filter_map(|name| self.locks_out(name));
        let failed = failed.filter(|problem| !harmless(problem));
        CALLS_OF_EXEC.into_iter().filter_map(|name| self.locks_out(name)).chain(failed).collect()
    }

    /// Whether a call can meet the action «notify», so that the load makes a listener.
    #[must_use]
    pub fn notifies(&self) -> bool {
        self.actions().any(|action| action == Action::Notify)
    }

    fn locks_out(&self, name: &'static str) -> Option<Problem> {
        let arch = Arch::native();
        let number = syscall::number(arch, name)?;
        let names = |rule: &&Rule| rule.covers(arch) && rule.calls.iter().any(|call| call == name);
        let covered = self.archs.contains(&arch);
        let may = self.rules.iter().filter(names).any(|rule| rule.action.permits());
        let always = self.rules.iter().filter(names).find(|rule| rule.conditions.is_empty());
        let last = match (covered, always) {
            (true, Some(rule)) => rule.action,
            _ => self.decide_unnamed(arch, number),
        };
        // Nobody answers before the host has the listener.
        let asks = |rule: &&Rule| rule.action == Action::Notify;
        if covered && self.rules.iter().filter(names).any(|rule| asks(&rule)) {
            return Some(Problem::LocksOut { name, action: Action::Notify });
        }
        let open = last.permits() || (covered && may);
        (!open).then_some(Problem::LocksOut { name, action: last })
    }

    /// What happens to a call when no rule decides it.
    pub(crate) fn decide_unnamed(&self, arch: Arch, number: u32) -> Action {
        if !self.archs.contains(&arch) {
            self.foreign
        } else if syscall::is_newer(arch, number) {
            self.newer_action()
        } else {
            self.default
        }
    }

    fn check_archs(&self, problems: &mut Vec<Problem>) {
        let Some(&one) = self.archs.first() else {
            problems.push(Problem::NoArchitecture);
            return;
        };
        let others = self.archs.iter().filter(|other| !one.family().contains(other));
        problems.extend(others.map(|&other| Problem::MixedArchitectures { one, other }));
    }

    fn check_size(&self, problems: &mut Vec<Problem>) {
        let rules = self.rules.len();
        if rules > RULES_MAX {
            problems.push(Problem::TooManyRules { rules });
        }
        let conditions =
            self.rules.iter().map(|rule| rule.conditions.len() * rule.calls.len()).sum();
        if conditions > RULES_MAX {
            problems.push(Problem::TooManyConditions { conditions });
        }
    }

    fn check_rule(&self, rule: usize, settings: &Rule, problems: &mut Vec<Problem>) {
        if settings.calls.is_empty() {
            problems.push(Problem::NoCall { rule });
        }
        let unknown = settings.calls.iter().filter(|name| !syscall::is_known(name));
        problems.extend(unknown.map(|name| {
            let name = name.chars().take(NAME_MAX).collect();
            Problem::UnknownCall { rule, name }
        }));
        for condition in &settings.conditions {
            if condition.arg >= Condition::ARGS {
                problems.push(Problem::NoSuchArgument { rule, arg: u64::from(condition.arg) });
            } else if condition.never_holds() {
                problems.push(Problem::NeverHolds { rule, condition: *condition });
            }
        }
        let strange = settings.archs.iter().filter(|arch| !self.archs.contains(arch));
        problems.extend(strange.map(|&arch| Problem::NotCovered { rule, arch }));
    }
}

/// Finds rules that never decide because an earlier one, with another action, covers all of them.
fn check_conflicts(rules: &[Rule], problems: &mut Vec<Problem>) {
    let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, rule) in rules.iter().enumerate() {
        for name in &rule.calls {
            by_name.entry(name).or_default().push(index);
        }
    }
    let mut found = Vec::new();
    for (name, positions) in by_name.into_iter().filter(|(_, positions)| positions.len() > 1) {
        for (at, &later) in positions.iter().enumerate().skip(1) {
            let earlier = &positions[..at];
            let first = earlier.iter().find(|&&earlier| covers(&rules[earlier], &rules[later]));
            if let Some(&earlier) = first {
                found.push((later, name, earlier));
            }
        }
    }
    found.sort_unstable();
    for (rule, name, earlier) in found {
        let (action, other) = (rules[rule].action, rules[earlier].action);
        if action != other {
            problems.push(Problem::Conflict {
                name: name.to_owned(),
                rule,
                action,
                earlier,
                other,
            });
        }
    }
}

/// Whether `earlier` holds wherever `later` does.
fn covers(earlier: &Rule, later: &Rule) -> bool {
    let entries = earlier.archs.is_empty()
        || (!later.archs.is_empty() && later.archs.iter().all(|arch| earlier.archs.contains(arch)));
    entries && earlier.conditions.iter().all(|condition| later.conditions.contains(condition))
}
