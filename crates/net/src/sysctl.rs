//! Settings of the host that networks need, and what they were before.
//!
//! Kernel objects: files below `/proc/sys/net` (Documentation/networking/ip-sysctl). Invariant: what was there is in the
//! state, and on the disk, before it is changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::state::Saved;
use crate::store::Locked;

/// Those that the kernel carries over to every interface.
const GLOBAL: [&str; 2] = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"];

/// Changes what the networks need, and undoes what no network needs any more.
pub(crate) fn update(locked: &mut Locked) -> Result<()> {
    let needed = locked.state.sysctls_needed();
    let mut wanted = BTreeMap::new();
    for (name, value) in needed {
        if locked.state.sysctls.contains_key(&name) {
            continue;
        }
        let Some(before) = read(&name)? else { continue };
        if before != value {
            if GLOBAL.contains(&name.as_str()) {
                let bridges: Vec<String> =
                    locked.state.bridges().map(ToString::to_string).collect();
                companions(&name, &bridges, &mut locked.state.sysctls, &mut wanted)?;
            }
            locked.state.sysctls.insert(name.clone(), Saved { before, beside: None });
            wanted.insert(name, value);
        }
    }
    if !wanted.is_empty() {
        locked.save()?;
        write_all(wanted.iter().map(|(name, value)| (name.as_str(), *value)))?;
    }
    undo(locked)
}

/// Undoes what is not needed any more.
fn undo(locked: &mut Locked) -> Result<()> {
    let needed = locked.state.sysctls_needed();
    let saved = locked.state.sysctls.iter();
    let undone: Vec<(String, String)> = saved
        .filter(|(name, saved)| !needed.contains_key(saved.beside.as_ref().unwrap_or(name)))
        .map(|(name, saved)| (name.clone(), saved.before.clone()))
        .collect();
    write_all(undone.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
    for (name, _) in &undone {
        locked.state.sysctls.remove(name);
    }
    Ok(())
}

/// What the kernel changes beside a global one (`inet_forward_change`, `addrconf_fixup_forwarding`), saved. Hosts that
/// listen to routers go on to do so, which a router does with 2 only.
fn companions(
    global: &str,
    bridges: &[String],
    saved: &mut BTreeMap<String, Saved>,
    wanted: &mut BTreeMap<String, &'static str>,
) -> Result<()> {
    let family = if global.contains("ipv4") { "ipv4" } else { "ipv6" };
    let mut keep = |name: String, value: Option<String>| {
        if let Some(value) = value {
            let beside = Some(global.to_owned());
            saved.entry(name).or_insert(Saved { before: value, beside });
        }
    };
    let redirects = format!("net/{family}/conf/all/accept_redirects");
    if family == "ipv4" {
        keep(redirects.clone(), read(&redirects)?);
    }
    for interface in interfaces(family)?.into_iter().filter(|name| !bridges.contains(name)) {
        let forwarding = format!("net/{family}/conf/{interface}/forwarding");
        keep(forwarding.clone(), read(&forwarding)?.filter(|value| value != "0"));
        let accept = format!("net/{family}/conf/{interface}/accept_ra");
        let listens = family == "ipv6" && read(&accept)?.as_deref() == Some("1");
        if listens && !matches!(interface.as_str(), "default" | "lo") {
            keep(accept.clone(), Some("1".to_owned()));
            wanted.insert(accept, "2");
        }
    }
    Ok(())
}

/// The interfaces with settings, and `default`.
fn interfaces(family: &str) -> Result<Vec<String>> {
    let path = path(&format!("net/{family}/conf"));
    let entries = fs::read_dir(&path).map_err(|error| Error::io("readdir", &path, &error))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter(|name| name != "all").collect())
}

fn path(name: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(name)
}

/// The value; none if there is no such setting.
fn read(name: &str) -> Result<Option<String>> {
    let path = path(name);
    match fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        read => {
            let value = read.map_err(|error| Error::io("read", &path, &error))?;
            Ok(Some(value.trim_end().to_owned()))
        }
    }
}

/// Writes them, the global ones first, because those change the others; an interface that is gone needs nothing.
fn write_all<'a>(settings: impl Iterator<Item = (&'a str, &'a str)>) -> Result<()> {
    let mut settings: Vec<_> = settings.collect();
    settings.sort_by_key(|(name, _)| (!GLOBAL.contains(name), !name.contains("/all/")));
    for (name, value) in settings {
        let path = path(name);
        match fs::write(&path, value) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            written => written.map_err(|error| Error::io("write", &path, &error))?,
        }
    }
    Ok(())
}
