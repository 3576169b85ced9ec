//! A path through layers, links followed as inside a root.
//!
//! Invariant: it never leaves the layers: `..` of the root is the root, and a link that starts with `/` starts there.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path};

use rustix::fs::{FileType, readlinkat};
use rustix::io::Errno;

use crate::merged::{Directory, Failed, Layers, Node};

/// As many links as the kernel follows (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// What a path leads to.
pub(crate) fn walk(layers: &Layers<'_>, path: &Path) -> Result<Node, Failed> {
    let mut passed = vec![layers.root()];
    let mut rest = reversed(path.as_os_str());
    let mut links = 0;
    while let Some(name) = rest.pop() {
        if name == ".." {
            passed.truncate(passed.len().saturating_sub(1).max(1));
            continue;
        }
        let Some(here) = passed.last() else { break };
        match layers.look(here, &name)? {
            Node::Directory(directory) => passed.push(directory),
            Node::Other { fd, stat, .. } if is_link(stat.st_mode) => {
                links += 1;
                let failed = |errno| Failed { errno, path: path.to_owned() };
                if links > LINKS_MAX {
                    return Err(failed(Errno::LOOP));
                }
                let target = readlinkat(&fd, "", Vec::new()).map_err(failed)?;
                let target = OsString::from_vec(target.into_bytes());
                if target.as_bytes().starts_with(b"/") {
                    passed.truncate(1);
                }
                rest.extend(reversed(&target));
            }
            Node::Other { .. } if !rest.is_empty() => return Ok(Node::Missing),
            found => return Ok(found),
        }
    }
    let reached = passed.pop().unwrap_or(Directory { parts: Vec::new() });
    Ok(Node::Directory(reached))
}

fn is_link(mode: u32) -> bool {
    FileType::from_raw_mode(mode) == FileType::Symlink
}

/// The components of a path, the last one first.
fn reversed(path: &OsStr) -> Vec<OsString> {
    let names = Path::new(path).components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    });
    names.collect()
}
