//! The default profile and the presets, as data.
//!
//! Kernel objects: none. Invariant: what is not allowed by a group or detail is refused; every known call is in a group,
//! so that a table with newer calls does not open anything.

mod detail;
mod group;

use crate::action::Action;
use crate::arch::Arch;
use crate::filter::{Filter, Rule};
use crate::host::Granted;

pub use detail::{DETAILS, Detail};
pub use group::{Access, GROUPS, Group};

impl Filter {
    /// The default profile for a program without capabilities; see [`default_for`](Self::default_for).
    #[must_use]
    pub fn default_profile() -> Self {
        Self::default_for(Granted::NONE)
    }

    /// The default profile for a program with these capabilities in its bounding set.
    ///
    /// Calls are refused with `EPERM` unless a [group](GROUPS) or [detail](DETAILS) says otherwise; some answer
    /// `ENOSYS`, so that programs fall back. It covers the own entry and the one with 32 bits; x32 does not exist
    /// (`ENOSYS`).
    #[must_use]
    pub fn default_for(granted: Granted) -> Self {
        built(granted, &Choice { groups: |_| true, details: DETAILS })
    }

    /// For programs that only compute: files and memory, threads and processes, but no exec and no network; Unix
    /// sockets pairs are there, and messages on descriptors that were inherited.
    ///
    /// For a program that confines itself: one that is about to be executed is locked out, which the preparation of the
    /// step says.
    #[must_use]
    pub fn compute() -> Self {
        const CLOSED: [&str; 3] = ["exec", "servers", "tracing"];
        const CALLS: [Detail; 4] = [detail::TERMINAL, detail::IOCTL, detail::CLONE, PAIRS];
        let choice = Choice { groups: |group| !CLOSED.contains(&group.name), details: &CALLS };
        let mut filter = built(Granted::NONE, &choice);
        for rule in &mut filter.rules {
            rule.calls.retain(|call| call != "connect" && call != "bind");
        }
        filter
    }

    /// For clients: Internet, Unix and netlink sockets, but nothing that waits for connections, and no tracing.
    #[must_use]
    pub fn network_client() -> Self {
        const CLOSED: [&str; 2] = ["servers", "tracing"];
        built(
            Granted::NONE,
            &Choice { groups: |group| !CLOSED.contains(&group.name), details: DETAILS },
        )
    }

    /// For compilers, build systems and test suites: everything of the default profile but the network. Unix and netlink
    /// sockets are there.
    #[must_use]
    pub fn build() -> Self {
        const LOCAL: [Detail; 7] = [
            detail::TERMINAL,
            detail::IOCTL,
            detail::CLONE,
            detail::UNSHARE,
            detail::PERSONALITY,
            detail::LOCAL_SOCKETS,
            detail::OTHER_SOCKETS,
        ];
        built(Granted::NONE, &Choice { groups: |_| true, details: &LOCAL })
    }
}

/// Pairs of Unix sockets, which reach nobody else.
const PAIRS: Detail = Detail {
    name: "pairs of sockets",
    reason: "they reach nobody but the process's own relatives",
    calls: &["socketpair"],
    ..detail::LOCAL_SOCKETS
};

/// What a preset takes of the data.
struct Choice {
    groups: fn(&Group) -> bool,
    details: &'static [Detail],
}

fn has_any(granted: Granted, capabilities: &[&str]) -> bool {
    capabilities.iter().any(|name| granted.has(name))
}

fn built(granted: Granted, choice: &Choice) -> Filter {
    let archs = Arch::native().family().iter().copied().filter(|arch| *arch != Arch::X32);
    let mut filter =
        Filter::new(Action::NOT_PERMITTED).archs(archs).foreign(Action::NOT_IMPLEMENTED);
    for detail in choice.details {
        filter.rules.extend(detail_rules(granted, detail));
    }
    for group in GROUPS.iter().filter(|group| (choice.groups)(group)) {
        let action = match group.access {
            Access::Always => Action::Allow,
            Access::Granted(capabilities, _) if has_any(granted, capabilities) => Action::Allow,
            Access::Granted(_, action) | Access::Never(action) => action,
            Access::Conditional => continue,
        };
        if action != filter.default {
            filter.rules.push(Rule::new(action, group.calls.iter().copied()));
        }
    }
    filter
}

fn detail_rules(granted: Granted, detail: &Detail) -> Vec<Rule> {
    let rule = Rule::new(detail.action, detail.calls.iter().copied());
    if !detail.only_with.is_empty() && !has_any(granted, detail.only_with) {
        Vec::new()
    } else if detail.any.is_empty() || has_any(granted, detail.unless) {
        vec![rule]
    } else {
        detail.any.iter().map(|condition| rule.clone().when(*condition)).collect()
    }
}
