//! A place from which an ordinary user can run a test program.
//!
//! The target directory may lie below a directory that only its owner may enter. So the program
//! is copied to a fresh directory below `/tmp`, beside a home and a temporary directory that
//! belong to the user. Invariant: nothing of it is left after [`Stage::remove`].

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::geteuid;

use super::user::TestUser;
use crate::error::Error;

/// The directory; it belongs to the caller and everybody may enter it.
pub(crate) struct Stage {
    dir: PathBuf,
    user: TestUser,
}

impl Stage {
    /// Makes the directory, and in it `home` and `tmp` of the user.
    pub(crate) fn make(user: &TestUser) -> Result<Self, Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("ampoule-test.{}.{}", std::process::id(), now.as_nanos());
        let dir = Path::new("/tmp").join(name);
        make_dir(&dir, 0o755)?;
        let stage = Self { dir, user: user.clone() };
        for own in [stage.home(), stage.tmp()] {
            make_dir(&own, 0o700)?;
            if geteuid().is_root() {
                chown(&own, Some(user.uid), Some(user.gid))
                    .map_err(|source| Error::io("chown", &own, source))?;
            }
        }
        Ok(stage)
    }

    fn home(&self) -> PathBuf {
        self.dir.join("home")
    }

    fn tmp(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    /// Copies a program here and gives the path of the copy.
    pub(crate) fn copy(&self, program: &Path) -> Result<PathBuf, Error> {
        Self::copy_to(program, &self.dir)
    }

    fn copy_to(program: &Path, dir: &Path) -> Result<PathBuf, Error> {
        let name = program.file_name().ok_or(Error::absent("file name of a test program"))?;
        let copy = dir.join(name);
        std::fs::copy(program, &copy).map_err(|source| Error::io("copy", program, source))?;
        set_mode(&copy, 0o755)?;
        Ok(copy)
    }

    /// Copies the examples beside the test programs that run them, to `examples`.
    pub(crate) fn add_examples<'a>(
        &self,
        programs: impl Iterator<Item = &'a Path>,
    ) -> Result<(), Error> {
        let dir = self.dir.join("examples");
        make_dir(&dir, 0o755)?;
        programs.into_iter().try_for_each(|program| Self::copy_to(program, &dir).map(drop))
    }

    /// Removes a copy.
    pub(crate) fn discard(&self, copy: &Path) -> Result<(), Error> {
        std::fs::remove_file(copy).map_err(|source| Error::io("remove", copy, source))
    }

    /// Makes `command` run as the user, with a small environment and in its own home.
    pub(crate) fn prepare(&self, command: &mut Command) {
        let kept = std::env::vars_os().filter(|(name, _)| {
            let name = name.to_string_lossy();
            ["AMPOULE_", "PROPTEST_", "RUST_"].iter().any(|prefix| name.starts_with(prefix))
        });
        let kept: Vec<_> = kept.collect();
        command.env_clear().envs(kept).current_dir(self.home());
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", self.home()).env("TMPDIR", self.tmp()).env("LANG", "C.UTF-8");
        command.env("USER", &self.user.name).env("LOGNAME", &self.user.name);
        self.user.become_in(command);
    }

    /// Removes the directory with everything in it.
    pub(crate) fn remove(self) -> Result<(), Error> {
        std::fs::remove_dir_all(&self.dir).map_err(|source| Error::io("remove", &self.dir, source))
    }
}

fn make_dir(dir: &Path, mode: u32) -> Result<(), Error> {
    std::fs::create_dir(dir).map_err(|source| Error::io("make", dir, source))?;
    set_mode(dir, mode)
}

fn set_mode(path: &Path, mode: u32) -> Result<(), Error> {
    std::fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(|source| Error::io("chmod", path, source))
}
