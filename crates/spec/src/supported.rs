//! Properties that a runtime honours: what a configuration says beyond them is named, not ignored.
//!
//! Kernel objects: none. Invariant: a property that the list does not name is told, whatever it is; so a new one of a
//! later version of the types is refused until somebody honours it.

use serde_json::Value;

use crate::path::JsonPath;

/// The places of `value` that no entry of `supported` covers, each as far out as it can be named.
pub(crate) fn uncovered(value: &Value, supported: &[&str]) -> Vec<JsonPath> {
    let mut found = Vec::new();
    walk(value, &JsonPath::root(), "", supported, &mut found);
    found
}

fn walk(value: &Value, at: &JsonPath, name: &str, supported: &[&str], found: &mut Vec<JsonPath>) {
    if says_nothing(value) || supported.contains(&name) {
        return;
    }
    let is_named_below = name.is_empty() || supported.iter().any(|entry| is_below(entry, name));
    match value {
        Value::Object(fields) if is_named_below => {
            for (key, value) in fields {
                let dot = if name.is_empty() { "" } else { "." };
                walk(value, &at.key(key), &format!("{name}{dot}{key}"), supported, found);
            }
        }
        Value::Array(items) if is_named_below => {
            for (index, value) in items.iter().enumerate() {
                walk(value, &at.index(index), &format!("{name}[]"), supported, found);
            }
        }
        _ => found.push(at.clone()),
    }
}

fn is_below(entry: &str, name: &str) -> bool {
    entry.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', '[']))
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}
