//! Container images: references, digests, documents, archives and a content-addressed store.
//!
//! | I want … | Here |
//! |---|---|
//! | the name of an image | [`Reference`] |
//! | to choose by platform | [`Platform`], [`Choice`] |
//! | the name of content | [`Digest`], [`Digester`] |
//! | images of a registry | `registry::Registry` (feature `registry`) |
//!
//! Everything that comes from outside is checked: digests, sizes, media types, nesting.

pub mod containerfile;
mod digest;
#[expect(dead_code, reason = "readers of files come next")]
mod error;
pub mod platform;
pub mod reference;
#[cfg(feature = "registry")]
pub mod registry;

pub use digest::{Algorithm, Digest, Digester};
pub use error::{Error, ErrorKind, Result};
pub use platform::{Choice, Platform};
pub use reference::Reference;
