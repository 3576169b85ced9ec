//! The host's mount table (`/proc/self/mountinfo`, proc(5)), as far as a plan needs it.
//!
//! Invariant: parsing makes no system call; a line that cannot be read is left out.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::error::{ErrorKind, Problem};

/// The mounts below this process's root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MountTable {
    mounts: Vec<Entry>,
}

/// What the root of the calling process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostRoot {
    /// A mount on another one.
    Movable,
    /// The first mount of all: the rootfs of an initramfs.
    Fixed,
    /// A directory of a mount (chroot(2)).
    NoMount,
}

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    id: u64,
    parent: u64,
    /// What of the file system is mounted.
    root: PathBuf,
    point: PathBuf,
    read_only: bool,
    kind: String,
    /// Options of the file system of a hierarchy of control groups.
    options: String,
}

/// Options of a hierarchy that are no controllers.
const FLAGS: [&str; 4] = ["xattr", "noprefix", "cpuset_v2_mode", "favordynmods"];

/// A hierarchy of control groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// The name of the directory that it is mounted on.
    pub(crate) name: OsString,
    /// What it is mounted with again: controllers, or a name; nothing for the second version.
    pub(crate) options: Vec<String>,
}

impl Hierarchy {
    /// Controllers that are not found by the directory's name.
    pub(crate) fn links(&self) -> impl Iterator<Item = &str> {
        let all = self.options.iter().map(String::as_str);
        let controller = |option: &&str| !option.contains('=') && !FLAGS.contains(option);
        all.filter(controller).filter(|option| **option != self.name)
    }
}

/// Mount points that the kernel itself keeps empty: a mount on them covers nothing.
const EMPTY_IN_PROC: [&str; 3] = ["sys/fs/binfmt_misc", "fs/nfsd", "openprom"];
const EMPTY_IN_SYSFS: [&str; 11] = [
    "fs/cgroup",
    "fs/bpf",
    "fs/pstore",
    "fs/selinux",
    "fs/smackfs",
    "fs/fuse/connections",
    "fs/resctrl",
    "kernel/debug",
    "kernel/tracing",
    "kernel/config",
    "kernel/security",
];

impl MountTable {
    /// Reads the calling process's table.
    pub(crate) fn read() -> Result<Self, Problem> {
        let path = "/proc/thread-self/mountinfo";
        let unreadable = |_| Problem::new(ErrorKind::Host, path);
        // The kernel writes the table anew for each read: room for all of it at once.
        let mut bytes = Vec::with_capacity(16 << 10);
        let read = File::open(path).and_then(|mut file| file.read_to_end(&mut bytes));
        read.map(|_| Self::parse(&bytes)).map_err(unreadable)
    }

    /// Parses the text.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let lines = bytes.split(|&byte| byte == b'\n');
        Self { mounts: lines.filter_map(Entry::parse).collect() }
    }

    /// What pivot_root(2) can do with the root.
    pub(crate) fn host_root(&self) -> HostRoot {
        let root = self.mounts.iter().rfind(|mount| mount.point == Path::new("/"));
        match root {
            None => HostRoot::NoMount,
            Some(root) if root.kind == "rootfs" || root.parent == root.id => HostRoot::Fixed,
            Some(_) => HostRoot::Movable,
        }
    }

    /// Whether something is mounted below a directory.
    pub(crate) fn has_below(&self, path: &Path) -> bool {
        self.mounts.iter().any(|mount| mount.point != path && mount.point.starts_with(path))
    }

    /// Whether the kernel would make a fresh procfs in a new user namespace.
    pub(crate) fn shows_all_of_proc(&self) -> bool {
        self.shows_all("proc", &EMPTY_IN_PROC)
    }

    /// Whether the kernel would make a fresh sysfs in a new user namespace.
    pub(crate) fn shows_all_of_sysfs(&self) -> bool {
        self.shows_all("sysfs", &EMPTY_IN_SYSFS)
    }

    /// The hierarchies of control groups that are mounted in a directory.
    pub(crate) fn hierarchies(&self, directory: &Path) -> Vec<Hierarchy> {
        let mut found: Vec<Hierarchy> = Vec::new();
        for mount in self.mounts.iter().filter(|mount| mount.point.parent() == Some(directory)) {
            let (Some(options), Some(name)) = (mount.hierarchy(), mount.point.file_name()) else {
                continue;
            };
            // The last one covers the others.
            found.retain(|other| other.name != name);
            found.push(Hierarchy { name: name.to_owned(), options });
        }
        found
    }

    fn shows_all(&self, kind: &str, empty: &[&str]) -> bool {
        let whole =
            |mount: &&Entry| mount.kind == kind && mount.root == Path::new("/") && !mount.read_only;
        self.mounts.iter().filter(whole).any(|mount| {
            let below = self.mounts.iter().filter(|child| child.parent == mount.id);
            below.map(|child| &child.point).all(|point| {
                point
                    .strip_prefix(&mount.point)
                    .is_ok_and(|rest| empty.iter().any(|name| rest == Path::new(name)))
            })
        })
    }
}

impl Entry {
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|&byte| byte == b' ');
        let id = number(fields.next()?)?;
        let parent = number(fields.next()?)?;
        let root = path(fields.nth(1)?);
        let point = path(fields.next()?);
        let mut options = fields.next()?.split(|&byte| byte == b',');
        let read_only = options.any(|option| option == b"ro");
        let mut rest = fields.skip_while(|&field| field != b"-").skip(1);
        let kind = String::from_utf8_lossy(rest.next()?).into_owned();
        let options = rest.nth(1).filter(|_| kind == "cgroup").unwrap_or_default();
        let options = String::from_utf8_lossy(options).into_owned();
        Some(Self { id, parent, root, point, read_only, kind, options })
    }

    /// What a hierarchy of control groups is mounted with again; `None` for another file system.
    fn hierarchy(&self) -> Option<Vec<String>> {
        // Whoever mounts it again says nothing about the rest.
        let again = |option: &&str| match option.split_once('=') {
            Some((key, _)) => key == "name",
            None => !matches!(*option, "" | "rw" | "ro" | "seclabel" | "clone_children"),
        };
        match self.kind.as_str() {
            "cgroup" => Some(self.options.split(',').filter(again).map(str::to_owned).collect()),
            "cgroup2" => Some(Vec::new()),
            _ => None,
        }
    }
}

fn number(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// A path whose blanks and backslashes are written as three octal digits.
fn path(field: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = tail;
            }
            _ => {
                out.push(first);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsString::from_vec(out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
23 27 0:22 / /sys rw,relatime shared:3 - sysfs sysfs rw
31 23 0:29 / /sys/fs/cgroup rw - tmpfs tmpfs rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 27 0:40 / /mnt/a\\040b rw - tmpfs tmpfs rw
";

    #[test]
    fn a_plain_host() {
        let table = MountTable::parse(PLAIN.as_bytes());
        assert_eq!(table.host_root(), HostRoot::Movable);
        assert!(table.shows_all_of_proc() && table.shows_all_of_sysfs());
        assert!(table.has_below(Path::new("/mnt")) && !table.has_below(Path::new("/mnt/a b")));
    }

    #[test]
    fn a_covered_proc() {
        let text = format!("{PLAIN}50 22 0:50 / /proc/kcore rw - tmpfs tmpfs rw\n");
        assert!(!MountTable::parse(text.as_bytes()).shows_all_of_proc());
    }

    #[test]
    fn a_root_that_cannot_move() {
        let root = |text: &str| MountTable::parse(text.as_bytes()).host_root();
        assert_eq!(root("1 1 0:2 / / rw - rootfs rootfs rw"), HostRoot::Fixed);
        assert_eq!(root("9 1 0:9 / /proc rw - proc proc rw"), HostRoot::NoMount);
    }

    #[test]
    fn hierarchies_are_found_again() {
        const TEXT: &[u8] = b"\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw
32 31 0:29 / /sys/fs/cgroup/old rw - cgroup cgroup rw,pids
33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,seclabel,cpu,cpuacct,clone_children
34 31 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd
35 31 0:32 / /sys/fs/cgroup/unified rw shared:1 - cgroup2 cgroup2 rw,nsdelegate
36 31 0:29 / /sys/fs/cgroup/old rw - cgroup cgroup rw,memory
37 31 0:29 / /other/cpuset rw - cgroup cgroup rw,cpuset
";
        let found = MountTable::parse(TEXT).hierarchies(Path::new("/sys/fs/cgroup"));
        let found: Vec<_> = found
            .iter()
            .map(|one| (one.name.to_str().unwrap(), one.options.join(","), one.links().collect()))
            .collect();
        let expected: [(&str, String, Vec<&str>); 4] = [
            ("cpu,cpuacct", "cpu,cpuacct".to_owned(), vec!["cpu", "cpuacct"]),
            ("systemd", "xattr,name=systemd".to_owned(), vec![]),
            ("unified", String::new(), vec![]),
            ("old", "memory".to_owned(), vec!["memory"]),
        ];
        assert_eq!(found, expected);
    }

    proptest! {
        #[test]
        fn any_text_is_read(bytes: Vec<u8>) {
            MountTable::parse(&bytes);
        }
    }
}
