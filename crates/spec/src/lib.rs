//! Runtime configurations and bundles of the Open Container Initiative (OCI), as typed, validated data.
//!
//! | I want … | Here |
//! |---|---|
//! | to read and write a bundle | [`Bundle::load`], [`Bundle::save`] |
//! | to read, check and write `config.json` | [`Document::parse`], [`Document::check`], [`Document::to_json`] |
//! | everything that is wrong with it, with its place | [`Document::validate`], [`Error::problems`], [`Problem`] |
//! | to know what it says beyond the specification | [`Document::unknown`] |
//! | to refuse by name what a runtime does not honour | [`Document::not_among`] |
//! | a configuration to start from | [`defaults::rootful`], [`defaults::rootless`], [`from_image_config`] |
//! | mount options in types | [`MountOptions`] |
//! | the group's path, or systemd's unit | [`CgroupsPath`] |
//! | what a runtime can do | [`features`] |
//! | the types of the specification | [`oci`] |
//!
//! The types are those of the crate `oci-spec`; this crate adds what they do not do: they drop fields that they do not
//! know, stop at the first problem, and check nothing. Versions 1.0 to 1.3 of the specification, for Linux.
//!
//! ```
//! use ampoule_spec::{Document, Flaw};
//!
//! # fn main() -> ampoule_spec::Result<()> {
//! let json = r#"{
//!     "ociVersion": "1.3.0",
//!     "root": {"path": "rootfs"},
//!     "process": {"user": {"uid": 0}, "args": ["sh"], "cwd": "tmp"},
//!     "linux": {"namespaces": [{"type": "pid"}, {"type": "pidd"}]}
//! }"#;
//! let problems = Document::check(json.as_bytes()).unwrap_err();
//! let places: Vec<_> = problems.problems().iter().map(|problem| problem.path.to_string()).collect();
//! assert_eq!(places, ["linux.namespaces[1].type", "process.cwd"]);
//!
//! let json = json.replace("pidd", "uts").replace("tmp", "/tmp").replace("\"root\"", "\"x\": 1, \"root\"");
//! let document = Document::check(json.as_bytes())?;
//! assert_eq!(document.unknown()[0].path.to_string(), "x");
//! assert!(document.to_json()?.contains("\"x\": 1"));
//! # Ok(())
//! # }
//! ```

mod bundle;
mod cgroups_path;
pub mod defaults;
mod dialect;
mod document;
mod error;
pub mod features;
mod fields;
#[doc(hidden)]
pub mod fuzz;
mod image_config;
pub mod mount_options;
mod path;
mod problem;
mod read;
mod shape;
mod supported;
mod unknown;
mod validate;
mod version;

/// The types of the runtime specification, from the crate `oci-spec`.
pub mod oci {
    pub use oci_spec::runtime::*;
}

pub use bundle::{Bundle, CONFIG_JSON};
pub use cgroups_path::{CgroupsPath, NotAGroup, Unit};
pub use document::Document;
pub use error::{Error, ErrorKind, Position, Result};
pub use image_config::{FromImage, from_image_config};
pub use mount_options::MountOptions;
pub use path::{JsonPath, Segment};
pub use problem::{Excerpt, Expected, Flaw, Problem};
pub use read::{DOCUMENT_MAX, NESTING_MAX};
pub use unknown::Unknown;
pub use version::{NotAVersion, Version};

/// The example of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
