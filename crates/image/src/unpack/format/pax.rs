//! Extended headers: the records of POSIX pax, with the keys of GNU tar and star.
//!
//! Kernel objects: none. Invariant: what readers of tar files understand differently (a key twice,
//! an empty value, a length that is off) is refused.

use super::member::{Attribute, Timestamp};
use super::number;
use super::sparse::SparseMap;
use crate::unpack::quotas::{Quota, Quotas};
use crate::unpack::trouble::Trouble;

/// What an extended header says about the next member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extended {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) linkpath: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<u64>,
    pub(crate) gid: Option<u64>,
    pub(crate) mtime: Option<Timestamp>,
    pub(crate) atime: Option<Timestamp>,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) sparse: Sparse,
}

/// The keys `GNU.sparse.*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sparse {
    pub(crate) major: Option<u64>,
    pub(crate) minor: Option<u64>,
    pub(crate) name: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) realsize: Option<u64>,
    pub(crate) numblocks: Option<u64>,
    pub(crate) map: Option<SparseMap>,
    /// An offset (version 0.0) whose length has not come yet.
    offset: Option<u64>,
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
}

/// Splits the first record off `data`: `LENGTH KEY=VALUE\n`.
pub(crate) fn split_record(data: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let space = data.iter().take(20).position(|byte| *byte == b' ')?;
    let digits = data.get(..space)?;
    let len = usize::try_from(number::decimal(digits)?).ok()?;
    if digits.first() == Some(&b'0') {
        return None;
    }
    let (record, rest) = data.split_at_checked(len)?;
    let (b'\n', record) = record.get(space + 1..)?.split_last()? else {
        return None;
    };
    let equals = record.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (record.get(..equals)?, record.get(equals + 1..)?);
    (!key.is_empty() && !key.contains(&0)).then_some((Record { key, value }, rest))
}

/// Extended attributes as star, GNU tar, bsdtar, Go and Docker write them.
const ATTRIBUTE: &[u8] = b"SCHILY.xattr.";

impl Extended {
    /// The records of an extended header.
    pub(crate) fn parse(mut data: &[u8], quotas: &Quotas) -> Result<Self, Trouble> {
        let mut extended = Self::default();
        while !data.is_empty() {
            let (record, rest) = split_record(data).ok_or(Trouble::Record)?;
            extended.take(record, quotas)?;
            data = rest;
        }
        if extended.sparse.offset.is_some() { Err(Trouble::SparseMap) } else { Ok(extended) }
    }

    fn take(&mut self, record: Record<'_>, quotas: &Quotas) -> Result<(), Trouble> {
        let value = record.value;
        match record.key {
            b"path" => set(&mut self.path, "path", text(value)),
            b"linkpath" => set(&mut self.linkpath, "linkpath", text(value)),
            b"size" => set(&mut self.size, "size", number::decimal(value)),
            b"uid" => set(&mut self.uid, "uid", number::decimal(value)),
            b"gid" => set(&mut self.gid, "gid", number::decimal(value)),
            b"mtime" => set(&mut self.mtime, "mtime", Timestamp::parse(value)),
            b"atime" => set(&mut self.atime, "atime", Timestamp::parse(value)),
            key => match (key.strip_prefix(ATTRIBUTE), key.strip_prefix(b"GNU.sparse.")) {
                (Some(name), _) => self.attribute(name, value, quotas),
                (None, Some(key)) => self.sparse.take(key, value),
                // Names of owners, comments, other vendors' keys: nobody acts on them.
                (None, None) => Ok(()),
            },
        }
    }

    fn attribute(&mut self, name: &[u8], value: &[u8], quotas: &Quotas) -> Result<(), Trouble> {
        let name_max = 255;
        if value.len() > quotas.attribute || name.len() > name_max {
            return Err(Trouble::Quota(Quota::Attribute, quotas.attribute as u64));
        }
        if name.is_empty() {
            return Err(Trouble::Record);
        }
        if self.attributes.iter().any(|attribute| attribute.name == name) {
            return Err(Trouble::Twice("an attribute"));
        }
        self.attributes.push(Attribute { name: name.to_vec(), value: value.to_vec() });
        Ok(())
    }
}

impl Sparse {
    /// Whether this describes a sparse file at all.
    pub(crate) fn is_present(&self) -> bool {
        *self != Self::default()
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), Trouble> {
        let count = number::decimal(value);
        match key {
            b"major" => set(&mut self.major, "GNU.sparse.major", count),
            b"minor" => set(&mut self.minor, "GNU.sparse.minor", count),
            b"name" => set(&mut self.name, "GNU.sparse.name", text(value)),
            b"size" => set(&mut self.size, "GNU.sparse.size", count),
            b"realsize" => set(&mut self.realsize, "GNU.sparse.realsize", count),
            b"numblocks" => set(&mut self.numblocks, "GNU.sparse.numblocks", count),
            b"map" => set(&mut self.map, "GNU.sparse.map", Some(SparseMap::parse(value)?)),
            b"offset" => set(&mut self.offset, "GNU.sparse.offset", count),
            b"numbytes" => {
                let (Some(offset), Some(len)) = (self.offset.take(), count) else {
                    return Err(Trouble::SparseMap);
                };
                self.map.get_or_insert_default().push(offset, len)
            }
            _ => Err(Trouble::SparseMap),
        }
    }
}

/// Sets a value once.
fn set<T>(slot: &mut Option<T>, key: &'static str, value: Option<T>) -> Result<(), Trouble> {
    if slot.is_some() {
        return Err(Trouble::Twice(key));
    }
    *slot = Some(value.ok_or(Trouble::Record)?);
    Ok(())
}

/// A text that may be a path: not empty, no zero byte.
fn text(value: &[u8]) -> Option<Vec<u8>> {
    (!value.is_empty() && !value.contains(&0)).then(|| value.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(data: &[u8]) -> Result<Extended, Trouble> {
        Extended::parse(data, &Quotas::default())
    }

    /// A record with the right length.
    fn record(key: &str, value: &str) -> String {
        let rest = key.len() + value.len() + 3;
        let digits = (1..4).find(|digits| (rest + digits).to_string().len() == *digits);
        format!("{} {key}={value}\n", rest + digits.expect("a short record"))
    }

    #[test]
    fn records_are_read() {
        let text = record("path", "x")
            + &record("mtime", "-1.25")
            + &record("SCHILY.xattr.user.a", "\0=\nb")
            + &record("size", "12")
            + &record("VENDOR.key", "");
        let extended = parse(text.as_bytes()).expect("records");
        assert_eq!(extended.path.as_deref(), Some(b"x".as_slice()));
        assert_eq!(extended.size, Some(12));
        assert_eq!(extended.mtime, Some(Timestamp { sec: -2, nsec: 750_000_000 }));
        assert_eq!(extended.attributes[0].name, b"user.a");
        assert_eq!(extended.attributes[0].value, b"\x00=\nb");
    }

    #[test]
    fn lengths_that_are_off() {
        for bad in [
            b"10 path=x".as_slice(),
            b"11 path=x\n",
            b"8 path=x\n",
            b"010 path=x\n",
            b"+10 path=x\n",
            b"10 pathxx\n",
            b"5 =x\n",
            b"99999999999999999999 path=x\n",
            b"0 ",
            b"10 path=x\n\0",
        ] {
            assert_eq!(parse(bad), Err(Trouble::Record), "{:?}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn values_that_readers_understand_differently() {
        for (key, value) in [
            ("path", ""),
            ("path", "a\0b"),
            ("size", ""),
            ("size", "-1"),
            ("size", "0x1"),
            ("size", "1.0"),
            ("uid", "-1"),
            ("mtime", ""),
            ("mtime", "x"),
            ("SCHILY.xattr.", "x"),
            ("GNU.sparse.offset", "1"),
            ("GNU.sparse.numbytes", "1"),
            ("GNU.sparse.other", "1"),
        ] {
            assert!(parse(record(key, value).as_bytes()).is_err(), "{key}={value:?}");
        }
        for key in ["path", "size", "SCHILY.xattr.user.a", "GNU.sparse.name"] {
            let twice = record(key, "1").repeat(2);
            assert!(matches!(parse(twice.as_bytes()), Err(Trouble::Twice(_))), "{key}");
        }
    }
}
