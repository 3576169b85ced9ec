//! What a container's network sent and received until the end.
//!
//! Kernel objects: `net/dev` of procfs, opened by init in the container's network and read by the host at the end; the
//! open file keeps the network. Invariant: only where everything is counted and the network is the container's own.

use std::os::fd::OwnedFd;

use ampoule_init::Step;
use ampoule_init::steps::{file, launch};
use ampoule_ns::{Interfaces, Namespace, Setting};

use crate::group::OwnGroup;
use crate::plan::Ordered;
use crate::settings::Settings;

/// What the file is called among a launch's descriptors.
pub(crate) const COUNTERS: u32 = 5;

/// The steps that send the file, from the moment in which the network is there.
pub(crate) fn send(settings: &Settings, to: &mut Ordered) -> Vec<Step> {
    let counted = matches!(settings.own_group, OwnGroup::Counted | OwnGroup::Always);
    if !counted || *settings.namespaces.get(Namespace::Net) == Setting::Host {
        return Vec::new();
    }
    let slot = to.draft.slots.take();
    // Through the host's procfs, where the process sees itself: the container's may be covered or not there.
    let open = file::open(settings.proc, c"self/net/dev", 0, 0, slot);
    vec![open, launch::send_fd(COUNTERS, slot), file::close(slot)]
}

/// Reads the counters; `None` where the file did not come, or cannot be read.
pub(crate) fn read(file: &OwnedFd) -> Option<Interfaces> {
    /// The file has one page for some thirty interfaces at a time.
    const PAGE: usize = 4096;
    /// Who owns the network does not make the host keep more.
    const FILE_MAX: usize = 1 << 20;
    let mut text = Vec::new();
    loop {
        let (mut page, offset) = ([0; PAGE], u64::try_from(text.len()).unwrap_or(u64::MAX));
        let read = rustix::io::retry_on_intr(|| rustix::io::pread(file, &mut page, offset)).ok()?;
        text.extend_from_slice(page.get(..read).unwrap_or_default());
        if read == 0 || text.len() >= FILE_MAX {
            return Some(Interfaces::parse(&text));
        }
    }
}
