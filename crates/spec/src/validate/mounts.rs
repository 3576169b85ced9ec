//! `mounts`.

use std::path::{Component, Path};

use super::report::Report;
use super::{id_maps, text};
use crate::mount_options::MountOptions;
use crate::oci::Mount;
use crate::path::JsonPath;
use crate::problem::{Excerpt, Expected, Flaw};

pub(super) fn check(report: &mut Report, at: &JsonPath, mounts: &[Mount]) {
    for (index, mount) in mounts.iter().enumerate() {
        self::mount(report, &at.index(index), mount);
    }
}

fn mount(report: &mut Report, at: &JsonPath, mount: &Mount) {
    destination(report, at.key("destination"), mount.destination());
    let texts = mount.options().as_deref().unwrap_or_default();
    options(report, &at.key("options"), texts);
    let options = MountOptions::parse(texts);
    let kind = mount.typ().as_deref().unwrap_or_default();
    if options.bind.is_some() || kind == "bind" {
        match mount.source() {
            Some(source) => text::path(report, at.key("source"), source),
            None => report.add(at.key("source"), Flaw::Missing),
        }
    } else if kind.is_empty() && options.remount.is_none() {
        report.add(at.key("type"), Flaw::Missing);
    }
    let maps = [("uidMappings", mount.uid_mappings()), ("gidMappings", mount.gid_mappings())];
    for (key, map) in maps {
        id_maps::check(report, &at.key(key), map.as_deref().unwrap_or_default());
    }
    match maps.map(|(_, map)| map.as_ref().is_some_and(|map| !map.is_empty())) {
        [true, false] => report.add(at.key("gidMappings"), Flaw::Missing),
        [false, true] => report.add(at.key("uidMappings"), Flaw::Missing),
        _ => {}
    }
    if kind.contains('/') {
        report.add(at.key("type"), Flaw::Character('/'));
    }
}

/// A relative one starts at the root, too; one that goes up is taken for a mistake.
fn destination(report: &mut Report, at: JsonPath, path: &Path) {
    match path.components().any(|part| part == Component::ParentDir) {
        true => text::absolute(report, at, path),
        false => text::path(report, at, path),
    }
}

fn options(report: &mut Report, at: &JsonPath, options: &[String]) {
    for (index, option) in options.iter().enumerate() {
        let at = at.index(index);
        let value = option.split_once('=');
        if option.is_empty() {
            report.add(at, Flaw::Empty);
        } else if value.is_some_and(|(name, _)| name.is_empty()) {
            let found = Excerpt::of(option);
            report.add(at, Flaw::NotA { found, expected: Expected::MountOption });
        }
    }
}
