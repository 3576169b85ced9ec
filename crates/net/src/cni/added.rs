//! A container that is in a network of plugins.
//!
//! Kernel objects: a descriptor of its network namespace, and the files of `kept`. Invariant: the namespace is there
//! until the plugins have taken away what they made; when this is dropped, they have been asked to.

use std::os::fd::OwnedFd;

use super::answer::Answer;
use super::conflist::Version;
use super::kept::Kept;
use super::plugins::Chain;
use crate::error::Result;

/// What [`Plugins::add`](super::Plugins::add) gives; dropping it is [`Added::delete`] without an answer.
#[derive(Debug)]
pub struct Added {
    chain: Chain,
    held: Option<(OwnedFd, Kept)>,
    answer: Answer,
}

impl Added {
    pub(super) fn new(chain: Chain, namespace: OwnedFd, answer: Answer, kept: Kept) -> Self {
        Self { chain, held: Some((namespace, kept)), answer }
    }

    /// What the last plugin answered.
    #[must_use]
    pub fn answer(&self) -> &Answer {
        &self.answer
    }

    /// Asks each plugin whether all is as it was made.
    ///
    /// # Errors
    /// As [`Plugins::add`](super::Plugins::add); [`Unsupported`](crate::ErrorKind::Unsupported) before version 0.4.0. A
    /// list with `disableCheck` is not asked.
    pub fn check(&self) -> Result<()> {
        let Some((namespace, kept)) = &self.held else { return Ok(()) };
        if self.chain.conflist.version() < Version::V0_4_0 {
            let errno = rustix::io::Errno::NOSYS;
            return Err(crate::error::Error::system("CHECK", self.chain.conflist.name(), errno));
        }
        match self.chain.conflist.without_check {
            true => Ok(()),
            false => self.chain.check(namespace, &self.answer, kept),
        }
    }

    /// Has everything taken away, by the last plugin first.
    ///
    /// # Errors
    /// What plugins said; each of them was asked, and will be by the next [`Host::reconcile`](crate::Host::reconcile).
    pub fn delete(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        let Some((namespace, kept)) = self.held.take() else { return Ok(()) };
        self.chain.delete(&namespace, Some(&self.answer), &kept)?;
        kept.remove()
    }
}

impl Drop for Added {
    fn drop(&mut self) {
        // There is nobody to tell.
        drop(self.end());
    }
}
