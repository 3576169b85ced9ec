//! Progress: what happens to each layer, told as it happens.
//!
//! Kernel objects: none. Invariant: each layer's events come in the order of their states, and its
//! bytes never go back within one state, unless what an ended process left of a blob was wrong: then
//! it is pulled from its start.

use crate::digest::Digest;
use crate::error::Result;
use crate::jobs::Stop;

/// What is being done with a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LayerState {
    /// It is there already.
    AlreadyThere,
    /// Its bytes are coming.
    Pulling,
    /// All bytes are there; size and digest are checked, and it is written to the disk.
    Verifying,
    /// It is being unpacked.
    Unpacking,
    /// Nothing is left to do.
    Done,
}

/// One thing that happened to one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// Which layer, the lowest being 0.
    pub layer: usize,
    /// How many layers there are.
    pub layers: usize,
    /// The layer's digest.
    pub digest: Digest,
    /// What is being done with it.
    pub state: LayerState,
    /// How many bytes of the layer that was done for.
    pub bytes: u64,
    /// How many bytes the layer has.
    pub total: u64,
}

/// Is told what happens; from several threads at once.
///
/// Any function of an [`Event`] is one, and `()` for who does not want to know.
pub trait Progress: Sync {
    /// Something happened.
    fn on(&self, event: &Event);
}

impl<F: Fn(&Event) + Sync> Progress for F {
    fn on(&self, event: &Event) {
        self(event);
    }
}

impl Progress for () {
    fn on(&self, _: &Event) {}
}

/// The events of one layer.
#[derive(Clone)]
pub(crate) struct Reporter<'a> {
    progress: &'a dyn Progress,
    event: Event,
    stop: &'a Stop,
}

impl<'a> Reporter<'a> {
    pub(crate) fn new(
        progress: &'a dyn Progress,
        (layer, layers): (usize, usize),
        blob: &crate::Descriptor,
        stop: &'a Stop,
    ) -> Self {
        let state = LayerState::Pulling;
        let event = Event { layer, layers, digest: blob.digest, state, bytes: 0, total: blob.size };
        Self { progress, event, stop }
    }

    /// An error after another layer has failed.
    pub(crate) fn check(&self) -> Result<()> {
        self.stop.check()
    }

    /// A state begins, or goes on.
    pub(crate) fn tell(&mut self, state: LayerState, bytes: u64) {
        self.event = Event { state, bytes, ..self.event.clone() };
        self.progress.on(&self.event);
    }

    /// A state that is over when it begins.
    pub(crate) fn whole(&mut self, state: LayerState) {
        self.tell(state, self.event.total);
    }
}
