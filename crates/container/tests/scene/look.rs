//! Everything that a payload can tell about itself, read from procfs by a shell in the container.
//!
//! Kernel objects: `/proc/self` and `/proc/1` of the container. Invariant: the parts are parsed strictly; a missing
//! part is a failure.

use std::collections::BTreeMap;

use ampoule::{Builder, Namespace};

use crate::oracle::payload::{self, IdRange, Limit, Mount, Status};

/// Prints the parts; `$$` is the shell, whose start the library made.
const SCRIPT: &str = r#"
part() { echo "<<<$1"; shift; "$@" || :; }
part environ tr '\0' '\n' < /proc/$$/environ
part status cat /proc/$$/status
part mounts cat /proc/$$/mountinfo
part limits cat /proc/$$/limits
part uid_map cat /proc/$$/uid_map
part gid_map cat /proc/$$/gid_map
part fds ls -l /proc/$$/fd
part ns ls -l /proc/self/ns
part stat cat /proc/$$/stat
part first cat /proc/1/comm
part net cat /proc/net/dev
part hostname cat /proc/sys/kernel/hostname
part domainname cat /proc/sys/kernel/domainname
part cwd pwd -P
part root ls -a /
part oom cat /proc/$$/oom_score_adj
part personality cat /proc/$$/personality
part cgroup cat /proc/$$/cgroup
part end true
"#;

/// What a payload showed.
#[derive(Clone, Debug)]
pub(crate) struct Look(BTreeMap<String, String>);

impl Look {
    /// Runs a container that shows itself.
    #[track_caller]
    pub(crate) fn at(builder: Builder) -> Self {
        Self::parse(&super::print(builder, SCRIPT))
    }

    /// The script, for commands with more settings.
    pub(crate) fn script() -> &'static str {
        SCRIPT
    }

    /// Splits what the script printed.
    #[track_caller]
    pub(crate) fn parse(printed: &str) -> Self {
        let parts = printed.split("<<<").filter_map(|part| part.split_once('\n'));
        let look = Self(parts.map(|(name, text)| (name.to_owned(), text.to_owned())).collect());
        assert!(look.0.contains_key("end"), "{printed}");
        look
    }

    /// One part as text.
    #[track_caller]
    pub(crate) fn text(&self, part: &str) -> &str {
        self.0.get(part).unwrap_or_else(|| panic!("no part {part}")).trim_end()
    }

    /// `/proc/self/status`.
    #[track_caller]
    pub(crate) fn status(&self) -> Status {
        payload::status(self.text("status")).expect("a status")
    }

    /// The mount table.
    #[track_caller]
    pub(crate) fn mounts(&self) -> Vec<Mount> {
        payload::mountinfo(self.text("mounts")).expect("a mount table")
    }

    /// The mount at a path.
    #[track_caller]
    pub(crate) fn mount(&self, point: &str) -> Mount {
        let mounts = self.mounts();
        let found = payload::mount_at(&mounts, point);
        found.unwrap_or_else(|| panic!("nothing is mounted at {point}: {mounts:#?}")).clone()
    }

    /// The resource limits.
    #[track_caller]
    pub(crate) fn limits(&self) -> BTreeMap<String, Limit> {
        payload::limits(self.text("limits")).expect("limits")
    }

    /// A map of ids, `uid_map` or `gid_map`.
    #[track_caller]
    pub(crate) fn map(&self, part: &str) -> Vec<IdRange> {
        payload::id_map(self.text(part)).expect("a map")
    }

    /// The inode of a namespace.
    #[track_caller]
    pub(crate) fn namespace(&self, kind: Namespace) -> u64 {
        let name = kind.proc_name();
        let lines = self.text("ns").lines();
        let link = lines.filter_map(|line| line.split_once(&format!(" {name} -> "))).next();
        let (_, link) = link.unwrap_or_else(|| panic!("no {name} in {}", self.text("ns")));
        payload::namespace(link, name).expect("a namespace")
    }

    /// A column of `stat`, counted as proc_pid_stat(5) does.
    #[track_caller]
    pub(crate) fn stat(&self, column: usize) -> i64 {
        crate::oracle::process::nth(self.text("stat"), column).parse().expect("a number")
    }

    /// The environment, sorted.
    pub(crate) fn environ(&self) -> Vec<&str> {
        let mut lines: Vec<_> = self.text("environ").lines().collect();
        lines.sort_unstable();
        lines
    }

    /// The names in the root directory.
    pub(crate) fn root(&self) -> Vec<&str> {
        self.text("root").lines().filter(|name| !matches!(*name, "." | "..")).collect()
    }
}

/// The inode of a namespace of the calling thread.
pub(crate) fn own_namespace(kind: Namespace) -> u64 {
    let link = std::fs::read_link(format!("/proc/thread-self/ns/{kind}")).expect("a namespace");
    payload::namespace(&link.to_string_lossy(), kind.proc_name()).expect("an inode")
}
