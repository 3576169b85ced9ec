//! Plain decimal numbers, read strictly.
//!
//! Kernel objects: none. Invariant: a text is accepted only in the one form in which the number
//! is written back, so `+1`, ` 1`, `01`, `0x1` and numbers that do not fit are refused.

use crate::error::Reason;

/// Reads an unsigned number that fits `u64`.
pub(crate) fn parse_u64(text: &[u8]) -> Result<u64, Reason> {
    match text {
        [] => return Err(Reason::Empty),
        [b'0', _, ..] => return Err(Reason::NotANumber),
        _ if !text.iter().all(u8::is_ascii_digit) => return Err(Reason::NotANumber),
        _ => {}
    }
    text.iter()
        .try_fold(0u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
        .ok_or(Reason::TooLarge)
}

/// Reads an unsigned number that fits `u32`.
pub(crate) fn parse_u32(text: &[u8]) -> Result<u32, Reason> {
    u32::try_from(parse_u64(text)?).map_err(|_| Reason::TooLarge)
}

/// Reads a user or group id: a `u32` other than 4294967295, which system calls read as "none".
pub(crate) fn parse_id(text: &[u8]) -> Result<u32, Reason> {
    parse_u32(text).and_then(|id| if id == u32::MAX { Err(Reason::TooLarge) } else { Ok(id) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_canonical_form() {
        for wrong in ["", "+1", "-1", " 1", "1 ", "01", "00", "0x1", "1e3", "1_0", "١", "1\n"] {
            parse_u64(wrong.as_bytes()).unwrap_err();
        }
        assert_eq!(parse_u64(b"18446744073709551616"), Err(Reason::TooLarge));
        assert_eq!(parse_u32(b"4294967296"), Err(Reason::TooLarge));
        assert_eq!(parse_id(b"4294967295"), Err(Reason::TooLarge));
        assert_eq!(parse_id(b"4294967294"), Ok(4_294_967_294));
        assert_eq!(parse_u64(&[b'9'; 70_000]), Err(Reason::TooLarge));
    }

    proptest! {
        #[test]
        fn numbers_come_back(number: u64) {
            prop_assert_eq!(parse_u64(number.to_string().as_bytes()), Ok(number));
        }

        #[test]
        fn accepted_texts_are_canonical(text in "[0-9+ -]{0,12}") {
            if let Ok(number) = parse_u64(text.as_bytes()) {
                prop_assert_eq!(number.to_string(), text);
            }
        }
    }
}
