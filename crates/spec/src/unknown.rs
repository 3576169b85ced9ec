//! What a document says beyond the types: kept beside them, written back.
//!
//! Kernel objects: none. Invariant: every field that the types do not know is in here once, at its place.

use serde_json::{Map, Value};

use crate::fields::FIELDS;
use crate::path::JsonPath;

/// A field that the specification, or this crate's version of it, does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unknown {
    /// Where it is.
    pub path: JsonPath,
    /// Its value, as JSON. Numbers are kept as 64-bit integers or floats, as most readers of JSON do.
    pub json: String,
}

/// What a value has beyond what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Beyond {
    Object { fields: Map<String, Value>, inner: Vec<(String, Beyond)> },
    Array(Vec<Element>),
}

/// An element of an array that has something unknown in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Element {
    index: usize,
    /// What is known of it: by this it is found again in an array that was changed.
    known: Value,
    beyond: Beyond,
}

impl Beyond {
    /// What `whole` has beyond `known`.
    pub(crate) fn of(whole: &Value, known: &Value) -> Option<Self> {
        match (whole, known) {
            (Value::Object(whole), Value::Object(known)) => {
                let fields: Map<_, _> = whole
                    .iter()
                    .filter(|(key, value)| !known.contains_key(*key) && !says_nothing(key, value))
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect();
                let inner: Vec<_> = whole
                    .iter()
                    .filter_map(|(key, value)| {
                        Some((key.clone(), Self::of(value, known.get(key)?)?))
                    })
                    .collect();
                (!fields.is_empty() || !inner.is_empty()).then_some(Self::Object { fields, inner })
            }
            // Only a set of capabilities that names one twice is shorter than what was read.
            (Value::Array(whole), Value::Array(known)) if whole.len() == known.len() => {
                let pairs = whole.iter().zip(known).enumerate();
                let elements: Vec<_> = pairs
                    .filter_map(|(index, (whole, known))| {
                        let beyond = Self::of(whole, known)?;
                        Some(Element { index, known: known.clone(), beyond })
                    })
                    .collect();
                (!elements.is_empty()).then_some(Self::Array(elements))
            }
            _ => None,
        }
    }

    /// Puts it back. What stands in an element or object that is gone is gone with it.
    pub(crate) fn restore(&self, into: &mut Value) {
        match (self, into) {
            (Self::Object { fields, inner }, Value::Object(object)) => {
                for (key, value) in fields {
                    object.entry(key.clone()).or_insert_with(|| value.clone());
                }
                for (key, beyond) in inner {
                    if let Some(value) = object.get_mut(key) {
                        beyond.restore(value);
                    }
                }
            }
            (Self::Array(elements), Value::Array(array)) => restore_elements(elements, array),
            _ => {}
        }
    }

    /// Lists it.
    pub(crate) fn list(&self, at: &JsonPath, into: &mut Vec<Unknown>) {
        match self {
            Self::Object { fields, inner } => {
                into.extend(
                    fields
                        .iter()
                        .map(|(key, value)| Unknown { path: at.key(key), json: value.to_string() }),
                );
                for (key, beyond) in inner {
                    beyond.list(&at.key(key), into);
                }
            }
            Self::Array(elements) => {
                for Element { index, beyond, .. } in elements {
                    beyond.list(&at.index(*index), into);
                }
            }
        }
    }
}

/// An element is looked for at its position, then by what was known of it; a changed one keeps its position.
fn restore_elements(elements: &[Element], array: &mut [Value]) {
    let before: Vec<Value> = array.to_vec();
    let mut taken = vec![false; before.len()];
    for Element { index, known, beyond } in elements {
        let is = |index: &usize| before.get(*index) == Some(known) && !taken[*index];
        let found = Some(*index).filter(is).or_else(|| (0..before.len()).find(is));
        let place =
            found.or_else(|| Some(*index).filter(|index| taken.get(*index) == Some(&false)));
        if let Some(place) = place {
            taken[place] = true;
            beyond.restore(&mut array[place]);
        }
    }
}

/// Whether a field of the specification is there without a value, which the types write by leaving it out.
fn says_nothing(key: &str, value: &Value) -> bool {
    let is_empty = match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    is_empty && FIELDS.contains(&key)
}
