//! Container images: references, digests, documents, archives and a content-addressed store.
//!
//! | I want … | Here |
//! |---|---|
//! | the name of an image | [`Reference`] |
//! | to choose by platform | [`Platform`], [`Choice`] |
//! | the name of content | [`Digest`], [`Digester`] |
//! | a layer as files | [`unpack`] |
//! | to read an image's documents | [`Document`], [`Manifest`], [`Index`], [`Configuration`] |
//!
//! Everything that comes from outside is checked: digests, sizes, media types, nesting.

pub mod config;
pub mod descriptor;
mod digest;
mod document;
#[expect(dead_code, reason = "readers of files come next")]
mod error;
mod index;
mod manifest;
mod media_type;
pub mod platform;
pub mod reference;
pub mod unpack;

pub use config::Configuration;
pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, Digester};
pub use document::{DOCUMENT_MAX, Document};
pub use error::{Error, ErrorKind, Result};
pub use index::Index;
pub use manifest::{LAYERS_MAX, Manifest};
pub use media_type::{Compression, MediaType};
pub use platform::{Choice, Platform};
pub use reference::Reference;
