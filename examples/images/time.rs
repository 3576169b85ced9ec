//! The time of new images.
//!
//! Reads the environment and the clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::arguments::Failure;

/// The time that a reproducible image has: `SOURCE_DATE_EPOCH` of the environment.
///
/// # Errors
/// A value that is no number.
pub fn source_date_epoch() -> Result<Option<u64>, Failure> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => match text.parse() {
            Ok(seconds) => Ok(Some(seconds)),
            Err(_) => Err(format!("SOURCE_DATE_EPOCH={text}: no number of seconds").into()),
        },
        Err(_) => Ok(None),
    }
}

/// The time of a new image, as RFC 3339 writes it.
///
/// # Errors
/// As [`source_date_epoch`].
pub fn now() -> Result<String, Failure> {
    let time = match source_date_epoch()? {
        Some(seconds) => {
            let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
            time.ok_or("SOURCE_DATE_EPOCH is too late")?
        }
        None => SystemTime::now(),
    };
    Ok(humantime::format_rfc3339_seconds(time).to_string())
}
