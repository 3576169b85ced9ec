//! Documents: JSON that comes from outside, bounded and unambiguous, before anything is made of it.
//!
//! Kernel objects: none. Invariant: no two readers can see two different things in an accepted
//! document: no key stands twice or is a field in another case (Go ignores case), and a manifest is
//! not an index at the same time.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{self, Deserialize, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::digest::Digest;
use crate::error::{Error, Flaw, Result};
use crate::index::Index;
use crate::manifest::Manifest;
use crate::media_type::MediaType;

/// The largest document, in bytes: 4 MiB, as registries have it.
pub const DOCUMENT_MAX: u64 = 4 << 20;

/// How deep objects and arrays may be nested in a document.
const NESTING_MAX: usize = 64;

/// A manifest or an index.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Document {
    /// One image.
    Manifest(Box<Manifest>),
    /// Several images.
    Index(Index),
}

/// The keys that tell what a document is.
#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Shape {
    schema_version: Option<u64>,
    media_type: Option<MediaType>,
    config: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
    fs_layers: Option<IgnoredAny>,
    manifests: Option<IgnoredAny>,
}

impl Document {
    /// A manifest or an index from its bytes; `declared` is the media type by which it was found.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidDocument`](crate::ErrorKind::InvalidDocument) for what is larger than
    /// [`DOCUMENT_MAX`], no JSON, ambiguous, or not what was declared;
    /// [`ErrorKind::UnsupportedMediaType`](crate::ErrorKind::UnsupportedMediaType) for other media
    /// types; [`ErrorKind::ForeignLayer`](crate::ErrorKind::ForeignLayer).
    pub fn parse(bytes: &[u8], declared: Option<&MediaType>) -> Result<Self> {
        let what = "manifest";
        let shape: Shape = strict(what, FIELDS, bytes)?;
        let is_index = shape.manifests.is_some();
        let is_manifest = shape.config.is_some() || shape.layers.is_some();
        if is_index && (is_manifest || shape.fs_layers.is_some()) {
            return Err(Error::document(what, Flaw::BothManifestAndIndex));
        }
        if shape.schema_version != Some(2) {
            return Err(Error::document(what, Flaw::SchemaVersion(shape.schema_version)));
        }
        let guess = if is_index { MediaType::Index } else { MediaType::Manifest };
        let own = shape.media_type.as_ref().or(declared).unwrap_or(&guess).clone();
        if let Some(declared) = declared.filter(|declared| **declared != own) {
            return Err(Error::document(what, Flaw::media_types(declared, &own)));
        }
        match own {
            own if own.is_index() && is_index => Index::from_json(bytes, own).map(Self::Index),
            own if own.is_manifest() && is_manifest => {
                Manifest::from_json(bytes, own).map(Box::new).map(Self::Manifest)
            }
            own if own.is_index() || own.is_manifest() => {
                Err(Error::document(what, Flaw::NotWhatItSays(own.to_string())))
            }
            own => Err(Error::media_type(what, &own)),
        }
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(&self) -> &MediaType {
        match self {
            Self::Manifest(manifest) => &manifest.media_type,
            Self::Index(index) => &index.media_type,
        }
    }
}

/// Refuses what does not have the digest or size that was promised.
pub(crate) fn verify(what: &'static str, bytes: &[u8], digest: &Digest, size: u64) -> Result<()> {
    if bytes.len() as u64 != size {
        return Err(Error::size(what, *digest, size, bytes.len() as u64));
    }
    let mut digester = crate::Digester::new(digest.algorithm());
    digester.update(bytes);
    let found = digester.finish();
    if found == *digest { Ok(()) } else { Err(Error::mismatch(what, *digest, found)) }
}

/// The fields of manifests and indexes.
#[rustfmt::skip]
pub(crate) const FIELDS: Fields = &[
    "schemaVersion", "mediaType", "config", "layers", "fsLayers", "manifests", "annotations", "subject", "artifactType",
    "digest", "size", "urls", "data", "platform",
    "architecture", "os", "os.version", "os.features", "variant", "features",
];

/// Names that mean something in a document.
pub(crate) type Fields = &'static [&'static str];

/// Parses `bytes` after checking that they are bounded, say everything once, and write none of
/// `fields` in another case.
pub(crate) fn strict<'de, T: Deserialize<'de>>(
    what: &'static str,
    fields: Fields,
    bytes: &'de [u8],
) -> Result<T> {
    if bytes.len() as u64 > DOCUMENT_MAX {
        return Err(Error::document(what, Flaw::TooLarge(bytes.len() as u64)));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let once = Once { fields, nesting: 0, case: Case::Ignored };
    once.deserialize(&mut reader).map_err(|error| Error::json(what, &error))?;
    reader.end().map_err(|error| Error::json(what, &error))?;
    serde_json::from_slice(bytes).map_err(|error| Error::json(what, &error))
}

/// The JSON of a document of ours.
pub(crate) fn to_json<T: serde::Serialize>(what: &'static str, value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::json(what, &error))
}

/// A key as Go compares it: without case, and with the two letters that fold to ASCII.
fn folded(key: &str) -> String {
    let ascii = |letter| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other,
    };
    key.chars().map(ascii).collect::<String>().to_lowercase()
}

/// Whether keys that differ in case only are two keys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    /// The keys are fields: Go takes `Layers` for `layers`.
    Ignored,
    /// The keys are data.
    Matters,
}

/// Maps whose keys are data.
const MAPS: [&str; 4] = ["annotations", "Labels", "ExposedPorts", "Volumes"];

/// Walks a value and refuses keys that stand twice in one object.
#[derive(Clone, Copy)]
struct Once {
    fields: Fields,
    nesting: usize,
    case: Case,
}

impl Once {
    fn is_field_in_another_case(self, key: &str, folded: &str) -> bool {
        let mut fields = self.fields.iter().filter(|field| field.eq_ignore_ascii_case(folded));
        let is_one = fields.clone().next().is_some();
        is_one && !fields.any(|field| *field == key)
    }

    fn below<E: de::Error>(self, key: Option<&str>) -> Result<Self, E> {
        if self.nesting >= NESTING_MAX {
            return Err(E::custom(format_args!("nested more than {NESTING_MAX} deep")));
        }
        let is_map = key.is_some_and(|key| MAPS.contains(&key));
        let case = if is_map { Case::Matters } else { Case::Ignored };
        Ok(Self { nesting: self.nesting + 1, case, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Once {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let below = self.below(None)?;
        while items.next_element_seed(below)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            entries.next_value_seed(self.below(Some(&key))?)?;
            let folded = match self.case {
                Case::Ignored => folded(&key),
                Case::Matters => key.clone(),
            };
            if self.case == Case::Ignored && self.is_field_in_another_case(&key, &folded) {
                return Err(de::Error::custom(format_args!("{key:?} is a field in another case")));
            }
            if !seen.insert(folded) {
                return Err(de::Error::custom(format_args!("the key {key:?} stands twice")));
            }
        }
        Ok(())
    }
}
