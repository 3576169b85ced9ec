//! JSON from outside: bounded and unambiguous, before anything is made of it.
//!
//! Kernel objects: none. Invariant: no two readers see two different things in an accepted document: no key stands
//! twice, and none is a field of the specification in another case (Go takes `Process` for `process`).

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{self, Deserialize, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::error::{Error, Position, Result};
use crate::path::{JsonPath, Segment};

/// The largest document, in bytes: 4 MiB. A configuration is a few tens of KiB, a seccomp profile included.
pub const DOCUMENT_MAX: usize = 4 << 20;

/// How deep objects and arrays may be nested in a document.
pub const NESTING_MAX: usize = 64;

/// Objects whose keys are data, not fields.
const MAPS: [&str; 9] = [
    "annotations",
    "netDevices",
    "rdma",
    "sysctl",
    "timeOffsets",
    "unified",
    // of images
    "ExposedPorts",
    "Labels",
    "Volumes",
];

/// Reads a document in which these are the fields.
pub(crate) fn read(bytes: &[u8], fields: &[&str]) -> Result<Value> {
    if bytes.len() > DOCUMENT_MAX {
        return Err(Error::too_large(bytes.len()));
    }
    let place = RefCell::default();
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let once = Once { fields, place: &place, keys: Keys::Fields };
    let value = once.deserialize(&mut reader);
    let value = value.and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| Error::json(place.borrow().iter().cloned().collect(), &error))
}

/// The line and column at which the value at this place ends, in a document that was read before.
pub(crate) fn position(bytes: &[u8], path: &JsonPath) -> Option<Position> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    // The reader tells where it is in errors only.
    let found = Find(path.segments()).deserialize(&mut reader).err()?;
    Some(Position { line: found.line(), column: found.column() })
}

/// What the keys of an object are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    /// Of the specification.
    Fields,
    /// Names that somebody chose, or fields that the specification does not know.
    Data,
}

/// Reads a value in which nothing stands twice. Where it fails, `place` is left at the failure.
#[derive(Clone, Copy)]
struct Once<'place> {
    fields: &'place [&'place str],
    place: &'place RefCell<Vec<Segment>>,
    keys: Keys,
}

impl Once<'_> {
    fn below<E: de::Error>(self, segment: Segment) -> Result<Self, E> {
        let keys = match &segment {
            Segment::Index(_) => self.keys,
            Segment::Key(key) if MAPS.contains(&key.as_str()) => Keys::Data,
            Segment::Key(key) if self.fields.contains(&key.as_str()) => Keys::Fields,
            Segment::Key(_) => Keys::Data,
        };
        let mut place = self.place.borrow_mut();
        place.push(segment);
        if place.len() > NESTING_MAX {
            return Err(E::custom(format_args!("nested more than {NESTING_MAX} deep")));
        }
        Ok(Self { keys, ..self })
    }

    fn up(self) {
        self.place.borrow_mut().pop();
    }

    fn check<E: de::Error>(self, key: &str, seen: &mut BTreeSet<String>) -> Result<(), E> {
        let folded = if self.keys == Keys::Data { key.to_owned() } else { folded(key) };
        let field = || self.fields.iter().find(|field| field.eq_ignore_ascii_case(&folded));
        if self.keys == Keys::Fields && !self.fields.contains(&key) && field().is_some() {
            return Err(E::custom(format_args!("{key:?} is a field in another case")));
        }
        match seen.insert(folded) {
            true => Ok(()),
            false => Err(E::custom(format_args!("the key {key:?} stands twice"))),
        }
    }
}

/// A key as Go compares it: without case, and with the two letters that fold to ASCII.
fn folded(key: &str) -> String {
    let ascii = |letter| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other,
    };
    key.chars().map(ascii).collect::<String>().to_lowercase()
}

impl<'de> DeserializeSeed<'de> for Once<'_> {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once<'_> {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        loop {
            let below = self.below(Segment::Index(values.len()))?;
            let item = items.next_element_seed(below)?;
            self.up();
            match item {
                Some(value) => values.push(value),
                None => return Ok(Value::Array(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut seen = BTreeSet::new();
        let mut values = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let below = self.below(Segment::Key(key.clone()))?;
            self.check(&key, &mut seen)?;
            values.insert(key, entries.next_value_seed(below)?);
            self.up();
        }
        Ok(Value::Object(values))
    }
}

/// Goes to a place, and fails there.
struct Find<'path>(&'path [Segment]);

impl<'de> DeserializeSeed<'de> for Find<'_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.0 {
            [] => {
                de::IgnoredAny::deserialize(deserializer)?;
                Err(de::Error::custom("here"))
            }
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Find<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object or array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Some((Segment::Index(wanted), rest)) = self.0.split_first() else {
            return Err(de::Error::custom("here"));
        };
        for _ in 0..*wanted {
            items.next_element::<de::IgnoredAny>()?;
        }
        items.next_element_seed(Find(rest))?;
        Err(de::Error::custom("here"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Some((Segment::Key(wanted), rest)) = self.0.split_first() else {
            return Err(de::Error::custom("here"));
        };
        while let Some(key) = entries.next_key::<String>()? {
            match key == *wanted {
                true => entries.next_value_seed(Find(rest))?,
                false => drop(entries.next_value::<de::IgnoredAny>()?),
            }
        }
        Err(de::Error::custom("here"))
    }
}
