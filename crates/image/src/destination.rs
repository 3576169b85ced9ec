//! Destinations: where an image goes to, and copying one there.
//!
//! Kernel objects: none. Invariant: an image becomes visible at a destination when all of it is
//! there, and was checked on its way.

mod layout_directory;

use crate::descriptor::Descriptor;
use crate::error::Result;
use crate::platform::Choice;
use crate::progress::{LayerState, Progress, Reporter};
use crate::reference::Reference;
use crate::source::{Resolved, Source, resolve, stream};
pub use layout_directory::LayoutDirectoryWriter;

/// Where one image goes to: a layout, an archive, a registry.
pub trait Destination {
    /// Whether a blob is there already, so that it need not be read.
    ///
    /// # Errors
    ///
    /// What asking gives.
    fn has(&mut self, blob: &Descriptor) -> Result<bool>;

    /// Takes a blob that is not there. The writer is dropped without
    /// [`finish`](BlobSink::finish) if the content was wrong.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoSpace`](crate::ErrorKind::NoSpace), and what writing gives.
    fn begin(&mut self, blob: &Descriptor) -> Result<Box<dyn BlobSink + '_>>;

    /// Takes the manifest, after everything that it leads to, and names it.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    fn finish(&mut self, image: &Resolved, name: Option<&Reference>) -> Result<()>;
}

/// Takes the bytes of one blob.
pub trait BlobSink {
    /// Takes the next bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoSpace`](crate::ErrorKind::NoSpace), and what writing gives.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// The blob is whole, and was what its digest says.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    fn finish(self: Box<Self>) -> Result<()>;
}

/// Copies one image, chosen by platform, to a destination; its bytes stay what they are.
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
    let layers = resolved.manifest.layers.len();
    for (at, layer) in resolved.manifest.layers.iter().enumerate() {
        let mut reporter = Reporter::new(progress, (at, layers), layer);
        if destination.has(layer)? {
            reporter.whole(LayerState::AlreadyThere);
            continue;
        }
        let mut sink = destination.begin(layer)?;
        let mut bytes = 0_u64;
        reporter.tell(LayerState::Pulling, bytes);
        stream(source, layer, |chunk| {
            sink.write(chunk)?;
            bytes = bytes.saturating_add(chunk.len() as u64);
            reporter.tell(LayerState::Pulling, bytes);
            Ok(())
        })?;
        reporter.whole(LayerState::Verifying);
        sink.finish()?;
        reporter.whole(LayerState::Done);
    }
    put(destination, &resolved.manifest.config, &resolved.config_bytes)?;
    destination.finish(&resolved, name)?;
    Ok(resolved)
}

/// A blob that is in memory, and was checked.
pub(crate) fn put(
    destination: &mut dyn Destination,
    blob: &Descriptor,
    bytes: &[u8],
) -> Result<()> {
    if destination.has(blob)? {
        return Ok(());
    }
    let mut sink = destination.begin(blob)?;
    sink.write(bytes)?;
    sink.finish()
}
