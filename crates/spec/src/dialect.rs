//! Where `oci-spec` writes something else than the specification does.
//!
//! Kernel objects: none. Invariant: [`to_types`] and [`from_types`] undo each other, and a name of `oci-spec`'s that is
//! wrong is not accepted for the right one. The test `dialect` fails where a new version needs less of this.

use serde_json::{Map, Value};

/// The flag of sched_setattr(2), and how `oci-spec` 0.10 spells it.
const FLAGS: [(&str, &str); 1] = [("SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_D_L_OVERRUN")];

/// Fields of `linux.intelRdt`, and how `oci-spec` 0.10 spells them.
const INTEL_RDT: [(&str, &str); 2] = [("enableCMT", "enableCmt"), ("enableMBM", "enableMbm")];

/// Fields that `oci-spec` takes at the top, where the specification has none.
const NO_FIELDS: [&str; 2] = ["uidMappings", "gidMappings"];

/// A configuration of the specification as `oci-spec` reads it.
pub(crate) fn to_types(config: &mut Value) {
    swap(config);
    if let Value::Object(fields) = config {
        fields.retain(|key, _| !NO_FIELDS.contains(&key.as_str()));
    }
}

/// A configuration that `oci-spec` wrote as the specification has it: without fields that are null, sets in order.
pub(crate) fn from_types(config: &mut Value) {
    without_nulls(config);
    swap(config);
    if let Some(Value::Object(sets)) = config.pointer_mut("/process/capabilities") {
        for set in sets.values_mut().filter_map(Value::as_array_mut) {
            set.sort_by(|one, other| one.as_str().cmp(&other.as_str()));
        }
    }
}

fn swap(config: &mut Value) {
    if let Some(Value::Array(flags)) = config.pointer_mut("/process/scheduler/flags") {
        for flag in flags {
            if let Some(other) = flag.as_str().and_then(|flag| other(&FLAGS, flag)) {
                *flag = Value::from(other);
            }
        }
    }
    if let Some(Value::Object(fields)) = config.pointer_mut("/linux/intelRdt") {
        let renamed = std::mem::take(fields)
            .into_iter()
            .map(|(key, value)| (other(&INTEL_RDT, &key).map_or(key, str::to_owned), value));
        *fields = renamed.collect::<Map<_, _>>();
    }
}

fn other(names: &[(&'static str, &'static str)], name: &str) -> Option<&'static str> {
    names.iter().find_map(|(one, other)| match name {
        _ if name == *one => Some(*other),
        _ if name == *other => Some(*one),
        _ => None,
    })
}

fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}
