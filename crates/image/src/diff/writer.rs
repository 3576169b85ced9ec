//! Members as headers and contents: POSIX pax, with GNU tar's notation of sparse files.
//!
//! Kernel objects: none. Invariant: the same member gives the same bytes; every reader of pax
//! archives finds the same member in them.

use std::io::Write;

use tar::Header;

use super::compress::Output;
use super::records;
use crate::error::Error;
use crate::unpack::format::header::BLOCK;
use crate::unpack::format::member::{Kind, Member, Timestamp};
use crate::unpack::format::source::padding;
use crate::unpack::format::sparse::SparseMap;

/// The largest number in a field of 8 and of 12 bytes: octal digits and a zero byte.
const SHORT_MAX: u64 = 0o7_777_777;
const LONG_MAX: u64 = 0o77_777_777_777;

/// Zeros to fill up with.
const ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Writes the headers of a member, and for a sparse file its map; its content, of the length that
/// is returned, comes next, and then [`pad`].
pub(crate) fn begin<W: Write>(output: &mut Output<W>, member: &Member) -> Result<u64, Error> {
    let (content, map) = match &member.kind {
        Kind::File { size, sparse: None } => (*size, None),
        Kind::File { size, sparse: Some(map) } => {
            let stored: u64 = map.segments().iter().map(|segment| segment.len).sum();
            (stored, Some((map_text(map), *size)))
        }
        _ => (0, None),
    };
    let stored = content + map.as_ref().map_or(0, |(text, _)| text.len() as u64);
    let records = extended(member, stored, map.as_ref().map(|(_, size)| *size));
    if !records.is_empty() {
        let mut header = header(b"PaxHeaders/x", b"", b'x');
        header.set_mode(0o644);
        number(&mut header.as_old_mut().size, records.len() as u64);
        put_header(output, header)?;
        output.put(&records)?;
        pad(output, records.len() as u64)?;
    }
    put_header(output, main_header(member, stored))?;
    if let Some((text, _)) = map {
        output.put(&text)?;
    }
    Ok(content)
}

/// Fills a content of `size` bytes up to a block.
pub(crate) fn pad<W: Write>(output: &mut Output<W>, size: u64) -> Result<(), Error> {
    let len = usize::try_from(padding(size)).unwrap_or(0);
    output.put(ZEROS.get(..len).unwrap_or_default())
}

/// The two blocks that end an archive.
pub(crate) fn end<W: Write>(output: &mut Output<W>) -> Result<(), Error> {
    output.put(&ZEROS)?;
    output.put(&ZEROS)
}

fn put_header<W: Write>(output: &mut Output<W>, mut header: Header) -> Result<(), Error> {
    header.set_cksum();
    output.put(header.as_bytes())
}

/// The map in front of a sparse file's content, in version 1.0, filled up to a block.
fn map_text(map: &SparseMap) -> Vec<u8> {
    let mut text = format!("{}\n", map.segments().len());
    for segment in map.segments() {
        text += &format!("{}\n{}\n", segment.offset, segment.len);
    }
    let mut text = text.into_bytes();
    text.resize(text.len().next_multiple_of(BLOCK), 0);
    text
}

/// A header with everything zero but these.
fn header(name: &[u8], link: &[u8], kind: u8) -> Header {
    let mut header = Header::new_ustar();
    let fields = header.as_old_mut();
    fields.name.iter_mut().zip(name).for_each(|(to, from)| *to = *from);
    fields.linkname.iter_mut().zip(link).for_each(|(to, from)| *to = *from);
    fields.linkflag[0] = kind;
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn main_header(member: &Member, stored: u64) -> Header {
    let (kind, link): (u8, &[u8]) = match &member.kind {
        Kind::File { .. } => (b'0', b""),
        Kind::HardLink { target } => (b'1', target),
        Kind::Symlink { target } => (b'2', target),
        Kind::CharDevice { .. } => (b'3', b""),
        Kind::BlockDevice { .. } => (b'4', b""),
        Kind::Directory => (b'5', b""),
        Kind::Fifo => (b'6', b""),
    };
    let mut header = header(&member.name, link, kind);
    header.set_mode(member.mode);
    let fields = header.as_old_mut();
    number(&mut fields.uid, member.uid.into());
    number(&mut fields.gid, member.gid.into());
    number(&mut fields.size, stored);
    number(&mut fields.mtime, u64::try_from(member.mtime.sec).unwrap_or(0));
    if let Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } = member.kind
        && let Some(ustar) = header.as_ustar_mut()
    {
        ustar.set_device_major(major);
        ustar.set_device_minor(minor);
    }
    header
}

/// Octal digits and a zero byte; zero where it does not fit, and a record says it.
fn number(field: &mut [u8], value: u64) {
    let width = field.len() - 1;
    let max = if field.len() < 12 { SHORT_MAX } else { LONG_MAX };
    let text = format!("{:0width$o}\0", if value > max { 0 } else { value });
    field.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
}

/// The records for what the header cannot say, sorted by their keys.
fn extended(member: &Member, stored: u64, real_size: Option<u64>) -> Vec<u8> {
    let mut all: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut add = |key: &str, value: &[u8]| all.push((key.as_bytes().to_vec(), value.to_vec()));
    if let Some(size) = real_size {
        add("GNU.sparse.major", b"1");
        add("GNU.sparse.minor", b"0");
        add("GNU.sparse.name", &member.name);
        add("GNU.sparse.realsize", size.to_string().as_bytes());
    } else if member.name.len() > 100 {
        add("path", &member.name);
    }
    if let Kind::Symlink { target } | Kind::HardLink { target } = &member.kind
        && target.len() > 100
    {
        add("linkpath", target);
    }
    for (key, id) in [("uid", member.uid), ("gid", member.gid)] {
        if u64::from(id) > SHORT_MAX {
            add(key, id.to_string().as_bytes());
        }
    }
    if stored > LONG_MAX {
        add("size", stored.to_string().as_bytes());
    }
    if needs_record(member.mtime) {
        add("mtime", decimal(member.mtime).as_bytes());
    }
    for attribute in &member.attributes {
        let key = [b"SCHILY.xattr.".as_slice(), &attribute.name].concat();
        all.push((key, attribute.value.clone()));
    }
    all.sort();
    let mut records = Vec::new();
    all.iter().for_each(|(key, value)| records::push(&mut records, key, value));
    records
}

/// Whether seconds since 1970 in the header do not say it.
fn needs_record(time: Timestamp) -> bool {
    time.nsec != 0 || u64::try_from(time.sec).map_or(true, |sec| sec > LONG_MAX)
}

/// `[-]SECONDS[.FRACTION]`.
fn decimal(time: Timestamp) -> String {
    let (sign, sec, nsec) = match (time.sec < 0, time.nsec) {
        (true, 1..) => ("-", (time.sec + 1).unsigned_abs(), 1_000_000_000 - time.nsec),
        (negative, nsec) => (if negative { "-" } else { "" }, time.sec.unsigned_abs(), nsec),
    };
    let text = if nsec == 0 { String::new() } else { format!(".{nsec:09}") };
    format!("{sign}{sec}{}", text.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_back() {
        for (sec, nsec) in [(0, 0), (0, 1), (-1, 999_999_999), (-2, 500_000_000), (-5, 0), (7, 120)]
        {
            let time = Timestamp { sec, nsec };
            assert_eq!(Timestamp::parse(decimal(time).as_bytes()), Some(time), "{}", decimal(time));
        }
    }
}
