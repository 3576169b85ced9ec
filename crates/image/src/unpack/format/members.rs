//! The members of a layer, one after the other: headers put together with their extensions.
//!
//! Kernel objects: none. Invariant: where readers of tar files understand an archive differently
//! (two sizes, content behind what has none, global headers that rename), it is refused, so that
//! what was checked elsewhere is what is written here. See tar(5) and pax(1).

use std::io::BufRead;

use tar::Header;

use super::header::{BLOCK, Checked, Type, more_pieces};
use super::member::{Kind, Member, Timestamp};
use super::number;
use super::pax::{Extended, Record, split_record};
use super::source::{Source, padding};
use super::sparse::SparseMap;
use crate::unpack::quotas::{Quota, Quotas};
use crate::unpack::trouble::{NameTrouble, Trouble};

/// The size that bsdtar writes where the true one does not fit.
const SATURATED: u64 = 0o77_777_777_777;

/// Reads members.
pub(crate) struct Members<R> {
    source: Source<R>,
    quotas: Quotas,
    entries: u64,
    headers: u64,
    /// What is left of the current member's content, and of the padding behind it.
    content: u64,
    padding: u64,
}

/// What stands in front of a member.
#[derive(Default)]
struct Front {
    extended: Option<Extended>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl<R: BufRead> Members<R> {
    pub(crate) fn new(stream: R, quotas: Quotas) -> Self {
        let source = Source::new(stream, quotas.bytes);
        Self { source, quotas, entries: 0, headers: 0, content: 0, padding: 0 }
    }

    /// The byte of the uncompressed layer that comes next.
    pub(crate) fn position(&self) -> u64 {
        self.source.position()
    }

    /// The next member, or `None` at the end of the layer, of which then every byte was read.
    pub(crate) fn next(&mut self) -> Result<Option<Member>, Trouble> {
        self.source.skip(self.content)?;
        self.source.skip(self.padding)?;
        (self.content, self.padding) = (0, 0);
        let mut front = Front::default();
        while let Some(header) = self.header()? {
            let header = Checked::new(&header)?;
            let kind = header.kind()?;
            match kind {
                Type::Extended => {
                    let data = self.extension(&header, self.quotas.extended_header())?;
                    let extended = Extended::parse(&data, &self.quotas)?;
                    once(&mut front.extended, "an extended header", extended)?;
                }
                Type::Global => {
                    let data = self.extension(&header, self.quotas.extended_header())?;
                    check_global(&data)?;
                }
                Type::LongName => {
                    let name = self.long_name(&header)?;
                    once(&mut front.name, "a long name", name)?;
                }
                Type::LongLink => {
                    let link = self.long_name(&header)?;
                    once(&mut front.link, "a long target", link)?;
                }
                _ => return self.assemble(&header, kind, front).map(Some),
            }
        }
        let alone = front.extended.is_some() || front.name.is_some() || front.link.is_some();
        if alone { Err(Trouble::NoMember) } else { Ok(None) }
    }

    /// The content of the current member, in pieces as they come.
    pub(crate) fn content(
        &mut self,
        len: u64,
        take: impl FnMut(&[u8]) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let len = len.min(self.content);
        self.source.read(len, take)?;
        self.content -= len;
        Ok(())
    }

    /// The next block that is a header; `None` at the end.
    fn header(&mut self) -> Result<Option<Header>, Trouble> {
        let Some(block) = self.source.block()? else {
            return Ok(None);
        };
        if block == [0; BLOCK] {
            return match self.source.block()? {
                Some(second) if second != [0; BLOCK] => Err(Trouble::LoneZeroBlock),
                _ => self.source.zeros_to_end().map(|()| None),
            };
        }
        // Extensions count, too: three may stand before each member.
        count(&mut self.headers, self.quotas.entries.saturating_mul(4))?;
        let mut header = Header::new_old();
        header.as_mut_bytes().copy_from_slice(&block);
        Ok(Some(header))
    }

    /// The content of an extension.
    fn extension(&mut self, header: &Checked<'_>, max: usize) -> Result<Vec<u8>, Trouble> {
        let size = header.size()?;
        let len = usize::try_from(size).ok().filter(|len| *len <= max);
        let len = len.ok_or(Trouble::Quota(Quota::ExtendedHeader, max as u64))?;
        let data = self.source.bytes(len)?;
        self.source.skip(padding(size))?;
        Ok(data)
    }

    /// GNU tar's long name: ended by a zero byte, and nothing behind that.
    fn long_name(&mut self, header: &Checked<'_>) -> Result<Vec<u8>, Trouble> {
        let max = self.quotas.name.saturating_add(1 + BLOCK);
        let mut name = self.extension(header, max)?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        if name.iter().skip(end).any(|byte| *byte != 0) {
            return Err(Trouble::Name(NameTrouble::Nul));
        }
        name.truncate(end);
        if name.is_empty() { Err(Trouble::Name(NameTrouble::Empty)) } else { Ok(name) }
    }

    fn assemble(
        &mut self,
        header: &Checked<'_>,
        kind: Type,
        front: Front,
    ) -> Result<Member, Trouble> {
        count(&mut self.entries, self.quotas.entries)?;
        let mut extended = front.extended.unwrap_or_default();
        let name = either(front.name, extended.path.take(), "a name")?;
        let link = either(front.link, extended.linkpath.take(), "a target")?;
        let name = extended.sparse.name.take().or(name).unwrap_or_else(|| header.name());
        let link = link.unwrap_or_else(|| header.link_name());
        let content = content_size(header, extended.size)?;
        let kind = self.kind(header, kind, (&name, link), (content, &mut extended))?;
        let old_time = Timestamp { sec: header.mtime()?, nsec: 0 };
        Ok(Member {
            name,
            kind,
            mode: header.mode()?,
            uid: id("the uid", extended.uid.map_or_else(|| header.uid(), Ok)?)?,
            gid: id("the gid", extended.gid.map_or_else(|| header.gid(), Ok)?)?,
            mtime: extended.mtime.unwrap_or(old_time),
            atime: extended.atime,
            attributes: extended.attributes,
        })
    }

    /// What the member is; notes how much content follows.
    fn kind(
        &mut self,
        header: &Checked<'_>,
        kind: Type,
        (name, target): (&[u8], Vec<u8>),
        (content, extended): (u64, &mut Extended),
    ) -> Result<Kind, Trouble> {
        let slash = name.ends_with(b"/");
        let kind = match kind {
            Type::OldFile if slash => Kind::Directory,
            // GNU tar makes a directory of it, Go and Python a file.
            Type::File | Type::Sparse if slash => return Err(Trouble::Name(NameTrouble::Slash)),
            Type::File | Type::OldFile if extended.sparse.is_present() => {
                return self.sparse_by_records(content, extended);
            }
            Type::Sparse if !extended.sparse.is_present() => {
                return self.sparse_by_header(header, content);
            }
            // GNU tar makes a file of whatever has such records.
            _ if extended.sparse.is_present() => return Err(Trouble::SparseMap),
            Type::File | Type::OldFile => {
                (self.content, self.padding) = (content, padding(content));
                return Ok(Kind::File { size: content, sparse: None });
            }
            // Old programs write the size of the file here; nobody expects content.
            Type::HardLink => return Ok(Kind::HardLink { target }),
            Type::Symlink => Kind::Symlink { target },
            Type::CharDevice => {
                let (major, minor) = header.device()?;
                Kind::CharDevice { major, minor }
            }
            Type::BlockDevice => {
                let (major, minor) = header.device()?;
                Kind::BlockDevice { major, minor }
            }
            Type::Fifo => Kind::Fifo,
            _ => Kind::Directory,
        };
        // GNU tar skips it, Go and Python take it for the next header.
        if content == 0 { Ok(kind) } else { Err(Trouble::Content(content)) }
    }

    /// GNU tar's own notation: the map is in the header and in the blocks behind it.
    fn sparse_by_header(&mut self, header: &Checked<'_>, stored: u64) -> Result<Kind, Trouble> {
        let mut map = SparseMap::default();
        let (size, mut more) = header.sparse(&mut map)?;
        while more {
            let block = self.source.block()?.ok_or(Trouble::Truncated)?;
            more = more_pieces(&block, &mut map)?;
        }
        self.sparse(map, stored, size, padding(stored))
    }

    /// Versions 0.0, 0.1 (the map is in the records) and 1.0 (in front of the content).
    fn sparse_by_records(
        &mut self,
        content: u64,
        extended: &mut Extended,
    ) -> Result<Kind, Trouble> {
        let sparse = std::mem::take(&mut extended.sparse);
        let size = match (sparse.size, sparse.realsize) {
            (Some(size), None) | (None, Some(size)) => size,
            _ => return Err(Trouble::SparseMap),
        };
        match (sparse.major, sparse.minor, sparse.map) {
            (None, None, Some(map)) => {
                let pieces = map.segments().len() as u64;
                if sparse.numblocks.is_some_and(|wanted| wanted != pieces) {
                    return Err(Trouble::SparseMap);
                }
                self.sparse(map, content, size, padding(content))
            }
            (Some(1), Some(0), None) => {
                let before = self.position();
                let map = self.map_in_content()?;
                let used = self.position() - before;
                let stored = content.checked_sub(used).ok_or(Trouble::SparseMap)?;
                self.sparse(map, stored, size, padding(content))
            }
            _ => Err(Trouble::SparseMap),
        }
    }

    fn sparse(
        &mut self,
        map: SparseMap,
        stored: u64,
        size: u64,
        padding: u64,
    ) -> Result<Kind, Trouble> {
        let map = map.checked(stored, size)?;
        (self.content, self.padding) = (stored, padding);
        Ok(Kind::File { size, sparse: Some(map) })
    }

    /// Version 1.0: decimal numbers, one per line: how many pieces, then offset and length of each;
    /// filled up to a block.
    fn map_in_content(&mut self) -> Result<SparseMap, Trouble> {
        let mut lines = Lines { block: [0; BLOCK], at: BLOCK };
        let pieces = lines.number(&mut self.source)?;
        let mut map = SparseMap::default();
        for _ in 0..pieces {
            let offset = lines.number(&mut self.source)?;
            map.push(offset, lines.number(&mut self.source)?)?;
        }
        Ok(map)
    }
}

/// Lines of decimal digits in blocks.
struct Lines {
    block: [u8; BLOCK],
    at: usize,
}

impl Lines {
    fn number<R: BufRead>(&mut self, source: &mut Source<R>) -> Result<u64, Trouble> {
        let mut digits = Vec::new();
        loop {
            let Some(byte) = self.block.get(self.at) else {
                self.block = source.block()?.ok_or(Trouble::Truncated)?;
                self.at = 0;
                continue;
            };
            self.at += 1;
            match byte {
                b'\n' => return number::decimal(&digits).ok_or(Trouble::SparseMap),
                // The longest number has 20 digits.
                _ if digits.len() >= 20 => return Err(Trouble::SparseMap),
                byte => digits.push(*byte),
            }
        }
    }
}

/// A global header may comment (as `git archive` does), not change members: Go ignores it where
/// GNU tar obeys.
fn check_global(mut data: &[u8]) -> Result<(), Trouble> {
    while !data.is_empty() {
        let (Record { key, .. }, rest) = split_record(data).ok_or(Trouble::Record)?;
        if key != b"comment" {
            let key = crate::error::clipped(&String::from_utf8_lossy(key));
            return Err(Trouble::Global(key));
        }
        data = rest;
    }
    Ok(())
}

fn count(counter: &mut u64, max: u64) -> Result<(), Trouble> {
    *counter += 1;
    if *counter > max { Err(Trouble::Quota(Quota::Entries, max)) } else { Ok(()) }
}

fn once<T>(slot: &mut Option<T>, what: &'static str, value: T) -> Result<(), Trouble> {
    if slot.replace(value).is_some() { Err(Trouble::Twice(what)) } else { Ok(()) }
}

fn either<T>(a: Option<T>, b: Option<T>, what: &'static str) -> Result<Option<T>, Trouble> {
    if a.is_some() && b.is_some() { Err(Trouble::Twice(what)) } else { Ok(a.or(b)) }
}

/// The size of the content: a record's counts; the header's has to be the same, or say nothing.
fn content_size(header: &Checked<'_>, record: Option<u64>) -> Result<u64, Trouble> {
    let in_header = header.size()?;
    let size = match record {
        Some(size) if in_header != size && in_header != 0 && in_header != SATURATED => {
            return Err(Trouble::Sizes(in_header, size));
        }
        Some(size) => size,
        None => in_header,
    };
    if i64::try_from(size).is_ok() { Ok(size) } else { Err(Trouble::Number("the size")) }
}

/// An id; the largest number means "none" to chown(2).
fn id(what: &'static str, value: u64) -> Result<u32, Trouble> {
    let id = u32::try_from(value).ok().filter(|id| *id != u32::MAX);
    id.ok_or(Trouble::Number(what))
}
