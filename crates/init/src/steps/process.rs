//! Steps that change the process itself: directory, credentials, limits, scheduling, session.

use std::ffi::CStr;

use crate::step::{Arg, Fd, Slot, Step};

fn named(value: u64, text: &str) -> Arg {
    Arg::Named(value, text.to_owned())
}

/// Changes the working directory to an open one (fchdir(2)).
#[must_use]
pub fn fchdir(fd: Fd) -> Step {
    Step::call("fchdir", libc::SYS_fchdir, vec![fd.into()])
}

/// Makes the working directory the root (chroot(2)): only where pivot_root(2) cannot be used.
#[must_use]
pub fn chroot_here() -> Step {
    Step::call("chroot", libc::SYS_chroot, vec![c".".into()])
}

/// Sets the host name (sethostname(2)).
#[must_use]
pub fn sethostname(name: &[u8]) -> Step {
    name_call("sethostname", libc::SYS_sethostname, name)
}

/// Sets the NIS domain name (setdomainname(2)).
#[must_use]
pub fn setdomainname(name: &[u8]) -> Step {
    name_call("setdomainname", libc::SYS_setdomainname, name)
}

fn name_call(name: &'static str, number: libc::c_long, value: &[u8]) -> Step {
    let shown = format!("{:?}", String::from_utf8_lossy(value));
    Step::call(
        name,
        number,
        vec![Arg::Bytes(value.to_vec(), shown), Arg::Number(value.len() as u64)],
    )
}

/// Sets the three group ids (setresgid(2)).
#[must_use]
pub fn setgid(gid: u32) -> Step {
    Step::call("setresgid", libc::SYS_setresgid, vec![gid.into(), gid.into(), gid.into()])
}

/// Sets the three user ids (setresuid(2)).
#[must_use]
pub fn setuid(uid: u32) -> Step {
    Step::call("setresuid", libc::SYS_setresuid, vec![uid.into(), uid.into(), uid.into()])
}

/// Sets the supplementary groups (setgroups(2)).
#[must_use]
pub fn setgroups(groups: &[u32]) -> Step {
    let bytes = groups.iter().flat_map(|gid| gid.to_le_bytes()).collect();
    let args = vec![Arg::Number(groups.len() as u64), Arg::Bytes(bytes, format!("{groups:?}"))];
    Step::call("setgroups", libc::SYS_setgroups, args)
}

/// Sets the file mode creation mask (umask(2)).
#[must_use]
pub fn umask(mask: u32) -> Step {
    Step::call("umask", libc::SYS_umask, vec![super::file::octal(mask)])
}

/// Sets the mask that an earlier [`umask`] step saved.
#[must_use]
pub fn restore_umask(saved: Slot) -> Step {
    Step::call("umask", libc::SYS_umask, vec![saved.into()])
}

/// Sets a resource limit (prlimit(2)).
#[must_use]
pub fn setrlimit(resource: u32, name: &str, soft: u64, hard: u64) -> Step {
    let bytes = [soft, hard].iter().flat_map(|word| word.to_le_bytes()).collect();
    let amount =
        |value: u64| if value == u64::MAX { "unlimited".to_owned() } else { value.to_string() };
    let shown = format!("{{{}, {}}}", amount(soft), amount(hard));
    let args = vec![
        Arg::Number(0),
        named(u64::from(resource), name),
        Arg::Bytes(bytes, shown),
        named(0, "NULL"),
    ];
    Step::call("prlimit64", libc::SYS_prlimit64, args)
}

/// A process control operation with up to two arguments (prctl(2)).
#[must_use]
pub fn prctl(option: i32, name: &str, value: Arg, second: Arg) -> Step {
    let option = named(u64::from(option.unsigned_abs()), name);
    Step::call(
        "prctl",
        libc::SYS_prctl,
        vec![option, value, second, Arg::Number(0), Arg::Number(0)],
    )
}

/// The payload and its children can never gain privileges by executing a file.
#[must_use]
pub fn no_new_privs() -> Step {
    prctl(libc::PR_SET_NO_NEW_PRIVS, "PR_SET_NO_NEW_PRIVS", Arg::Number(1), Arg::Number(0))
}

/// The process can be neither traced nor read by others without privilege; the payload's exec ends that.
#[must_use]
pub fn undumpable() -> Step {
    prctl(libc::PR_SET_DUMPABLE, "PR_SET_DUMPABLE", Arg::Number(0), Arg::Number(0))
}

/// Keeps the permitted capabilities over a change of user ids.
#[must_use]
pub fn keep_capabilities() -> Step {
    prctl(libc::PR_SET_KEEPCAPS, "PR_SET_KEEPCAPS", Arg::Number(1), Arg::Number(0))
}

/// Takes a capability out of the bounding set.
#[must_use]
pub fn drop_bounding(capability: u32, name: &str) -> Step {
    prctl(
        libc::PR_CAPBSET_DROP,
        "PR_CAPBSET_DROP",
        named(u64::from(capability), name),
        Arg::Number(0),
    )
}

/// Empties the ambient set.
#[must_use]
pub fn clear_ambient() -> Step {
    let clear = named(libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, "PR_CAP_AMBIENT_CLEAR_ALL");
    prctl(libc::PR_CAP_AMBIENT, "PR_CAP_AMBIENT", clear, Arg::Number(0))
}

/// Adds a capability to the ambient set.
#[must_use]
pub fn raise_ambient(capability: u32, name: &str) -> Step {
    let raise = named(libc::PR_CAP_AMBIENT_RAISE as u64, "PR_CAP_AMBIENT_RAISE");
    prctl(libc::PR_CAP_AMBIENT, "PR_CAP_AMBIENT", raise, named(u64::from(capability), name))
}

/// Sets the effective, permitted and inheritable sets, as bits (capset(2)).
#[must_use]
pub fn capset(effective: u64, permitted: u64, inheritable: u64, shown: &str) -> Step {
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
    let half = |set: u64, high: u32| ((set >> (32 * high)) & 0xffff_ffff) as u32;
    let data = [0, 1]
        .into_iter()
        .flat_map(|high| [effective, permitted, inheritable].map(|set| half(set, high)));
    let data = data.flat_map(u32::to_le_bytes).collect();
    let args = vec![Arg::Bytes(header, "v3".to_owned()), Arg::Bytes(data, shown.to_owned())];
    Step::call("capset", libc::SYS_capset, args)
}

/// Sets scheduling policy and nice value (`struct sched_attr` of sched_setattr(2), version 0).
#[must_use]
pub fn sched_setattr(attributes: [u8; 48], shown: &str) -> Step {
    let args =
        vec![Arg::Number(0), Arg::Bytes(attributes.to_vec(), shown.to_owned()), Arg::Number(0)];
    Step::call("sched_setattr", libc::SYS_sched_setattr, args)
}

/// Sets the processors that may be used, as a bit mask (sched_setaffinity(2)).
#[must_use]
pub fn sched_setaffinity(mask: &[u8], shown: &str) -> Step {
    let length = Arg::Number(mask.len() as u64);
    let args = vec![Arg::Number(0), length, Arg::Bytes(mask.to_vec(), shown.to_owned())];
    Step::call("sched_setaffinity", libc::SYS_sched_setaffinity, args)
}

/// Sets from which memory nodes pages come; `mode` holds the flags, the mask is whole words or nothing
/// (set_mempolicy(2)).
#[must_use]
pub fn set_mempolicy(mode: u32, mask: &[u8], shown: &str) -> Step {
    let mode = named(u64::from(mode), shown);
    if mask.is_empty() {
        let none = vec![mode, Arg::Number(0), Arg::Number(0)];
        return Step::call("set_mempolicy", libc::SYS_set_mempolicy, none);
    }
    // The kernel takes one bit less than it is told.
    let bits = Arg::Number(mask.len() as u64 * 8 + 1);
    let shown = format!("{} bits", mask.len() * 8);
    let args = vec![mode, Arg::Bytes(mask.to_vec(), shown), bits];
    Step::call("set_mempolicy", libc::SYS_set_mempolicy, args)
}

/// Sets the nice value of the process (setpriority(2)).
#[must_use]
pub fn setpriority(nice: i32) -> Step {
    let value = Arg::Named(i64::from(nice).cast_unsigned(), nice.to_string());
    Step::call(
        "setpriority",
        libc::SYS_setpriority,
        vec![named(0, "PRIO_PROCESS"), Arg::Number(0), value],
    )
}

/// Sets the I/O priority as ioprio_set(2) encodes it.
#[must_use]
pub fn ioprio_set(value: u32, shown: &str) -> Step {
    let who = named(1, "IOPRIO_WHO_PROCESS");
    Step::call(
        "ioprio_set",
        libc::SYS_ioprio_set,
        vec![who, Arg::Number(0), named(u64::from(value), shown)],
    )
}

/// Sets the execution domain (personality(2)).
#[must_use]
pub fn personality(value: u32, shown: &str) -> Step {
    Step::call("personality", libc::SYS_personality, vec![named(u64::from(value), shown)])
}

/// Starts a session without controlling terminal (setsid(2)).
#[must_use]
pub fn setsid() -> Step {
    Step::call("setsid", libc::SYS_setsid, Vec::new())
}

/// Joins a new, anonymous session keyring (keyctl(2)).
#[must_use]
pub fn new_session_keyring() -> Step {
    const KEYCTL_JOIN_SESSION_KEYRING: u64 = 1;
    let join = named(KEYCTL_JOIN_SESSION_KEYRING, "KEYCTL_JOIN_SESSION_KEYRING");
    Step::call("keyctl", libc::SYS_keyctl, vec![join, named(0, "NULL")])
}

/// Gives a descriptor another number (dup3(2)).
#[must_use]
pub fn dup(from: Fd, to: u16) -> Step {
    Step::call("dup3", libc::SYS_dup3, vec![from.into(), Fd::Payload(to).into(), Arg::Number(0)])
}

/// A device operation with one word or structure (ioctl(2)).
#[must_use]
pub fn ioctl(fd: Fd, request: u64, name: &str, value: Arg) -> Step {
    Step::call("ioctl", libc::SYS_ioctl, vec![fd.into(), named(request, name), value])
}

/// Sets an interface of this network namespace up (netdevice(7), `SIOCSIFFLAGS`).
#[must_use]
pub fn interface_up(name: &CStr, socket: Slot) -> Step {
    const IFNAMSIZ: usize = 16;
    /// `IFF_UP | IFF_RUNNING`.
    const UP: u16 = 0x41;
    let mut request = vec![0_u8; 40];
    let bytes = name.to_bytes();
    let len = bytes.len().min(IFNAMSIZ - 1);
    request[..len].copy_from_slice(&bytes[..len]);
    request[IFNAMSIZ..IFNAMSIZ + 2].copy_from_slice(&UP.to_le_bytes());
    const SOCK_DGRAM_CLOEXEC: u64 = 0o2_000_002;
    let open = Step::call(
        "socket",
        libc::SYS_socket,
        vec![Arg::Number(libc::AF_INET as u64), Arg::Number(SOCK_DGRAM_CLOEXEC), Arg::Number(0)],
    )
    .save(socket);
    open.then(ioctl(
        socket.into(),
        libc::SIOCSIFFLAGS,
        "SIOCSIFFLAGS",
        Arg::Bytes(request, "up".to_owned()),
    ))
    .then(super::file::close(socket))
    .named("interface_up", format!("{:?}", name.to_string_lossy()))
}
