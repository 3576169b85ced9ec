//! How and when a kept container ended, and how it is asked to.
//!
//! Kernel objects: a pidfd of its first process, the file that init writes the end to. Invariant: after [`Kept::stop`] its
//! first process has ended.

use std::time::{Duration, Instant, SystemTime};

use ampoule_init::process::wait_readable;
use rustix::process::Signal;

use crate::container::END_LIMIT;
use crate::created::RunState;
use crate::error::{Error, Stage};
use crate::exit::ExitStatus;
use crate::state::folder::Folder;
use crate::state::kept::Kept;

impl Kept {
    /// When its program ended; `None` while it runs, and with [`Pid1::Payload`](crate::Pid1::Payload), where nobody notes
    /// it.
    #[must_use]
    pub fn ended(&self) -> Option<SystemTime> {
        let folder = Folder::open(&self.root, &self.id).ok()?;
        folder.exit_time().filter(|_| self.state() == RunState::Stopped)
    }

    /// Sends the stop signal ([`Builder::stop_signal`](crate::Builder::stop_signal)), waits for the grace period, then kills
    /// everything.
    ///
    /// # Errors
    /// [`ErrorKind::WrongState`](crate::ErrorKind::WrongState) when it has ended; as [`Kept::wait`];
    /// [`ErrorKind::NotEnding`](crate::ErrorKind::NotEnding).
    pub fn stop(&self, grace: Duration) -> Result<ExitStatus, Error> {
        self.kill(self.record.confinement.builder.stop_signal)?;
        if !self.ends_in(grace)? {
            // The payload alone, so that init notes how it ended, and then ends the rest.
            let killed = self.kill(Signal::KILL.as_raw());
            // It may have ended meanwhile.
            killed.or_else(|error| if self.lives() { Err(error) } else { Ok(()) })?;
            if !self.ends_in(END_LIMIT)? {
                self.end_processes()?;
            }
        }
        self.wait()
    }

    /// Whether its first process ends in this time.
    fn ends_in(&self, limit: Duration) -> Result<bool, Error> {
        let deadline = Instant::now().checked_add(limit);
        let ended = self.init.as_ref().map(|init| wait_readable(init, deadline));
        let ended = ended.transpose().map_err(|error| Error::io(Stage::Running, "poll", &error))?;
        Ok(ended != Some(false))
    }
}
