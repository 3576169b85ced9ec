//! `/proc/PID/mountinfo` (proc_pid_mountinfo(5)).
//!
//! Touches no kernel object. Invariant: every line is one mount; a short one is an error.

use super::{Malformed, number};

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Its id.
    pub(crate) id: u32,
    /// The id of the mount it stands on.
    pub(crate) parent: u32,
    /// Device number, major and minor.
    pub(crate) device: (u32, u32),
    /// Which part of the file system is its root.
    pub(crate) root: String,
    /// Where it stands.
    pub(crate) point: String,
    /// Options of the mount, such as `ro` and `nosuid`.
    pub(crate) options: Vec<String>,
    /// Propagation, such as `shared:1` and `master:2`; empty if private.
    pub(crate) propagation: Vec<String>,
    /// Type of the file system.
    pub(crate) kind: String,
    /// What was mounted.
    pub(crate) source: String,
    /// Options of the file system.
    pub(crate) super_options: Vec<String>,
}

impl Mount {
    /// Whether the mount has an option such as `ro`.
    pub(crate) fn has(&self, option: &str) -> bool {
        self.options.iter().any(|one| one == option)
    }
}

/// Parses the text of a `mountinfo` file, in its order.
pub(crate) fn mountinfo(text: &str) -> Result<Vec<Mount>, Malformed> {
    text.lines().filter(|line| !line.is_empty()).map(mount).collect()
}

/// The mount that a path names: the last one at that point.
pub(crate) fn mount_at<'a>(mounts: &'a [Mount], point: &str) -> Option<&'a Mount> {
    mounts.iter().rfind(|mount| mount.point == point)
}

fn mount(line: &str) -> Result<Mount, Malformed> {
    let short = || Malformed::new("a line of mountinfo", line);
    let (left, right) = line.split_once(" - ").ok_or_else(short)?;
    let mut left = left.split(' ');
    let mut right = right.split(' ');
    let mut next = || left.next().ok_or_else(short);
    let (id, parent, device, root, point, options) =
        (next()?, next()?, next()?, next()?, next()?, next()?);
    let (major, minor) = device.split_once(':').ok_or_else(short)?;
    let mut last = || right.next().ok_or_else(short);
    Ok(Mount {
        id: number(id, "a mount id")?,
        parent: number(parent, "a mount id")?,
        device: (number(major, "a major number")?, number(minor, "a minor number")?),
        root: unescape(root),
        point: unescape(point),
        options: list(options),
        propagation: left.map(str::to_owned).collect(),
        kind: last()?.to_owned(),
        source: unescape(last()?),
        super_options: list(last()?),
    })
}

fn list(options: &str) -> Vec<String> {
    options.split(',').map(str::to_owned).collect()
}

/// Undoes the octal escapes of the kernel: `\040` is a space.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'\\').then(|| octal(tail)).flatten();
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &tail[3..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn octal(digits: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(digits.get(..3)?).ok()?;
    u8::from_str_radix(digits, 8).ok()
}
