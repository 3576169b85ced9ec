//! The `features` document: what a runtime can do (`features.md` of the specification, since 1.1).
//!
//! Kernel objects: none. Invariant: what a runtime does not say is unknown, not absent; [`known`] says only what holds
//! for every user of this crate.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::fields::FIELDS;
use crate::mount_options::MountOptions;
use crate::oci::Features;
use crate::path::JsonPath;
use crate::version::Version;
use crate::{dialect, read, shape};

/// The versions that are read and the mount options that are understood; a runtime adds what it does with them.
#[must_use]
pub fn known() -> Features {
    let mut features = Features::default();
    features.set_oci_version_min(Version::OLDEST.to_string());
    features.set_oci_version_max(Version::NEWEST.to_string());
    features.set_mount_options(Some(MountOptions::names()));
    features.set_annotations(Some(HashMap::new()));
    features
}

/// Reads what a runtime printed.
///
/// # Errors
/// [`TooLarge`](crate::ErrorKind::TooLarge), [`Malformed`](crate::ErrorKind::Malformed);
/// [`Invalid`](crate::ErrorKind::Invalid) with everything that is of a wrong type.
pub fn parse(bytes: &[u8]) -> Result<Features> {
    let typed = shape::typed(read::read(bytes, FIELDS)?);
    let mut problems = typed.problems;
    match typed.value {
        Some(features) if problems.is_empty() => Ok(features),
        _ => {
            for problem in &mut problems {
                problem.position = read::position(bytes, &problem.path);
            }
            Err(Error::invalid(problems))
        }
    }
}

/// It as JSON, in an order that depends on nothing else.
///
/// # Errors
/// None with the fields of today: every one of them is text or a number.
pub fn to_json(features: &Features) -> Result<String> {
    let value = serde_json::to_value(features);
    let mut value = value.map_err(|error| Error::json(JsonPath::root(), &error))?;
    dialect::from_types(&mut value);
    Ok(format!("{value:#}\n"))
}
