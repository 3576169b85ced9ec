//! The JSON of `linux.seccomp` and of the profile files of Docker and Podman, as it is written.
//!
//! Kernel objects: none. Invariant: names stay texts here, so that all unknown ones can be told together.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    pub(super) default_action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) default_errno_ret: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) architectures: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) arch_map: Vec<ArchEntry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) flags: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) listener_path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) listener_metadata: Option<String>,
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub(super) syscalls: Vec<Entry>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ArchEntry {
    pub(super) architecture: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) sub_architectures: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) names: Vec<String>,
    /// The older form of a single name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) name: String,
    pub(super) action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) errno_ret: Option<u64>,
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub(super) args: Vec<Argument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) includes: Option<When>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) excludes: Option<When>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Argument {
    pub(super) index: u64,
    pub(super) value: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) value_two: u64,
    pub(super) op: String,
}

/// What an entry's presence depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct When {
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub(super) caps: Vec<String>,
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub(super) arches: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) min_kernel: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// Programs write an empty list as `null`, too.
fn null_is_empty<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::<Vec<T>>::deserialize(from).map(Option::unwrap_or_default)
}
