//! Who makes the directory in which groups are made: this process, or systemd.
//!
//! Kernel objects: none. Invariant: pure data; what it means is in `choice.rs`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Reason, Result};

/// Who makes the directory in which groups are made ([`Place::choose`](crate::Place::choose)).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Placement {
    /// This process, below a group that was delegated to it and can hand on the controllers that the limits need. Where
    /// there is none, systemd, if this crate was built with the feature `systemd` and a bus answers; and else this
    /// process in the highest group that it may write to, though that is systemd's.
    #[default]
    Auto,
    /// This process, without asking anybody ([`Place::find`](crate::Place::find)).
    Direct,
    /// systemd, which makes a transient scope and delegates its group. Needs the feature `systemd`, cgroup v2, and a
    /// bus.
    Systemd(Scope),
}

/// A transient scope (systemd.scope(5)). It is there as long as a [`Place`](crate::Place) in it, a
/// [`Group`](crate::Group) made there, or a process in one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Scope {
    /// The slice that it is in (`Slice=`); otherwise the manager's default.
    pub slice: Option<Slice>,
    /// What `systemctl status` calls it (`Description=`).
    pub description: Option<String>,
    /// Its name, which no unit may have yet; otherwise one is made that no other has.
    pub name: Option<ScopeName>,
}

impl Scope {
    /// A scope in this slice.
    #[must_use]
    pub fn in_slice(slice: Slice) -> Self {
        Self { slice: Some(slice), ..Self::default() }
    }

    /// It with this name, for those who look for it by that.
    #[must_use]
    pub fn named(self, name: ScopeName) -> Self {
        Self { name: Some(name), ..self }
    }
}

/// The name of a scope, such as `libpod-7.scope` (systemd.unit(5)).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ScopeName(String);

/// What a scope is called in an error about one.
const SCOPE: &str = "name of a scope";

impl ScopeName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`InvalidValue`](crate::ErrorKind::InvalidValue) when it does not end in `.scope`, is longer than 255 bytes or has
    /// a character that no unit's name has.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        checked(name.into(), SCOPE, ".scope", "NAME.scope").map(Self)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a slice, such as `machine.slice` (systemd.slice(5)).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slice(String);

/// What a slice is called in an error about one.
const SLICE: &str = "name of a slice";
/// A unit's name is at most this long (systemd.unit(5)).
const NAME_MAX: usize = 255;

impl Slice {
    /// Checks a name.
    ///
    /// # Errors
    /// [`InvalidValue`](crate::ErrorKind::InvalidValue) when it does not end in `.slice`, is longer than 255 bytes or has
    /// a character that no unit's name has.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        checked(name.into(), SLICE, ".slice", "NAME.slice").map(Self)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a unit of one type.
fn checked(
    name: String,
    what: &'static str,
    suffix: &'static str,
    form: &'static str,
) -> Result<String> {
    let refused = |reason| Err(Error::text(what, &name, reason));
    let allowed = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    match name.strip_suffix(suffix) {
        None | Some("") => refused(Reason::Malformed(form)),
        Some(_) if name.len() > NAME_MAX => refused(Reason::TooLong(NAME_MAX)),
        Some(stem) if !stem.chars().all(allowed) => refused(Reason::BadCharacter),
        Some(_) => Ok(name),
    }
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Slice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

impl TryFrom<String> for Slice {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::new(text)
    }
}

impl From<Slice> for String {
    fn from(slice: Slice) -> Self {
        slice.0
    }
}

impl fmt::Display for ScopeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ScopeName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

impl TryFrom<String> for ScopeName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::new(text)
    }
}

impl From<ScopeName> for String {
    fn from(name: ScopeName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_slice_is_a_units_name() {
        for name in ["machine.slice", "-.slice", "a-b.slice", "app\\x2da.slice"] {
            assert_eq!(name.parse::<Slice>().unwrap().as_str(), name);
        }
        let long = format!("{}.slice", "x".repeat(250));
        for name in ["", ".slice", "a", "a.scope", "a/b.slice", "a b.slice", "ü.slice", &long] {
            let error = name.parse::<Slice>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidValue, "{name:?}");
        }
    }

    #[test]
    fn a_scope_is_a_units_name() {
        for name in ["libpod-7.scope", "a@b.scope"] {
            assert_eq!(name.parse::<ScopeName>().unwrap().as_str(), name);
        }
        for name in ["", ".scope", "a", "a.slice", "a/b.scope", "a b.scope"] {
            let error = name.parse::<ScopeName>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidValue, "{name:?}");
        }
    }

    #[test]
    fn placements_are_short_as_json() {
        let slice = "ci.slice".parse().unwrap();
        let table = [
            (Placement::Auto, r#""auto""#),
            (Placement::Direct, r#""direct""#),
            (
                Placement::Systemd(Scope::in_slice(slice)),
                r#"{"systemd":{"slice":"ci.slice","description":null,"name":null}}"#,
            ),
        ];
        for (placement, text) in table {
            assert_eq!(serde_json::to_string(&placement).unwrap(), text);
            assert_eq!(serde_json::from_str::<Placement>(text).unwrap(), placement);
        }
        let read = serde_json::from_str::<Placement>(r#"{"systemd":{}}"#).unwrap();
        assert_eq!(read, Placement::Systemd(Scope::default()));
        for wrong in [r#"{"systemd":{"slice":"x"}}"#, r#"{"systemd":{"nice":1}}"#, r#""v2""#] {
            serde_json::from_str::<Placement>(wrong).unwrap_err();
        }
    }
}
