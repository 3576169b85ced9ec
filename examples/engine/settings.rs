//! The options of a new container, as setters of the library.
//!
//! Reads random bytes, and nothing else.

use std::ffi::OsStr;
use std::path::PathBuf;

use ampoule::{Builder, Depth, IdMapped, Mount, MountFlags, MountKind, Relabel};
use ampoule_examples::arguments::Failure;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::arguments::Call;

/// 64 hexadecimal digits.
pub(crate) fn new_id() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

pub(crate) fn settings(mut builder: Builder, call: &Call) -> Result<Builder, Failure> {
    if let Some(name) = call.option("hostname") {
        builder = builder.hostname(name);
    }
    if let Some(most) = call.option("memory") {
        builder = builder.memory_max(most.parse::<ampoule::Bytes>()?);
    }
    if let Some(most) = call.option("cpus") {
        builder = builder.cpus(most.parse()?);
    }
    if let Some(most) = call.option("pids-limit") {
        builder = builder.pids_max(most.parse()?);
    }
    if let Some(user) = call.option("user") {
        builder = builder.user(user.parse()?);
    }
    for pair in call.all("env") {
        let (name, value) = variable(pair)?;
        builder = builder.env(name, value);
    }
    call.all("volume").try_fold(builder, |builder, text| volume(builder, &text.to_string_lossy()))
}

/// `NAME=VALUE`.
pub(crate) fn variable(text: &OsStr) -> Result<(String, String), Failure> {
    let text = text.to_string_lossy();
    let pair = text.split_once('=').ok_or_else(|| format!("{text}: --env takes NAME=VALUE"))?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

/// `SRC:DST[:HOW]`, in which what user 0 owns on the host belongs to the container's user 0.
fn volume(mut builder: Builder, text: &str) -> Result<Builder, Failure> {
    let wrong = || format!("{text}: --volume takes SRC:DST or SRC:DST:[ro|rw][,z|,Z]");
    let mut parts = text.splitn(3, ':');
    let (Some(source), Some(target)) = (parts.next(), parts.next()) else {
        return Err(wrong().into());
    };
    let source: PathBuf = std::path::absolute(source)?;
    let kind = MountKind::Bind { source, depth: Depth::Recursive, idmapped: IdMapped::Container };
    let mut mount = Mount::new(target, kind, MountFlags::empty());
    mount.recursive = MountFlags::NOSUID | MountFlags::NODEV;
    for how in parts.flat_map(|how| how.split(',')) {
        match how {
            "ro" => mount.recursive |= MountFlags::RDONLY,
            "rw" => {}
            "z" => builder = builder.relabel(target, Relabel::Shared),
            "Z" => builder = builder.relabel(target, Relabel::Private),
            _ => return Err(wrong().into()),
        }
    }
    Ok(builder.mount(mount))
}
