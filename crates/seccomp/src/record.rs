//! Which calls a program makes, learnt by running it, and the smallest filter that lets it run.
//!
//! Kernel objects: the listener of a filter that notifies everything. Invariant: what is recorded is a call that the
//! kernel was told to make; the filter permits nothing else but what init and the kernel itself need.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ampoule_init::steps::seccomp::CALLS_OF_FAILED_EXEC;

use crate::action::Action;
use crate::arch::Arch;
use crate::condition::arg;
use crate::error::{ErrorKind, Result};
use crate::filter::{Filter, Flags, Rule};
use crate::host::{Host, Kernel};
use crate::notify::{Listener, Received, Request};
use crate::validate::CALLS_OF_EXEC;

/// What the kernel makes a thread call by itself, after a signal.
const CALLS_OF_SIGNALS: [&str; 2] = ["restart_syscall", "rt_sigreturn"];
/// Calls whose first argument says which part of the kernel they open.
const CALLS_OF_FAMILIES: [&str; 2] = ["socket", "socketpair"];
/// The first kernel with `WAIT_KILLABLE_RECV`.
const KILLABLE: Kernel = Kernel { major: 5, minor: 19 };

/// The calls of a program, by running it with [`Recording::filter`] and serving its listener.
///
/// Every call waits until it is recorded and is then made, whatever it is, which takes some microseconds: what is recorded
/// runs without a filter. Those of [`CALLS_OF_EXEC`] and `statx` are not recorded but taken for granted, as they are made
/// before somebody answers. A call that the kernel answers in the program's own memory (vdso(7)) needs no permission.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    calls: BTreeSet<&'static str>,
    /// First arguments of [`CALLS_OF_FAMILIES`].
    families: BTreeMap<&'static str, BTreeSet<u32>>,
    archs: BTreeSet<Arch>,
    unknown: BTreeSet<(Option<Arch>, u32)>,
}

/// What is made before the listener has somebody who answers, and is not recorded.
fn unseen() -> impl Iterator<Item = &'static str> {
    CALLS_OF_EXEC.into_iter().chain(CALLS_OF_FAILED_EXEC)
}

impl Recording {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The filter to load for a recording: it notifies everything that a filter may notify.
    #[must_use]
    pub fn filter() -> Filter {
        let flags = match Host::this().kernel >= KILLABLE {
            true => Flags::WAIT_KILLABLE_RECV,
            false => Flags::empty(),
        };
        Filter::new(Action::Notify)
            .newer(Action::Notify)
            .archs(Arch::native().family().iter().copied())
            .allow(unseen())
            .flags(flags)
    }

    /// Records the next call and lets it be made; waits as [`Listener::receive`] does, and gives what that gave.
    ///
    /// # Errors
    /// As [`Listener::receive`] and [`Listener::proceed`]; a caller that has gone is none.
    pub fn record(&mut self, listener: &Listener, timeout: Option<Duration>) -> Result<Received> {
        let received = listener.receive(timeout)?;
        if let Received::Request(request) = &received {
            self.note(request);
            match listener.proceed(request) {
                Err(error) if error.kind() != ErrorKind::CallerGone => return Err(error),
                _ => {}
            }
        }
        Ok(received)
    }

    /// Records until nobody has the filter any more.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    pub fn serve(&mut self, listener: &Listener) -> Result<()> {
        while self.record(listener, None)? != Received::NobodyLeft {}
        Ok(())
    }

    fn note(&mut self, request: &Request) {
        let call = &request.call;
        let arch = Arch::of(call.arch, call.number);
        let Some((name, arch)) = request.name().zip(arch) else {
            self.unknown.insert((arch, call.number));
            return;
        };
        self.archs.insert(arch);
        if CALLS_OF_FAMILIES.contains(&name) {
            let [low0, low1, low2, low3, ..] = call.args[0].to_le_bytes();
            let family = u32::from_le_bytes([low0, low1, low2, low3]);
            self.families.entry(name).or_default().insert(family);
        } else {
            self.calls.insert(name);
        }
    }

    /// The calls that were recorded.
    pub fn calls(&self) -> impl Iterator<Item = &'static str> + '_ {
        let families = self.families.keys().copied();
        self.calls.iter().copied().chain(families)
    }

    /// Numbers of calls that this crate's tables do not have, with their entry; no filter can name them.
    pub fn unknown(&self) -> impl Iterator<Item = (Option<Arch>, u32)> + '_ {
        self.unknown.iter().copied()
    }

    /// The smallest filter that permits what was recorded: everything else fails with `EPERM`, calls through an entry that
    /// was not used kill. Sockets are permitted by family.
    ///
    /// What another input makes the program do is not in it: run everything that it shall be able to do.
    #[must_use]
    pub fn smallest(&self) -> Filter {
        let needed = unseen().chain(CALLS_OF_SIGNALS);
        let calls: BTreeSet<_> = self.calls.iter().copied().chain(needed).collect();
        let archs: BTreeSet<_> = self.archs.iter().copied().chain([Arch::native()]).collect();
        let mut filter = Filter::new(Action::NOT_PERMITTED).archs(archs).allow(calls);
        for (&name, families) in &self.families {
            for &family in families {
                let rule = Rule::new(Action::Allow, [name]).when(arg(0).int_eq(family));
                filter = filter.rule(rule);
            }
        }
        filter
    }
}
