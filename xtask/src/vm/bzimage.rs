//! The compressed kernel inside a bzImage, by the kernel's boot protocol (`boot.rst`). Pure.
//!
//! The emulator starts an uncompressed kernel directly (PVH); emulating the decompressor would
//! take longer than the rest of the boot.

/// How a payload is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    /// `zstd`.
    Zstd,
    /// `xz`.
    Xz,
}

impl Compression {
    /// The program that reads it.
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Xz => "xz",
        }
    }

    fn of(payload: &[u8]) -> Option<Self> {
        let known = [(Self::Zstd, b"\x28\xb5\x2f\xfd".as_slice()), (Self::Xz, b"\xfd7zXZ\0")];
        known.into_iter().find(|(_, magic)| payload.starts_with(magic)).map(|(kind, _)| kind)
    }
}

/// The payload without the length that the kernel's build appends to it.
pub(super) fn payload(image: &[u8]) -> Option<(Compression, &[u8])> {
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let setup = match image.get(0x1f1)? {
        0 => 4,
        sectors => usize::from(*sectors),
    };
    let begin = ((setup + 1) * 512).checked_add(word(image, 0x248)?)?;
    let length = word(image, 0x24c)?.checked_sub(4)?;
    let payload = image.get(begin..begin.checked_add(length)?)?;
    Some((Compression::of(payload)?, payload))
}

fn word(image: &[u8], at: usize) -> Option<usize> {
    let bytes = image.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(bytes)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 1024];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248..0x24c].copy_from_slice(&16_u32.to_le_bytes());
        let length = u32::try_from(payload.len() + 4).expect("short");
        image[0x24c..0x250].copy_from_slice(&length.to_le_bytes());
        image.extend([0; 16]);
        image.extend(payload);
        image.extend([0; 4]);
        image
    }

    #[test]
    fn the_payload_is_found_by_the_header() {
        let zstd = b"\x28\xb5\x2f\xfdrest";
        assert_eq!(payload(&image(zstd)), Some((Compression::Zstd, zstd.as_slice())));
        assert_eq!(
            payload(&image(b"\xfd7zXZ\0")),
            Some((Compression::Xz, b"\xfd7zXZ\0".as_slice()))
        );
    }

    #[test]
    fn anything_else_is_none() {
        assert_eq!(payload(b"short"), None);
        assert_eq!(payload(&image(b"plain")), None);
        let mut cut = image(b"\xfd7zXZ\0");
        cut.truncate(1044);
        assert_eq!(payload(&cut), None);
    }
}
