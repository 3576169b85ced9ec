//! A filter as a step of a container.
//!
//! Kernel objects: none; the step loads the filter in the child (seccomp(2)). Invariant: the step is made only of a filter
//! that lets the program be executed.
//!
//! The step belongs right before the exec: what init calls behind it is [`CALLS_OF_EXEC`](crate::CALLS_OF_EXEC), and
//! only that has to be allowed. It comes after no_new_privs, or while there is `CAP_SYS_ADMIN`, after `pivot_root` and the
//! capabilities, and after the label, whose file a filter may not let init write.

use ampoule_init::steps::seccomp::load_filter;
use ampoule_init::{Slot, Step};

use crate::compiled::Compiled;
use crate::error::{Error, Result};
use crate::filter::Flags;

const NEW_LISTENER: u64 = 1 << 3;

/// The step that loads a filter. Threads are not synchronised: the process has one.
///
/// # Errors
/// [`LocksOutExec`](crate::ErrorKind::LocksOutExec) with every call that the exec needs and that is refused;
/// [`Listener`](crate::ErrorKind::Listener) for a filter that notifies.
pub fn load(filter: &Compiled) -> Result<Step> {
    filter.check_exec()?;
    if filter.notifies() {
        return Err(Error::listener(true));
    }
    let flags = filter.flags() - Flags::TSYNC;
    Ok(load_filter(&filter.program().words(), u64::from(flags.bits()), &names(flags, "")))
}

/// The step that loads a filter that notifies, and saves its listener.
///
/// # Errors
/// [`LocksOutExec`](crate::ErrorKind::LocksOutExec) as above, where notifying counts as refused: nobody answers before
/// the host has the listener; [`Listener`](crate::ErrorKind::Listener) for a filter that does not notify.
pub fn load_with_listener(filter: &Compiled, listener: Slot) -> Result<Step> {
    filter.check_exec()?;
    if !filter.notifies() {
        return Err(Error::listener(false));
    }
    let flags = filter.flags() - Flags::TSYNC;
    let names = names(flags, "NEW_LISTENER");
    let step =
        load_filter(&filter.program().words(), u64::from(flags.bits()) | NEW_LISTENER, &names);
    Ok(step.save(listener))
}

fn names(flags: Flags, further: &'static str) -> String {
    let names = flags.iter_names().map(|(name, _)| name).chain([further]);
    names.filter(|name| !name.is_empty()).collect::<Vec<_>>().join("|")
}
