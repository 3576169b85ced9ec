//! The small fixed sequences: targets below a root, checks of identity, whole files, the working directory, exec.
//!
//! Kernel objects: directories by descriptor. Invariant: a path of the container is only ever resolved with
//! `RESOLVE_IN_ROOT` below the root's descriptor (openat2(2), Linux 5.6), and made one component at a time.

use crate::arch::nr;
use crate::kernel::{self, EACCES, EEXIST, EINVAL, EIO, ENOENT, ENOTDIR, ESTALE, EXDEV, S_IFCHR, S_IFDIR, S_IFMT};
use crate::machine::Machine;
use crate::wire::{self, Record, launch_flag, record};

/// `RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS`.
const IN_ROOT: u64 = 0x12;
/// Longest path of a target, its NUL included (PATH_MAX).
const PATH_MAX: usize = 4096;

/// Opens a path below a root.
fn open_in_root(root: u64, path: u64, flags: u64) -> Result<u64, i32> {
    let how = [flags | kernel::O_CLOEXEC, 0, IN_ROOT];
    kernel::call(nr::OPENAT2, [root, path, &raw const how as u64, 24, 0, 0])
}

impl Machine {
    /// Finds or makes a target; arguments: root, path, type and mode of what is made, mode of parents, and whether a link
    /// is followed (0 or `O_NOFOLLOW`).
    pub fn target(&self, args: [u64; 6]) -> Result<u64, i32> {
        let [root, path, mode, parents, follow, _] = args;
        let found = open_in_root(root, path, kernel::O_PATH | follow);
        match found {
            Err(ENOENT) => make(root, path, mode as u32, parents),
            Ok(fd) => same_type(fd, mode as u32).map(|()| fd),
            Err(errno) => Err(errno),
        }
    }

    /// Executes the payload: the first path that can be, as execvp(3) does.
    pub fn exec(&self) -> Result<u64, i32> {
        // Again: a change of credentials since the fork has cleared it (prctl(2)).
        self.die_with_reaper()?;
        self.report(&Record::new(record::EXECING, self.step(), 0, 0), None)?;
        let argv = self.launch.address(u64::from(self.order.argv))?;
        let envp = self.launch.address(u64::from(self.order.envp))?;
        let mut worst = (ENOENT, 0);
        let mut at = self.order.paths as usize;
        loop {
            let path = wire::u64_at(self.launch.bytes(), at).ok_or(EINVAL)?;
            if path == 0 {
                break;
            }
            let errno = kernel::call3(nr::EXECVE, path, argv, envp).err().unwrap_or(EIO);
            let mode = kernel::identity(kernel::AT_FDCWD, path, 0).map_or(0, |found| found.mode);
            match errno {
                ENOENT | ENOTDIR if mode == 0 => {}
                // A directory or an unreadable file in PATH: another entry may do, but this is the better reason.
                EACCES => worst = (errno, mode),
                _ => self.fail(errno, mode),
            }
            at = at.wrapping_add(8);
        }
        self.fail(worst.0, worst.1)
    }

    /// Whether the kernel ends the other processes with the first one.
    pub fn owns_pid_namespace(&self) -> bool {
        self.has(launch_flag::PID_NAMESPACE)
    }
}

/// What is there must be of the type that is wanted; a file may stand for any type but a directory.
fn same_type(fd: u64, mode: u32) -> Result<(), i32> {
    let nothing = 0_u8;
    let found = kernel::identity(fd, &raw const nothing as u64, 0)?;
    let is_directory = found.mode & S_IFMT == S_IFDIR;
    match (is_directory, mode & S_IFMT == S_IFDIR) {
        (true, true) | (false, false) => Ok(()),
        (false, true) => Err(ENOTDIR),
        (true, false) => Err(21),
    }
}

/// Makes the missing components of a path, each below the descriptor of the one before it.
fn make(root: u64, path: u64, mode: u32, parents: u64) -> Result<u64, i32> {
    let mut prefix = [0_u8; PATH_MAX];
    let mut len = 0;
    let mut parent = open_in_root(root, c".".as_ptr() as u64, kernel::O_PATH)?;
    loop {
        // SAFETY: the image's texts end with a NUL, and the loop ends there or at PATH_MAX.
        let byte = unsafe { (path.wrapping_add(len as u64) as *const u8).read() };
        let at_end = byte == 0;
        if at_end || byte == b'/' {
            let name = component(&prefix, len);
            if !name.is_empty() {
                let last = at_end || only_slashes(path.wrapping_add(len as u64));
                let next = step_into(root, parent, &prefix, name, if last { mode } else { 0 }, parents)?;
                kernel::close(parent);
                parent = next;
                if last {
                    return Ok(parent);
                }
            }
        }
        if at_end {
            return Ok(parent);
        }
        *prefix.get_mut(len).ok_or(EINVAL)? = byte;
        len = len.wrapping_add(1);
        if len >= PATH_MAX - 1 {
            return Err(36);
        }
    }
}

/// The last component of a prefix, with the NUL that follows it.
fn component(prefix: &[u8; PATH_MAX], len: usize) -> &[u8] {
    let upto = prefix.get(..len).unwrap_or(&[]);
    let start = upto.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash.wrapping_add(1));
    if start == len { &[] } else { prefix.get(start..len.wrapping_add(1)).unwrap_or(&[]) }
}

/// Whether nothing but slashes follows.
fn only_slashes(mut at: u64) -> bool {
    loop {
        // SAFETY: the image's texts end with a NUL, where the loop ends.
        match unsafe { (at as *const u8).read() } {
            b'/' => at = at.wrapping_add(1),
            byte => return byte == 0,
        }
    }
}

/// Opens the next component, making it if it is missing; mode 0 means a parent directory.
fn step_into(root: u64, parent: u64, prefix: &[u8], name: &[u8], mode: u32, parents: u64) -> Result<u64, i32> {
    let directory = mode == 0 || mode & S_IFMT == S_IFDIR;
    let flags = kernel::O_PATH | if directory { kernel::O_DIRECTORY } else { 0 };
    match open_in_root(root, prefix.as_ptr() as u64, flags) {
        Err(ENOENT) => {}
        other => return other,
    }
    let name = name.as_ptr() as u64;
    let made = if directory {
        let mode = if mode == 0 { parents } else { u64::from(mode & 0o7777) };
        kernel::call3(nr::MKDIRAT, parent, name, mode)
    } else {
        let flags = kernel::O_CREAT | kernel::O_EXCL | kernel::O_WRONLY | kernel::O_NOFOLLOW | kernel::O_CLOEXEC;
        let fd = kernel::call(nr::OPENAT, [parent, name, flags, u64::from(mode & 0o7777), 0, 0]);
        fd.inspect(|&fd| kernel::close(fd))
    };
    match made {
        // Another writer of a shared root may have been first; a dangling link is refused.
        Ok(_) | Err(EEXIST) => not_a_link(open_in_root(root, prefix.as_ptr() as u64, flags | kernel::O_NOFOLLOW)?),
        Err(errno) => Err(errno),
    }
}

/// Refuses the descriptor of a symbolic link.
fn not_a_link(fd: u64) -> Result<u64, i32> {
    const S_IFLNK: u32 = 0o120_000;
    const ELOOP: i32 = 40;
    let nothing = 0_u8;
    let found = kernel::identity(fd, &raw const nothing as u64, 0)?;
    if found.mode & S_IFMT == S_IFLNK { Err(ELOOP) } else { Ok(fd) }
}

/// Compares; arguments: descriptor, device, inode.
pub fn verify(args: [u64; 6]) -> Result<(), i32> {
    let nothing = 0_u8;
    let found = kernel::identity(args[0], &raw const nothing as u64, 0)?;
    if found.device == args[1] && found.inode == args[2] { Ok(()) } else { Err(ESTALE) }
}

/// Compares; arguments: descriptor, device number as `major << 32 | minor`.
pub fn verify_device(args: [u64; 6]) -> Result<(), i32> {
    let nothing = 0_u8;
    let found = kernel::identity(args[0], &raw const nothing as u64, 0)?;
    if found.mode & S_IFMT == S_IFCHR && found.rdev == args[1] { Ok(()) } else { Err(ESTALE) }
}

/// Changes a mount's attributes; arguments: descriptor, path, flags, attributes to set, propagation, user namespace.
pub fn id_map(args: [u64; 6]) -> Result<u64, i32> {
    const MOUNT_ATTR_IDMAP: u64 = 0x10_0000;
    let [mount, path, flags, set, propagation, userns] = args;
    let attributes = [set | MOUNT_ATTR_IDMAP, 0, propagation, userns];
    kernel::call(nr::MOUNT_SETATTR, [mount, path, flags, &raw const attributes as u64, 32, 0])
}

/// Allows rights in a ruleset; arguments: ruleset, file or directory, rights if it is a directory, rights if not.
pub fn landlock_path(args: [u64; 6]) -> Result<u64, i32> {
    const LANDLOCK_RULE_PATH_BENEATH: u64 = 1;
    let [ruleset, file, of_directory, of_file, ..] = args;
    let nothing = 0_u8;
    let found = kernel::identity(file, &raw const nothing as u64, 0)?;
    // The kernel refuses rights that mean nothing for a file.
    let rights = if found.mode & S_IFMT == S_IFDIR { of_directory } else { of_file };
    // `struct landlock_path_beneath_attr` is packed: the descriptor is the lower half of the second word.
    let rule = [rights, file];
    kernel::call(nr::LANDLOCK_ADD_RULE, [ruleset, LANDLOCK_RULE_PATH_BENEATH, &raw const rule as u64, 0, 0, 0])
}

/// Writes a whole file; arguments: directory, path, flags, mode, bytes, length.
pub fn write(args: [u64; 6]) -> Result<(), i32> {
    let [dir, path, flags, mode, bytes, len] = args;
    let fd = kernel::call(nr::OPENAT, [dir, path, flags | kernel::O_CLOEXEC, mode, 0, 0])?;
    let written = kernel::write_all(fd, bytes, len);
    kernel::close(fd);
    written
}

/// Writes a label and compares what the kernel then gives; arguments: procfs, path, label, its length.
pub fn label(args: [u64; 6]) -> Result<(), i32> {
    const O_RDWR: u64 = 2;
    let [proc, path, label, len, ..] = args;
    let fd = kernel::call(nr::OPENAT, [proc, path, O_RDWR | kernel::O_CLOEXEC, 0, 0, 0])?;
    let same = kernel::write_all(fd, label, len).and_then(|()| has_label(fd, label, len));
    kernel::close(fd);
    same
}

/// Fails with `EIO` unless an open label is this one, with a NUL behind it or not.
fn has_label(fd: u64, label: u64, len: u64) -> Result<(), i32> {
    let mut found = [0_u8; PATH_MAX];
    let read = kernel::call(nr::PREAD64, [fd, &raw mut found as u64, PATH_MAX as u64, 0, 0, 0])?;
    // SAFETY: the launch's text has this length, which the host wrote beside it.
    let wanted = unsafe { core::slice::from_raw_parts(label as *const u8, len as usize) };
    let found = found.get(..read as usize).unwrap_or(&[]);
    let found = match found {
        [label @ .., 0] => label,
        label => label,
    };
    if found.iter().eq(wanted) { Ok(()) } else { Err(EIO) }
}

/// Gives every signal its default and unblocks all (a host may ignore or block some; exec keeps both).
pub fn reset_signals() -> Result<(), i32> {
    let default = [0_u64; 4];
    for signal in 1..=64_u64 {
        match kernel::call(nr::RT_SIGACTION, [signal, &raw const default as u64, 0, 8, 0, 0]) {
            // SIGKILL and SIGSTOP cannot be changed.
            Ok(_) | Err(EINVAL) => {}
            Err(errno) => return Err(errno),
        }
    }
    let none = 0_u64;
    const SIG_SETMASK: u64 = 2;
    kernel::call(nr::RT_SIGPROCMASK, [SIG_SETMASK, &raw const none as u64, 0, 8, 0, 0]).map(drop)
}

/// Changes the directory; a directory that cannot be named from the root is refused.
pub fn change_directory(path: u64) -> Result<(), i32> {
    kernel::call3(nr::CHDIR, path, 0, 0)?;
    let mut name = [0_u8; PATH_MAX];
    kernel::call3(nr::GETCWD, &raw mut name as u64, PATH_MAX as u64, 0)?;
    if name[0] == b'/' { Ok(()) } else { Err(EXDEV) }
}
