//! Sysctls that belong to a namespace.
//!
//! Kernel objects: files below `/proc/sys`, which are named here but not touched. Manual: proc(5),
//! ipc_namespaces(7), network_namespaces(7), user_namespaces(7). Invariant: a [`SysctlName`]
//! belongs to a namespace, so that writing it in a new one does not change the machine.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Reason, Result};
use crate::namespace::Namespace;

/// The kernel takes less than a page.
const VALUE_MAX: usize = 4095;

/// A name is at most this long.
const NAME_MAX: usize = 255;

/// What belongs to the IPC namespace, ipc_namespaces(7).
const IPC: [&str; 12] = [
    "kernel/auto_msgmni",
    "kernel/msg_next_id",
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "kernel/sem",
    "kernel/sem_next_id",
    "kernel/shm_next_id",
    "kernel/shm_rmid_forced",
    "kernel/shmall",
    "kernel/shmmax",
    "kernel/shmmni",
];

/// The name of a sysctl, written with dots or slashes; a pair of other separators swaps, as in
/// sysctl(8): `net.ipv4.conf.eth0/1.forwarding` is `net/ipv4/conf/eth0.1/forwarding`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SysctlName {
    /// With slashes, relative to `/proc/sys`.
    path: PathBuf,
    namespace: Namespace,
}

impl SysctlName {
    /// The path relative to `/proc/sys`, without `.` or `..`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which namespace must be new (or joined on purpose) before this sysctl is written.
    #[must_use]
    pub fn namespace(&self) -> Namespace {
        self.namespace
    }
}

impl FromStr for SysctlName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refused = |reason| Error::text(ErrorKind::InvalidSysctl, text, reason);
        let path = to_path(text).map_err(refused)?;
        let namespace = namespace_of(&path).map_err(refused)?;
        Ok(Self { path: path.into(), namespace })
    }
}

/// The name with slashes.
fn to_path(text: &str) -> Result<String, Reason> {
    if text.len() > NAME_MAX {
        return Err(Reason::TooLong(NAME_MAX));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Reason::BadCharacter);
    }
    let dotted = text.find(['.', '/']).is_some_and(|at| text[at..].starts_with('.'));
    let swap = |c| match c {
        '.' => '/',
        '/' => '.',
        _ => c,
    };
    let path: String = if dotted { text.chars().map(swap).collect() } else { text.to_owned() };
    let malformed = path.split('/').any(|part| matches!(part, "" | "." | ".."));
    if malformed { Err(Reason::Malformed("a.b.c or a/b/c")) } else { Ok(path) }
}

fn namespace_of(path: &str) -> Result<Namespace, Reason> {
    match path {
        "kernel/hostname" | "kernel/domainname" => Err(Reason::HasSetter),
        _ if path.starts_with("net/") => Ok(Namespace::Net),
        _ if path.starts_with("fs/mqueue/") || IPC.contains(&path) => Ok(Namespace::Ipc),
        _ if path.starts_with("user/max_") => Ok(Namespace::User),
        _ => Err(Reason::NotNamespaced),
    }
}

impl fmt::Display for SysctlName {
    /// Writes the path relative to `/proc/sys`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

impl TryFrom<String> for SysctlName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<SysctlName> for String {
    fn from(name: SysctlName) -> Self {
        name.to_string()
    }
}

/// A sysctl with the value to be written, as written on command lines: `NAME=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sysctl {
    /// The name.
    pub name: SysctlName,
    /// The bytes, without a final newline.
    pub value: String,
}

impl Sysctl {
    /// Checks the value.
    ///
    /// # Errors
    /// [`InvalidSysctl`](ErrorKind::InvalidSysctl) when it is empty, has a control character other
    /// than a tab, or is longer than 4095 bytes.
    pub fn validate(&self) -> Result<()> {
        let control = |byte: u8| byte.is_ascii_control() && byte != b'\t';
        let reason = match self.value.as_str() {
            "" => Reason::Empty,
            value if value.len() > VALUE_MAX => Reason::TooLong(VALUE_MAX),
            value if value.bytes().any(control) => Reason::BadCharacter,
            _ => return Ok(()),
        };
        Err(Error::text(ErrorKind::InvalidSysctl, &self.to_string(), reason))
    }
}

impl FromStr for Sysctl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let malformed =
            Error::text(ErrorKind::InvalidSysctl, text, Reason::Malformed("NAME=VALUE"));
        let (name, value) = text.split_once('=').ok_or(malformed)?;
        let sysctl = Self { name: name.parse()?, value: value.to_owned() };
        sysctl.validate().map(|()| sysctl)
    }
}

impl fmt::Display for Sysctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> (String, Namespace) {
        let name: SysctlName = text.parse().unwrap();
        (name.to_string(), name.namespace())
    }

    #[test]
    fn names_with_dots_and_slashes() {
        for text in ["net.ipv4.ip_forward", "net/ipv4/ip_forward"] {
            assert_eq!(read(text), ("net/ipv4/ip_forward".to_owned(), Namespace::Net));
        }
        assert_eq!(read("net.ipv4.conf.eth0/1.x").0, "net/ipv4/conf/eth0.1/x");
        assert_eq!(read("net/ipv4/conf/eth0.1/x").0, "net/ipv4/conf/eth0.1/x");
        assert_eq!(read("kernel.sem").1, Namespace::Ipc);
        assert_eq!(read("fs.mqueue.msg_max").1, Namespace::Ipc);
        assert_eq!(read("user.max_user_namespaces").1, Namespace::User);
    }

    #[test]
    fn what_would_change_the_machine_is_refused() {
        let names = [
            "",
            "kernel.pid_max",
            "kernel.core_pattern",
            "vm.swappiness",
            "fs.file-max",
            "net",
            "kernel",
            "kernel.semx",
            "fs.mqueue",
            "net..x",
            "net.",
            ".net.x",
            "/net/x",
            "net/../kernel/x",
            "net./.x",
            "net//x",
            "net.x\0",
            "net.x y",
            "net.ü",
            "user.x",
            "NET.x",
            "..",
        ];
        for name in names {
            let error = name.parse::<SysctlName>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidSysctl, "{name}");
            assert_eq!(error.hint(), None);
        }
        format!("net.{}", "x".repeat(70_000)).parse::<SysctlName>().unwrap_err();
        assert!("kernel.hostname".parse::<SysctlName>().unwrap_err().hint().is_some());
        assert!("kernel/domainname".parse::<SysctlName>().unwrap_err().hint().is_some());
    }

    #[test]
    fn values_are_one_line() {
        let good: Sysctl = "net.ipv4.ping_group_range=0\t1".parse().unwrap();
        assert_eq!(good.to_string(), "net/ipv4/ping_group_range=0\t1");
        for wrong in ["net.x", "net.x=", "net.x=1\n2", "net.x=\0", "vm.x=1"] {
            assert_eq!(wrong.parse::<Sysctl>().unwrap_err().kind(), ErrorKind::InvalidSysctl);
        }
        format!("net.x={}", "1".repeat(4096)).parse::<Sysctl>().unwrap_err();
        let json = serde_json::to_string(&good).unwrap();
        assert_eq!(serde_json::from_str::<Sysctl>(&json).unwrap(), good);
    }

    #[test]
    fn the_machine_has_what_the_table_names() {
        let known = IPC.iter().filter(|name| Path::new("/proc/sys").join(name).exists());
        assert!(known.count() >= 8);
    }

    proptest! {
        #[test]
        fn paths_stay_below_proc_sys(text in "(net|user|kernel)[./a-z_]{0,20}") {
            if let Ok(name) = text.parse::<SysctlName>() {
                let normal = |c| matches!(c, std::path::Component::Normal(_));
                prop_assert!(name.path().components().all(normal));
                prop_assert_eq!(name.to_string().parse::<SysctlName>().unwrap(), name);
            }
        }
    }
}
