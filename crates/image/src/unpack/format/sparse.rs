//! Sparse files: where their data stands, in GNU tar's four notations.
//!
//! Kernel objects: none. Invariant: pieces ascend, end where the file ends, and together are exactly
//! what the archive stores.

use super::number;
use crate::unpack::quotas::Quota;
use crate::unpack::trouble::Trouble;

/// A map of 65 536 pieces takes a megabyte.
pub(crate) const SEGMENTS_MAX: usize = 65_536;

/// A run of data in a sparse file, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// Where the data of a sparse file stands; the rest are holes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SparseMap {
    segments: Vec<Segment>,
}

impl SparseMap {
    /// Adds a piece behind the others.
    pub(crate) fn push(&mut self, offset: u64, len: u64) -> Result<(), Trouble> {
        if self.segments.len() >= SEGMENTS_MAX {
            return Err(Trouble::Quota(Quota::SparseSegments, SEGMENTS_MAX as u64));
        }
        let end = self.segments.last().map_or(0, |last| last.offset + last.len);
        if offset < end || offset.checked_add(len).is_none_or(|end| i64::try_from(end).is_err()) {
            return Err(Trouble::SparseMap);
        }
        self.segments.push(Segment { offset, len });
        Ok(())
    }

    /// The map, if its pieces hold `stored` bytes and end where a file of `size` bytes ends.
    pub(crate) fn checked(self, stored: u64, size: u64) -> Result<Self, Trouble> {
        let end = self.segments.last().map_or(0, |last| last.offset + last.len);
        let data: u64 = self.segments.iter().map(|segment| segment.len).sum();
        // Writers mark a hole at the end with an empty piece behind it. Without one GNU tar ends the
        // file early; at an empty piece in the middle, too.
        let early = |segment: &Segment| segment.len == 0 && segment.offset != size;
        if end != size || data != stored || self.segments.iter().any(early) {
            Err(Trouble::SparseMap)
        } else {
            Ok(self)
        }
    }

    /// The pieces, ascending.
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// `GNU.sparse.map` of version 0.1: `offset,length,offset,length…`.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Trouble> {
        let mut map = Self::default();
        let mut numbers = text.split(|byte| *byte == b',').map(number::decimal);
        while let Some(offset) = numbers.next() {
            match (offset, numbers.next().flatten()) {
                (Some(offset), Some(len)) => map.push(offset, len)?,
                _ => return Err(Trouble::SparseMap),
            }
        }
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_of_version_0_1() {
        let map = SparseMap::parse(b"0,10,512,1,1024,0").expect("a map");
        assert_eq!(map.segments().len(), 3);
        assert!(map.clone().checked(11, 1024).is_ok());
        assert!(map.clone().checked(11, 1025).is_err());
        assert!(map.checked(12, 1024).is_err());
        for bad in
            ["", "1", "0,5,4,1", "1,18446744073709551615", "0,1,", "a,b", "9223372036854775807,1"]
        {
            assert!(SparseMap::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
