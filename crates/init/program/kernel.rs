//! System calls of the embedded program with results, and the few structures that they take.
//!
//! Invariant: an interrupted call is made again; any other error is given back as it is.

use crate::arch::{self, nr};

/// Exit status for an image that cannot be read; the host then reports that init died.
pub const BAD_IMAGE: u64 = 121;
/// Exit status after a failure that was reported.
pub const REPORTED: u64 = 122;
/// Exit status of a first process whose launcher ended before releasing it.
pub const ABANDONED: u64 = 123;

pub const EPERM: i32 = 1;
pub const EINTR: i32 = 4;
pub const EAGAIN: i32 = 11;
pub const EACCES: i32 = 13;
pub const EEXIST: i32 = 17;
pub const ENOENT: i32 = 2;
pub const EIO: i32 = 5;
pub const ENOTDIR: i32 = 20;
pub const EINVAL: i32 = 22;
pub const EXDEV: i32 = 18;
pub const EPIPE: i32 = 32;
pub const ECONNRESET: i32 = 104;
pub const ESTALE: i32 = 116;

pub const AT_FDCWD: u64 = -100_i64 as u64;
pub const O_CLOEXEC: u64 = 0o2_000_000;
pub const O_PATH: u64 = 0o10_000_000;
#[cfg(target_arch = "x86_64")]
pub const O_DIRECTORY: u64 = 0o200_000;
#[cfg(target_arch = "aarch64")]
pub const O_DIRECTORY: u64 = 0o40_000;
#[cfg(target_arch = "x86_64")]
pub const O_NOFOLLOW: u64 = 0o400_000;
#[cfg(target_arch = "aarch64")]
pub const O_NOFOLLOW: u64 = 0o100_000;
pub const O_CREAT: u64 = 0o100;
pub const O_EXCL: u64 = 0o200;
pub const O_WRONLY: u64 = 1;
pub const S_IFMT: u32 = 0o170_000;
pub const S_IFCHR: u32 = 0o020_000;
pub const S_IFDIR: u32 = 0o040_000;
pub const SIGKILL: u64 = 9;
pub const SIGCHLD: u64 = 17;

/// Makes a call; an error comes back as its positive number.
pub fn call(number: u64, args: [u64; 6]) -> Result<u64, i32> {
    for _ in 0..1000 {
        // SAFETY: the arguments come from the checked image or from this program's own buffers.
        let result = unsafe { arch::syscall(number, args) };
        match result {
            -4095..=-1 if (result as i32).wrapping_neg() == EINTR => {}
            -4095..=-1 => return Err((result as i32).wrapping_neg()),
            value => return Ok(value as u64),
        }
    }
    Err(EINTR)
}

/// Makes a call of up to three arguments.
pub fn call3(number: u64, a: u64, b: u64, c: u64) -> Result<u64, i32> {
    call(number, [a, b, c, 0, 0, 0])
}

/// Ends the process.
pub fn exit(status: u64) -> ! {
    loop {
        let _ended = call3(nr::EXIT_GROUP, status, 0, 0);
    }
}

/// Closes a descriptor; the kernel frees it whatever it answers.
pub fn close(fd: u64) {
    let _freed = call3(nr::CLOSE, fd, 0, 0);
}

/// Monotonic time in nanoseconds, 0 if the clock cannot be read.
pub fn now() -> u64 {
    let mut time = [0_u64; 2];
    match call3(nr::CLOCK_GETTIME, 1, &raw mut time as u64, 0) {
        Ok(_) => time[0].wrapping_mul(1_000_000_000).wrapping_add(time[1]),
        Err(_) => 0,
    }
}

/// Writes all bytes.
pub fn write_all(fd: u64, from: u64, len: u64) -> Result<(), i32> {
    let mut done = 0;
    while done < len {
        match call3(nr::WRITE, fd, from.wrapping_add(done), len.wrapping_sub(done))? {
            0 => return Err(EIO),
            n => done = done.wrapping_add(n),
        }
    }
    Ok(())
}

/// `struct iovec`.
#[repr(C)]
struct Part {
    base: u64,
    len: u64,
}

/// `struct msghdr`.
#[repr(C)]
struct Message {
    name: u64,
    name_len: u64,
    parts: *const Part,
    part_count: u64,
    control: *const Rights,
    control_len: u64,
    flags: u64,
}

/// A control message with one or two descriptors.
#[repr(C, align(8))]
struct Rights {
    len: u64,
    level: i32,
    kind: i32,
    fds: [i32; 2],
}

/// Sends one message, with up to two descriptors; a closed peer is an error, not a signal.
pub fn send(socket: u64, bytes: &[u8], fds: &[u64]) -> Result<(), i32> {
    const MSG_NOSIGNAL: u64 = 0x4000;
    const HEAD: u64 = 16;
    let part = Part { base: bytes.as_ptr() as u64, len: bytes.len() as u64 };
    let mut rights = Rights { len: HEAD, level: 1, kind: 1, fds: [0; 2] };
    for (place, &fd) in rights.fds.iter_mut().zip(fds) {
        *place = fd as i32;
        rights.len = rights.len.wrapping_add(4);
    }
    let with = !fds.is_empty();
    let message = Message {
        name: 0,
        name_len: 0,
        parts: &raw const part,
        part_count: 1,
        control: if with { &raw const rights } else { core::ptr::null() },
        control_len: if with { 24 } else { 0 },
        flags: 0,
    };
    call3(nr::SENDMSG, socket, &raw const message as u64, MSG_NOSIGNAL).map(drop)
}

/// Receives one message, with at most one descriptor; waits for it. The length is 0 when the peer has closed.
pub fn receive(socket: u64, bytes: &mut [u8]) -> Result<(usize, Option<u64>), i32> {
    const MSG_CMSG_CLOEXEC: u64 = 0x4000_0000;
    let part = Part { base: bytes.as_mut_ptr() as u64, len: bytes.len() as u64 };
    let mut rights = Rights { len: 0, level: 0, kind: 0, fds: [-1; 2] };
    let mut message = Message {
        name: 0,
        name_len: 0,
        parts: &raw const part,
        part_count: 1,
        control: &raw mut rights,
        control_len: 24,
        flags: 0,
    };
    let len = call3(nr::RECVMSG, socket, &raw mut message as u64, MSG_CMSG_CLOEXEC)?;
    // SAFETY: the kernel wrote into this process's own structure, behind the compiler's back.
    let [fd, second] = unsafe { (&raw const rights.fds).read_volatile() };
    if second >= 0 {
        close(second as u64);
    }
    Ok((len as usize, (fd >= 0).then_some(fd as u64)))
}

/// Device, inode, mode and device number of a descriptor (statx(2)).
#[derive(Clone, Copy)]
pub struct Identity {
    pub mode: u32,
    pub inode: u64,
    pub device: u64,
    pub rdev: u64,
}

/// A `struct statx` as words.
#[repr(C, align(8))]
struct Statx([u32; 64]);

/// Reads the identity of what `path` below `dir` names; an empty path names `dir` itself.
pub fn identity(dir: u64, path: u64, flags: u64) -> Result<Identity, i32> {
    const AT_EMPTY_PATH: u64 = 0x1000;
    const TYPE_MODE_INO: u64 = 0x103;
    let mut statx = Statx([0; 64]);
    call(nr::STATX, [dir, path, flags | AT_EMPTY_PATH, TYPE_MODE_INO, &raw mut statx as u64, 0])?;
    let word = |index: usize| statx.0.get(index).copied().unwrap_or(0);
    let pair = |index: usize| u64::from(word(index)) << 32 | u64::from(word(index.wrapping_add(1)));
    Ok(Identity {
        mode: word(7) & 0xffff,
        inode: u64::from(word(8)) | u64::from(word(9)) << 32,
        rdev: pair(32),
        device: pair(34),
    })
}

/// `struct clone_args` up to `cgroup`.
#[repr(C)]
#[derive(Default)]
pub struct CloneArgs {
    pub flags: u64,
    pub pidfd: u64,
    pub child_tid: u64,
    pub parent_tid: u64,
    pub exit_signal: u64,
    pub stack: u64,
    pub stack_size: u64,
    pub tls: u64,
    pub set_tid: u64,
    pub set_tid_size: u64,
    pub cgroup: u64,
}

/// Clones this process without sharing memory; 0 is the child.
pub fn clone(args: &CloneArgs) -> Result<u64, i32> {
    call3(nr::CLONE3, core::ptr::from_ref(args) as u64, size_of::<CloneArgs>() as u64, 0)
}
