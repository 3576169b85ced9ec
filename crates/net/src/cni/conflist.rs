//! A network configuration list: which plugins, in which order, with which settings.
//!
//! Kernel objects: none but the file that is read. Invariant: what was parsed can be given to plugins as it is; what this
//! crate does not know is handed on.

use std::fmt;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Reason, Result};

/// Longer ones are refused.
const BYTES_MAX: u64 = 1 << 20;

/// Plugins of one chain.
const PLUGINS_MAX: usize = 64;

/// A version of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Version {
    /// 0.3.0.
    V0_3_0,
    /// 0.3.1.
    V0_3_1,
    /// 0.4.0: CHECK, and the result for DEL.
    V0_4_0,
    /// 1.0.0.
    V1_0_0,
}

const VERSIONS: [(Version, &str); 4] = [
    (Version::V0_3_0, "0.3.0"),
    (Version::V0_3_1, "0.3.1"),
    (Version::V0_4_0, "0.4.0"),
    (Version::V1_0_0, "1.0.0"),
];

impl Version {
    /// By its number.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        VERSIONS.iter().find(|(_, number)| *number == text).map(|(version, _)| *version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = VERSIONS.iter().find(|(version, _)| version == self);
        f.write_str(found.map_or("", |(_, number)| number))
    }
}

/// A network, as a chain of plugins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct Conflist {
    version: Version,
    name: String,
    pub(super) without_check: bool,
    pub(super) plugins: Vec<Map<String, Value>>,
}

impl Conflist {
    /// Reads a file: a list (`.conflist`), or one plugin's configuration (`.conf`).
    ///
    /// # Errors
    /// As [`Self::parse`]; [`NotFound`](ErrorKind::NotFound).
    pub fn read(path: &Path) -> Result<Self> {
        let failed = |operation| move |error: std::io::Error| Error::io(operation, path, &error);
        let found = fs::metadata(path).map_err(failed("stat"))?;
        if found.len() > BYTES_MAX {
            return Err(refuse(path.display(), Reason::TooManyBytes(BYTES_MAX)));
        }
        Self::parse(&fs::read(path).map_err(failed("read"))?)
    }

    /// Reads the JSON document.
    ///
    /// # Errors
    /// [`InvalidConfiguration`](ErrorKind::InvalidConfiguration): no JSON object, a version that is not known, a name
    /// or the type of a plugin that is missing or could be a path, no plugin.
    pub fn parse(document: &[u8]) -> Result<Self> {
        let value: Value = serde_json::from_slice(document)
            .map_err(|error| refuse(error, Reason::Malformed("JSON")))?;
        Self::try_from(value)
    }

    /// The version that its plugins are asked in.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The network's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The plugins by their types, in order.
    pub fn types(&self) -> impl Iterator<Item = &str> {
        self.plugins.iter().filter_map(|plugin| plugin.get("type").and_then(Value::as_str))
    }

    /// Whether a plugin has this capability, such as `portMappings`.
    #[must_use]
    pub fn has_capability(&self, name: &str) -> bool {
        let has = |plugin: &Map<String, Value>| plugin.get("capabilities")?.get(name)?.as_bool();
        self.plugins.iter().any(|plugin| has(plugin) == Some(true))
    }
}

impl TryFrom<Value> for Conflist {
    type Error = Error;

    fn try_from(value: Value) -> Result<Self> {
        let Value::Object(mut list) = value else {
            return Err(refuse("document", Reason::Malformed("an object")));
        };
        let version = match list.get("cniVersion").map(|value| (value, value.as_str())) {
            Some((_, Some(text))) => Version::parse(text)
                .ok_or_else(|| refuse(text, Reason::Malformed("0.3.0, 0.3.1, 0.4.0 or 1.0.0")))?,
            Some((value, None)) => return Err(refuse(value, Reason::Malformed("a string"))),
            None => return Err(refuse("cniVersion", Reason::Missing)),
        };
        let name = text(&list, "name")?;
        let without_check = match list.get("disableCheck") {
            None => false,
            // Both were written by engines.
            Some(Value::Bool(value)) => *value,
            Some(Value::String(value)) => value == "true",
            Some(other) => return Err(refuse(other, Reason::Malformed("true or false"))),
        };
        let plugins = match list.remove("plugins") {
            None => vec![Value::Object(list)],
            Some(Value::Array(plugins)) => plugins,
            Some(_) => return Err(refuse("plugins", Reason::Malformed("an array"))),
        };
        let plugins = plugins.into_iter().map(plugin).collect::<Result<Vec<_>>>()?;
        match plugins.len() {
            0 => Err(refuse("plugins", Reason::Empty)),
            1..=PLUGINS_MAX => Ok(Self { version, name, without_check, plugins }),
            _ => Err(refuse("plugins", Reason::TooMany)),
        }
    }
}

impl From<Conflist> for Value {
    fn from(list: Conflist) -> Self {
        serde_json::json!({
            "cniVersion": list.version.to_string(),
            "name": list.name,
            "disableCheck": list.without_check,
            "plugins": list.plugins,
        })
    }
}

fn refuse(text: impl fmt::Display, reason: Reason) -> Error {
    Error::text(ErrorKind::InvalidConfiguration, text, reason)
}

fn plugin(value: Value) -> Result<Map<String, Value>> {
    let Value::Object(plugin) = value else {
        return Err(refuse("plugin", Reason::Malformed("an object")));
    };
    text(&plugin, "type")?;
    match plugin.get("capabilities") {
        None | Some(Value::Object(_)) => Ok(plugin),
        Some(_) => Err(refuse("capabilities", Reason::Malformed("an object"))),
    }
}

/// A name that plugins use in paths: letters, digits, `_`, `.`, `-`, and at first a letter or digit.
pub(super) fn check_name(name: &str) -> Result<()> {
    let first = name.bytes().next().ok_or_else(|| refuse("name", Reason::Empty))?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    match first.is_ascii_alphanumeric() && name.bytes().all(allowed) {
        true => Ok(()),
        false => Err(refuse(name, Reason::BadCharacter)),
    }
}

fn text(object: &Map<String, Value>, key: &'static str) -> Result<String> {
    match object.get(key) {
        Some(Value::String(name)) => check_name(name).map(|()| name.clone()),
        Some(_) => Err(refuse(key, Reason::Malformed("a string"))),
        None => Err(refuse(key, Reason::Missing)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_single_ones_are_read() {
        let list = br#"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"a"},{"type":"b"}]}"#;
        let list = Conflist::parse(list).unwrap();
        assert_eq!((list.name(), list.version()), ("n", Version::V1_0_0));
        assert_eq!(list.types().collect::<Vec<_>>(), ["a", "b"]);
        let one =
            Conflist::parse(br#"{"cniVersion":"0.4.0","name":"n","type":"a","x":1}"#).unwrap();
        assert_eq!(one.types().collect::<Vec<_>>(), ["a"]);
        assert!(one.version() < list.version());
        for list in [list, one] {
            assert_eq!(Conflist::try_from(Value::from(list.clone())).unwrap(), list);
        }
    }

    #[test]
    fn what_is_broken_is_refused() {
        for text in [
            "",
            "{",
            "[]",
            "{}",
            r#"{"cniVersion":"9.0.0","name":"n","type":"a"}"#,
            r#"{"cniVersion":1,"name":"n","type":"a"}"#,
            r#"{"cniVersion":"1.0.0","type":"a"}"#,
            r#"{"cniVersion":"1.0.0","name":"","type":"a"}"#,
            r#"{"cniVersion":"1.0.0","name":"../n","type":"a"}"#,
            r#"{"cniVersion":"1.0.0","name":"n","plugins":[]}"#,
            r#"{"cniVersion":"1.0.0","name":"n","plugins":{}}"#,
            r#"{"cniVersion":"1.0.0","name":"n","plugins":[1]}"#,
            r#"{"cniVersion":"1.0.0","name":"n","plugins":[{}]}"#,
            r#"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"../../bin/sh"}]}"#,
            r#"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":7}]}"#,
            r#"{"cniVersion":"1.0.0","name":"n","disableCheck":7,"plugins":[{"type":"a"}]}"#,
            r#"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"a","capabilities":[]}]}"#,
        ] {
            let error = Conflist::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfiguration, "{text}: {error}");
        }
    }
}
