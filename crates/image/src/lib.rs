//! Container images: references, digests, documents, archives and a content-addressed store.
//!
//! | I want … | Here |
//! |---|---|
//! | the name of an image | [`Reference`] |
//! | to choose by platform | [`Platform`], [`Choice`] |
//! | the name of content | [`Digest`], [`Digester`] |
//! | to build one | [`build`], [`containerfile`] |
//! | images of a registry | `registry::Registry` (feature `registry`) |
//! | a layer as files | [`unpack`] |
//! | files as a layer | [`diff`] |
//! | to read an image's documents | [`Document`], [`Manifest`], [`Index`], [`Configuration`] |
//! | to keep images with their owners, without being root | [`MappedIds`] |
//! | to keep images | [`Store`] |
//! | to take one over from somewhere | [`Store::pull`], [`source`] |
//! | to make one | [`Store::commit`], [`Store::import`], [`NewImage`] |
//! | to hand one on | [`copy()`], [`destination`] |
//! | to know how far it is | [`Progress`] |
//!
//! Everything that comes from outside is checked: digests, sizes, media types, nesting.
//!
//! ```no_run
//! use ampoule_image::source::Layout;
//! use ampoule_image::store::Unpacker;
//! use ampoule_image::unpack::Unpack;
//! use ampoule_image::{Event, Pull, Store};
//!
//! # fn main() -> ampoule_image::Result<()> {
//! let store = Store::open("/var/lib/images")?;
//! let source = Layout::archive("alpine.tar", None)?;
//! let show = |event: &Event| println!("{}: {:?} {}/{}", event.digest, event.state, event.bytes, event.total);
//! let unpack = Unpack::default();
//! let image = store.pull(&source, &"alpine:3.22".parse()?, &Pull::new().unpack(&unpack).progress(&show))?;
//! for layer in image.layers(&unpack.form())? {
//!     println!("{}", layer.path().display());
//! }
//! # Ok(())
//! # }
//! ```

pub mod build;
mod commit;
pub mod config;
pub mod containerfile;
pub mod descriptor;
pub mod destination;
pub mod diff;
mod digest;
mod document;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod ids;
mod index;
mod jobs;
mod manifest;
mod media_type;
pub mod platform;
pub mod progress;
mod pull;
pub mod reference;
#[cfg(feature = "registry")]
pub mod registry;
pub mod source;
pub mod store;
pub mod unpack;

pub use commit::NewImage;
pub use config::Configuration;
pub use descriptor::Descriptor;
pub use destination::{Destination, copy};
pub use digest::{Algorithm, Digest, Digester};
pub use document::{DOCUMENT_MAX, Document};
pub use error::{Error, ErrorKind, Result};
pub use ids::MappedIds;
pub use index::Index;
pub use manifest::{LAYERS_MAX, Manifest};
pub use media_type::{Compression, MediaType};
pub use platform::{Choice, Platform};
pub use progress::{Event, LayerState, Progress};
pub use pull::Pull;
pub use reference::Reference;
pub use source::Source;
pub use store::{Image, Layer, Store};
