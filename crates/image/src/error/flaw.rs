//! What can be wrong with a document.
//!
//! Kernel objects: none. Invariant: texts from the document are clipped.

use super::clipped;
use crate::digest::Digest;
use crate::media_type::MediaType;

/// Why a document was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    #[error("{0} bytes are more than the 4 MiB that a document may have")]
    TooLarge(u64),
    #[error("line {line}, column {column}: {text}")]
    Json { line: usize, column: usize, text: String },
    #[error("it is a manifest and an index at the same time")]
    BothManifestAndIndex,
    #[error("the schema version has to be 2, not {}", .0.map_or_else(|| "absent".to_owned(), |own| own.to_string()))]
    SchemaVersion(Option<u64>),
    #[error("the media type is {found:?}, where {declared:?} was declared")]
    MediaType { declared: String, found: String },
    #[error("it says that it is {0:?}, and is not")]
    NotWhatItSays(String),
    #[error("{0} layers are more than an overlay takes")]
    TooManyLayers(usize),
    #[error("it has {diff_ids} layers, its manifest {layers}")]
    LayerCounts { layers: usize, diff_ids: usize },
    #[error("{0:?} stands in it twice")]
    Twice(String),
    #[error("indexes are nested more than {0} deep")]
    TooDeep(usize),
    #[error("the index {0} contains itself")]
    Cycle(Digest),
}

impl Flaw {
    /// A document has another media type than its descriptor.
    pub(crate) fn media_types(declared: &MediaType, found: &MediaType) -> Self {
        Self::MediaType { declared: clipped(declared.as_str()), found: clipped(found.as_str()) }
    }

    /// What the JSON parser said.
    pub(super) fn json(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        // The parser's sentence ends with the place, which is a fact of its own here.
        let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
        Self::Json { line: error.line(), column: error.column(), text: clipped(text) }
    }
}
