//! From limits to the files that they are written to: one table for each version.
//!
//! Kernel objects: none. Invariant: every limit stands in both tables, with its file or as absent; so none is ever
//! left out in silence.

mod v1;
mod v2;

use std::borrow::Cow;
use std::fmt::Display;

use crate::controller::Controllers;
use crate::error::{Error, Result};
use crate::limits::{IoDevice, Limits};

pub(crate) use v1::{LIMIT, LIMIT_WITH_SWAP};

/// Version of a hierarchy (cgroups(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// One hierarchy per controller, or a few.
    V1,
    /// One hierarchy for all.
    V2,
}

/// One write to a file of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) limit: &'static str,
    pub(crate) controller: Controllers,
    pub(crate) file: Cow<'static, str>,
    pub(crate) text: String,
}

/// A limit in a table.
struct Row {
    limit: &'static str,
    controller: Controllers,
    cell: Cell,
}

/// Files with what is written to each.
type Lines = Vec<(Cow<'static, str>, String)>;

/// What a version has for a limit.
enum Cell {
    /// One file with one text.
    One(&'static str, fn(&Limits) -> Option<String>),
    /// Several files, or several lines.
    Many(fn(&Limits) -> Lines),
    /// No file; whether the limit was asked for.
    Absent(fn(&Limits) -> bool),
}

/// What is to be written for the limits, in order; each controller is of one version.
///
/// # Errors
/// [`Unsupported`](crate::ErrorKind::Unsupported), naming the limit, when that version has no file for it.
pub(crate) fn writes(
    limits: &Limits,
    version_of: &dyn Fn(Controllers) -> Version,
) -> Result<Vec<Write>> {
    v1::check(limits, &|controller| version_of(controller) == Version::V1)?;
    let mut writes = Vec::new();
    for (version, table) in [(Version::V1, &v1::TABLE[..]), (Version::V2, &v2::TABLE[..])] {
        for row in table.iter().filter(|row| version_of(row.controller) == version) {
            add(limits, version, row, &mut writes)?;
        }
    }
    Ok(writes)
}

fn add(limits: &Limits, version: Version, row: &Row, writes: &mut Vec<Write>) -> Result<()> {
    let Row { limit, controller, cell } = row;
    let mut add = |file: Cow<'static, str>, text| {
        writes.push(Write { limit, controller: *controller, file, text });
    };
    match cell {
        Cell::One(file, text) => {
            text(limits).into_iter().for_each(|text| add(Cow::Borrowed(file), text));
        }
        Cell::Many(texts) => {
            texts(limits).into_iter().for_each(|(file, text)| add(file, text));
        }
        Cell::Absent(asked) if asked(limits) => return Err(Error::absent(limit, version)),
        Cell::Absent(_) => {}
    }
    Ok(())
}

/// A text for a value that was asked for.
fn text(value: Option<impl Display>) -> Option<String> {
    value.map(|value| value.to_string())
}

/// One line per device for what is asked of it.
fn lines(limits: &Limits, file: &'static str, line: fn(&IoDevice) -> Option<String>) -> Lines {
    let lines = limits.io.devices.iter().filter_map(|device| Some((device, line(device)?)));
    lines.map(|(device, line)| (Cow::Borrowed(file), format!("{device} {line}"))).collect()
}

#[cfg(test)]
mod tests;
