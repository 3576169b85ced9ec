//! OCI layouts: an `index.json` and blobs by digest, in a directory or an archive.
//!
//! Kernel objects: none. Invariant: blobs are found by typed digests only, and what an index says
//! of their size does not matter until it was checked.

use std::io::Read;
use std::path::Path;

use super::archive::Archive;
use super::files::Directory;
use super::{Source, Spool};
use crate::descriptor::{ANNOTATION_IMAGE_NAME, ANNOTATION_REF_NAME, Descriptor};
use crate::digest::Digest;
use crate::document::{self, Document};
use crate::error::{Error, Flaw, Result};
use crate::index::{INDEX, Index};
use crate::media_type::MediaType;
use crate::reference::Reference;

/// The file that says that something is a layout.
pub(crate) const LAYOUT: &str = "oci-layout";

/// The file with the names.
pub(crate) const INDEX_JSON: &str = "index.json";

/// The version of the layout that the image specification describes.
pub(crate) const VERSION: &str = "1.0.0";

#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Mark {
    #[serde(rename = "imageLayoutVersion")]
    pub(crate) version: String,
}

/// Refuses what is no layout, or one of another version.
pub(crate) fn check_mark(bytes: &[u8]) -> Result<()> {
    let mark: Mark = document::strict(LAYOUT, &["imageLayoutVersion"], bytes)?;
    // Versions with the same first number can be read.
    if mark.version.starts_with("1.") {
        Ok(())
    } else {
        Err(Error::document(LAYOUT, Flaw::NotWhatItSays(mark.version)))
    }
}

/// An index, which in a layout need not say what it is.
pub(crate) fn parse_index(bytes: &[u8]) -> Result<Index> {
    match Document::parse(bytes, None)? {
        Document::Index(index) => Ok(index),
        Document::Manifest(manifest) => {
            Err(Error::document(INDEX, Flaw::NotWhatItSays(manifest.media_type.to_string())))
        }
    }
}

/// An image in an OCI layout.
#[derive(Debug)]
pub struct Layout {
    files: Files,
    root: Root,
}

#[derive(Debug)]
enum Files {
    Directory(Directory),
    Archive(Archive),
}

impl Files {
    fn document(&self, name: &'static str) -> Result<Vec<u8>> {
        match self {
            Self::Directory(directory) => directory.document(name, name),
            Self::Archive(archive) => archive.document(name, name),
        }
    }
}

impl Layout {
    /// Opens an image in a directory: the one with this name (a tag, or a whole reference, as the
    /// layout has it), or without a name the only one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound),
    /// [`ErrorKind::Ambiguous`](crate::ErrorKind::Ambiguous),
    /// [`ErrorKind::InvalidDocument`](crate::ErrorKind::InvalidDocument) for what is no layout.
    pub fn directory(path: impl AsRef<Path>, name: Option<&str>) -> Result<Self> {
        Self::open(Files::Directory(Directory::open(path.as_ref())?), name)
    }

    /// Opens an image in a tar file, like [`directory`](Self::directory); one that is compressed as
    /// a whole is decompressed into a [`Spool`] first.
    ///
    /// # Errors
    ///
    /// As [`directory`](Self::directory);
    /// [`ErrorKind::InvalidArchive`](crate::ErrorKind::InvalidArchive) for what is no tar file, and
    /// [`ErrorKind::UnsupportedMediaType`](crate::ErrorKind::UnsupportedMediaType) for one that is
    /// compressed with zstd, without the feature `zstd`.
    pub fn archive(path: impl AsRef<Path>, name: Option<&str>) -> Result<Self> {
        Self::archive_spooled(path, name, &Spool::default())
    }

    /// As [`archive`](Self::archive), with the place for an archive that is compressed as a whole.
    ///
    /// # Errors
    ///
    /// As [`archive`](Self::archive);
    /// [`ErrorKind::QuotaExceeded`](crate::ErrorKind::QuotaExceeded) for more than
    /// [`Spool::bytes`], [`ErrorKind::NoSpace`](crate::ErrorKind::NoSpace).
    pub fn archive_spooled(
        path: impl AsRef<Path>,
        name: Option<&str>,
        spool: &Spool,
    ) -> Result<Self> {
        Self::open(Files::Archive(Archive::open(path.as_ref(), spool)?), name)
    }

    fn open(files: Files, name: Option<&str>) -> Result<Self> {
        check_mark(&files.document(LAYOUT)?)?;
        let index = parse_index(&files.document(INDEX_JSON)?)?;
        Ok(Self { files, root: Root::choose(index, name)? })
    }
}

impl Source for Layout {
    fn root(&self) -> Result<Descriptor> {
        Ok(self.root.descriptor.clone())
    }

    fn open(&self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        let path = blob_path(&blob.digest);
        let is_root = blob.digest == self.root.descriptor.digest;
        Ok(match (&self.root.bytes, &self.files) {
            (Some(bytes), _) if is_root => super::in_memory(bytes, offset),
            (_, Files::Directory(directory)) => Box::new(directory.file(&path, offset)?.0),
            (_, Files::Archive(archive)) => Box::new(archive.file(&path, offset)?.0),
        })
    }
}

/// Where a blob is in a layout.
pub(crate) fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

/// The image that is wanted of a layout, and the index that holds nothing but it if there are
/// several of the same name.
#[derive(Debug)]
struct Root {
    descriptor: Descriptor,
    /// The bytes of the descriptor's blob, if it is none of the layout's.
    bytes: Option<Vec<u8>>,
}

impl Root {
    /// The only image, or the one that has the name.
    fn choose(index: Index, name: Option<&str>) -> Result<Self> {
        let offered: Vec<String> = index.manifests.iter().filter_map(name_of).collect();
        let wanted = |entry: &Descriptor| name.is_none_or(|name| is_named(entry, name));
        let mut fitting: Vec<Descriptor> =
            index.manifests.iter().filter(|entry| wanted(entry)).cloned().collect();
        if fitting.len() > 1 {
            let names =
                fitting.iter().filter_map(name_of).collect::<std::collections::BTreeSet<_>>();
            // Several platforms of one image; different images have different names.
            if names.len() > 1 {
                return Err(Error::ambiguous(offered));
            }
            let bytes = Index { manifests: fitting, ..index }.to_bytes()?;
            let descriptor = Descriptor::of(MediaType::Index, &bytes);
            return Ok(Self { descriptor, bytes: Some(bytes) });
        }
        match fitting.pop() {
            Some(descriptor) => Ok(Self { descriptor, bytes: None }),
            None => Err(Error::not_named(name.unwrap_or_default(), offered)),
        }
    }
}

/// What an entry is called.
pub(crate) fn name_of(entry: &Descriptor) -> Option<String> {
    let name = entry.annotations.get(ANNOTATION_IMAGE_NAME);
    name.or_else(|| entry.annotations.get(ANNOTATION_REF_NAME)).cloned()
}

/// Whether an entry is the one of this name: a tag, or a whole reference however it is written.
fn is_named(entry: &Descriptor, name: &str) -> bool {
    let same = |own: &String| {
        let parsed = |text: &str| text.parse::<Reference>().map(|reference| reference.or_latest());
        own == name || parsed(own).is_ok_and(|own| Ok(own) == parsed(name))
    };
    let names = [ANNOTATION_REF_NAME, ANNOTATION_IMAGE_NAME];
    names.iter().filter_map(|key| entry.annotations.get(*key)).any(same)
        || entry.digest.to_string() == name
}
