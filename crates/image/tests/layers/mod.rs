//! Layers made byte by byte, and trees to compare.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod scene;
pub(crate) mod tree;

use std::io::Write;

use tar::Header;

/// A tar file in the making.
#[derive(Clone, Debug, Default)]
pub(crate) struct Archive(pub(crate) Vec<u8>);

/// A header and what follows it.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) kind: u8,
    pub(crate) name: &'a [u8],
    pub(crate) link: &'a [u8],
    pub(crate) mode: u32,
    pub(crate) ids: (u64, u64),
    pub(crate) mtime: u64,
    pub(crate) device: (u32, u32),
    /// The size field, where it is not the length of the content.
    pub(crate) size: Option<u64>,
    pub(crate) data: &'a [u8],
}

impl Default for Entry<'_> {
    fn default() -> Self {
        Self {
            kind: b'0',
            name: b"file",
            link: b"",
            mode: 0o644,
            ids: (0, 0),
            mtime: 1_000_000_000,
            device: (0, 0),
            size: None,
            data: b"",
        }
    }
}

impl Archive {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A member in POSIX form; long names in GNU form.
    pub(crate) fn entry(mut self, entry: &Entry<'_>) -> Self {
        for (kind, text) in [(b'L', entry.name), (b'K', entry.link)] {
            if text.len() > 100 {
                let name = b"././@LongLink";
                let data = [text, b"\0"].concat();
                self = self.entry(&Entry { kind, name, data: &data, ..Entry::default() });
            }
        }
        let mut header = Header::new_ustar();
        let old = header.as_old_mut();
        old.linkflag[0] = entry.kind;
        copy(&mut old.name, entry.name);
        copy(&mut old.linkname, entry.link);
        header.set_mode(entry.mode);
        header.set_uid(entry.ids.0);
        header.set_gid(entry.ids.1);
        header.set_mtime(entry.mtime);
        header.set_size(entry.size.unwrap_or(entry.data.len() as u64));
        header.set_device_major(entry.device.0).expect("ustar");
        header.set_device_minor(entry.device.1).expect("ustar");
        header.set_cksum();
        self.header(&header).data(entry.data)
    }

    /// A header as it is.
    pub(crate) fn header(mut self, header: &Header) -> Self {
        self.0.extend_from_slice(header.as_bytes());
        self
    }

    /// Content, filled up to a block.
    pub(crate) fn data(mut self, data: &[u8]) -> Self {
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, name: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Self {
        let (name, data) = (name.as_ref(), data.as_ref());
        self.entry(&Entry { name, data, ..Entry::default() })
    }

    pub(crate) fn dir(self, name: impl AsRef<[u8]>) -> Self {
        self.kind(b'5', name)
    }

    /// A member without content or target.
    pub(crate) fn kind(self, kind: u8, name: impl AsRef<[u8]>) -> Self {
        self.entry(&Entry { kind, name: name.as_ref(), mode: 0o755, ..Entry::default() })
    }

    pub(crate) fn symlink(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        let (name, link) = (name.as_ref(), target.as_ref());
        self.entry(&Entry { kind: b'2', name, link, mode: 0o777, ..Entry::default() })
    }

    pub(crate) fn link(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        let (name, link) = (name.as_ref(), target.as_ref());
        self.entry(&Entry { kind: b'1', name, link, ..Entry::default() })
    }

    /// An extended header for the next member.
    pub(crate) fn pax(self, records: &[(&str, &str)]) -> Self {
        let data: String = records.iter().map(|(key, value)| record(key, value)).collect();
        self.raw_pax(b'x', data.as_bytes())
    }

    /// An extended (`x`) or global (`g`) header with these bytes.
    pub(crate) fn raw_pax(self, kind: u8, data: &[u8]) -> Self {
        self.entry(&Entry { kind, name: b"PaxHeaders/x", data, ..Entry::default() })
    }

    /// The archive with its end.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

/// A record of an extended header, with the right length.
pub(crate) fn record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let digits = (1..8).find(|digits| (rest + digits).to_string().len() == *digits);
    format!("{} {key}={value}\n", rest + digits.expect("a short record"))
}

fn copy(field: &mut [u8], text: &[u8]) {
    field.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}
