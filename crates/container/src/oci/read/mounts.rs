//! `mounts`.
//!
//! What the kernel takes for a file system and for a mount of it are two things: `sync`, `lazytime` and the like belong
//! to the file system, and a bind mount has one already.

use std::path::{Path, PathBuf};

use ampoule_ns::IdMap;
use ampoule_overlay::{CopyUp, Depth, HidePid, IdMapped, Mount, MountFlags, MountKind, PidSubset};
use ampoule_spec::mount_options::{MountFlags as Said, Reach};
use ampoule_spec::{JsonPath, MountOptions, oci};

use super::linux::propagation;
use super::namespaces::ranges;
use super::reading::Reading;

/// One mount.
pub(super) fn mount(
    mount: &oci::Mount,
    (directory, maps): (&Path, &mut Vec<IdMap>),
    at: &JsonPath,
    reading: &mut Reading,
) -> Option<Mount> {
    let mut options = MountOptions::parse(mount.options().iter().flatten());
    options.data.iter_mut().for_each(unquote);
    refuse(mount, &options, at, reading);
    let name = mount.typ().as_deref().unwrap_or_default();
    let bind = options.bind.or((name == "bind").then_some(Reach::One));
    options.data.extend(file_system_options(options.set, bind.is_some(), at, reading));
    let kind = match bind {
        Some(reach) => {
            let owners = owners(mount, (reach, options.idmap), maps);
            bound(mount, (reach, owners), directory, at, reading)?
        }
        None => file_system(name, mount.source().as_deref(), &mut options, at, reading)?,
    };
    if bind.is_some() && !options.data.is_empty() {
        let reason = format!("{:?} is no option of a bind mount", options.data.join(","));
        reading.refuse(&at.key("options"), reason);
    }
    // One that is relative starts at the root.
    let target = Path::new("/").join(mount.destination());
    let mut made = Mount::new(target, kind, flags(options.set));
    made.clear = flags(options.clear) | atime(options.set);
    made.recursive = flags(options.recursive_set);
    made.recursive_clear = flags(options.recursive_clear) | atime(options.recursive_set);
    made.propagation = options.propagation.map(|(named, _)| propagation(named));
    if made.kind == MountKind::Cgroup {
        // Where it is several mounts, they are all meant.
        made.recursive |= std::mem::take(&mut made.flags);
    }
    made.data = options.data;
    Some(made)
}

/// The quotes around a label keep its commas together where options are one text, as they are not here.
fn unquote(option: &mut String) {
    let quoted = option.split_once('=').filter(|(name, _)| name.ends_with("context"));
    let Some((name, value)) = quoted else { return };
    if let Some(value) = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) {
        *option = format!("{name}={value}");
    }
}

/// What cannot be.
fn refuse(mount: &oci::Mount, options: &MountOptions, at: &JsonPath, reading: &mut Reading) {
    let at_options = at.key("options");
    if options.remount.is_some() {
        reading.refuse(&at_options, "remount: there is nothing mounted yet");
    }
    let bind = options.bind.or((mount.typ().as_deref() == Some("bind")).then_some(Reach::One));
    let mapped = has_maps(mount);
    match bind {
        None if mapped || options.idmap.is_some() => {
            let at = if mapped { at.key("uidMappings") } else { at_options.clone() };
            reading.refuse(&at, "owners are mapped of bind mounts only: not of a new file system");
        }
        Some(Reach::Recursive) if !mapped && options.idmap == Some(Reach::One) => {
            let reason = "idmap goes with bind, and ridmap with rbind: by the container's map a tree is mapped as it is copied";
            reading.refuse(&at_options, reason);
        }
        _ => {}
    }
    if options.copy_up.is_some() && mount.typ().as_deref() != Some("tmpfs") {
        reading.refuse(&at_options, "tmpcopyup is for a tmpfs");
    }
    if options.set.contains(Said::I_VERSION) {
        reading.refuse(&at_options, "iversion is an option of some file systems, by other names");
    }
}

/// The options of the file system that the table of the specification has as flags.
fn file_system_options(
    set: Said,
    bound: bool,
    at: &JsonPath,
    reading: &mut Reading,
) -> Vec<String> {
    // `silent` is what holds: these calls log to their caller. `mand` has no effect since Linux 5.15.
    let named =
        [(Said::SYNCHRONOUS, "sync"), (Said::DIRSYNC, "dirsync"), (Said::LAZYTIME, "lazytime")];
    let said: Vec<_> = named.iter().filter(|(flag, _)| set.contains(*flag)).collect();
    if let Some((_, name)) = said.first().filter(|_| bound) {
        let reason = format!("{name}: a bind mount does not change its file system");
        reading.refuse(&at.key("options"), reason);
        return Vec::new();
    }
    said.iter().map(|(_, name)| (*name).to_owned()).collect()
}

/// The flags of a mount, in the kernel's newer form.
fn flags(said: Said) -> MountFlags {
    let pairs = [
        (Said::RDONLY, MountFlags::RDONLY),
        (Said::NOSUID, MountFlags::NOSUID),
        (Said::NODEV, MountFlags::NODEV),
        (Said::NOEXEC, MountFlags::NOEXEC),
        (Said::NOATIME, MountFlags::NOATIME),
        (Said::STRICTATIME, MountFlags::STRICTATIME),
        (Said::NODIRATIME, MountFlags::NODIRATIME),
        (Said::NOSYMFOLLOW, MountFlags::NOSYMFOLLOW),
    ];
    let set = pairs.iter().filter(|(said_so, _)| said.contains(*said_so));
    set.fold(MountFlags::empty(), |all, (_, one)| all | *one)
}

/// `relatime` is what holds where the two others are off.
fn atime(said: Said) -> MountFlags {
    match said.contains(Said::RELATIME) {
        true => MountFlags::NOATIME | MountFlags::STRICTATIME,
        false => MountFlags::empty(),
    }
}

fn has_maps(mount: &oci::Mount) -> bool {
    let maps = [mount.uid_mappings(), mount.gid_mappings()];
    maps.iter().any(|map| map.as_ref().is_some_and(|map| !map.is_empty()))
}

/// How the owners of a bind mount are mapped. A map of its own is for one mount unless `ridmap` says more.
fn owners(
    mount: &oci::Mount,
    (reach, idmap): (Reach, Option<Reach>),
    maps: &mut Vec<IdMap>,
) -> IdMapped {
    if !has_maps(mount) {
        return if idmap.is_some() { IdMapped::Container } else { IdMapped::No };
    }
    let depth = match (reach, idmap) {
        (Reach::Recursive, Some(Reach::Recursive)) => Depth::Recursive,
        _ => Depth::One,
    };
    let (uid, gid) = (ranges(mount.uid_mappings()), ranges(mount.gid_mappings()));
    crate::mount_maps::owners(maps, IdMap { uid, gid }, depth)
}

fn bound(
    mount: &oci::Mount,
    (reach, idmapped): (Reach, IdMapped),
    directory: &Path,
    at: &JsonPath,
    reading: &mut Reading,
) -> Option<MountKind> {
    let Some(source) = mount.source() else {
        reading.refuse(&at.key("source"), "is missing");
        return None;
    };
    let depth = match reach {
        Reach::One => Depth::One,
        Reach::Recursive => Depth::Recursive,
    };
    Some(MountKind::Bind { source: directory.join(source), depth, idmapped })
}

/// A file system of its own; what its kind says by itself is taken out of the data.
fn file_system(
    name: &str,
    source: Option<&Path>,
    options: &mut MountOptions,
    at: &JsonPath,
    reading: &mut Reading,
) -> Option<MountKind> {
    let data = &mut options.data;
    Some(match name {
        "tmpfs" => {
            let copy_up = if options.copy_up.is_some() { CopyUp::Yes } else { CopyUp::No };
            let size = take_parsed(data, "size=", size).unwrap_or(0);
            let mode = take_parsed(data, "mode=", octal).unwrap_or(0o1777);
            MountKind::Tmpfs { size, mode, copy_up }
        }
        "proc" => MountKind::Proc {
            hide_pid: take_parsed(data, "hidepid=", hide_pid),
            subset: take_parsed(data, "subset=", |it| (it == "pid").then_some(PidSubset::Pid)),
        },
        "sysfs" => MountKind::Sysfs,
        "mqueue" => MountKind::Mqueue,
        "devpts" => {
            // What is so in any case.
            data.retain(|option| option != "newinstance");
            take_parsed(data, "ptmxmode=", |mode| (mode == "0666" || mode == "666").then_some(()));
            take_parsed(data, "mode=", |mode| (mode == "0620" || mode == "620").then_some(()));
            MountKind::Devpts { gid: take_parsed(data, "gid=", |gid| gid.parse().ok()) }
        }
        "cgroup" | "cgroup2" => MountKind::Cgroup,
        "overlay" => overlay(data, at, reading),
        "" | "none" => {
            reading.refuse(&at.key("type"), "names no file system, and it is no bind mount");
            return None;
        }
        name => {
            MountKind::FileSystem { name: name.to_owned(), source: source.map(Path::to_path_buf) }
        }
    })
}

/// Takes the last option with this beginning, where the rest can be read; earlier ones count for nothing.
fn take_parsed<T>(
    data: &mut Vec<String>,
    key: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    let value = read(data.iter().rev().find_map(|option| option.strip_prefix(key))?)?;
    data.retain(|option| !option.starts_with(key));
    Some(value)
}

/// A size as tmpfs(5) has it; a part of the memory stays data.
fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        "t" | "T" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

fn octal(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777)
}

fn hide_pid(text: &str) -> Option<HidePid> {
    Some(match text {
        "1" | "noaccess" => HidePid::NoAccess,
        "2" | "invisible" => HidePid::Invisible,
        "4" | "ptraceable" => HidePid::Ptraceable,
        _ => return None,
    })
}

/// Layers by their paths.
fn overlay(data: &mut Vec<String>, at: &JsonPath, reading: &mut Reading) -> MountKind {
    let lower = take_parsed(data, "lowerdir=", |text| {
        (!text.contains('\\')).then(|| text.split(':').map(PathBuf::from).collect())
    });
    let upper = take_parsed(data, "upperdir=", |text| Some(PathBuf::from(text)));
    let work = take_parsed(data, "workdir=", |text| Some(PathBuf::from(text)));
    if !data.is_empty() {
        let reason = format!("{:?} is not honoured for an overlay", data.join(","));
        reading.refuse(&at.key("options"), reason);
    }
    MountKind::Overlay { lower: lower.unwrap_or_default(), upper, work }
}
