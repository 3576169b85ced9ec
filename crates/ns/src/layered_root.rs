//! Files of a root directory that is still in layers, as overlayfs would show them.
//!
//! Kernel objects: directory descriptors; nothing is mounted. Names are resolved one component at
//! a time by openat(2) with `O_PATH | O_NOFOLLOW`, links are followed here and stay inside the
//! root, and whiteouts and opaque directories hide what is below (kernel document
//! filesystems/overlayfs). Directories that an overlay *redirects* are not followed.
//!
//! Invariant: no path component that an attacker controls is ever given to the kernel to resolve.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path};

use rustix::fs::{FileType, Mode, OFlags, Stat, fgetxattr, fstat, openat, readlinkat};
use rustix::io::Errno;

use crate::bounded_file::{READ, read_open, require_regular};
use crate::error::{Error, Reason, Result};

/// As many links as the kernel follows, see path_resolution(7).
const LINKS_MAX: usize = 40;

/// Directories are kept open on the way down, so that `..` is safe; no more than this many levels.
const DEPTH_MAX: usize = 16;

const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A root made of one or more directories; a single directory is a root with one layer.
#[derive(Clone, Debug)]
pub struct LayeredRoot<'fd> {
    layers: Vec<BorrowedFd<'fd>>,
}

/// What a name stands for in the merged view.
enum Node {
    Missing,
    Directory(Vec<OwnedFd>),
    Link(OsString),
    Other { layer: usize, stat: Stat },
}

/// A walk from the root: the directories passed so far, each with its layers, topmost first.
struct Walk<'p> {
    path: &'p Path,
    passed: Vec<Vec<OwnedFd>>,
    /// The components still to come, the next one last.
    rest: Vec<OsString>,
    links: usize,
}

impl<'fd> LayeredRoot<'fd> {
    /// A root of these directories, the uppermost layer first.
    pub fn new(layers: impl IntoIterator<Item = BorrowedFd<'fd>>) -> Self {
        Self { layers: layers.into_iter().collect() }
    }

    /// The content of a regular file of at most `max` bytes; `None` when there is none at `path`.
    ///
    /// # Errors
    /// [`UnsuitableFile`](crate::ErrorKind::UnsuitableFile) when it is not a regular file, is too
    /// large, or its links do not end; or a failed system call.
    pub fn read(&self, path: &Path, max: usize) -> Result<Option<Vec<u8>>> {
        let mut walk = Walk { path, passed: Vec::new(), rest: Vec::new(), links: 0 };
        walk.passed.push(self.open_layers(path)?);
        walk.push(path.as_os_str());
        while let Some(name) = walk.rest.pop() {
            match walk.look(&name)? {
                Node::Missing => return Ok(None),
                Node::Directory(layers) => walk.enter(layers)?,
                Node::Link(target) => walk.follow(&target)?,
                Node::Other { .. } if !walk.rest.is_empty() => return Ok(None),
                Node::Other { layer, stat } => {
                    return walk.read(layer, &name, &stat, max).map(Some);
                }
            }
        }
        Err(Error::file(path, Reason::NotRegular))
    }

    fn open_layers(&self, path: &Path) -> Result<Vec<OwnedFd>> {
        let open = |layer: &BorrowedFd<'_>| openat(layer, ".", DIRECTORY, Mode::empty());
        self.layers
            .iter()
            .map(open)
            .collect::<Result<_, _>>()
            .map_err(|e| Error::at("openat", path, e))
    }
}

impl Walk<'_> {
    /// Puts the components of `path` before those still to come.
    fn push(&mut self, path: &OsStr) {
        let names = Path::new(path).components().rev().filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            _ => None,
        });
        self.rest.extend(names);
    }

    /// The layers of the directory reached so far.
    fn here(&self) -> &[OwnedFd] {
        self.passed.last().map_or(&[], Vec::as_slice)
    }

    fn enter(&mut self, layers: Vec<OwnedFd>) -> Result<()> {
        if self.passed.len() > DEPTH_MAX {
            return Err(Error::file(self.path, Reason::TooDeep));
        }
        self.passed.push(layers);
        Ok(())
    }

    fn look(&mut self, name: &OsStr) -> Result<Node> {
        if name == ".." {
            // The root is its own parent.
            let parent = self.passed.len().saturating_sub(2);
            let layers = self.passed.drain(parent..).next().unwrap_or_default();
            return Ok(Node::Directory(layers));
        }
        find(self.here(), name).map_err(|errno| Error::at("openat", self.path, errno))
    }

    fn follow(&mut self, target: &OsStr) -> Result<()> {
        self.links += 1;
        if self.links > LINKS_MAX {
            return Err(Error::file(self.path, Reason::TooManyLinks));
        }
        if target.as_bytes().starts_with(b"/") {
            self.passed.truncate(1);
        }
        self.push(target);
        Ok(())
    }

    /// Reads the file that [`find`] saw, and no other that took its name since.
    fn read(&self, layer: usize, name: &OsStr, seen: &Stat, max: usize) -> Result<Vec<u8>> {
        require_regular(seen, self.path, max)?;
        let failed = |errno| Error::at("openat", self.path, errno);
        let parent = self.here().get(layer).ok_or_else(|| failed(Errno::NOENT))?;
        let file = openat(parent, name, READ | OFlags::NOFOLLOW, Mode::empty()).map_err(failed)?;
        let opened = fstat(&file).map_err(failed)?;
        if (opened.st_dev, opened.st_ino) != (seen.st_dev, seen.st_ino) {
            return Err(Error::file(self.path, Reason::Changed));
        }
        read_open(file, self.path, max)
    }
}

/// Looks for `name` in the layers of one directory.
fn find(layers: &[OwnedFd], name: &OsStr) -> Result<Node, Errno> {
    let mut merged = Vec::new();
    for (layer, parent) in layers.iter().enumerate() {
        let node = match openat(parent, name, LOOK, Mode::empty()) {
            Ok(node) => node,
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(errno),
        };
        let stat = fstat(&node)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let directory = openat(parent, name, DIRECTORY, Mode::empty())?;
                let opaque = is_opaque(directory.as_fd());
                merged.push(directory);
                if opaque {
                    break;
                }
            }
            _ if !merged.is_empty() => break,
            FileType::CharacterDevice if stat.st_rdev == 0 => return Ok(Node::Missing),
            FileType::Symlink => {
                let target = readlinkat(&node, "", Vec::new())?;
                return Ok(Node::Link(OsString::from_vec(target.into_bytes())));
            }
            _ => return Ok(Node::Other { layer, stat }),
        }
    }
    Ok(if merged.is_empty() { Node::Missing } else { Node::Directory(merged) })
}

/// Whether a directory hides those below it.
///
/// An attribute that cannot be read counts as absent: overlayfs with the same rights would not
/// see it either.
fn is_opaque(directory: BorrowedFd<'_>) -> bool {
    ["trusted.overlay.opaque", "user.overlay.opaque"].into_iter().any(|name| {
        let mut value = [0u8; 8];
        matches!(fgetxattr(directory, name, &mut value), Ok(1) if value[0] == b'y')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    /// Layers in a temporary directory, the uppermost first.
    struct Layers {
        dir: tempfile::TempDir,
        count: usize,
    }

    impl Layers {
        fn new(count: usize) -> Self {
            let layers = Self { dir: tempfile::tempdir().unwrap(), count };
            (0..count).for_each(|n| fs::create_dir_all(layers.at(n, "etc")).unwrap());
            layers
        }

        fn at(&self, layer: usize, path: &str) -> PathBuf {
            self.dir.path().join(layer.to_string()).join(path)
        }

        fn write(&self, layer: usize, path: &str, text: &str) {
            fs::write(self.at(layer, path), text).unwrap();
        }

        fn node(&self, layer: usize, path: &str, kind: FileType) {
            rustix::fs::mknodat(rustix::fs::CWD, self.at(layer, path), kind, Mode::RUSR, 0)
                .unwrap();
        }

        fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
            let open = |n| File::open(self.at(n, "")).unwrap();
            let files: Vec<File> = (0..self.count).map(open).collect();
            LayeredRoot::new(files.iter().map(AsFd::as_fd)).read(Path::new(path), 100)
        }

        fn text(&self) -> Option<String> {
            self.read("etc/passwd").unwrap().map(|bytes| String::from_utf8(bytes).unwrap())
        }

        fn refusal(&self) -> ErrorKind {
            self.read("etc/passwd").unwrap_err().kind()
        }
    }

    #[test]
    fn the_uppermost_file_wins() {
        let layers = Layers::new(3);
        assert_eq!(layers.text(), None);
        layers.write(2, "etc/passwd", "two");
        assert_eq!(layers.text().unwrap(), "two");
        layers.write(1, "etc/passwd", "one");
        assert_eq!(layers.text().unwrap(), "one");
        assert_eq!(layers.read("/etc/../etc/./passwd").unwrap().unwrap(), b"one");
        assert_eq!(layers.read("../../etc/passwd").unwrap().unwrap(), b"one");
    }

    #[test]
    fn whiteouts_hide_files_and_directories() {
        let layers = Layers::new(2);
        layers.write(1, "etc/passwd", "lower");
        layers.node(0, "etc/passwd", FileType::CharacterDevice);
        assert_eq!(layers.text(), None);
        fs::remove_dir_all(layers.at(0, "etc")).unwrap();
        assert_eq!(layers.text().unwrap(), "lower");
        layers.node(0, "etc", FileType::CharacterDevice);
        assert_eq!(layers.text(), None);
    }

    #[test]
    fn a_file_hides_a_directory() {
        let layers = Layers::new(2);
        layers.write(1, "etc/passwd", "lower");
        fs::remove_dir(layers.at(0, "etc")).unwrap();
        layers.write(0, "etc", "a file");
        assert_eq!(layers.text(), None);
    }

    #[test]
    fn opaque_directories_hide_those_below() {
        let layers = Layers::new(2);
        layers.write(1, "etc/passwd", "lower");
        let owner = if rustix::process::geteuid().is_root() { "trusted" } else { "user" };
        let name = format!("{owner}.overlay.opaque");
        let none = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(layers.at(0, "etc"), name, b"y", none).unwrap();
        assert_eq!(layers.text(), None);
    }

    #[test]
    fn links_stay_inside_and_cross_layers() {
        let layers = Layers::new(2);
        symlink("/usr/etc/passwd", layers.at(0, "etc/passwd")).unwrap();
        fs::create_dir_all(layers.at(1, "usr/real")).unwrap();
        symlink("../../../../usr/real", layers.at(1, "usr/etc")).unwrap();
        layers.write(1, "usr/real/passwd", "inside");
        assert_eq!(layers.text().unwrap(), "inside");
        let host = Layers::new(1);
        symlink("/proc/self/root/etc/passwd", host.at(0, "etc/passwd")).unwrap();
        assert_eq!(host.text(), None);
    }

    #[test]
    fn what_could_block_or_grow_is_refused() {
        let layers = Layers::new(1);
        layers.node(0, "etc/passwd", FileType::Fifo);
        assert_eq!(layers.refusal(), ErrorKind::UnsuitableFile);
        fs::remove_file(layers.at(0, "etc/passwd")).unwrap();
        fs::create_dir(layers.at(0, "etc/passwd")).unwrap();
        assert_eq!(layers.refusal(), ErrorKind::UnsuitableFile);
        fs::remove_dir(layers.at(0, "etc/passwd")).unwrap();
        layers.write(0, "etc/passwd", &"x".repeat(101));
        assert_eq!(layers.refusal(), ErrorKind::UnsuitableFile);
        fs::remove_file(layers.at(0, "etc/passwd")).unwrap();
        symlink("passwd", layers.at(0, "etc/passwd")).unwrap();
        assert_eq!(layers.refusal(), ErrorKind::UnsuitableFile);
    }

    #[test]
    fn depth_is_limited() {
        let layers = Layers::new(1);
        let deep = "d/".repeat(17);
        fs::create_dir_all(layers.at(0, &deep)).unwrap();
        layers.write(0, &format!("{deep}passwd"), "deep");
        symlink(format!("/{deep}passwd"), layers.at(0, "etc/passwd")).unwrap();
        assert_eq!(layers.refusal(), ErrorKind::UnsuitableFile);
    }
}
