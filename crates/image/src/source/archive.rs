//! Archives: tar files with named files that are read in any order.
//!
//! Kernel objects: one open file, read with pread(2) from several threads. Invariant: an archive
//! that readers of tar files understand differently is refused when it is opened.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::{CHUNK, Spool};
use crate::document::DOCUMENT_MAX;
use crate::error::{Error, Flaw, Result};
use crate::media_type::Compression;
use crate::unpack::Quotas;
use crate::unpack::format::member::{Kind, Member};
use crate::unpack::format::members::Members;

/// How many links are followed from one name.
const LINKS_MAX: usize = 8;

/// An archive, and where its files are in it.
#[derive(Debug)]
pub(crate) struct Archive {
    file: File,
    path: PathBuf,
    members: BTreeMap<String, Place>,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    File { offset: u64, size: u64 },
    Link { target: String },
}

/// Archives of images have few files with short names, and may be long.
fn quotas() -> Quotas {
    let mut quotas = Quotas::default();
    (quotas.bytes, quotas.entries, quotas.name) = (u64::MAX, 50_000, 512);
    quotas
}

impl Archive {
    /// Opens an archive, and reads through it once to find what is in it; one that is compressed
    /// is decompressed before.
    pub(crate) fn open(path: &Path, spool: &Spool) -> Result<Self> {
        let failed = |errno| Error::at("open", path, errno);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
        let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?);
        let mut archive = Self { file, path: path.to_owned(), members: BTreeMap::new() };
        archive.decompress(spool)?;
        archive.find_members()?;
        Ok(archive)
    }

    /// A compressed archive cannot be read in any order.
    fn decompress(&mut self, spool: &Spool) -> Result<()> {
        let mut magic = Vec::new();
        let read = self.reader(0, 4).read_to_end(&mut magic);
        read.map_err(|error| Error::io("read", &self.path, &error))?;
        let compression = Compression::of_magic(&magic);
        if compression != Compression::Uncompressed {
            self.file = spool.decompress(compression, self.reader(0, u64::MAX))?;
        }
        Ok(())
    }

    fn find_members(&mut self) -> Result<()> {
        let stream = BufReader::with_capacity(CHUNK, self.reader(0, u64::MAX));
        let mut members = Members::new(stream, quotas());
        let mut found = BTreeMap::new();
        loop {
            let member = members.next();
            let position = members.position();
            let Some(member) = member.map_err(|trouble| Error::layer(None, position, trouble))?
            else {
                break;
            };
            let name = normal(&String::from_utf8_lossy(&member.name));
            let Some(place) = place_of(&member, &name, position) else { continue };
            if found.insert(name.clone(), place).is_some() {
                return Err(Error::document("archive", Flaw::Twice(name)));
            }
        }
        self.members = found;
        Ok(())
    }

    fn reader(&self, offset: u64, size: u64) -> Slice<'_> {
        Slice { file: &self.file, offset, left: size }
    }

    /// Opens a file of it at an offset; returns its length, too.
    pub(crate) fn file(&self, name: &str, offset: u64) -> Result<(Slice<'_>, u64)> {
        let mut name = name;
        for _ in 0..LINKS_MAX {
            match self.members.get(name) {
                Some(Place::File { offset: start, size }) => {
                    let offset = offset.min(*size);
                    return Ok((self.reader(start.saturating_add(offset), size - offset), *size));
                }
                Some(Place::Link { target }) => name = target,
                None => break,
            }
        }
        Err(Error::at("open", &self.path.join(name), rustix::io::Errno::NOENT))
    }

    /// A whole file, if it is no larger than a document.
    pub(crate) fn document(&self, what: &'static str, name: &str) -> Result<Vec<u8>> {
        let (mut file, size) = self.file(name, 0)?;
        if size > DOCUMENT_MAX {
            return Err(Error::document(what, Flaw::TooLarge(size)));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(|error| Error::io("read", &self.path.join(name), &error))?;
        Ok(bytes)
    }
}

/// Where a member is, if it is a file or leads to one.
fn place_of(member: &Member, name: &str, offset: u64) -> Option<Place> {
    match &member.kind {
        Kind::File { size, sparse: None } => Some(Place::File { offset, size: *size }),
        Kind::HardLink { target } => {
            Some(Place::Link { target: normal(&String::from_utf8_lossy(target)) })
        }
        // Docker once wrote a layer that stands in several images as links to one of them.
        Kind::Symlink { target } => {
            let target = String::from_utf8_lossy(target);
            let parent = name.rsplit_once('/').map_or("", |(parent, _)| parent);
            Some(Place::Link { target: normal(&format!("{parent}/{target}")) })
        }
        _ => None,
    }
}

/// A name without `.` and `..`, which cannot lead out of an archive: it is a key, no path.
fn normal(name: &str) -> String {
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// A part of a file.
#[derive(Debug)]
pub(crate) struct Slice<'a> {
    file: &'a File,
    offset: u64,
    left: u64,
}

impl Read for Slice<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read_at(buffer.get_mut(..len).unwrap_or_default(), self.offset)?;
        self.offset = self.offset.saturating_add(read as u64);
        self.left = self.left.saturating_sub(read as u64);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_keys() {
        for (name, key) in [
            ("a/b", "a/b"),
            ("./a//b/", "a/b"),
            ("../../etc/x", "etc/x"),
            ("a/../b", "b"),
            ("", ""),
        ] {
            assert_eq!(normal(name), key);
        }
    }
}
