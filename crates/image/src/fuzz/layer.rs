//! Layers, for the fuzz targets.
//!
//! Kernel objects: a directory that the caller gives. Invariant: no input panics, takes memory
//! beyond the quotas, or touches anything outside the directory; a member that is read is written
//! so that it is read again as the same.

use std::os::fd::BorrowedFd;

use tar::Header;

use crate::Compression;
use crate::diff::{Diff, compress::Output, writer};
use crate::unpack::format::header::BLOCK;
use crate::unpack::format::member::{Kind, Member};
use crate::unpack::format::members::Members;
use crate::unpack::tree::layer::Layer;
use crate::unpack::{Devices, Ownership, Quotas, Unpack, Whiteouts};

/// Small ones, so that they are reached.
fn quotas() -> Quotas {
    Quotas { bytes: 1 << 20, entries: 40, depth: 8, name: 300, attribute: 1024 }
}

/// Makes the checksum right of every block that says it is a header: no input gets far otherwise.
fn with_checksums(data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    for block in data.chunks_exact_mut(BLOCK).filter(|block| block.get(257..262) == Some(b"ustar"))
    {
        let mut header = Header::new_old();
        header.as_mut_bytes().copy_from_slice(block);
        header.set_cksum();
        block.copy_from_slice(header.as_bytes());
    }
    data
}

/// The members of a tar file, without a file system.
pub fn members(data: &[u8]) {
    let data = with_checksums(data);
    let mut members = Members::new(data.as_slice(), quotas());
    while let Ok(Some(member)) = members.next() {
        assert!(member.mode <= 0o7777 && member.mtime.nsec < 1_000_000_000);
        let mut read = 0;
        let whole = members.content(u64::MAX, |piece| {
            read += piece.len() as u64;
            Ok(())
        });
        if let (Ok(()), Kind::File { size, sparse }) = (&whole, &member.kind) {
            assert!(read == *size || sparse.is_some() && read <= *size);
        }
        if whole.is_err() {
            break;
        }
        // No tree has a file without a name.
        if !member.name.is_empty() {
            assert_eq!(rewritten(&member, read).as_ref(), Some(&Member { atime: None, ..member }));
        }
    }
    assert!(members.position() <= data.len() as u64);
}

/// The member as it is read after it was written.
fn rewritten(member: &Member, content: u64) -> Option<Member> {
    let diff = Diff { compression: Compression::Uncompressed, ..Diff::default() };
    let mut bytes = Vec::new();
    let mut output = Output::new(&diff, &mut bytes).ok()?;
    let size = writer::begin(&mut output, member).ok()?;
    assert_eq!(size, content);
    output.put(&vec![1; usize::try_from(size).ok()?]).ok()?;
    writer::pad(&mut output, size).ok()?;
    writer::end(&mut output).ok()?;
    output.finish().ok()?;
    // An extended header may say more than the one that it comes from: the name of a sparse file.
    let quotas = Quotas { bytes: 4 << 20, attribute: 4096, ..quotas() };
    Members::new(bytes.as_slice(), quotas).next().ok()?
}

/// A layer into `directory`, in the form that the first byte says.
pub fn apply(data: &[u8], directory: BorrowedFd<'_>) {
    let (form, data) = data.split_first().unwrap_or((&0, data));
    let options = Unpack {
        quotas: quotas(),
        devices: Devices::Skip,
        ownership: Ownership::Single,
        whiteouts: if form & 1 == 0 { Whiteouts::Applied } else { Whiteouts::User },
        ..Unpack::default()
    };
    let data = with_checksums(data);
    let mut layer = Layer::new(&options, directory);
    let written = layer.write(&mut Members::new(data.as_slice(), options.quotas));
    if let Err(error) = written {
        assert!(!error.to_string().is_empty());
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_read(data: Vec<u8>) {
            members(&data);
        }

        #[test]
        fn likely_members_are_read(kinds in "[0-7xgLKS\0]{1,6}", at in 0..512_usize, byte: u8, content in 0..600_u64) {
            let mut data = Vec::new();
            for kind in kinds.bytes() {
                let mut header = Header::new_ustar();
                header.as_old_mut().name[0] = b'n';
                header.as_old_mut().linkflag[0] = kind;
                header.set_size(content);
                header.as_mut_bytes()[at] = byte;
                data.extend_from_slice(header.as_bytes());
                data.resize(data.len() + 512 * usize::try_from(content.div_ceil(512)).expect("small"), b'1');
            }
            members(&data);
            let directory = tempfile::tempdir().expect("a directory");
            apply(&data, File::open(directory.path()).expect("a directory").as_fd());
        }
    }
}
