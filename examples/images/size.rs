//! Sizes for people.
//!
//! Touches nothing.

/// Bytes with a binary unit, such as `3.1 MiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    // Tenths, rounded down: a part is never shown as the whole.
    let mut tenths = bytes.saturating_mul(10);
    let mut shown = None;
    for unit in UNITS {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        shown = Some(unit);
    }
    match shown {
        Some(unit) => format!("{}.{} {unit}", tenths / 10, tenths % 10),
        None => format!("{bytes} B"),
    }
}
