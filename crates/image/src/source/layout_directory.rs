//! A source that is an OCI layout in a directory.
//!
//! Kernel objects: the directory's files. Invariant: nothing outside of the directory is read.

use std::io::{Cursor, Read};
use std::path::Path;

use super::Source;
use super::files::Directory;
use super::layout::{self, INDEX_JSON, LAYOUT, Root};
use crate::descriptor::Descriptor;
use crate::error::Result;

/// An image in an OCI layout that is a directory.
#[derive(Debug)]
pub struct LayoutDirectory {
    directory: Directory,
    root: Root,
}

impl LayoutDirectory {
    /// Opens the image with this name: a tag, or a whole reference, as the layout has it; without a
    /// name the only one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound),
    /// [`ErrorKind::Ambiguous`](crate::ErrorKind::Ambiguous),
    /// [`ErrorKind::InvalidDocument`](crate::ErrorKind::InvalidDocument) for what is no layout.
    pub fn open(path: impl AsRef<Path>, name: Option<&str>) -> Result<Self> {
        let directory = Directory::open(path.as_ref())?;
        layout::check_mark(&directory.document(LAYOUT, LAYOUT)?)?;
        let index = layout::parse_index(&directory.document(INDEX_JSON, INDEX_JSON)?)?;
        Ok(Self { directory, root: Root::choose(index, name)? })
    }
}

impl Source for LayoutDirectory {
    fn root(&self) -> Result<Descriptor> {
        Ok(self.root.descriptor.clone())
    }

    fn open(&self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        match &self.root.bytes {
            Some(bytes) if blob.digest == self.root.descriptor.digest => {
                let mut reader = Cursor::new(bytes.as_slice());
                reader.set_position(offset);
                Ok(Box::new(reader))
            }
            _ => Ok(Box::new(self.directory.file(&layout::blob_path(blob), offset)?.0)),
        }
    }
}
