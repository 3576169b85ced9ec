//! A tree as data, to compare.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Everything that can be seen of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime: (i64, i64),
    pub(crate) device: u64,
    pub(crate) content: Vec<u8>,
    pub(crate) attributes: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first name, in the order of the tree, of the same inode.
    pub(crate) same_as: Option<Vec<u8>>,
}

pub(crate) type Tree = BTreeMap<Vec<u8>, Node>;

/// Everything below `top`, and `top` itself as the empty name.
pub(crate) fn tree(top: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut seen = BTreeMap::new();
    visit(top, top, &mut tree, &mut seen);
    tree
}

fn visit(top: &Path, path: &Path, tree: &mut Tree, seen: &mut BTreeMap<u64, Vec<u8>>) {
    let name = path.strip_prefix(top).expect("below").as_os_str().as_bytes().to_vec();
    let stat = fs::symlink_metadata(path).expect("a file");
    let kind = stat.file_type();
    let content = if kind.is_file() {
        fs::read(path).expect("a readable file")
    } else if kind.is_symlink() {
        fs::read_link(path).expect("a link").as_os_str().as_bytes().to_vec()
    } else {
        Vec::new()
    };
    let same_as = if kind.is_dir() { None } else { seen.get(&stat.ino()).cloned() };
    seen.entry(stat.ino()).or_insert_with(|| name.clone());
    let node = Node {
        mode: stat.mode(),
        owner: (stat.uid(), stat.gid()),
        mtime: (stat.mtime(), stat.mtime_nsec()),
        device: stat.rdev(),
        content,
        attributes: attributes(path),
        same_as,
    };
    tree.insert(name, node);
    if kind.is_dir() {
        let entries = fs::read_dir(path).expect("a directory");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        names.sort();
        names.iter().for_each(|path| visit(top, path, tree, seen));
    }
}

fn attributes(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 65_536];
    let len = rustix::fs::llistxattr(path, names.as_mut_slice()).unwrap_or(0);
    let names = names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = vec![0; 65_536];
        let len = rustix::fs::lgetxattr(path, name, value.as_mut_slice()).expect("a value");
        value[..len].to_vec()
    };
    names.map(|name| (name.to_vec(), value(name))).collect()
}

/// The names of a tree, as text, without the root.
pub(crate) fn names(tree: &Tree) -> Vec<String> {
    let names = tree.keys().filter(|name| !name.is_empty());
    names.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}
