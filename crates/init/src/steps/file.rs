//! Steps on files by descriptor: open, check, make, write (openat2(2): Linux 5.6).

use std::ffi::CStr;

use crate::step::{Arg, Fd, Slot, Step};
use crate::wire::code;

/// What the kernel said about a file when the plan was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Device as `major << 32 | minor`.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

/// Packs major and minor numbers as the embedded program compares them.
#[must_use]
pub fn device_number(major: u32, minor: u32) -> u64 {
    u64::from(major) << 32 | u64::from(minor)
}

/// Opens a path with `O_…` and `RESOLVE_…` flags.
#[must_use]
pub fn open(dir: Fd, path: &CStr, flags: u64, resolve: u64, save: Slot) -> Step {
    let flags = flags | libc::O_CLOEXEC as u64;
    let how = [flags, 0, resolve].iter().flat_map(|word| word.to_le_bytes()).collect();
    let shown = format!("{{flags={flags:#x} resolve={resolve:#x}}}");
    let args = vec![dir.into(), path.into(), Arg::Bytes(how, shown), Arg::Number(24)];
    Step::call("openat2", libc::SYS_openat2, args).save(save)
}

/// Opens an absolute path that belongs to the launch, as [`open`].
#[must_use]
pub fn open_parameter(parameter: u16, name: &'static str, flags: u64, save: Slot) -> Step {
    let flags = flags | libc::O_CLOEXEC as u64;
    let how = [flags, 0, 0].into_iter().flat_map(u64::to_le_bytes).collect();
    let how = Arg::Bytes(how, format!("{{flags={flags:#x}}}"));
    let args = vec![Fd::Cwd.into(), Arg::Parameter(parameter, name), how, Arg::Number(24)];
    Step::call("openat2", libc::SYS_openat2, args).save(save)
}

/// Makes a file, or empties the one that is there, and opens it for writing; never blocks on a FIFO.
#[must_use]
pub fn create(dir: Fd, path: &CStr, mode: u32, resolve: u64, save: Slot) -> Step {
    const FLAGS: i32 = libc::O_WRONLY
        | libc::O_CREAT
        | libc::O_TRUNC
        | libc::O_NONBLOCK
        | libc::O_NOCTTY
        | libc::O_CLOEXEC;
    let flags = FLAGS as u64;
    let how = [flags, u64::from(mode), resolve].into_iter().flat_map(u64::to_le_bytes).collect();
    let shown = format!("{{flags=O_CREAT|O_TRUNC mode={mode:#o} resolve={resolve:#x}}}");
    let args = vec![dir.into(), path.into(), Arg::Bytes(how, shown), Arg::Number(24)];
    Step::call("openat2", libc::SYS_openat2, args).save(save)
}

/// Fails with `ESTALE` unless a descriptor is what the plan saw.
#[must_use]
pub fn verify(fd: Fd, identity: Identity) -> Step {
    let args = vec![fd.into(), Arg::Number(identity.device), Arg::Number(identity.inode)];
    let shown = format!(
        "{fd}, dev {}:{} ino {}",
        identity.device >> 32,
        identity.device & 0xffff_ffff,
        identity.inode
    );
    Step::operation("verify", code::VERIFY, args).named("verify", shown)
}

/// Fails with `ESTALE` unless a descriptor is the character device of this number.
#[must_use]
pub fn verify_device(fd: Fd, major: u32, minor: u32) -> Step {
    let args = vec![fd.into(), Arg::Number(device_number(major, minor))];
    Step::operation("verify", code::VERIFY_DEVICE, args)
        .named("verify", format!("{fd}, char {major}:{minor}"))
}

/// Makes a directory.
#[must_use]
pub fn mkdir(dir: Fd, path: &CStr, mode: u32) -> Step {
    Step::call("mkdirat", libc::SYS_mkdirat, vec![dir.into(), path.into(), octal(mode)])
}

/// Makes a character device; needs `CAP_MKNOD` in the first user namespace.
#[must_use]
pub fn mknod(dir: Fd, path: &CStr, mode: u32, major: u32, minor: u32) -> Step {
    make_node(dir, path, libc::S_IFCHR | mode, (major, minor))
}

/// Makes a device node or a FIFO; `mode` holds the type (`S_IFCHR`, `S_IFBLK`, `S_IFIFO`).
#[must_use]
pub fn make_node(dir: Fd, path: &CStr, mode: u32, (major, minor): (u32, u32)) -> Step {
    let number = libc::makedev(major, minor);
    let args = vec![
        dir.into(),
        path.into(),
        octal(mode),
        Arg::Named(number, format!("makedev({major}, {minor})")),
    ];
    Step::call("mknodat", libc::SYS_mknodat, args)
}

/// Makes a symbolic link.
#[must_use]
pub fn symlink(target: &CStr, dir: Fd, path: &CStr) -> Step {
    Step::call("symlinkat", libc::SYS_symlinkat, vec![target.into(), dir.into(), path.into()])
}

/// Removes a file or a link; one that is not there is fine.
#[must_use]
pub fn unlink(dir: Fd, path: &CStr) -> Step {
    Step::call("unlinkat", libc::SYS_unlinkat, vec![dir.into(), path.into(), Arg::Number(0)])
        .tolerate(libc::ENOENT)
}

/// Changes a mode.
#[must_use]
pub fn chmod(dir: Fd, path: &CStr, mode: u32) -> Step {
    Step::call("fchmodat", libc::SYS_fchmodat, vec![dir.into(), path.into(), octal(mode)])
}

/// Changes an owner, not following a link.
#[must_use]
pub fn chown(dir: Fd, path: &CStr, uid: u32, gid: u32) -> Step {
    let flags = libc::AT_SYMLINK_NOFOLLOW as u64 | libc::AT_EMPTY_PATH as u64;
    let flags = Arg::Named(flags, "AT_SYMLINK_NOFOLLOW|AT_EMPTY_PATH".to_owned());
    Step::call(
        "fchownat",
        libc::SYS_fchownat,
        vec![dir.into(), path.into(), uid.into(), gid.into(), flags],
    )
}

/// Changes an owner of what a descriptor is open on (fchown(2)); of a program this clears set-id bits and capabilities.
#[must_use]
pub fn fchown(fd: Fd, uid: u32, gid: u32) -> Step {
    Step::call("fchown", libc::SYS_fchown, vec![fd.into(), uid.into(), gid.into()])
}

/// Changes a mode of what a descriptor is open on.
#[must_use]
pub fn fchmod(fd: Fd, mode: u32) -> Step {
    Step::call("fchmod", libc::SYS_fchmod, vec![fd.into(), octal(mode)])
}

/// Sets an extended attribute of what a descriptor is open on (setxattr(2)).
#[must_use]
pub fn fsetxattr(fd: Fd, name: &CStr, value: &[u8]) -> Step {
    let length = Arg::Number(value.len() as u64);
    let value = Arg::Bytes(value.to_vec(), format!("{} bytes", value.len()));
    let args = vec![fd.into(), name.into(), value, length, Arg::Number(0)];
    Step::call("fsetxattr", libc::SYS_fsetxattr, args)
}

/// Makes a new file with these bytes; one that is there is `EEXIST`.
#[must_use]
pub fn write_new(dir: Fd, path: &CStr, mode: u32, bytes: &[u8]) -> Step {
    let flags = (libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_WRONLY) as u64;
    write_flags(dir, path, (flags, "O_CREAT|O_EXCL"), mode, bytes)
}

/// Writes a file that is there, such as one of procfs.
#[must_use]
pub fn write_existing(dir: Fd, path: &CStr, bytes: &[u8]) -> Step {
    write_flags(dir, path, (libc::O_WRONLY as u64, "O_WRONLY"), 0, bytes)
}

/// Writes a label of the process itself to a file of procfs, and fails with `EIO` unless it reads the same afterwards
/// (proc_pid_attr(5)). The label and its length in bytes are parameters of the launch.
#[must_use]
pub fn write_label(proc: Fd, path: &CStr, label: (u16, &'static str), length: u16) -> Step {
    let (label, name) = label;
    let text = Arg::Parameter(label, name);
    let args = vec![proc.into(), path.into(), text, Arg::Parameter(length, "length")];
    let shown = format!("{proc}, {path:?}, {{{name}}}");
    Step::operation("write_label", code::LABEL, args).named("write_label", shown)
}

/// Writes to an open file, all in one call.
#[must_use]
pub fn write_open(fd: Fd, bytes: &[u8]) -> Step {
    let shown = format!("{:?}", String::from_utf8_lossy(bytes));
    let length = Arg::Number(bytes.len() as u64);
    Step::call("write", libc::SYS_write, vec![fd.into(), Arg::Bytes(bytes.to_vec(), shown), length])
}

fn write_flags(dir: Fd, path: &CStr, flags: (u64, &str), mode: u32, bytes: &[u8]) -> Step {
    let shown = if bytes.len() <= 64 && std::str::from_utf8(bytes).is_ok() {
        format!("{:?}", String::from_utf8_lossy(bytes))
    } else {
        format!("{} bytes", bytes.len())
    };
    let args = vec![
        dir.into(),
        path.into(),
        Arg::Named(flags.0, flags.1.to_owned()),
        octal(mode),
        Arg::Bytes(bytes.to_vec(), shown),
        Arg::Number(bytes.len() as u64),
    ];
    Step::operation("write", code::WRITE, args)
}

/// Closes a descriptor that a step opened.
#[must_use]
pub fn close(fd: Slot) -> Step {
    Step::call("close", libc::SYS_close, vec![fd.into()])
}

/// A mode, printed in octal.
pub(crate) fn octal(mode: u32) -> Arg {
    Arg::Named(u64::from(mode), format!("{mode:#o}"))
}
