//! The emulator: QEMU of Debian 13 with all its libraries, unpacked into the cache and run by its
//! own loader.
//!
//! So it is the same on every host and nothing has to be installed. Older ones fail: 7.2 with
//! threads crashes the guest now and then, and below 8.2 a state cannot be saved to a file.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::archive::{Archive, Suite};
use super::cache::{Cache, Entry, Recipe};
use crate::error::Error;
use crate::process;

const PACKAGES: &[&str] = &["qemu-system-x86", "qemu-utils"];
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// QEMU in the cache.
pub(crate) struct Qemu {
    entry: Entry,
}

impl Qemu {
    /// Fetches it if it is not there.
    pub(crate) fn get(cache: &Cache) -> Result<Self, Error> {
        let recipe = Recipe::of("qemu", Suite::Trixie.name()).and(PACKAGES);
        let entry = cache.entry(&recipe, |new| {
            let scratch = new.join("scratch");
            Archive::open(Suite::Trixie, &scratch)?.unpack_closure(PACKAGES, new)?;
            std::fs::remove_dir_all(&scratch).map_err(|e| Error::io("remove", &scratch, e))
        })?;
        Ok(Self { entry })
    }

    /// What saved states depend on.
    pub(crate) fn key(&self) -> &str {
        self.entry.key()
    }

    /// A program of QEMU's; killed when we end.
    fn program(&self, name: &str) -> Command {
        let libraries = self.entry.path(LIBRARIES);
        let mut command = process::dying_with_us(libraries.join("ld-linux-x86-64.so.2"));
        command.arg("--library-path").arg(&libraries);
        command.arg(self.entry.path("usr/bin").join(name));
        command.env("QEMU_MODULE_DIR", libraries.join("qemu"));
        command
    }

    /// The emulator of an x86-64 machine.
    pub(crate) fn system(&self) -> Command {
        let mut command = self.program("qemu-system-x86_64");
        for dir in ["usr/share/qemu", "usr/share/seabios"] {
            command.arg("-L").arg(self.entry.path(dir));
        }
        command
    }

    /// Makes a disk that holds the differences to another one.
    pub(crate) fn make_overlay(&self, base: &Path, overlay: &Path) -> Result<(), Error> {
        let mut command = self.program("qemu-img");
        command.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]).arg(base).arg(overlay);
        super::archive::succeed(&mut command)
    }
}

/// A path as the value of an option, in which a comma is doubled.
pub(super) fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// A directory of the host that the guest sees by 9p.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// On the host.
    pub(crate) host: PathBuf,
    /// In the guest.
    pub(crate) guest: PathBuf,
    /// Whether the guest may write.
    pub(crate) access: Access,
    /// The SELinux label of everything in it.
    pub(crate) context: String,
}

/// What the guest may do in a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Read and execute.
    ReadOnly,
    /// Also write.
    Writable,
}

impl Access {
    /// As in mount options.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "ro",
            Self::Writable => "rw",
        }
    }
}
