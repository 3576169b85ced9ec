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

use crate::descriptor::Descriptor;
use crate::error::Result;
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
}

/// Copies one image, chosen by platform, to a destination, and checks it on its way.
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
        reporter.tell(LayerState::Pulling, 0);
        let content = Checked::open(source, layer)?;
        destination.put(layer, &mut Told { content, bytes: 0, reporter: &mut reporter })?;
        reporter.whole(LayerState::Done);
    }
    let config = &resolved.manifest.config;
    if !destination.has(config)? {
        destination.put(config, &mut resolved.config_bytes.as_slice())?;
    }
    destination.finish(&resolved, name)?;
    Ok(resolved)
}

/// A layer that tells how far it was read.
struct Told<'a, 'b> {
    content: Checked<'a>,
    bytes: u64,
    reporter: &'a mut Reporter<'b>,
}

impl Read for Told<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.content.read(buffer)?;
        self.bytes = self.bytes.saturating_add(read as u64);
        let state = if read == 0 { LayerState::Verifying } else { LayerState::Pulling };
        self.reporter.tell(state, self.bytes);
        Ok(read)
    }
}
