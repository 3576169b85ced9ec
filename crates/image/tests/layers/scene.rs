//! A root to unpack into, and a canary beside it.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use ampoule_image::unpack::{Ownership, Unpack, Unpacked, Whiteouts};
use ampoule_image::{Error, ErrorKind};

use super::tree::{Tree, tree};

/// A directory with `root`, and `outside` which nothing may touch.
pub(crate) struct Scene {
    directory: tempfile::TempDir,
    canary: Tree,
}

/// What ordinary callers use: no privilege, the layer applied.
pub(crate) fn unprivileged() -> Unpack {
    let mut unpack = Unpack::default();
    unpack.ownership = Ownership::Single;
    unpack.whiteouts = Whiteouts::Applied;
    unpack
}

impl Scene {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let outside = directory.path().join("outside");
        fs::create_dir_all(outside.join("dir/sub")).expect("a directory");
        fs::create_dir(directory.path().join("root")).expect("a directory");
        fs::write(outside.join("file"), "canary").expect("a file");
        fs::write(outside.join("dir/file"), "canary").expect("a file");
        fs::set_permissions(outside.join("dir"), PermissionsExt::from_mode(0o750)).expect("mode");
        symlink("file", outside.join("link")).expect("a link");
        let canary = tree(&outside);
        Self { directory, canary }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    pub(crate) fn outside(&self) -> PathBuf {
        self.directory.path().join("outside")
    }

    pub(crate) fn unpack(&self, options: &Unpack, layer: &[u8]) -> Result<Unpacked, Error> {
        let root = File::open(self.root()).expect("the root");
        let result = options.apply(layer, root.as_fd());
        self.check();
        result
    }

    /// The canary lives, and nothing stands beside it.
    pub(crate) fn check(&self) {
        assert_eq!(tree(&self.outside()), self.canary, "the canary changed");
        let beside = fs::read_dir(self.directory.path()).expect("a directory").count();
        assert_eq!(beside, 2, "something was written beside the root");
    }

    pub(crate) fn tree(&self) -> Tree {
        tree(&self.root())
    }
}

/// The kind of the error; `None` where there was none.
pub(crate) fn kind<T>(result: &Result<T, Error>) -> Option<ErrorKind> {
    result.as_ref().err().map(Error::kind)
}
