//! From a root document to one image: through indexes, by platform.
//!
//! Kernel objects: none. Invariant: at most [`DEPTH_MAX`] documents are read before the manifest,
//! and none of them twice.

use super::{Source, fetch};
use crate::config::Configuration;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::Document;
use crate::error::{Error, Flaw, Result};
use crate::index::INDEX;
use crate::manifest::Manifest;
use crate::platform::{Choice, Platform};

/// How deep indexes may be nested.
const DEPTH_MAX: usize = 4;

/// One image: what was chosen, its documents, and their bytes as they came.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Resolved {
    /// The manifest's descriptor.
    pub descriptor: Descriptor,
    /// The manifest.
    pub manifest: Manifest,
    /// The manifest's bytes.
    pub manifest_bytes: Vec<u8>,
    /// The configuration.
    pub config: Configuration,
    /// The configuration's bytes.
    pub config_bytes: Vec<u8>,
    /// The outermost index, if there is one.
    pub index: Option<Digest>,
}

/// Reads what leads to one image of a source, and its manifest and configuration.
///
/// # Errors
///
/// [`ErrorKind::NoMatchingPlatform`](crate::ErrorKind::NoMatchingPlatform),
/// [`ErrorKind::Ambiguous`](crate::ErrorKind::Ambiguous), and whatever [`Document::parse`],
/// [`Configuration::parse_for`] and [`fetch`] give.
pub fn resolve(source: &dyn Source, choice: &Choice) -> Result<Resolved> {
    let mut descriptor = source.root()?;
    let mut seen = Vec::new();
    loop {
        let bytes = fetch(source, &descriptor)?;
        match Document::parse(&bytes, Some(&descriptor.media_type))? {
            Document::Manifest(manifest) => {
                let index = seen.first().copied();
                return with_config(source, choice, Found { descriptor, manifest, bytes, index });
            }
            Document::Index(index) => {
                seen.push(descriptor.digest);
                if seen.len() > DEPTH_MAX {
                    return Err(Error::document(INDEX, Flaw::TooDeep(DEPTH_MAX)));
                }
                descriptor = index.choose(choice)?.clone();
                if seen.contains(&descriptor.digest) {
                    return Err(Error::document(INDEX, Flaw::Cycle(descriptor.digest)));
                }
            }
        }
    }
}

/// A manifest that was found.
struct Found {
    descriptor: Descriptor,
    manifest: Box<Manifest>,
    bytes: Vec<u8>,
    index: Option<Digest>,
}

fn with_config(source: &dyn Source, choice: &Choice, found: Found) -> Result<Resolved> {
    let Found { descriptor, manifest, bytes, index } = found;
    let config_bytes = fetch(source, &manifest.config)?;
    let config = Configuration::parse_for(&config_bytes, &manifest)?;
    if descriptor.platform.is_none() {
        check_platform(choice, config.platform.platform())?;
    }
    let (manifest, manifest_bytes) = (*manifest, bytes);
    Ok(Resolved { descriptor, manifest, manifest_bytes, config, config_bytes, index })
}

/// Refuses an image that no index has chosen, and that says that it is for something else.
fn check_platform(choice: &Choice, own: Option<Platform>) -> Result<()> {
    match (choice.platform(), own) {
        (Some(wanted), Some(own)) if wanted.rank(&own).is_none() => {
            Err(Error::no_platform(Some(wanted), vec![own]))
        }
        _ => Ok(()),
    }
}
