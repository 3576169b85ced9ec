//! Parts of a document by themselves: a further process, and new limits.
//!
//! Kernel objects: none. Invariant: a part is read and refused as it is in a whole document.

use std::path::Path;

use ampoule_cgroups::Limits;
use ampoule_spec::{Document, Version};
use serde_json::{Value, json};

use super::Config;
use crate::builder::Builder;
use crate::container::Container;
use crate::error::{Error, Problem};
use crate::exec::Exec;
use crate::exec_attributes::Own;
use crate::selinux::Selinux;

/// A further process of a container, from the JSON of a `process` (`process.json`).
///
/// Everything is as the text says; `HOME` is the user's when it is not there, and what the text says nothing about is as
/// the container's payload has it: capabilities, umask, limits of single resources, no_new_privs, labels, scheduling.
///
/// # Errors
/// [`InvalidSettings`](crate::ErrorKind::InvalidSettings) with everything that is wrong.
pub fn process<'a>(container: &'a Container, json: &[u8]) -> Result<Exec<'a>, Error> {
    let process = parse(json, "process")?;
    let with_capabilities = process.get("capabilities").is_some();
    let new_privileges = process.get("noNewPrivileges").is_some();
    let umask = process.pointer("/user/umask").is_some();
    let config = config(&json!({ "process": process }))?;
    let mut own = own(&config.builder);
    own.umask = umask.then_some(config.builder.umask);
    own.new_privileges = new_privileges.then_some(config.builder.new_privileges);
    let mut args = config.args.into_iter();
    let mut exec = container.exec(args.next().unwrap_or_default()).args(args);
    exec.own = own;
    let exec = exec.only_home().envs(config.env).current_dir(config.current_dir);
    let exec = config.builder.user.into_iter().fold(exec, Exec::user);
    let exec = match config.builder.capabilities {
        Some(capabilities) if with_capabilities => exec.capabilities(capabilities),
        _ => exec,
    };
    Ok(config.terminal.into_iter().fold(exec, Exec::tty))
}

/// What it has in place of the payload's, but for what a document always decides.
fn own(said: &Builder) -> Own {
    Own {
        rlimits: said.rlimits.clone(),
        apparmor_profile: said.apparmor_profile.clone(),
        selinux_label: match &said.selinux.label {
            Selinux::Label(label) => Some((**label).clone()),
            _ => None,
        },
        oom_score_adj: said.oom_score_adj,
        scheduler: said.scheduler,
        io_priority: said.io_priority,
        cpu_affinity: said.exec_cpu_affinity.clone(),
        ..Own::default()
    }
}

/// Limits from the JSON of `linux.resources`, for [`Container::update`].
///
/// # Errors
/// As [`process`].
pub fn limits(json: &[u8]) -> Result<Limits, Error> {
    let resources = parse(json, "linux.resources")?;
    let linux = json!({ "namespaces": [{ "type": "mount" }], "resources": resources });
    let rest = json!({ "linux": linux, "process": nobody() });
    Ok(config(&rest)?.builder.limits)
}

fn nobody() -> Value {
    json!({ "user": { "uid": 0, "gid": 0 }, "cwd": "/", "args": ["/"] })
}

fn parse(json: &[u8], what: &'static str) -> Result<Value, Error> {
    let parsed = serde_json::from_slice(json);
    parsed.map_err(|error| Error::invalid(vec![Problem::new(what, error.to_string())]))
}

/// A document with nothing but this.
fn config(part: &Value) -> Result<Config, Error> {
    let mut whole = json!({
        "ociVersion": Version::NEWEST.to_string(),
        "root": { "path": "/" },
        "linux": { "namespaces": [{ "type": "mount" }] },
    });
    if let (Value::Object(whole), Value::Object(part)) = (&mut whole, part) {
        whole.extend(part.clone());
    }
    let document = Document::parse(whole.to_string().as_bytes()).map_err(|error| {
        let problems = error.problems().iter().map(super::read::problem).collect();
        Error::invalid(problems).caused_by(error)
    })?;
    Config::from_document(&document, Path::new("/"))
}
