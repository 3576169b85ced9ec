//! Volumes: a directory and all below it gets one label.
//!
//! Kernel objects: the files of a tree and their labels. Invariant: every file is reached from the tree's own descriptor,
//! one name at a time and following nothing, and what belongs to the system is never changed: the walk ends there.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};
use rustix::io::Errno;

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::label::{FileLabels, open_path, shown};
use crate::selinuxfs::SelinuxFs;
use crate::system::SystemDirectories;

/// What is done about file systems that are mounted in the tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mounts {
    /// They stay as they are.
    #[default]
    Leave,
    /// They are labelled, too.
    Cross,
}

/// How many files a relabelling has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Relabelled {
    /// Files that got the label.
    pub changed: u64,
    /// Files that had it already.
    pub unchanged: u64,
    /// Mounts that were left as they are.
    pub mounts_left: u64,
    /// Files that got the label and have further names, which may be outside the tree.
    pub linked: u64,
}

/// The most directories one below the other: each has a descriptor while it is read.
const DEPTH_MAX: usize = 512;

/// Relabels trees.
#[derive(Debug)]
pub struct Relabel {
    label: Context,
    mounts: Mounts,
    labels: FileLabels,
    system: SystemDirectories,
}

impl Relabel {
    /// With this label; for a shared volume it has no categories, for a private one the container's pair.
    ///
    /// Without SELinux labels are written, too (by root), and nobody can say whether a policy has them.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownContext`]; [`ErrorKind::FileSystem`] where `/proc` is not procfs; [`ErrorKind::System`].
    pub fn new(label: &Context) -> Result<Self> {
        // Root may write what the policy does not know, for packages of policies to come.
        let label = match SelinuxFs::open()? {
            Some(selinux) => selinux.validate(label)?,
            None => label.clone(),
        };
        let (labels, system) = (FileLabels::open()?, SystemDirectories::of_this_machine()?);
        Ok(Self { label, mounts: Mounts::default(), labels, system })
    }

    /// What is done about mounts in the tree.
    #[must_use]
    pub fn mounts(self, mounts: Mounts) -> Self {
        Self { mounts, ..self }
    }

    /// Whether a tree could be relabelled, as far as that can be known from its top.
    ///
    /// # Errors
    /// [`ErrorKind::SystemDirectory`].
    pub fn check(&self, tree: impl AsFd) -> Result<()> {
        self.system.check(tree)
    }

    /// Relabels a file or a directory with all below it. A link is labelled, and not followed.
    ///
    /// # Errors
    /// As [`Self::tree`], and those of opening it.
    pub fn path(&self, path: &Path) -> Result<Relabelled> {
        self.tree(open_path(path)?)
    }

    /// Relabels an open file (`O_PATH` is enough), and all below it if it is a directory.
    ///
    /// # Errors
    /// [`ErrorKind::SystemDirectory`] before anything is changed if it is one of the system's, and on the way if one is
    /// found in it; [`ErrorKind::LabelsUnsupported`], [`ErrorKind::UnknownContext`], [`ErrorKind::Denied`]; and
    /// [`ErrorKind::System`], such as `ELOOP` for more than 512 directories one below the other. What was
    /// labelled before stays so.
    pub fn tree(&self, tree: impl AsFd) -> Result<Relabelled> {
        self.check(&tree)?;
        let mut done = Relabelled::default();
        if let Some(directory) = self.file(&tree, &mut done)? {
            self.below(directory, &mut done)?;
        }
        Ok(done)
    }

    /// Labels what is below a directory, its parents' descriptors on a stack and not in recursive calls.
    fn below(&self, top: OwnedFd, done: &mut Relabelled) -> Result<()> {
        let mut stack = vec![Level::read(top)?];
        while let Some(level) = stack.last_mut() {
            let Some(entry) = level.entries.next() else {
                stack.pop();
                continue;
            };
            let entry = entry.map_err(|errno| Error::on("read", &shown(&level.dir), errno))?;
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            let Some(file) = self.open(&level.dir, entry.file_name(), done)? else { continue };
            let Some(directory) = self.file(&file, done)? else { continue };
            if stack.len() >= DEPTH_MAX {
                return Err(Error::on("open", &shown(&directory), Errno::LOOP));
            }
            stack.push(Level::read(directory)?);
        }
        Ok(())
    }

    /// Opens one name; `None` for what has gone meanwhile and for mounts that are left alone.
    fn open(&self, dir: &OwnedFd, name: &CStr, done: &mut Relabelled) -> Result<Option<OwnedFd>> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = match self.mounts {
            Mounts::Leave => ResolveFlags::BENEATH | ResolveFlags::NO_XDEV,
            Mounts::Cross => ResolveFlags::BENEATH,
        };
        match openat2(dir, name, flags, Mode::empty(), resolve) {
            Ok(file) => Ok(Some(file)),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::XDEV) => {
                done.mounts_left += 1;
                Ok(None)
            }
            Err(errno) => {
                let path = shown(dir).join(String::from_utf8_lossy(name.to_bytes()).as_ref());
                Err(Error::on("open", &path, errno))
            }
        }
    }

    /// Labels one file; gives a directory, opened for reading.
    fn file(&self, file: &impl AsFd, done: &mut Relabelled) -> Result<Option<OwnedFd>> {
        let on = |operation| move |errno| Error::on(operation, &shown(file), errno);
        let stat = fstat(file).map_err(on("stat"))?;
        let directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if directory && self.system.contains((stat.st_dev, stat.st_ino)) {
            return Err(Error::at(ErrorKind::SystemDirectory, shown(file)));
        }
        // What is no context, as a policy that has gone may have left behind, is replaced.
        let had = match self.labels.get(file) {
            Err(error) if error.kind() == ErrorKind::Malformed => None,
            other => other?,
        };
        if had.as_ref() == Some(&self.label) {
            done.unchanged += 1;
        } else {
            self.labels.set(file, &self.label)?;
            done.changed += 1;
            done.linked += u64::from(!directory && stat.st_nlink > 1);
        }
        if !directory {
            return Ok(None);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(file, ".", flags, Mode::empty()).map(Some).map_err(on("open"))
    }
}

/// A directory that is being read.
struct Level {
    dir: OwnedFd,
    entries: Dir,
}

impl Level {
    fn read(dir: OwnedFd) -> Result<Self> {
        let entries =
            Dir::read_from(&dir).map_err(|errno| Error::on("read", &shown(&dir), errno))?;
        Ok(Self { dir, entries })
    }
}
