//! What differs between the runtimes, and why.
//!
//! Kernel objects: none. Invariant: a row names no more than what was looked at: the section, its key, and what ours or
//! theirs shows.

use super::Runtime::{self, Crun, Runc};

/// A difference: with whom (none: both), how the line begins (ours with `+`, theirs with `-`), and why.
pub(crate) type Known = (Option<Runtime>, &'static str, &'static str);

const CGROUPS: &str = "the tmpfs is read-only too, where its mounts are";
/// The bundle without a cgroup namespace, and how lines of it begin: the host's hierarchies are shown, read-only.
const NO_NAMESPACE: (&str, &str) = ("mapped", " mountinfo /sys/fs/cgroup/");
const NOT_JOINED: &str = "a hierarchy without controllers belongs to systemd";
const MASKED: &str =
    "what masks is an empty directory or file of its own, which nothing can be done with";
const FIXED: &str = "a device of the host is bound so that its mode and owner cannot be changed";

/// All of them.
#[rustfmt::skip]
pub(crate) const KNOWN: &[Known] = &[
    (None, "+ status SigIgn: 0000000000000004", "nothing but what the shell ignores"),
    (Some(Crun), "- status SigIgn: 0000000180000004", "signals 32 and 33 stay ignored as its caller had them"),
    (Some(Runc), "- status SigIgn: 0000000080000004", "signal 32 stays ignored as its caller had it"),
    (Some(Crun), "- dev /dev/core", "the specification has no such link"),
    (Some(Crun), "- resources devices.list: c 5:1 rwm", "nothing in the specification opens /dev/console without a terminal"),
    (Some(Runc), "- resources devices.list: c 10:200 rwm", "/dev/net/tun is not one of the specification's devices"),
    (None, "+ cgroup 9:name=systemd:/", NOT_JOINED),
    (None, "- cgroup 9:name=systemd:/", NOT_JOINED),
    (None, "+ mountinfo / tmpfs root=/ [nodev,relatime,ro]", "devices in the root cannot be used"),
    (None, "+ mountinfo / tmpfs root=/ [idmapped,nodev,relatime,ro]", "files in the root belong to the ids of the container"),
    (None, "- mountinfo / tmpfs root=/ [relatime,ro]", "see above"),
    (Some(Runc), "+ dev /dev/mqueue drwxrwxrwt 0:0", "it is the container's root's"),
    (Some(Runc), "- dev /dev/mqueue drwxrwxrwt 0:65534", "runc makes it before the group changes"),
    (None, "+ mountinfo /dev/full devtmpfs root=/full [noexec,nosuid,relatime,ro]", FIXED),
    (None, "- mountinfo /dev/full devtmpfs root=/full", FIXED),
    (None, "+ mountinfo /dev/null devtmpfs root=/null [noexec,nosuid,relatime,ro]", FIXED),
    (None, "- mountinfo /dev/null devtmpfs root=/null", FIXED),
    (None, "+ mountinfo /dev/random devtmpfs root=/random [noexec,nosuid,relatime,ro]", FIXED),
    (None, "- mountinfo /dev/random devtmpfs root=/random", FIXED),
    (None, "+ mountinfo /dev/tty devtmpfs root=/tty [noexec,nosuid,relatime,ro]", FIXED),
    (None, "- mountinfo /dev/tty devtmpfs root=/tty", FIXED),
    (None, "+ mountinfo /dev/urandom devtmpfs root=/urandom [noexec,nosuid,relatime,ro]", FIXED),
    (None, "- mountinfo /dev/urandom devtmpfs root=/urandom", FIXED),
    (None, "+ mountinfo /dev/zero devtmpfs root=/zero [noexec,nosuid,relatime,ro]", FIXED),
    (None, "- mountinfo /dev/zero devtmpfs root=/zero", FIXED),
    (None, "+ mountinfo /proc/acpi tmpfs root=/ [nodev,noexec,nosuid,relatime,ro]", MASKED),
    (None, "- mountinfo /proc/acpi tmpfs root=/ [relatime,ro]", MASKED),
    (None, "+ mountinfo /sys/firmware tmpfs root=/ [nodev,noexec,nosuid,relatime,ro]", MASKED),
    (None, "- mountinfo /sys/firmware tmpfs root=/ [relatime,ro]", MASKED),
    (None, "+ mountinfo /proc/keys tmpfs root=/f1 [nodev,nosuid,relatime,ro]", MASKED),
    (None, "+ mountinfo /proc/timer_list tmpfs root=/f2 [nodev,nosuid,relatime,ro]", MASKED),
    (None, "- mountinfo /proc/keys devtmpfs root=/null", MASKED),
    (Some(Crun), "- mountinfo /proc/timer_list devtmpfs root=/null", MASKED),
    (Some(Runc), "- mountinfo /proc/keys tmpfs root=/null", MASKED),
    (Some(Runc), "- mountinfo /proc/timer_list tmpfs root=/null", MASKED),
    (Some(Runc), "+ mountinfo /sys sysfs root=/ [nodev,noexec,nosuid,relatime,ro] [rw]", "the mount is read-only, the file system need not be"),
    (Some(Runc), "- mountinfo /sys sysfs root=/ [nodev,noexec,nosuid,relatime,ro] [ro]", "see above"),
    (None, "+ mountinfo /sys/fs/cgroup tmpfs root=/ [nodev,noexec,nosuid,relatime,ro]", CGROUPS),
    (None, "- mountinfo /sys/fs/cgroup tmpfs root=/ [nodev,noexec,nosuid,relatime,rw]", CGROUPS),
];

/// A hierarchy in the bundle without a cgroup namespace.
fn is_hierarchy(bundle: &str, line: &str) -> bool {
    bundle == NO_NAMESPACE.0 && line.get(1..).is_some_and(|line| line.starts_with(NO_NAMESPACE.1))
}

impl Runtime {
    /// Whether a line that ours (`+`) or that runtime (`-`) alone shows of a bundle is in the table.
    pub(crate) fn is_known(self, bundle: &str, line: &str) -> bool {
        let fits = |(with, begin, _): &&Known| {
            with.is_none_or(|with| with == self) && line.starts_with(begin)
        };
        KNOWN.iter().any(|known| fits(&known)) || is_hierarchy(bundle, line)
    }
}
