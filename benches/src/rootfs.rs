//! The root file system of all contenders: one static busybox, on a tmpfs where there is one.
//!
//! Touches one fresh directory. Invariant: the directory is gone when its value is dropped.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::statfs;

use crate::failure::Failure;

/// Where a static busybox is looked for, as distributions install it.
const BUSYBOX: [&str; 3] = ["/bin/busybox", "/usr/bin/busybox", "/bin/busybox.static"];
/// Mount points and directories of the root.
const DIRECTORIES: [&str; 9] = ["bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "usr"];
/// Before the pid in the directory's name.
const PREFIX: &str = "ampoule-bench-";
/// Directories that this process has made.
static MADE: AtomicUsize = AtomicUsize::new(0);
/// See statfs(2).
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// A directory with `rootfs/`, and room for bundles and state of the contenders.
#[derive(Debug)]
pub struct StageDirectory {
    path: PathBuf,
}

impl StageDirectory {
    /// Makes the directory below `/dev/shm` if that is a tmpfs, else below `fallback`.
    ///
    /// # Errors
    /// When there is no static busybox or the directory cannot be made.
    pub fn make(fallback: &Path) -> Result<Self, Failure> {
        let shm = Path::new("/dev/shm");
        let tmpfs = statfs(shm).is_ok_and(|facts| facts.f_type == TMPFS_MAGIC);
        let parent = if tmpfs { shm } else { fallback };
        remove_stale(parent)?;
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{PREFIX}{}-{number}", std::process::id()));
        fs::create_dir_all(&path).map_err(Failure::file("create", &path))?;
        let stage = Self { path };
        fill(&stage.rootfs())?;
        Ok(stage)
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The root file system.
    pub fn rootfs(&self) -> PathBuf {
        rootfs_of(&self.path)
    }

    /// The name of the file system that the directory is on.
    pub fn file_system(&self) -> String {
        match statfs(&self.path) {
            Ok(facts) if facts.f_type == TMPFS_MAGIC => "tmpfs".into(),
            Ok(facts) if facts.f_type == 0xEF53 => "ext4".into(),
            Ok(facts) => format!("{:#x}", facts.f_type),
            Err(errno) => format!("unknown ({errno})"),
        }
    }
}

impl Drop for StageDirectory {
    #[expect(clippy::print_stderr, reason = "a drop has no other way to say what it left behind")]
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("left behind: {}: {error}", self.path.display());
        }
    }
}

/// Removes the directories of benches that were killed.
fn remove_stale(parent: &Path) -> Result<(), Failure> {
    let Ok(entries) = fs::read_dir(parent) else { return Ok(()) };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
        let stale = pid.is_some_and(|pid| {
            pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists()
        });
        if stale {
            let path = entry.path();
            fs::remove_dir_all(&path).map_err(Failure::file("remove", &path))?;
        }
    }
    Ok(())
}

/// Where the root file system is below a stage directory.
pub fn rootfs_of(stage: &Path) -> PathBuf {
    stage.join("rootfs")
}

/// Makes the root: directories, busybox, `true` and `sh`.
fn fill(root: &Path) -> Result<(), Failure> {
    for directory in DIRECTORIES {
        let path = root.join(directory);
        fs::create_dir_all(&path).map_err(Failure::file("create", &path))?;
    }
    let found = BUSYBOX.iter().map(Path::new).find(|path| path.is_file());
    let busybox = found.ok_or_else(|| Failure::Unknown {
        what: "static busybox (package busybox-static) as",
        name: BUSYBOX[0].into(),
    })?;
    let copy = root.join("bin/busybox");
    fs::copy(busybox, &copy).map_err(Failure::file("copy", busybox))?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))
        .map_err(Failure::file("chmod", &copy))?;
    for name in ["bin/true", "bin/sh"] {
        let link = root.join(name);
        fs::hard_link(&copy, &link).map_err(Failure::file("link", &link))?;
    }
    let mtab = root.join("etc/mtab");
    symlink("/proc/self/mounts", &mtab).map_err(Failure::file("link", &mtab))
}

#[cfg(test)]
mod tests {
    use super::StageDirectory;

    #[test]
    fn comes_and_goes() {
        let stage = StageDirectory::make(&std::env::temp_dir()).unwrap();
        let path = stage.path().to_owned();
        let status = std::process::Command::new(stage.rootfs().join("bin/true")).status().unwrap();
        assert!(status.success());
        drop(stage);
        assert!(!path.exists());
    }
}
