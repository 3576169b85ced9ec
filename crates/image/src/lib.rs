//! Container images: references, digests, documents, archives and a content-addressed store.
//!
//! | I want … | Here |
//! |---|---|
//! | the name of content | [`Digest`], [`Digester`] |
//! | a layer as files | [`unpack`] |
//!
//! Everything that comes from outside is checked: digests, sizes, media types, nesting.

mod digest;
#[expect(dead_code, reason = "readers of files come next")]
mod error;
pub mod unpack;

pub use digest::{Algorithm, Digest, Digester};
pub use error::{Error, ErrorKind, Result};
