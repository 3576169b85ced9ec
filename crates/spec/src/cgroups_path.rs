//! `linux.cgroupsPath`: which group the container is in.
//!
//! Kernel objects: names of control groups (cgroups(7)). Invariant: what is accepted names a group below the root group,
//! without `.` or `..`, in names that a directory can have.

use std::fmt;
use std::str::FromStr;

/// Where a container's group is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CgroupsPath {
    /// From the mount point of the hierarchy; without the slash at its beginning.
    Absolute(String),
    /// From a place that the runtime chooses.
    Relative(String),
    /// A unit of systemd.
    Systemd(Unit),
}

/// A scope of systemd: `slice:prefix:name`, the scope being `prefix-name.scope`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Unit {
    /// The slice that it is in; the runtime chooses one if it is empty.
    pub slice: String,
    /// What its name begins with; empty: its name is `name` alone.
    pub prefix: String,
    /// The rest of its name.
    pub name: String,
}

impl Unit {
    /// The name of the unit: `prefix-name.scope`; a name that ends with `.slice` is a slice itself.
    #[must_use]
    pub fn unit_name(&self) -> String {
        let Self { prefix, name, .. } = self;
        match (name.ends_with(".slice"), prefix.is_empty()) {
            (true, _) => name.clone(),
            (false, true) => format!("{name}.scope"),
            (false, false) => format!("{prefix}-{name}.scope"),
        }
    }
}

/// The text names no group that a container can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is neither a path of a group nor slice:prefix:name")]
pub struct NotAGroup;

/// The longest name of a directory, in bytes.
const NAME_MAX: usize = 255;

/// The longest path of a group that is accepted, in bytes: some remains of the kernel's 4095 for the mount point.
const PATH_MAX: usize = 3072;

impl FromStr for CgroupsPath {
    type Err = NotAGroup;

    /// A text with two colons and no slash is systemd's form; every other one is a path.
    fn from_str(text: &str) -> Result<Self, NotAGroup> {
        if text.len() > PATH_MAX || text.contains(|letter: char| letter.is_control()) {
            return Err(NotAGroup);
        }
        let parts: Vec<&str> = text.split(':').collect();
        if let ([slice, prefix, name], false) = (parts.as_slice(), text.contains('/')) {
            let unit = |text: &str| text.to_owned();
            let unit = Unit { slice: unit(slice), prefix: unit(prefix), name: unit(name) };
            return is_unit(&unit).then_some(Self::Systemd(unit)).ok_or(NotAGroup);
        }
        let path = text.trim_start_matches('/');
        let parts = path.split('/').filter(|part| !part.is_empty());
        let parts: Vec<&str> = parts.collect();
        if parts.is_empty() || !parts.iter().all(|part| is_name(part)) {
            return Err(NotAGroup);
        }
        let path = parts.join("/");
        // What is left without slashes is not to be taken for the other form.
        if !text.starts_with('/') && parts.len() == 1 && path.matches(':').count() == 2 {
            return Err(NotAGroup);
        }
        Ok(if text.starts_with('/') { Self::Absolute(path) } else { Self::Relative(path) })
    }
}

fn is_name(text: &str) -> bool {
    text != "." && text != ".." && text.len() <= NAME_MAX
}

fn is_unit(unit: &Unit) -> bool {
    // The letters of systemd.unit(5).
    let is_plain = |text: &str| {
        text.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'\\' | b'@')
        })
    };
    let slice = &unit.slice;
    let slice_fits = slice.is_empty() || (slice.ends_with(".slice") && slice != ".slice");
    let all_plain = [&unit.slice, &unit.prefix, &unit.name].iter().all(|text| is_plain(text));
    slice_fits && all_plain && !unit.name.is_empty() && unit.unit_name().len() <= NAME_MAX
}

impl fmt::Display for CgroupsPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absolute(path) => write!(out, "/{path}"),
            Self::Relative(path) => out.write_str(path),
            Self::Systemd(Unit { slice, prefix, name }) => write!(out, "{slice}:{prefix}:{name}"),
        }
    }
}
