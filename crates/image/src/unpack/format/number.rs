//! Numbers in headers: octal digits, base 256, and decimal digits of extended headers.
//!
//! Kernel objects: none. Invariant: a field is one number and nothing else, or it is refused.

/// The number in a field of a header: octal digits between spaces and zero bytes, or base 256
/// where the first bit is set (GNU and star). An empty field is zero.
pub(crate) fn field(bytes: &[u8]) -> Option<i64> {
    match bytes.first() {
        Some(first) if first & 0x80 != 0 => base_256(bytes),
        _ => octal(bytes),
    }
}

fn octal(bytes: &[u8]) -> Option<i64> {
    let start = bytes.iter().position(|byte| *byte != b' ').unwrap_or(bytes.len());
    let digits = bytes.get(start..)?;
    let end = digits.iter().position(|byte| matches!(byte, 0 | b' ')).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at_checked(end)?;
    if rest.iter().any(|byte| !matches!(byte, 0 | b' ')) {
        return None;
    }
    digits.iter().try_fold(0_i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

/// Two's complement, the first bit of the field apart.
fn base_256(bytes: &[u8]) -> Option<i64> {
    let (first, rest) = bytes.split_first()?;
    let negative = first & 0x40 != 0;
    let first = i128::from(first & 0x3f) - if negative { 0x40 } else { 0 };
    let value = rest
        .iter()
        .try_fold(first, |value, byte| value.checked_mul(256)?.checked_add(i128::from(*byte)))?;
    i64::try_from(value).ok()
}

/// Plain decimal digits, without sign.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    text.iter()
        .try_fold(0_u64, |value, digit| value.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_fields() {
        assert_eq!(field(b"0000644\0"), Some(0o644));
        assert_eq!(field(b"   644 \0"), Some(0o644));
        assert_eq!(field(b"\0\0\0\0"), Some(0));
        assert_eq!(field(b"        "), Some(0));
        assert_eq!(field(b"77777777777\0"), Some(0o77777777777));
        for bad in [b"12\x0034".as_slice(), b"8", b"-1", b"0x1", b"1 2", b"+7"] {
            assert_eq!(field(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn base_256_fields() {
        assert_eq!(field(&[0x80, 0, 0, 1, 0]), Some(256));
        assert_eq!(field(&[0xff, 0xff, 0xff, 0xff]), Some(-1));
        assert_eq!(field(&[0xff, 0xff, 0xff, 0xfe]), Some(-2));
        let mut largest = [0xff; 12];
        largest[..4].copy_from_slice(&[0x80, 0, 0, 0]);
        assert_eq!(field(&largest), None, "2^64 - 1 does not fit");
        largest[4] = 0x7f;
        assert_eq!(field(&largest), Some(i64::MAX));
    }

    #[test]
    fn decimals() {
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for bad in [b"".as_slice(), b"+1", b"-1", b" 1", b"1_0", b"18446744073709551616"] {
            assert_eq!(decimal(bad), None, "{bad:?}");
        }
    }
}
