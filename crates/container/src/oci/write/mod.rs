//! From a builder to a document.
//!
//! Kernel objects: none. Invariant: what is written is read back, and what is not the same then is told by name: nothing
//! is lost without being listed.

mod explicit;
mod linux;
mod mounts;
#[cfg(feature = "net")]
mod net_devices;
mod process;
mod resources;

use std::path::Path;

use ampoule_overlay::Root;
use ampoule_spec::Document;
use serde_json::{Map, Value, json};

use super::config::Config;
use crate::error::{Error, ErrorKind, Stage};
use crate::origin::Origin;

/// A document, and what it cannot say.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Written {
    /// The document.
    pub document: Document,
    /// The settings that are lost in it, named as the fields of a serialized builder: `files`, `limits.memory`.
    pub unsaid: Vec<String>,
}

/// The version of the specification that is written.
const VERSION: &str = "1.3.0";

pub(super) fn document(config: &Config) -> Result<Written, Error> {
    let mut config = config.clone();
    let stricter = explicit::explicit(&mut config.builder);
    super::read::add_directory(&mut config.builder, &config.current_dir);
    let json = whole(&config).to_string();
    let document = Document::parse(json.as_bytes()).map_err(|error| {
        let problems = error.problems().iter().map(super::read::problem).collect();
        Error::invalid(problems).caused_by(error)
    })?;
    let back = super::read::config(&document, Path::new("/"))?;
    let lost = |error: serde_json::Error| {
        Error::new(ErrorKind::InvalidSettings, Stage::Plan).caused_by(error)
    };
    let was = serde_json::to_value(&config.builder).map_err(lost)?;
    let is = serde_json::to_value(&back.builder).map_err(lost)?;
    let mut unsaid = differences(&was, &is);
    unsaid.extend(stricter.map(str::to_owned));
    unsaid.sort_unstable();
    unsaid.dedup();
    Ok(Written { document, unsaid })
}

fn whole(config: &Config) -> Value {
    let builder = &config.builder;
    let path = match &builder.origin {
        Origin::Directory(directory) => directory.clone(),
        _ => "rootfs".into(),
    };
    let mounts = builder.mounts.iter().map(|mount| mounts::mount(mount, &builder.mount_maps));
    let mut whole = json!({
        "ociVersion": VERSION,
        "root": {"path": path, "readonly": builder.root == Root::ReadOnly},
        "mounts": mounts.collect::<Vec<_>>(),
        "process": process::process(config),
        "linux": linux::linux(config),
    });
    if let Value::Object(object) = &mut whole {
        insert(object, "hostname", builder.hostname.as_ref().map(|name| json!(name)));
        insert(object, "domainname", builder.domainname.as_ref().map(|name| json!(name)));
        let annotations = Some(&config.annotations).filter(|all| !all.is_empty());
        insert(object, "annotations", annotations.map(|all| json!(all)));
        let hooks = Some(&config.hooks).filter(|hooks| !hooks.is_empty());
        insert(object, "hooks", hooks.map(process::hooks));
    }
    whole
}

/// Adds what is there.
fn insert(object: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        object.insert(key.to_owned(), value);
    }
}

/// The fields that differ, and for limits the fields in them.
fn differences(was: &Value, is: &Value) -> Vec<String> {
    let mut names = Vec::new();
    let empty = Map::new();
    let fields = |value: &Value| value.as_object().unwrap_or(&empty).clone();
    let (was, is) = (fields(was), fields(is));
    for (name, value) in was.iter().filter(|(name, value)| is.get(*name) != Some(*value)) {
        let inner = is.get(name).map(fields).unwrap_or_default();
        match value.as_object().filter(|_| name == "limits") {
            Some(limits) => {
                let lost = limits.iter().filter(|(key, value)| inner.get(*key) != Some(*value));
                names.extend(lost.map(|(key, _)| format!("{name}.{key}")));
            }
            None => names.push(name.clone()),
        }
    }
    names
}
