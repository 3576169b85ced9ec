//! From a document to a builder.
//!
//! Kernel objects: none. Invariant: a property that is not on [`HONOURED`] is refused, and what is on it is read here or
//! below.

mod devices;
mod hooks;
mod linux;
mod mounts;
mod namespaces;
mod net_devices;
mod process;
mod reading;
mod resources;

use std::path::Path;

use ampoule_overlay::Root;
use ampoule_spec::{Document, JsonPath};

use super::config::Config;
use crate::builder::Builder;
use crate::error::{Error, ErrorKind, Stage};
use crate::origin::{Defaults, Origin};
use crate::pid1::Pid1;
use crate::selinux::Selinux;
use crate::syscalls::Seccomp;
use reading::Reading;

pub(super) use reading::problem;

/// What is honoured. An entry stands for everything below it, which its reader honours or refuses.
const HONOURED: &[&str] = &[
    "ociVersion",
    "root",
    "hostname",
    "domainname",
    "mounts",
    "annotations",
    "hooks",
    "process.terminal",
    "process.consoleSize",
    "process.user.uid",
    "process.user.gid",
    "process.user.umask",
    "process.user.additionalGids",
    "process.args",
    "process.env",
    "process.cwd",
    "process.capabilities",
    "process.rlimits",
    "process.noNewPrivileges",
    "process.apparmorProfile",
    "process.selinuxLabel",
    "process.oomScoreAdj",
    "process.scheduler",
    "process.ioPriority",
    "process.execCPUAffinity",
    "linux.namespaces",
    "linux.uidMappings",
    "linux.gidMappings",
    "linux.timeOffsets",
    "linux.devices",
    "linux.netDevices",
    "linux.cgroupsPath",
    "linux.resources",
    "linux.sysctl",
    "linux.seccomp",
    "linux.rootfsPropagation",
    "linux.maskedPaths",
    "linux.readonlyPaths",
    "linux.mountLabel",
    "linux.personality",
    "linux.memoryPolicy",
];

/// Reads everything; what is wrong is told together.
pub(super) fn config(document: &Document, directory: &Path) -> Result<Config, Error> {
    let failed = |error: ampoule_spec::Error| {
        let problems = error.problems().iter().map(reading::problem).collect();
        Error::invalid(problems).caused_by(error)
    };
    let mut reading = Reading::default();
    if let Err(error) = document.validate() {
        reading.extend(error.problems());
    }
    for path in document.not_among(HONOURED).map_err(failed)? {
        reading.refuse(&path, "is not honoured");
    }
    let directory = std::path::absolute(directory);
    let directory = directory.map_err(|error| {
        Error::new(ErrorKind::FileSystem, Stage::Plan).about("the bundle's path").caused_by(error)
    })?;
    let config = read(document, &directory, &mut reading);
    reading.finish(config)
}

fn read(document: &Document, directory: &Path, reading: &mut Reading) -> Option<Config> {
    let (spec, top) = (document.spec(), JsonPath::root());
    let mut builder = container(document, directory, reading)?;
    builder.hostname = spec.hostname().clone().filter(|name| !name.is_empty());
    builder.domainname = spec.domainname().clone().filter(|name| !name.is_empty());
    let mounts = spec.mounts().iter().flatten().enumerate();
    let maps = &mut builder.mount_maps;
    builder.mounts = mounts
        .filter_map(|(index, mount)| {
            mounts::mount(mount, (directory, maps), &top.key("mounts").index(index), reading)
        })
        .collect();
    if let Some(linux) = spec.linux() {
        linux::linux(linux, &mut builder, &top.key("linux"), reading);
    }
    let Some(process) = spec.process() else {
        reading.refuse(&top.key("process"), "is missing");
        return None;
    };
    process::user(process, &mut builder, &top.key("process"), reading);
    add_directory(&mut builder, process.cwd());
    let hooks = spec.hooks().as_ref().map(hooks::hooks);
    let annotations = spec.annotations().iter().flatten();
    Some(Config {
        builder,
        args: process.args().iter().flatten().map(Into::into).collect(),
        env: process::env(process),
        current_dir: process.cwd().clone(),
        terminal: process::terminal(process),
        annotations: annotations.map(|(key, value)| (key.clone(), value.clone())).collect(),
        hooks: hooks.unwrap_or_default(),
        listener: spec.linux().as_ref().and_then(linux::listener),
    })
}

/// Makes the working directory where it is missing, as other runtimes do; in a read-only root it is there.
pub(super) fn add_directory(builder: &mut Builder, path: &Path) {
    let known = builder.directories.iter().any(|known| known == path);
    if builder.root == Root::InPlace && path != Path::new("/") && !known {
        builder.directories.push(path.to_path_buf());
    }
}

/// A container that is nothing yet but a root.
fn container(document: &Document, directory: &Path, reading: &mut Reading) -> Option<Builder> {
    let Some(root) = document.spec().root() else {
        reading.refuse(&JsonPath::root().key("root"), "is missing");
        return None;
    };
    let writes = match root.readonly() {
        Some(true) => Root::ReadOnly,
        _ => Root::InPlace,
    };
    let mut builder = Builder::new(Origin::Directory(directory.join(root.path())), writes);
    builder.defaults = Defaults::Runtime;
    builder.pid1 = Pid1::Payload;
    builder.seccomp = Seccomp::Unconfined;
    builder.selinux.label = Selinux::Disabled;
    builder.masked = Some(Vec::new());
    builder.read_only_paths = Some(Vec::new());
    Some(builder)
}
