//! What this machine and this process can do.
//!
//! Kernel objects: files of `/proc` and `/sys`, read once each. Invariant: nothing is changed, and what cannot
//! be read counts as unknown, not as possible.

use std::fmt;
use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use ampoule_cgroups::{Hierarchies, Prospect};
use ampoule_ns::{IdMapping, Namespace, NamespaceSet, Setting, Target};
use rustix::fs::CWD;
use rustix::mount::{FsOpenFlags, OpenTreeFlags, fsopen};
use rustix::process::{getegid, geteuid};

/// Whether this process may mount in the namespaces that it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// It may: `CAP_SYS_ADMIN` over its mount namespace.
    Full,
    /// It may not: a new user namespace is needed for everything else.
    None,
}

/// How control groups are mounted (cgroups(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CgroupMode {
    /// Version 2 only.
    Unified,
    /// Version 1 with a version 2 hierarchy beside it.
    Hybrid,
    /// Version 1 only.
    Legacy,
    /// Not at all.
    None,
}

/// What this machine and this process can do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Host {
    /// Release of the kernel, as uname(2) gives it.
    pub kernel: String,
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// Whether mounts can be made here.
    pub privilege: Privilege,
    /// Kinds of namespaces that the kernel has.
    pub namespaces: Vec<Namespace>,
    /// `/proc/sys/user/max_user_namespaces`.
    pub max_user_namespaces: Option<u64>,
    /// Why an ordinary user cannot have a user namespace, as the setting that forbids it.
    pub user_namespaces_denied_by: Option<&'static str>,
    /// File systems that the kernel knows now (a module may add more).
    pub filesystems: Vec<String>,
    /// What a filter of system calls can answer (seccomp(2)); empty when there are none.
    pub seccomp_actions: Vec<String>,
    /// Linux security modules that are active.
    pub security_modules: Vec<String>,
    /// How control groups are mounted.
    pub cgroups: CgroupMode,
    /// Where groups with limits can be made: below delegated groups, in a scope of systemd, or why nowhere.
    pub cgroup_placement: Result<Prospect, ampoule_cgroups::Error>,
    /// A path below the host's `/proc` that is covered, which forbids new procfs mounts in user namespaces.
    pub proc_covered_by: Option<String>,
}

impl Host {
    /// Looks.
    #[must_use]
    pub fn probe() -> Self {
        let max_user_namespaces = number("/proc/sys/user/max_user_namespaces");
        Self {
            kernel: text("/proc/sys/kernel/osrelease").unwrap_or_default(),
            uid: geteuid().as_raw(),
            gid: getegid().as_raw(),
            privilege: privilege(),
            namespaces: Namespace::ALL.into_iter().filter(|kind| has_namespace(*kind)).collect(),
            max_user_namespaces,
            user_namespaces_denied_by: denied_by(max_user_namespaces),
            filesystems: filesystems(&text("/proc/filesystems").unwrap_or_default()),
            seccomp_actions: seccomp_actions(),
            security_modules: list(&text("/sys/kernel/security/lsm").unwrap_or_default()),
            cgroups: cgroup_mode(&text("/proc/self/mountinfo").unwrap_or_default()),
            cgroup_placement: Hierarchies::detect().map(|found| Prospect::of(&found)),
            proc_covered_by: proc_covered_by(&text("/proc/self/mountinfo").unwrap_or_default()),
        }
    }
}

/// Whether a change of ids can leave a process traceable by others of its user (`fs.suid_dumpable`, proc_sys_fs(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SuidDumpable {
    /// It cannot: 0 or 2.
    Never,
    /// It can: 1, or what cannot be read.
    Ever,
}

/// What the setting says now.
pub(crate) fn suid_dumpable() -> SuidDumpable {
    match number("/proc/sys/fs/suid_dumpable") {
        Some(0 | 2) => SuidDumpable::Never,
        _ => SuidDumpable::Ever,
    }
}

/// Whether mounts may be made here; the attempt leaves nothing.
pub(crate) fn privilege() -> Privilege {
    // The namespaces in which it could be made. Giving the copy up again costs more than all else here, so that it is
    // made once for them; a thread that may no more gets a failed step.
    static POSSIBLE: Mutex<Option<[u64; 2]>> = Mutex::new(None);
    if !has_sys_admin() {
        return Privilege::None;
    }
    // No mount is locked there: the kernel asks for the same as for every mount, and nothing waits until all processors
    // have seen the end of a copy.
    if in_first_user_namespace() {
        return allowed(fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC));
    }
    let here = ["mnt", "user"].map(|kind| namespace_inode(kind).unwrap_or(0));
    let mut possible = POSSIBLE.lock().unwrap_or_else(PoisonError::into_inner);
    if *possible != Some(here) || here.contains(&0) {
        *possible = (try_copy() == Privilege::Full).then_some(here);
    }
    if possible.is_some() { Privilege::Full } else { Privilege::None }
}

fn namespace_inode(kind: &str) -> Option<u64> {
    let path = Path::new("/proc/thread-self/ns").join(kind);
    rustix::fs::stat(path).ok().map(|found| found.st_ino)
}

fn try_copy() -> Privilege {
    copied(OpenTreeFlags::empty())
}

fn copied(further: OpenTreeFlags) -> Privilege {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | further;
    allowed(rustix::mount::open_tree(CWD, "/", flags))
}

fn allowed<T>(attempt: rustix::io::Result<T>) -> Privilege {
    if attempt.is_ok() { Privilege::Full } else { Privilege::None }
}

/// [`privilege`] of a caller whose containers have these namespaces.
///
/// Where the mounts came from another user namespace, they are locked (mount_namespaces(7)), and `/` can be copied only
/// with all that is below. The caller, root of the namespace, may do everything but that. It counts as privileged where a
/// container needs that: one that shares its user namespace, or whose maps it has to write itself. For other containers a
/// namespace of one id is enough, as for an ordinary user: it need not have further ids.
pub(crate) fn privilege_for(namespaces: &NamespaceSet, mapping: &IdMapping) -> Privilege {
    let needed = match namespaces.get(Namespace::User) {
        Setting::New => matches!(mapping, IdMapping::Explicit(_)),
        Setting::Host | Setting::Join(_) => true,
    };
    match privilege() {
        Privilege::None if needed && has_sys_admin() => copied(OpenTreeFlags::AT_RECURSIVE),
        known => known,
    }
}

fn has_sys_admin() -> bool {
    let capabilities = rustix::thread::capabilities(None).map(|sets| sets.effective);
    capabilities.is_ok_and(|set| set.contains(rustix::thread::CapabilitySet::SYS_ADMIN))
}

/// Whether the namespace belongs to the user namespace in which the caller stands; what cannot be opened does not.
pub(crate) fn owns(target: &Target, kind: Namespace) -> bool {
    let path = match target {
        Target::Path(path) => path.clone(),
        Target::Pid(pid) => format!("/proc/{pid}/ns/{}", kind.proc_name()).into(),
        _ => return false,
    };
    let owner = fs::File::open(path)
        .and_then(|file| ampoule_init::sys::ns_ioctl::owning_user_namespace(file.as_fd()))
        .and_then(|owner| Ok(rustix::fs::fstat(owner)?.st_ino));
    owner.is_ok_and(|owner| namespace_inode("user") == Some(owner))
}

fn in_first_user_namespace() -> bool {
    /// Its inode (`PROC_USER_INIT_INO`), the same since Linux 3.8.
    const FIRST: u64 = 0xEFFF_FFFD;
    namespace_inode("user") == Some(FIRST)
}

/// Whether a group exists in the caller's user namespace (user_namespaces(7)); what cannot be read says nothing.
pub(crate) fn has_group(gid: u32) -> bool {
    let holds = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        let first = numbers.next()?.ok()?;
        Some(gid >= first && gid - first < numbers.nth(1)?.ok()?)
    };
    let map = text("/proc/self/gid_map");
    map.is_none_or(|map| map.lines().any(|line| holds(line) == Some(true)))
}

/// Whether supplementary groups are fixed in the caller's user namespace (`/proc/PID/setgroups`, user_namespaces(7)).
pub(crate) fn denies_setgroups() -> bool {
    text("/proc/self/setgroups").as_deref() == Some("deny")
}

/// Whether device nodes can be made (mknod(2)): only with `CAP_MKNOD` in the first user namespace of the machine.
pub(crate) fn makes_nodes() -> bool {
    let effective = rustix::thread::capabilities(None).map(|sets| sets.effective);
    in_first_user_namespace()
        && effective.is_ok_and(|set| set.contains(rustix::thread::CapabilitySet::MKNOD))
}

fn text(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim_end().to_owned())
}

fn number(path: &str) -> Option<u64> {
    text(path)?.parse().ok()
}

/// Whether the kernel has this kind.
pub(crate) fn has_namespace(kind: Namespace) -> bool {
    // What the kernel has once, it keeps.
    static SEEN: Mutex<Vec<Namespace>> = Mutex::new(Vec::new());
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if !seen.contains(&kind)
        && Path::new("/proc/self/ns").join(kind.proc_name()).symlink_metadata().is_ok()
    {
        seen.push(kind);
    }
    seen.contains(&kind)
}

/// Whether the kernel filters system calls (`CONFIG_SECCOMP_FILTER`).
pub(crate) fn has_seccomp() -> bool {
    // What the kernel has once, it keeps.
    static SEEN: AtomicBool = AtomicBool::new(false);
    if !SEEN.load(Ordering::Relaxed) {
        SEEN.store(!seccomp_actions().is_empty(), Ordering::Relaxed);
    }
    SEEN.load(Ordering::Relaxed)
}

fn seccomp_actions() -> Vec<String> {
    let text = text("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

/// The setting that keeps ordinary users from making user namespaces.
pub(crate) fn denied_by(max: Option<u64>) -> Option<&'static str> {
    let of_kernel = |name: &str| number(&format!("/proc/sys/kernel/{name}"));
    denied(max, &of_kernel, &|| text("/proc/self/attr/current"))
}

/// The same of what the kernel says: its settings by their names, and the AppArmor label of this process.
fn denied(
    max: Option<u64>,
    of_kernel: &dyn Fn(&str) -> Option<u64>,
    label: &dyn Fn() -> Option<String>,
) -> Option<&'static str> {
    let unconfined = || label().is_none_or(|label| label.starts_with("unconfined"));
    match max {
        Some(0) => Some("user.max_user_namespaces=0"),
        _ if of_kernel("unprivileged_userns_clone") == Some(0) => {
            Some("kernel.unprivileged_userns_clone=0")
        }
        _ if of_kernel("apparmor_restrict_unprivileged_userns") == Some(1) && unconfined() => {
            Some("kernel.apparmor_restrict_unprivileged_userns=1")
        }
        _ => None,
    }
}

/// Why this process cannot have a user namespace; root is bound by the limit, but not by the other settings.
pub(crate) fn user_namespaces_denied(privilege: Privilege) -> Option<&'static str> {
    match (denied_now(), privilege) {
        (Some(setting), Privilege::Full) if !setting.starts_with("user.") => None,
        (denied, _) => denied,
    }
}

/// The limit as it stands now, for errors of a clone.
pub(crate) fn denied_now() -> Option<&'static str> {
    denied_by(number("/proc/sys/user/max_user_namespaces"))
}

fn filesystems(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.split_whitespace().last()).map(str::to_owned).collect()
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Mount point and type of each line of mountinfo (proc_pid_mountinfo(5)).
fn mounts(mountinfo: &str) -> impl Iterator<Item = (&str, &str)> {
    mountinfo.lines().filter_map(|line| {
        let (head, tail) = line.split_once(" - ")?;
        Some((head.split(' ').nth(4)?, tail.split(' ').next()?))
    })
}

fn cgroup_mode(mountinfo: &str) -> CgroupMode {
    let has = |wanted: &str| mounts(mountinfo).any(|(_, kind)| kind == wanted);
    match (has("cgroup2"), has("cgroup")) {
        (true, true) => CgroupMode::Hybrid,
        (true, false) => CgroupMode::Unified,
        (false, true) => CgroupMode::Legacy,
        (false, false) => CgroupMode::None,
    }
}

/// A mount below `/proc` other than the one that the kernel's own automount makes.
pub(crate) fn proc_covered_by(mountinfo: &str) -> Option<String> {
    let covers = |point: &str, kind: &str| {
        point.starts_with("/proc/") && !matches!(kind, "autofs" | "binfmt_misc" | "nfsd")
    };
    mounts(mountinfo).find(|(point, kind)| covers(point, kind)).map(|(point, _)| point.to_owned())
}

impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |kinds: &[Namespace]| {
            kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let user_namespaces = match (self.privilege, self.user_namespaces_denied_by) {
            (_, None) => "yes".to_owned(),
            (Privilege::Full, Some(setting)) => format!("for root only ({setting})"),
            (Privilege::None, Some(setting)) => format!("NO ({setting})"),
        };
        let overlay = if self.filesystems.iter().any(|name| name == "overlay") {
            "yes"
        } else {
            "not loaded"
        };
        let proc = match &self.proc_covered_by {
            None => "yes".to_owned(),
            Some(path) => format!("NO without privilege ({path} is covered)"),
        };
        writeln!(out, "kernel           {}", self.kernel)?;
        writeln!(
            out,
            "user             {}:{}, privilege: {:?}",
            self.uid, self.gid, self.privilege
        )?;
        writeln!(out, "namespaces       {}", names(&self.namespaces))?;
        writeln!(out, "user namespaces  {user_namespaces}")?;
        writeln!(out, "overlay          {overlay}")?;
        writeln!(out, "new /proc        {proc}")?;
        writeln!(out, "control groups   {:?}", self.cgroups)?;
        match &self.cgroup_placement {
            Ok(prospect) => writeln!(out, "groups           {prospect}")?,
            Err(error) => writeln!(out, "groups           NONE: {error}")?,
        }
        writeln!(out, "seccomp          {}", self.seccomp_actions.join(" "))?;
        writeln!(out, "security modules {}", self.security_modules.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_covered_proc_is_seen() {
        let line = |point: &str, kind: &str| {
            format!("31 23 0:28 / {point} rw,relatime - {kind} {kind} rw\n")
        };
        assert_eq!(proc_covered_by(&line("/proc", "proc")), None);
        assert_eq!(proc_covered_by(&line("/proc/sys/fs/binfmt_misc", "binfmt_misc")), None);
        assert_eq!(
            proc_covered_by(&line("/proc/kcore", "devtmpfs")).as_deref(),
            Some("/proc/kcore")
        );
    }

    #[test]
    fn what_denies_user_namespaces_is_named() {
        let restricted =
            |name: &str| (name == "apparmor_restrict_unprivileged_userns").then_some(1);
        let label = |label: &'static str| move || Some(label.to_owned());
        let named = Some("kernel.apparmor_restrict_unprivileged_userns=1");
        assert_eq!(denied(None, &restricted, &|| None), named);
        assert_eq!(denied(Some(9), &restricted, &label("unconfined")), named);
        // A profile says for itself whether its processes may.
        assert_eq!(denied(Some(9), &restricted, &label("browser (enforce)")), None);
        let clone = |name: &str| (name == "unprivileged_userns_clone").then_some(0);
        assert_eq!(denied(None, &clone, &|| None), Some("kernel.unprivileged_userns_clone=0"));
        assert_eq!(denied(Some(0), &clone, &|| None), Some("user.max_user_namespaces=0"));
        assert_eq!(denied(Some(1), &|_| None, &|| None), None);
    }

    #[test]
    fn groups_of_the_own_namespace() {
        assert!(has_group(rustix::process::getegid().as_raw()));
        assert!(!has_group(u32::MAX));
    }

    #[test]
    fn cgroup_modes() {
        let line = |kind: &str| format!("31 23 0:28 / /sys/fs/cgroup rw - {kind} {kind} rw\n");
        assert_eq!(cgroup_mode(&line("cgroup2")), CgroupMode::Unified);
        assert_eq!(cgroup_mode(&(line("cgroup2") + &line("cgroup"))), CgroupMode::Hybrid);
        assert_eq!(cgroup_mode(&line("cgroup")), CgroupMode::Legacy);
        assert_eq!(cgroup_mode(""), CgroupMode::None);
    }
}
