//! One header block: its fields, checked.
//!
//! Kernel objects: none. Invariant: nothing is read from a header whose checksum is wrong.

use tar::Header;

use super::number;
use super::sparse::SparseMap;
use crate::unpack::trouble::Trouble;

/// Bytes of a block.
pub(crate) const BLOCK: usize = 512;

/// What a header's type byte says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    File,
    /// `\0`, from before POSIX: a directory if the name ends with a slash.
    OldFile,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
    /// GNU tar's own notation of a sparse file.
    Sparse,
    /// GNU tar: the next member's name.
    LongName,
    /// GNU tar: the next member's link target.
    LongLink,
    /// POSIX: records for the next member.
    Extended,
    /// POSIX: records for all members that follow.
    Global,
}

/// A header with a correct checksum.
pub(crate) struct Checked<'a>(&'a Header);

impl<'a> Checked<'a> {
    /// Checks the checksum, as the sum of unsigned bytes or, as old programs wrote it, signed ones.
    pub(crate) fn new(header: &'a Header) -> Result<Self, Trouble> {
        let wanted = number::field(&header.as_old().cksum).ok_or(Trouble::Checksum)?;
        let (mut unsigned, mut signed) = (0_i64, 0_i64);
        for (at, byte) in header.as_bytes().iter().enumerate() {
            let byte = if (148..156).contains(&at) { b' ' } else { *byte };
            unsigned += i64::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        if wanted == unsigned || wanted == signed {
            Ok(Self(header))
        } else {
            Err(Trouble::Checksum)
        }
    }

    pub(crate) fn kind(&self) -> Result<Type, Trouble> {
        Ok(match self.0.as_old().linkflag[0] {
            b'0' | b'7' => Type::File,
            0 => Type::OldFile,
            b'1' => Type::HardLink,
            b'2' => Type::Symlink,
            b'3' => Type::CharDevice,
            b'4' => Type::BlockDevice,
            b'5' => Type::Directory,
            b'6' => Type::Fifo,
            b'S' if self.0.as_gnu().is_some() => Type::Sparse,
            b'L' => Type::LongName,
            b'K' => Type::LongLink,
            b'x' => Type::Extended,
            b'g' => Type::Global,
            other => return Err(Trouble::Type(other)),
        })
    }

    /// The name, with the prefix that POSIX headers have.
    pub(crate) fn name(&self) -> Vec<u8> {
        let name = until_nul(&self.0.as_old().name);
        match self.0.as_ustar().map(|header| until_nul(&header.prefix)) {
            Some(prefix) if !prefix.is_empty() => [prefix, b"/", name].concat(),
            _ => name.to_vec(),
        }
    }

    pub(crate) fn link_name(&self) -> Vec<u8> {
        until_nul(&self.0.as_old().linkname).to_vec()
    }

    /// The size field, in bytes.
    pub(crate) fn size(&self) -> Result<u64, Trouble> {
        unsigned("the size", &self.0.as_old().size)
    }

    /// The permissions, without the type of the file that some programs write, too.
    pub(crate) fn mode(&self) -> Result<u32, Trouble> {
        let mode = unsigned("the mode", &self.0.as_old().mode)?;
        u32::try_from(mode).map(|mode| mode & 0o7777).map_err(|_| Trouble::Number("the mode"))
    }

    pub(crate) fn uid(&self) -> Result<u64, Trouble> {
        unsigned("the uid", &self.0.as_old().uid)
    }

    pub(crate) fn gid(&self) -> Result<u64, Trouble> {
        unsigned("the gid", &self.0.as_old().gid)
    }

    pub(crate) fn mtime(&self) -> Result<i64, Trouble> {
        number::field(&self.0.as_old().mtime).ok_or(Trouble::Number("the time"))
    }

    /// The number of a device: 12 bits of major and 20 of minor number, as Linux has them.
    pub(crate) fn device(&self) -> Result<(u32, u32), Trouble> {
        let trouble = Trouble::Number("the device number");
        let (major, minor) = match (self.0.as_ustar(), self.0.as_gnu()) {
            (Some(header), _) => (&header.dev_major, &header.dev_minor),
            (None, Some(header)) => (&header.dev_major, &header.dev_minor),
            (None, None) => return Err(trouble),
        };
        let part = |field: &[u8], bits: u32| {
            let value = number::field(field).and_then(|value| u32::try_from(value).ok());
            value.filter(|value| value >> bits == 0)
        };
        part(major, 12).zip(part(minor, 20)).ok_or(trouble)
    }

    /// GNU tar's own notation: adds the pieces that stand in the header.
    pub(crate) fn sparse(&self, map: &mut SparseMap) -> Result<(u64, bool), Trouble> {
        let header = self.0.as_gnu().ok_or(Trouble::SparseMap)?;
        add_pieces(map, header.sparse.iter().map(|piece| (&piece.offset, &piece.numbytes)))?;
        Ok((unsigned("the size", &header.realsize)?, header.isextended[0] != 0))
    }
}

/// Adds the pieces of a block that continues a header; says whether another one follows.
pub(crate) fn more_pieces(block: &[u8; BLOCK], map: &mut SparseMap) -> Result<bool, Trouble> {
    let mut header = tar::GnuExtSparseHeader::new();
    header.as_mut_bytes().copy_from_slice(block);
    add_pieces(map, header.sparse.iter().map(|piece| (&piece.offset, &piece.numbytes)))?;
    Ok(header.isextended[0] != 0)
}

fn add_pieces<'a>(
    map: &mut SparseMap,
    pieces: impl Iterator<Item = (&'a [u8; 12], &'a [u8; 12])>,
) -> Result<(), Trouble> {
    let mut ended = false;
    for (offset, len) in pieces {
        let empty = len[0] == 0;
        if !empty && ended {
            return Err(Trouble::SparseMap);
        }
        ended |= empty;
        if !empty {
            let part = |field| unsigned("a piece of a sparse file", field);
            map.push(part(offset)?, part(len)?)?;
        }
    }
    Ok(())
}

fn unsigned(what: &'static str, field: &[u8]) -> Result<u64, Trouble> {
    number::field(field).and_then(|value| u64::try_from(value).ok()).ok_or(Trouble::Number(what))
}

/// A text field: up to the first zero byte.
fn until_nul(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    field.get(..end).unwrap_or(field)
}
