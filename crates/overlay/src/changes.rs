//! What an upper layer changes about those below it.
//!
//! Kernel objects: descriptors of the layers; nothing is mounted or changed. Invariant: a path is listed once, parents
//! before what is in them; below a deleted path nothing is.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Stat, fgetxattr, flistxattr, fstat};
use rustix::io::Errno;

use crate::error::{ErrorKind, Problem};
use crate::merged::{Directory, Failed, Layers, Node, Place};
use crate::target::PATH_LIMIT;

/// What happened to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// A file that was written to or changed in any other way, also to what it was before; a directory whose owner, mode
    /// or extended attributes differ; or something of another type than before. A directory does not count as modified
    /// by what is made or removed in it.
    Modified,
    /// It is gone, with all that was below it.
    Deleted,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Change {
    /// Where, from the root of the tree (`/`).
    pub path: PathBuf,
    /// What happened.
    pub kind: ChangeKind,
}

/// A walk through the tree as it is and as it was.
struct Comparison<'a> {
    /// The upper layer, and below it the others.
    after: &'a Layers<'a>,
    /// The others.
    before: &'a Layers<'a>,
    changes: Vec<Change>,
    /// Directories to be looked at, the next one last.
    rest: Vec<Pair>,
}

/// A directory as it is and, if it was one, as it was.
struct Pair {
    path: PathBuf,
    after: Directory,
    before: Option<Directory>,
}

/// Lists the changes; the first layer of `after` is the upper one, all the others are `before`.
pub(crate) fn compare(after: &Layers<'_>, before: &Layers<'_>) -> Result<Vec<Change>, Problem> {
    let root = Pair { path: "/".into(), after: after.root(), before: Some(before.root()) };
    let mut comparison = Comparison { after, before, changes: Vec::new(), rest: vec![root] };
    while let Some(pair) = comparison.rest.pop() {
        comparison.directory(&pair).map_err(|failed| {
            let path = Path::new("/").join(failed.path);
            Problem::new(ErrorKind::Unreadable, path).with(failed.errno)
        })?;
    }
    comparison.changes.sort_unstable();
    Ok(comparison.changes)
}

impl Comparison<'_> {
    fn directory(&mut self, pair: &Pair) -> Result<(), Failed> {
        if pair.path == Path::new("/") {
            self.attributes(pair)?;
        }
        for name in self.names(pair)? {
            self.name(pair, &name)?;
        }
        Ok(())
    }

    /// The names that may have changed: those in the upper layer where the rest is as it was, else all.
    fn names(&self, pair: &Pair) -> Result<Vec<OsString>, Failed> {
        let (upper, rest) = pair.after.split();
        let Some(before) = &pair.before else {
            return self.after.names(&pair.after.parts);
        };
        // The same layers, one of which is not counted here.
        let same =
            |(after, was): (&Place, &Place)| after.layer == was.layer + 1 && after.path == was.path;
        if rest.len() == before.parts.len() && rest.iter().zip(&before.parts).all(same) {
            return self.after.names(upper);
        }
        let mut names = self.after.names(&pair.after.parts)?;
        names.extend(self.before.names(&before.parts)?);
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    fn name(&mut self, pair: &Pair, name: &OsStr) -> Result<(), Failed> {
        let after = self.after.look(&pair.after, name)?;
        let before = match &pair.before {
            Some(before) => self.before.look(before, name)?,
            None => Node::Missing,
        };
        let path = pair.path.join(name);
        if path.as_os_str().len() > PATH_LIMIT && !matches!(after, Node::Missing) {
            return Err(Failed { errno: Errno::NAMETOOLONG, path: pair.path.clone() });
        }
        match (after, before) {
            (Node::Missing, Node::Missing) => {}
            (Node::Missing, _) => self.push(path, ChangeKind::Deleted),
            (Node::Other { .. }, Node::Missing) => self.push(path, ChangeKind::Added),
            (Node::Other { place, stat, .. }, Node::Other { stat: was, .. }) => {
                if place.layer == 0 || identity(&stat) != identity(&was) {
                    self.push(path, ChangeKind::Modified);
                }
            }
            (Node::Other { .. }, Node::Directory(_)) => self.push(path, ChangeKind::Modified),
            (Node::Directory(after), Node::Directory(before)) => {
                let pair = Pair { path, after, before: Some(before) };
                self.attributes(&pair)?;
                self.rest.push(pair);
            }
            (Node::Directory(after), before) => {
                let new = matches!(before, Node::Missing);
                let kind = if new { ChangeKind::Added } else { ChangeKind::Modified };
                self.push(path.clone(), kind);
                self.rest.push(Pair { path, after, before: None });
            }
        }
        Ok(())
    }

    /// Compares a directory's own attributes with those that it had.
    fn attributes(&mut self, pair: &Pair) -> Result<(), Failed> {
        let (Some(after), Some(before)) =
            (pair.after.parts.first(), pair.before.as_ref().and_then(|dir| dir.parts.first()))
        else {
            return Ok(());
        };
        if look_at(self.after, after)? != look_at(self.before, before)? {
            self.push(pair.path.clone(), ChangeKind::Modified);
        }
        Ok(())
    }

    fn push(&mut self, path: PathBuf, kind: ChangeKind) {
        self.changes.push(Change { path, kind });
    }
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

/// Mode, owner and extended attributes of a directory.
#[derive(PartialEq, Eq)]
struct Attributes {
    mode: u32,
    uid: u32,
    gid: u32,
    extended: BTreeMap<Vec<u8>, Vec<u8>>,
}

fn look_at(layers: &Layers<'_>, place: &Place) -> Result<Attributes, Failed> {
    let dir = layers.list(place)?;
    let failed = |errno| Failed { errno, path: place.path.clone() };
    let stat = fstat(&dir).map_err(failed)?;
    let extended = extended(&dir).map_err(failed)?;
    let extended =
        extended.into_iter().filter(|(name, _)| !layers.notes.has(&String::from_utf8_lossy(name)));
    Ok(Attributes {
        mode: stat.st_mode,
        uid: stat.st_uid,
        gid: stat.st_gid,
        extended: extended.collect(),
    })
}

/// Extended attributes, without the label that the security module gives by place.
fn extended(dir: &OwnedFd) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Errno> {
    /// No list and no value is longer (xattr(7)).
    const MOST: usize = 64 << 10;
    let mut names = vec![0; MOST];
    let len = match flistxattr(dir, &mut names[..]) {
        Err(Errno::OPNOTSUPP) => 0,
        listed => listed?,
    };
    let mut found = BTreeMap::new();
    let mut value = vec![0; MOST];
    for name in names[..len].split(|&byte| byte == 0) {
        if name.is_empty() || name == b"security.selinux" {
            continue;
        }
        if let Ok(len) = fgetxattr(dir, name, &mut value[..]) {
            found.insert(name.to_vec(), value[..len].to_vec());
        }
    }
    Ok(found)
}
