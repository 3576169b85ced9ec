//! Which hierarchies this process sees, and where it stands in them.
//!
//! Kernel objects: `/proc/self/mountinfo`, `/proc/self/cgroup` (cgroups(7)), read only. Invariant: parsing makes no
//! system call and survives lines that it does not know.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::controller::Controllers;
use crate::error::{Error, Result};
use crate::table::Version;

/// How control groups are mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// Version 2 only.
    V2,
    /// Version 1 only.
    V1,
    /// Version 1 with a version 2 hierarchy beside it.
    Hybrid,
}

/// A mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hierarchy {
    /// Its version.
    pub version: Version,
    /// Its controllers; on v2 those of the mounted root.
    pub controllers: Controllers,
    /// Where it is mounted.
    pub mount: PathBuf,
    /// The own group's directory.
    pub own: PathBuf,
    /// Whether it is mounted read-only.
    pub read_only: bool,
    /// Whether it is the one of version 2 on a hybrid machine.
    pub(crate) beside_v1: bool,
    /// What it is told by where it has no controllers (`name=`).
    name: Option<String>,
}

/// The hierarchies that this process sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchies {
    found: Vec<Hierarchy>,
    /// Those of version 1 without controllers.
    named: Vec<Hierarchy>,
    /// `/proc/self/cgroup` as it was.
    own: Vec<u8>,
}

fn read(path: &'static str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::io("read", Path::new(path), &error))
}

const OWN: &str = "/proc/self/cgroup";

impl Hierarchies {
    /// Looks.
    ///
    /// # Errors
    /// [`NoCgroups`](crate::ErrorKind::NoCgroups) when none is mounted, or a failed read of procfs.
    pub fn detect() -> Result<Self> {
        let own = read(OWN)?;
        let all = parse(&read("/proc/self/mountinfo")?, &own);
        let (named, mut found): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|one| one.name.is_some());
        let hybrid = found.iter().any(|one| one.version == Version::V1);
        for hierarchy in found.iter_mut().filter(|one| one.version == Version::V2) {
            hierarchy.beside_v1 = hybrid;
            let line = std::fs::read_to_string(hierarchy.mount.join("cgroup.controllers"));
            hierarchy.controllers = Controllers::of_v2(&line.unwrap_or_default());
        }
        // v1 hierarchies first: a process joins them before it is cloned into its group of v2.
        found.sort_by_key(|one| one.version == Version::V2);
        if found.is_empty() { Err(Error::no_cgroups()) } else { Ok(Self { found, named, own }) }
    }

    /// Whether the process is still in the groups in which it was; a change of the mounts is not seen.
    #[must_use]
    pub fn is_current(&self) -> bool {
        read(OWN).is_ok_and(|own| own == self.own)
    }

    /// All that have controllers, or are of version 2.
    pub fn iter(&self) -> impl Iterator<Item = &Hierarchy> {
        self.found.iter()
    }

    /// Those of version 1 that only tell which processes belong together, such as systemd's (`name=systemd`).
    pub fn named(&self) -> impl Iterator<Item = &Hierarchy> {
        self.named.iter()
    }

    /// How they are mounted.
    #[must_use]
    pub fn mode(&self) -> Mode {
        let has = |version| self.found.iter().any(|one| one.version == version);
        match (has(Version::V1), has(Version::V2)) {
            (true, true) => Mode::Hybrid,
            (true, false) => Mode::V1,
            (false, _) => Mode::V2,
        }
    }

    /// The controllers that can be had.
    #[must_use]
    pub fn controllers(&self) -> Controllers {
        self.found.iter().map(|one| one.controllers).collect()
    }
}

/// Reads both files: controllers of v1 hierarchies are in the mount options, the own group by hierarchy in the other.
fn parse(mountinfo: &[u8], own: &[u8]) -> Vec<Hierarchy> {
    let own = String::from_utf8_lossy(own);
    let mut found: Vec<Hierarchy> = Vec::new();
    for mount in mountinfo.split(|&byte| byte == b'\n').filter_map(Mount::parse) {
        let Some(group) = mount.group(&own) else { continue };
        // Its root is above that of the own cgroup namespace: the way from there to the own group is not shown.
        if mount.root.starts_with("/..") {
            continue;
        }
        let hierarchy = mount.hierarchy(&group);
        if let Some(covered) = found.iter_mut().find(|other| other.mount == hierarchy.mount) {
            *covered = hierarchy;
            continue;
        }
        // A second mount of the same hierarchy shows nothing more.
        let known = found.iter().any(|other| {
            (other.version, other.controllers, &other.name)
                == (hierarchy.version, hierarchy.controllers, &hierarchy.name)
        });
        let usable = hierarchy.version == Version::V2 || !hierarchy.controllers.is_empty();
        if !known && (usable || hierarchy.name.is_some()) {
            found.push(hierarchy);
        }
    }
    found
}

/// A cgroup mount of mountinfo.
struct Mount {
    root: PathBuf,
    point: PathBuf,
    version: Version,
    read_only: bool,
    names: Vec<String>,
}

impl Mount {
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|&byte| byte == b' ');
        let root = unescape(fields.nth(3)?);
        let point = unescape(fields.next()?);
        let mut options = fields.next()?.split(|&byte| byte == b',');
        let mount_read_only = options.any(|option| option == b"ro");
        let mut tail = fields.skip_while(|field| *field != b"-").skip(1);
        let version = match tail.next()? {
            b"cgroup2" => Version::V2,
            b"cgroup" => Version::V1,
            _ => return None,
        };
        let options = String::from_utf8_lossy(tail.nth(1)?).into_owned();
        let names: Vec<String> = options.split(',').map(str::to_owned).collect();
        let read_only = mount_read_only || names.iter().any(|name| name == "ro");
        Some(Self { root, point, version, read_only, names })
    }

    fn controllers(&self) -> Controllers {
        match self.version {
            Version::V1 => self.names.iter().map(|name| Controllers::of_v1(name)).collect(),
            Version::V2 => Controllers::empty(),
        }
    }

    /// The own group in this hierarchy, as `/proc/self/cgroup` says.
    fn group(&self, own: &str) -> Option<PathBuf> {
        own.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (number, names, group) = (fields.next()?, fields.next()?, fields.next()?);
            let mine = match self.version {
                Version::V2 => number == "0" && names.is_empty(),
                Version::V1 => names
                    .split(',')
                    .any(|name| !name.is_empty() && self.names.iter().any(|own| own == name)),
            };
            mine.then(|| PathBuf::from(group))
        })
    }

    fn hierarchy(&self, group: &Path) -> Hierarchy {
        // A bind mount or a cgroup namespace shows a part of the tree as its root.
        let below = group.strip_prefix(&self.root).or_else(|_| group.strip_prefix("/"));
        let controllers = self.controllers();
        let named = self.version == Version::V1 && controllers.is_empty();
        let mut names = self.names.iter().filter(|_| named);
        Hierarchy {
            version: self.version,
            controllers,
            mount: self.point.clone(),
            own: match below {
                Ok(below) if below != Path::new("") => self.point.join(below),
                _ => self.point.clone(),
            },
            read_only: self.read_only,
            beside_v1: false,
            name: names.find(|name| name.starts_with("name=")).cloned(),
        }
    }
}

/// A path whose blanks and backslashes are written as three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        rest = match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                tail
            }
            _ => {
                out.push(first);
                tail
            }
        };
    }
    PathBuf::from(OsString::from_vec(out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HYBRID: &str = "\
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct
36 31 0:33 / /sys/fs/cgroup/memory ro,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
";
    const OWN: &str = "9:name=systemd:/\n4:memory:/a b\n2:cpu,cpuacct:/\n0::/x\n";

    #[test]
    fn a_hybrid_machine() {
        let all = parse(HYBRID.as_bytes(), OWN.as_bytes());
        let (named, found) = all.into_iter().partition(|one| one.name.is_some());
        let found = Hierarchies { found, named, own: Vec::new() };
        let named: Vec<_> = found.named().map(|one| one.mount.to_string_lossy()).collect();
        assert_eq!(named, ["/sys/fs/cgroup/systemd"]);
        assert_eq!(found.mode(), Mode::Hybrid);
        let shown: Vec<_> = found
            .iter()
            .map(|one| (one.controllers.to_string(), one.own.display().to_string(), one.read_only))
            .collect();
        let of = |controllers: &str, own: &str, read_only| {
            (controllers.to_owned(), own.to_owned(), read_only)
        };
        assert_eq!(
            shown,
            [
                of("cpu cpuacct", "/sys/fs/cgroup/cpu", false),
                of("memory", "/sys/fs/cgroup/memory/a b", true),
                of("", "/sys/fs/cgroup/unified/x", false),
            ]
        );
    }

    #[test]
    fn a_part_of_a_tree() {
        let line = "1 0 0:1 /pod/one /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        let found = parse(line.as_bytes(), b"0::/pod/one/inner\n");
        assert_eq!(found[0].own, Path::new("/sys/fs/cgroup/inner"));
        assert_eq!(Hierarchies { found, named: Vec::new(), own: Vec::new() }.mode(), Mode::V2);
    }

    #[test]
    fn a_cgroup_namespace() {
        let above = "1 0 0:1 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(parse(above.as_bytes(), b"0::/\n"), []);
        let covered = format!("{above}2 1 0:1 / /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n");
        let found = parse(covered.as_bytes(), b"0::/in\n");
        assert_eq!(found[0].own, Path::new("/sys/fs/cgroup/in"));
        let again = covered.replace("/../..", "/");
        let found = parse(again.as_bytes(), b"0::/in\n");
        assert!(found.len() == 1 && found[0].read_only, "the mount above is the one that is seen");
    }

    proptest! {
        #[test]
        fn any_text_is_read(mounts: Vec<u8>, own: Vec<u8>) {
            parse(&mounts, &own);
        }
    }
}
