//! Destinations: where an image goes to, and copying one there.
//!
//! Kernel objects: none. Invariant: an image becomes visible at a destination when all of it is
//! there, and was checked on its way.

mod archive;
mod docker_archive;
mod layout;
mod pending_file;
mod root_directory;
mod root_tar;
mod tar;

use std::io::Read;
use std::sync::{Mutex, PoisonError};

use crate::descriptor::Descriptor;
use crate::error::Result;
use crate::jobs::{JOBS, Job, Stop, work};
use crate::platform::Choice;
use crate::progress::{LayerState, Progress, Reporter};
use crate::reference::Reference;
use crate::source::{Checked, Resolved, Source, resolve};
pub use archive::LayoutArchiveWriter;
pub use docker_archive::DockerArchiveWriter;
pub use layout::LayoutWriter;
pub use root_directory::RootDirectory;
pub use root_tar::RootTar;

/// Where one image goes to: a layout, an archive, a registry.
pub trait Destination {
    /// Whether a blob is there already, so that it need not be read.
    ///
    /// # Errors
    ///
    /// What asking gives.
    fn has(&mut self, blob: &Descriptor) -> Result<bool>;

    /// Takes a blob that is not there. Reading `content` to its end fails if it is not what the
    /// descriptor says: then there must be no such blob afterwards.
    ///
    /// # Errors
    ///
    /// What reading gives, [`ErrorKind::NoSpace`](crate::ErrorKind::NoSpace), and what writing
    /// gives.
    fn put(&mut self, blob: &Descriptor, content: &mut (dyn Read + Send)) -> Result<()>;

    /// Takes the image's manifest, after everything that it leads to, and names it.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    fn finish(&mut self, image: &Resolved, name: Option<&Reference>) -> Result<()>;

    /// Another writer to the same place, which takes blobs in another thread at the same time. `None`, as it is unless
    /// said otherwise, where they come one after the other, in the order of the layers.
    fn another(&self) -> Option<Box<dyn Destination + Send + '_>> {
        None
    }
}

/// Copies one image, chosen by platform, to a destination, and checks it on its way; up to four layers at a time where
/// the destination has [another](Destination::another) writer for each.
///
/// # Errors
///
/// What [`resolve`] gives, [`ErrorKind::DigestMismatch`](crate::ErrorKind::DigestMismatch),
/// [`ErrorKind::SizeMismatch`](crate::ErrorKind::SizeMismatch), and what the destination gives.
pub fn copy(
    source: &dyn Source,
    destination: &mut dyn Destination,
    name: Option<&Reference>,
    choice: &Choice,
    progress: &dyn Progress,
) -> Result<Resolved> {
    let resolved = resolve(source, choice)?;
    let layers = &resolved.manifest.layers;
    let stop = Stop::default();
    let writers: Vec<_> =
        (0..JOBS.min(layers.len())).map_while(|_| destination.another()).collect();
    if writers.len() > 1 {
        let jobs = Job::all(layers, &resolved.config.rootfs.diff_ids, progress, &stop);
        let (threads, writers) = (writers.len(), Mutex::new(writers));
        let free = || writers.lock().unwrap_or_else(PoisonError::into_inner);
        work(jobs, threads, &stop, |mut job| {
            // There is one for each thread.
            let Some(mut writer) = free().pop() else { return Ok(()) };
            let done = put(source, &mut *writer, &job.blob, &mut job.reporter);
            free().push(writer);
            done
        })?;
    } else {
        drop(writers);
        for (at, layer) in layers.iter().enumerate() {
            let mut reporter = Reporter::new(progress, (at, layers.len()), layer, &stop);
            put(source, destination, layer, &mut reporter)?;
        }
    }
    let config = &resolved.manifest.config;
    if !destination.has(config)? {
        destination.put(config, &mut resolved.config_bytes.as_slice())?;
    }
    destination.finish(&resolved, name)?;
    Ok(resolved)
}

/// Copies one layer, unless it is there.
fn put(
    source: &dyn Source,
    destination: &mut dyn Destination,
    layer: &Descriptor,
    reporter: &mut Reporter<'_>,
) -> Result<()> {
    if destination.has(layer)? {
        reporter.whole(LayerState::AlreadyThere);
        return Ok(());
    }
    reporter.tell(LayerState::Pulling, 0);
    let content = Checked::open(source, layer)?;
    destination.put(layer, &mut Told { content, bytes: 0, reporter: &mut *reporter })?;
    reporter.whole(LayerState::Done);
    Ok(())
}

/// A layer that tells how far it was read.
struct Told<'a, 'b> {
    content: Checked<'a>,
    bytes: u64,
    reporter: &'a mut Reporter<'b>,
}

impl Read for Told<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.reporter.check()?;
        let read = self.content.read(buffer)?;
        self.bytes = self.bytes.saturating_add(read as u64);
        let state = if read == 0 { LayerState::Verifying } else { LayerState::Pulling };
        self.reporter.tell(state, self.bytes);
        Ok(read)
    }
}
