//! The guest's kernels: Debian's own, uncompressed, with an initramfs and a part of their modules.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::archive::{Archive, Suite, succeed};
use super::bzimage;
use super::cache::{Cache, Entry, Recipe};
use super::cpio::Cpio;
use crate::error::Error;
use crate::process;

/// Which kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Version {
    /// The oldest that is tested.
    V6_1,
    /// The usual one.
    V6_12,
}

impl Version {
    /// Every version, the usual one first.
    pub(crate) const ALL: [Self; 2] = [Self::V6_12, Self::V6_1];

    /// The one that is used unless another is asked for.
    pub(crate) const USUAL: Self = Self::V6_12;

    /// How people name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
        }
    }

    fn suite(self) -> Suite {
        match self {
            Self::V6_1 => Suite::Bookworm,
            Self::V6_12 => Suite::Trixie,
        }
    }
}

/// A kernel in the cache: `vmlinux`, `initrd`, and `modules` with a directory named by its release.
pub(crate) fn get(cache: &Cache, version: Version, data: &Path) -> Result<Entry, Error> {
    let recipe = Recipe::of("kernel", version.name())
        .and(include_str!("kernel.rs"))
        .and(include_str!("cpio.rs"))
        .and_files(&data.join("kernel"))?;
    cache.entry(&recipe, |new| build(version, &data.join("kernel"), new))
}

fn build(version: Version, data: &Path, new: &Path) -> Result<(), Error> {
    let scratch = new.join("scratch");
    let archive = Archive::open(version.suite(), &scratch.join("apt"))?;
    let package = archive.dependency("linux-image-amd64", "linux-image-")?;
    let root = scratch.join("root");
    archive.unpack(&[&package, "busybox-static"], &root)?;
    let release = package.trim_start_matches("linux-image-").to_owned();
    uncompress(&root.join("boot").join(format!("vmlinuz-{release}")), &new.join("vmlinux"))?;
    let source = ["usr/lib/modules", "lib/modules"].map(|dir| root.join(dir).join(&release));
    let source = source.into_iter().find(|dir| dir.is_dir());
    let source = source.ok_or(Error::absent("modules in the kernel's package"))?;
    let tree = Modules::select(&source, &lines(&data.join("modules"))?, new, &release)?;
    let initrd = initramfs(&tree, &lines(&data.join("first"))?, &root, &data.join("init"))?;
    write(&new.join("initrd"), &initrd)?;
    std::fs::remove_dir_all(&scratch).map_err(|e| Error::io("remove", &scratch, e))
}

/// Decompresses a kernel with the program for its compression.
fn uncompress(image: &Path, to: &Path) -> Result<(), Error> {
    let bytes = read(image)?;
    let (compression, payload) =
        bzimage::payload(&bytes).ok_or(Error::absent("compressed kernel that is known"))?;
    let compressed = to.with_extension("compressed");
    write(&compressed, payload)?;
    let input = File::open(&compressed).map_err(|e| Error::io("open", &compressed, e))?;
    let output = File::create(to).map_err(|e| Error::io("make", to, e))?;
    let mut command = Command::new(compression.program());
    let status =
        process::status(command.args(["-d", "-c", "-q"]).stdin(input).stdout(Stdio::from(output)))?;
    std::fs::remove_file(&compressed).map_err(|e| Error::io("remove", &compressed, e))?;
    if status.success() { Ok(()) } else { Err(Error::exit(&command, status)) }
}

/// The chosen modules, uncompressed, with depmod's files.
struct Modules {
    dir: PathBuf,
    /// depmod's file: each module with all it depends on.
    dependencies: String,
}

impl Modules {
    fn select(source: &Path, wanted: &[String], new: &Path, release: &str) -> Result<Self, Error> {
        // depmod looks below lib/modules of a root directory; the image takes `modules`.
        let top = new.join("modules");
        let dir = top.join(release);
        let kernel = source.join("kernel");
        for name in wanted {
            let candidates = ["", ".ko", ".ko.xz"].map(|end| kernel.join(format!("{name}{end}")));
            // What is not there as a module is built in, or came with a later kernel.
            if let Some(path) = candidates.iter().find(|path| path.exists()) {
                copy_into(path, &kernel, &dir.join("kernel"))?;
            }
        }
        for name in ["modules.builtin", "modules.builtin.modinfo", "modules.order"] {
            copy_file(&source.join(name), &dir.join(name))?;
        }
        uncompress_below(&dir)?;
        let lib = new.join("lib");
        std::fs::create_dir(&lib).map_err(|e| Error::io("make", &lib, e))?;
        let link = lib.join("modules");
        std::os::unix::fs::symlink("../modules", &link).map_err(|e| Error::io("link", &link, e))?;
        let depmod = process::find("depmod").unwrap_or_else(|| "depmod".into());
        succeed(Command::new(depmod).arg("-b").arg(new).arg(release))?;
        std::fs::remove_dir_all(&lib).map_err(|e| Error::io("remove", &lib, e))?;
        let list = dir.join("modules.dep");
        let dependencies =
            std::fs::read_to_string(&list).map_err(|e| Error::io("read", &list, e))?;
        Ok(Self { dir, dependencies })
    }
}

/// The modules that have to be loaded for `names`, each after what it depends on.
fn load_order<'a>(dependencies: &'a str, names: &[String]) -> Vec<&'a str> {
    let mut order = Vec::new();
    for name in names {
        let lines = dependencies.lines().filter_map(|line| line.split_once(':'));
        let is_it = |path: &str| stem(path) == name.replace('-', "_");
        for (module, needs) in lines.filter(|(module, _)| is_it(module)) {
            let needs: Vec<&str> = needs.split_whitespace().collect();
            // depmod lists the deepest dependency last.
            for each in needs.into_iter().rev().chain([module]) {
                if !order.contains(&each) {
                    order.push(each);
                }
            }
        }
    }
    order
}

fn stem(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split('.').next().unwrap_or(name).replace('-', "_")
}

/// Programs of busybox that the first process calls.
const APPLETS: &[&str] = &["insmod", "mount", "poweroff", "sh", "switch_root", "usleep"];

fn initramfs(
    modules: &Modules,
    first: &[String],
    root: &Path,
    init: &Path,
) -> Result<Vec<u8>, Error> {
    let mut cpio = Cpio::default();
    for dir in ["bin", "dev", "modules", "proc", "root", "sys"] {
        cpio.directory(dir);
    }
    cpio.device("dev/console", (5, 1));
    let busybox = ["usr/bin/busybox", "bin/busybox"].map(|path| root.join(path));
    let busybox = busybox.iter().find(|path| path.is_file()).ok_or(Error::absent("busybox"))?;
    cpio.program("bin/busybox", &read(busybox)?);
    for applet in APPLETS {
        cpio.symlink(&format!("bin/{applet}"), "busybox");
    }
    let mut order = String::new();
    for path in load_order(&modules.dependencies, first) {
        let name = path.rsplit('/').next().unwrap_or(path);
        cpio.program(&format!("modules/{name}"), &read(&modules.dir.join(path))?);
        order += &format!("{name}\n");
    }
    cpio.program("modules/order", order.as_bytes());
    cpio.program("init", &read(init)?);
    Ok(cpio.finish())
}

/// The lines of a data file, without comments.
pub(super) fn lines(path: &Path) -> Result<Vec<String>, Error> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(ToOwned::to_owned).collect())
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|e| Error::io("read", path, e))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    std::fs::write(path, bytes).map_err(|e| Error::io("write", path, e))
}

/// Copies `path`, a file or a directory below `from`, to its place below `to`.
fn copy_into(path: &Path, from: &Path, to: &Path) -> Result<(), Error> {
    if path.is_dir() {
        let list = std::fs::read_dir(path).map_err(|e| Error::io("list", path, e))?;
        return list.into_iter().try_for_each(|entry| {
            copy_into(&entry.map_err(|e| Error::io("list", path, e))?.path(), from, to)
        });
    }
    let below = path.strip_prefix(from).unwrap_or(path);
    copy_file(path, &to.join(below))
}

fn copy_file(from: &Path, to: &Path) -> Result<(), Error> {
    let dir = to.parent().unwrap_or(to);
    std::fs::create_dir_all(dir).map_err(|e| Error::io("make", dir, e))?;
    std::fs::copy(from, to).map_err(|e| Error::io("copy", from, e)).map(drop)
}

/// Uncompresses what ends in `.xz`, as busybox cannot load it and the emulated machine is slow.
fn uncompress_below(dir: &Path) -> Result<(), Error> {
    let script = "find \"$1\" -name '*.ko.xz' -print0 | xargs -0 -r -n 64 -P 4 xz -d -q";
    succeed(Command::new("sh").args(["-c", script, "sh"]).arg(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_come_after_what_they_need() {
        let dep = "kernel/fs/9p/9p.ko: kernel/net/9p/9pnet.ko kernel/fs/netfs/netfs.ko\n\
                   kernel/net/9p/9pnet.ko:\nkernel/fs/netfs/netfs.ko:\n\
                   kernel/net/9p/9pnet_virtio.ko: kernel/net/9p/9pnet.ko\n";
        let names = ["9pnet-virtio", "9p", "absent"].map(str::to_owned);
        let order: Vec<_> = load_order(dep, &names).into_iter().map(stem).collect();
        assert_eq!(order, ["9pnet", "9pnet_virtio", "netfs", "9p"]);
    }
}
