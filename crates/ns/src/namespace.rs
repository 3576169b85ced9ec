//! The eight kinds of namespaces, and what a new process does about each.
//!
//! Kernel objects: none, this is data. Manual: namespaces(7). Invariant: a [`NamespaceSet`] has
//! exactly one [`Setting`] for each kind.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Reason};

/// A kind of namespace, see namespaces(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Namespace {
    /// The root of the cgroup tree, cgroup_namespaces(7), since Linux 4.6.
    Cgroup,
    /// System V and POSIX message queues, semaphores, shared memory, ipc_namespaces(7).
    Ipc,
    /// The mount table, mount_namespaces(7).
    Mount,
    /// Network devices, addresses, ports, network_namespaces(7).
    Net,
    /// Process ids, pid_namespaces(7).
    Pid,
    /// Offsets of the monotonic and boot-time clocks, time_namespaces(7), since Linux 5.6.
    Time,
    /// User and group ids and capabilities, user_namespaces(7).
    User,
    /// Host and domain name, uts_namespaces(7).
    Uts,
}

impl Namespace {
    /// All kinds, in the order of their names.
    pub const ALL: [Self; 8] = [
        Self::Cgroup,
        Self::Ipc,
        Self::Mount,
        Self::Net,
        Self::Pid,
        Self::Time,
        Self::User,
        Self::Uts,
    ];

    /// The `CLONE_NEW*` flag, as clone3(2), setns(2) and `NS_GET_NSTYPE` know it.
    #[must_use]
    pub const fn clone_flag(self) -> u64 {
        match self {
            Self::Cgroup => 0x0200_0000,
            Self::Ipc => 0x0800_0000,
            Self::Mount => 0x0002_0000,
            Self::Net => 0x4000_0000,
            Self::Pid => 0x2000_0000,
            Self::Time => 0x0000_0080,
            Self::User => 0x1000_0000,
            Self::Uts => 0x0400_0000,
        }
    }

    /// The kind of a single `CLONE_NEW*` flag.
    #[must_use]
    pub fn from_clone_flag(flag: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.clone_flag() == flag)
    }

    /// The file name below `/proc/PID/ns`.
    #[must_use]
    pub const fn proc_name(self) -> &'static str {
        match self {
            Self::Cgroup => "cgroup",
            Self::Ipc => "ipc",
            Self::Mount => "mnt",
            Self::Net => "net",
            Self::Pid => "pid",
            Self::Time => "time",
            Self::User => "user",
            Self::Uts => "uts",
        }
    }
}

impl fmt::Display for Namespace {
    /// Writes the kernel's name, such as `mnt`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.proc_name())
    }
}

impl FromStr for Namespace {
    type Err = Error;

    /// Reads the kernel's name (`mnt`, `net`) or the one of the OCI runtime specification
    /// (`mount`, `network`).
    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "mount" => Ok(Self::Mount),
            "network" => Ok(Self::Net),
            _ => Self::ALL
                .into_iter()
                .find(|kind| kind.proc_name() == text)
                .ok_or_else(|| Error::text(ErrorKind::InvalidNamespace, text, Reason::Unknown)),
        }
    }
}

/// What a new process does about one kind of namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    /// A new namespace of its own.
    New,
    /// The one of the host program.
    Host,
    /// An existing one.
    Join(Target),
}

/// Which existing namespace is joined, see setns(2).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Target {
    /// A namespace file, such as one made by [`pin`](crate::pin::pin).
    Path(PathBuf),
    /// The namespace of a process.
    Pid(u32),
    /// A descriptor that is supplied with the launch, because descriptors are not data.
    AtLaunch,
}

/// A [`Setting`] for each of the eight kinds. The default: all new but time, which is the host's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NamespaceSet {
    cgroup: Setting,
    ipc: Setting,
    mount: Setting,
    net: Setting,
    pid: Setting,
    time: Setting,
    user: Setting,
    uts: Setting,
}

impl Default for NamespaceSet {
    fn default() -> Self {
        let mut set = Self::all(Setting::New);
        set.time = Setting::Host;
        set
    }
}

impl NamespaceSet {
    /// The same setting for each kind.
    #[must_use]
    pub fn all(setting: Setting) -> Self {
        Self {
            cgroup: setting.clone(),
            ipc: setting.clone(),
            mount: setting.clone(),
            net: setting.clone(),
            pid: setting.clone(),
            time: setting.clone(),
            user: setting.clone(),
            uts: setting,
        }
    }

    /// The setting of one kind.
    #[must_use]
    pub fn get(&self, kind: Namespace) -> &Setting {
        match kind {
            Namespace::Cgroup => &self.cgroup,
            Namespace::Ipc => &self.ipc,
            Namespace::Mount => &self.mount,
            Namespace::Net => &self.net,
            Namespace::Pid => &self.pid,
            Namespace::Time => &self.time,
            Namespace::User => &self.user,
            Namespace::Uts => &self.uts,
        }
    }

    /// The same set with another setting for one kind.
    #[must_use]
    pub fn with(mut self, kind: Namespace, setting: Setting) -> Self {
        *self.slot(kind) = setting;
        self
    }

    /// Each kind with its setting, in the order of [`Namespace::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Namespace, &Setting)> {
        Namespace::ALL.into_iter().map(|kind| (kind, self.get(kind)))
    }

    /// The `CLONE_NEW*` flags of all kinds that are [`Setting::New`].
    #[must_use]
    pub fn clone_flags(&self) -> u64 {
        self.iter()
            .filter(|(_, setting)| **setting == Setting::New)
            .fold(0, |flags, (kind, _)| flags | kind.clone_flag())
    }

    fn slot(&mut self, kind: Namespace) -> &mut Setting {
        match kind {
            Namespace::Cgroup => &mut self.cgroup,
            Namespace::Ipc => &mut self.ipc,
            Namespace::Mount => &mut self.mount,
            Namespace::Net => &mut self.net,
            Namespace::Pid => &mut self.pid,
            Namespace::Time => &mut self.time,
            Namespace::User => &mut self.user,
            Namespace::Uts => &mut self.uts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_kernel_and_oci() {
        for kind in Namespace::ALL {
            assert_eq!(kind.proc_name().parse::<Namespace>().unwrap(), kind);
            assert_eq!(Namespace::from_clone_flag(kind.clone_flag()), Some(kind));
            let json = serde_json::to_string(&kind).unwrap();
            assert_eq!(json.trim_matches('"').parse::<Namespace>().unwrap(), kind);
        }
        assert_eq!("network".parse::<Namespace>().unwrap(), Namespace::Net);
        for wrong in ["", "Net", "NET", "net ", "mnt\0", "nets"] {
            let error = wrong.parse::<Namespace>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidNamespace);
        }
    }

    #[test]
    fn flags_are_those_of_the_kernel() {
        use rustix::thread::UnshareFlags as Flags;
        let flags = [
            Flags::NEWCGROUP,
            Flags::NEWIPC,
            Flags::NEWNS,
            Flags::NEWNET,
            Flags::NEWPID,
            Flags::NEWTIME,
            Flags::NEWUSER,
            Flags::NEWUTS,
        ];
        for (kind, flag) in Namespace::ALL.into_iter().zip(flags) {
            assert_eq!(kind.clone_flag(), u64::from(flag.bits()));
        }
    }

    #[test]
    fn the_default_isolates_all_but_time() {
        let set = NamespaceSet::default();
        for (kind, setting) in set.iter() {
            let expected = if kind == Namespace::Time { Setting::Host } else { Setting::New };
            assert_eq!(*setting, expected);
        }
        assert_eq!(set.clone_flags(), 0x7e02_0000);
        assert_eq!(NamespaceSet::all(Setting::Host).clone_flags(), 0);
    }

    #[test]
    fn data_survives_json() {
        let set = NamespaceSet::default()
            .with(Namespace::Net, Setting::Join(Target::Path("/run/netns/x".into())))
            .with(Namespace::Ipc, Setting::Join(Target::Pid(7)))
            .with(Namespace::Uts, Setting::Join(Target::AtLaunch));
        let json = serde_json::to_string(&set).unwrap();
        assert!(json.contains(r#""net":{"join":{"path":"/run/netns/x"}}"#), "{json}");
        assert_eq!(serde_json::from_str::<NamespaceSet>(&json).unwrap(), set);
        let part: NamespaceSet = serde_json::from_str(r#"{"net":"host"}"#).unwrap();
        assert_eq!(part, NamespaceSet::default().with(Namespace::Net, Setting::Host));
        serde_json::from_str::<NamespaceSet>(r#"{"nett":"host"}"#).unwrap_err();
    }

    proptest! {
        #[test]
        fn with_changes_one_kind(picked in 0usize..8, other in 0usize..8) {
            let (picked, other) = (Namespace::ALL[picked], Namespace::ALL[other]);
            let set = NamespaceSet::all(Setting::Host).with(picked, Setting::New);
            prop_assert_eq!(set.clone_flags(), picked.clone_flag());
            prop_assert_eq!(*set.get(other) == Setting::New, picked == other);
        }
    }
}
