//! JSON as a typed value, with every place that is not of its type.
//!
//! Kernel objects: none. Invariant: what is told as wrong stands in the document at that very place, although it is left
//! out to find what else is wrong.
//!
//! The reader of a type stops at the first thing that it does not understand. It is called again without that thing,
//! until nothing is left to complain about.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::path::{JsonPath, Segment};
use crate::problem::{Excerpt, Flaw, Problem};

/// A document has this many problems at most; the rest is not looked for.
const PROBLEMS_MAX: usize = 64;

/// What could be read, and what could not.
pub(crate) struct Typed<T> {
    /// What is left without the problems, if anything.
    pub(crate) value: Option<T>,
    /// The problems, by their places in the document.
    pub(crate) problems: Vec<Problem>,
    /// The elements that were left out.
    pub(crate) left_out: LeftOut,
}

/// Elements of arrays that were left out, so that the ones after them moved.
#[derive(Debug, Default)]
pub(crate) struct LeftOut(BTreeMap<JsonPath, BTreeSet<usize>>);

impl LeftOut {
    /// The place in the document of a place in what is left.
    pub(crate) fn in_document(&self, path: &JsonPath) -> JsonPath {
        path.segments().iter().fold(JsonPath::root(), |at, segment| match segment {
            Segment::Key(key) => at.key(key),
            Segment::Index(index) => {
                let gone = self.0.get(&at);
                let before =
                    |index: usize, gone: &usize| if *gone <= index { index + 1 } else { index };
                let index = gone.into_iter().flatten().fold(*index, before);
                at.index(index)
            }
        })
    }

    fn add(&mut self, in_document: &JsonPath) {
        let place = (in_document.parent(), in_document.segments().last());
        if let (Some(array), Some(Segment::Index(index))) = place {
            self.0.entry(array).or_default().insert(*index);
        }
    }
}

/// Reads a value, and lists everything in it that is not of its type.
pub(crate) fn typed<T: DeserializeOwned>(mut value: Value) -> Typed<T> {
    let mut problems: Vec<Problem> = Vec::new();
    let mut left_out = LeftOut::default();
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(&value) {
            Ok(value) => return Typed { value: Some(value), problems, left_out },
            Err(error) => error,
        };
        let at = path_of(error.path());
        let sentence = error.inner().to_string();
        let missing = missing_field(&sentence).map(|field| (field, at.key(field)));
        let (place, flaw) = match &missing {
            Some((_, path)) => (left_out.in_document(path), Flaw::Missing),
            None => (left_out.in_document(&at), Flaw::Shape(Excerpt::of(&sentence))),
        };
        // A field of another type was left out before, and is now missed.
        if !problems.iter().any(|known| known.path == place) {
            problems.push(Problem { path: place, flaw, position: None });
        }
        let goes_on = problems.len() < PROBLEMS_MAX
            && (missing.is_some_and(|(field, _)| stand_in(&mut value, &at, field))
                || leave_out(&mut value, &at, &mut left_out));
        if !goes_on {
            return Typed { value: None, problems, left_out };
        }
    }
}

/// What serde takes beyond the specification: a list for an object with its fields in order, and an object with one
/// field for the name of a variant.
pub(crate) fn other_forms(
    whole: &Value,
    known: &Value,
    at: &JsonPath,
    problems: &mut Vec<Problem>,
) {
    match (whole, known) {
        (Value::Object(whole), Value::Object(known)) => {
            for (key, whole) in whole {
                if let Some(known) = known.get(key) {
                    other_forms(whole, known, &at.key(key), problems);
                }
            }
        }
        (Value::Array(whole), Value::Array(known)) => {
            for (index, (whole, known)) in whole.iter().zip(known).enumerate() {
                other_forms(whole, known, &at.index(index), problems);
            }
        }
        (Value::Array(_), _) | (Value::Object(_), _) => {
            problems.push(Problem { path: at.clone(), flaw: Flaw::Form, position: None });
        }
        _ => {}
    }
}

fn path_of(path: &serde_path_to_error::Path) -> JsonPath {
    use serde_path_to_error::Segment as Theirs;
    let ours = |segment: &Theirs| match segment {
        Theirs::Seq { index } => Some(Segment::Index(*index)),
        Theirs::Map { key } => Some(Segment::Key(key.clone())),
        // The name of a variant is a value, not a place.
        Theirs::Enum { .. } | Theirs::Unknown => None,
    };
    path.iter().filter_map(ours).collect()
}

/// The name in serde's sentence.
fn missing_field(sentence: &str) -> Option<&str> {
    sentence.strip_prefix("missing field `")?.strip_suffix('`')
}

/// Puts something harmless where a field is missing, so that its neighbours are looked at.
fn stand_in(value: &mut Value, at: &JsonPath, field: &str) -> bool {
    let stand_in = match field {
        "user" => json!({}),
        "cwd" | "path" | "destination" => json!("/"),
        "names" => json!([]),
        "ociVersionMin" | "ociVersionMax" => json!(""),
        _ => return false,
    };
    let Some(Value::Object(object)) = at_mut(value, at.segments()) else { return false };
    object.insert(field.to_owned(), stand_in).is_none()
}

/// Takes out what is at a place. `false` if that is the whole document, or there is nothing.
fn leave_out(value: &mut Value, at: &JsonPath, left_out: &mut LeftOut) -> bool {
    let Some((last, above)) = at.segments().split_last() else { return false };
    match (at_mut(value, above), last) {
        (Some(Value::Object(object)), Segment::Key(key)) => object.remove(key).is_some(),
        (Some(Value::Array(array)), Segment::Index(index)) if *index < array.len() => {
            array.remove(*index);
            let place = left_out.in_document(at);
            left_out.add(&place);
            true
        }
        _ => false,
    }
}

fn at_mut<'value>(value: &'value mut Value, path: &[Segment]) -> Option<&'value mut Value> {
    path.iter().try_fold(value, |value, segment| match segment {
        Segment::Key(key) => value.get_mut(key),
        Segment::Index(index) => value.get_mut(index),
    })
}
