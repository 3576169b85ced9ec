//! Decimal numbers, with and without a fraction, read strictly.
//!
//! Kernel objects: none. Invariant: no sign, no space, no exponent; nothing wraps.

use crate::error::Reason;

/// Digits of a fraction that are read; more are refused.
const FRACTION_DIGITS: usize = 9;
/// Ten to the power of [`FRACTION_DIGITS`].
const FRACTION: u128 = 1_000_000_000;

/// Reads an unsigned number.
pub(crate) fn parse_u64(text: &str) -> Result<u64, Reason> {
    match text.as_bytes() {
        [] => Err(Reason::Empty),
        bytes if !bytes.iter().all(u8::is_ascii_digit) => Err(Reason::NotANumber),
        _ => text.parse().map_err(|_| Reason::TooLarge),
    }
}

/// What is left over when a number is multiplied.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remainder {
    /// Rounded down.
    Dropped,
    /// Refused.
    Refused,
}

/// Reads `1`, `1.5` or `.5` and multiplies it by `unit`.
pub(crate) fn parse_scaled(text: &str, unit: u64, remainder: Remainder) -> Result<u64, Reason> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() && fraction.is_empty() {
        return Err(if text.is_empty() { Reason::Empty } else { Reason::NotANumber });
    }
    if fraction.len() > FRACTION_DIGITS {
        return Err(Reason::TooPrecise);
    }
    if text.ends_with('.') {
        return Err(Reason::NotANumber);
    }
    let whole = if whole.is_empty() { 0 } else { parse_u64(whole)? };
    let digits = parse_u64(&format!("{fraction:0<FRACTION_DIGITS$}"))?;
    let scaled = u128::from(digits) * u128::from(unit);
    if remainder == Remainder::Refused && scaled % FRACTION != 0 {
        return Err(Reason::TooPrecise);
    }
    let total = u128::from(whole) * u128::from(unit) + scaled / FRACTION;
    u64::try_from(total).map_err(|_| Reason::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fractions_are_exact() {
        let exact = |text, unit| parse_scaled(text, unit, Remainder::Refused);
        assert_eq!(exact("0.5", 1_000_000), Ok(500_000));
        assert_eq!(exact(".5", 10), Ok(5));
        assert_eq!(exact("1.5", 1 << 30), Ok(3 << 29));
        assert_eq!(exact("0.3", 1), Err(Reason::TooPrecise));
        assert_eq!(parse_scaled("0.3", 1, Remainder::Dropped), Ok(0));
        assert_eq!(exact("18446744073709551615", 1), Ok(u64::MAX));
        assert_eq!(exact("18446744073709551615", 2), Err(Reason::TooLarge));
        for wrong in ["", ".", "1.", "-1", "+1", "1e3", " 1", "1.2.3", "1.0000000000", "0x1", "nan"]
        {
            exact(wrong, 10).unwrap_err();
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[0-9.+-]{0,30}", unit: u64) {
            let dropped = parse_scaled(&text, unit, Remainder::Dropped);
            if let Ok(exact) = parse_scaled(&text, unit, Remainder::Refused) {
                prop_assert_eq!(dropped, Ok(exact));
            }
        }
    }
}
