//! Pulling: from any source into a store, layers in parallel, each checked before it is used.
//!
//! Kernel objects: threads that end before the call does. Invariant: the name is set last, when
//! everything that it leads to is in the store, and on the disk.

use std::num::NonZeroUsize;

use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::jobs::{JOBS, Job, Stop, work};
use crate::platform::Choice;
use crate::progress::{LayerState, Progress, Reporter};
use crate::reference::Reference;
use crate::source::{Resolved, Source, each_chunk, resolve};
use crate::store::{BlobWriter, Entry, Image, Layer, Slot, Store, Unpacker};

/// How an image is pulled.
#[derive(Clone, Copy)]
pub struct Pull<'a> {
    choice: &'a Choice,
    progress: &'a dyn Progress,
    unpacker: Option<&'a dyn Unpacker>,
    jobs: usize,
}

impl std::fmt::Debug for Pull<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pull")
            .field("choice", self.choice)
            .field("unpacks", &self.unpacker.is_some())
            .field("jobs", &self.jobs)
            .finish_non_exhaustive()
    }
}

impl Default for Pull<'_> {
    fn default() -> Self {
        Self { choice: &Choice::Host, progress: &(), unpacker: None, jobs: JOBS }
    }
}

impl<'a> Pull<'a> {
    /// For this machine, four layers at a time, without unpacking.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// For this platform.
    #[must_use]
    pub fn choice(self, choice: &'a Choice) -> Self {
        Self { choice, ..self }
    }

    /// Tells what happens to each layer.
    #[must_use]
    pub fn progress(self, progress: &'a dyn Progress) -> Self {
        Self { progress, ..self }
    }

    /// Unpacks each layer as soon as it is there.
    #[must_use]
    pub fn unpack(self, unpacker: &'a dyn Unpacker) -> Self {
        Self { unpacker: Some(unpacker), ..self }
    }

    /// How many layers are worked on at the same time.
    #[must_use]
    pub fn jobs(self, jobs: NonZeroUsize) -> Self {
        Self { jobs: jobs.get(), ..self }
    }
}

impl Store {
    /// Takes an image over from a source, and names it `reference` (with the tag `latest` if it has
    /// neither a tag nor a digest). What is there already is not read again; a blob that is there
    /// in part goes on where it ended. After the first error the other layers end, too: with the next bytes that come, or
    /// with the source's own time limit.
    ///
    /// # Errors
    ///
    /// What choosing gives (see [`resolve`]), what the source gives,
    /// [`ErrorKind::DigestMismatch`], [`ErrorKind::SizeMismatch`], [`ErrorKind::NoSpace`]. The name
    /// stays what it was then; layers that were whole stay in the store until [`Store::gc`].
    pub fn pull(
        &self,
        source: &dyn Source,
        reference: &Reference,
        pull: &Pull<'_>,
    ) -> Result<Image> {
        let adding = self.adding()?;
        let resolved = resolve(source, pull.choice)?;
        let reference = reference.or_latest();
        if let Some(wanted) = reference.digest() {
            let found = resolved.index.unwrap_or(resolved.descriptor.digest);
            if found != wanted && resolved.descriptor.digest != wanted {
                return Err(Error::mismatch("image", wanted, found));
            }
        }
        let Resolved { descriptor, manifest, config, index, .. } = &resolved;
        self.put_checked(&manifest.config, &resolved.config_bytes)?;
        let stop = Stop::default();
        let jobs = Job::all(&manifest.layers, &config.rootfs.diff_ids, pull.progress, &stop);
        work(jobs, pull.jobs, &stop, |job| self.pull_layer(source, job, pull.unpacker))?;
        self.put_checked(descriptor, &resolved.manifest_bytes)?;
        self.name(Entry::new(reference, descriptor, *index), &adding)
    }

    /// Unpacks the layers of an image that are not unpacked yet; returns all of them, the lowest
    /// first.
    ///
    /// # Errors
    ///
    /// What `unpacker` gives; [`ErrorKind::DigestMismatch`] for content that is not what the image's
    /// configuration says.
    pub fn unpack(
        &self,
        image: &Image,
        unpacker: &dyn Unpacker,
        progress: &dyn Progress,
    ) -> Result<Vec<Layer>> {
        let ids = &image.config().rootfs.diff_ids;
        let stop = Stop::default();
        let jobs = Job::all(&image.manifest().layers, ids, progress, &stop);
        work(jobs, JOBS, &stop, |mut job| {
            let there = self.layer(&job.diff_id, &unpacker.form())?.is_some();
            if there {
                job.reporter.whole(LayerState::AlreadyThere);
                return Ok(());
            }
            self.unpack_layer(&job.blob, &job.diff_id, unpacker, &mut job.reporter)?;
            job.reporter.whole(LayerState::Done);
            Ok(())
        })?;
        image.layers(&unpacker.form())
    }

    fn pull_layer(
        &self,
        source: &dyn Source,
        mut job: Job<'_>,
        unpacker: Option<&dyn Unpacker>,
    ) -> Result<()> {
        let reporter = &mut job.reporter;
        let is_new = match self.slot(&job.blob)? {
            Slot::There(_) => false,
            Slot::Write(writer) => {
                let resumed = writer.offset() > 0;
                match copy(source, &job.blob, writer, reporter) {
                    // What an ended process left was not its start: all over again.
                    Err(error) if resumed && error.kind() == ErrorKind::DigestMismatch => {
                        if let Slot::Write(writer) = self.slot(&job.blob)? {
                            copy(source, &job.blob, writer, reporter)?;
                        }
                    }
                    result => result?,
                }
                true
            }
        };
        let is_unpacked = match unpacker {
            Some(unpacker) => self.layer(&job.diff_id, &unpacker.form())?.is_some(),
            None => true,
        };
        match unpacker {
            Some(unpacker) if !is_unpacked => {
                self.unpack_layer(&job.blob, &job.diff_id, unpacker, reporter)?;
            }
            _ if !is_new => {
                reporter.whole(LayerState::AlreadyThere);
                return Ok(());
            }
            _ => {}
        }
        reporter.whole(LayerState::Done);
        Ok(())
    }
}

/// Moves a blob's bytes into the store.
fn copy(
    source: &dyn Source,
    blob: &Descriptor,
    mut writer: Box<BlobWriter>,
    reporter: &mut Reporter<'_>,
) -> Result<()> {
    reporter.tell(LayerState::Pulling, writer.offset());
    let mut reader = source.open(blob, writer.offset())?;
    each_chunk(&mut *reader, |bytes| {
        reporter.check()?;
        writer.write(bytes)?;
        reporter.tell(LayerState::Pulling, writer.offset());
        Ok(())
    })?;
    reporter.whole(LayerState::Verifying);
    writer.commit().map(drop)
}
