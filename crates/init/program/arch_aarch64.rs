//! aarch64: entry point, system calls and their numbers.
//!
//! Used by the embedded program and (the call instruction only) by the host's launch path.

use core::arch::asm;

/// Makes one system call.
///
/// # Safety
/// As safe as the call itself with these arguments.
#[inline(always)]
pub unsafe fn syscall(nr: u64, args: [u64; 6]) -> i64 {
    let result: i64;
    // SAFETY: the kernel's calling convention; the caller answers for the call.
    unsafe {
        asm!(
            "svc 0",
            in("x8") nr,
            inlateout("x0") args[0] => result,
            in("x1") args[1], in("x2") args[2], in("x3") args[3], in("x4") args[4], in("x5") args[5],
            options(nostack)
        );
    }
    result
}

/// Clones a process that shares this one's memory; it starts in `entry` on the stack that `args` names.
///
/// # Safety
/// `args` points to a `struct clone_args` of `size` bytes with `CLONE_VM` and a stack of its own; `entry` never returns; what
/// `argument` points to outlives the clone's use of it.
pub unsafe fn clone_onto(args: u64, size: u64, entry: u64, argument: u64) -> i64 {
    let result: i64;
    // SAFETY: the caller's promise; the parent goes on behind the label with its own stack untouched.
    unsafe {
        asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, #0",
            "mov x30, #0",
            "mov x0, x20",
            "blr x21",
            "brk #0",
            "2:",
            in("x8") nr::CLONE3,
            inlateout("x0") args => result,
            in("x1") size,
            in("x20") argument,
            in("x21") entry,
        );
    }
    result
}

/// Numbers of the calls that the program itself makes.
pub mod nr {
    pub const GETCWD: u64 = 17;
    pub const DUP3: u64 = 24;
    pub const FCNTL: u64 = 25;
    pub const MKDIRAT: u64 = 34;
    pub const CHDIR: u64 = 49;
    pub const OPENAT: u64 = 56;
    pub const CLOSE: u64 = 57;
    pub const PIPE2: u64 = 59;
    pub const READ: u64 = 63;
    pub const WRITE: u64 = 64;
    pub const PREAD64: u64 = 67;
    pub const PPOLL: u64 = 73;
    pub const SIGNALFD4: u64 = 74;
    pub const NEWFSTATAT: u64 = 79;
    pub const CAPSET: u64 = 91;
    pub const EXIT_GROUP: u64 = 94;
    pub const CLOCK_GETTIME: u64 = 113;
    pub const KILL: u64 = 129;
    pub const RT_SIGACTION: u64 = 134;
    pub const RT_SIGPROCMASK: u64 = 135;
    pub const GETRUSAGE: u64 = 165;
    pub const PRCTL: u64 = 167;
    pub const GETPID: u64 = 172;
    pub const GETPPID: u64 = 173;
    pub const SOCKETPAIR: u64 = 199;
    pub const RECVFROM: u64 = 207;
    pub const SENDMSG: u64 = 211;
    pub const RECVMSG: u64 = 212;
    pub const EXECVE: u64 = 221;
    pub const LSEEK: u64 = 62;
    pub const MMAP: u64 = 222;
    pub const ACCEPT4: u64 = 242;
    pub const WAIT4: u64 = 260;
    pub const STATX: u64 = 291;
    pub const CLONE3: u64 = 435;
    pub const CLOSE_RANGE: u64 = 436;
    pub const OPENAT2: u64 = 437;
    pub const FACCESSAT2: u64 = 439;
    pub const MOUNT_SETATTR: u64 = 442;
    pub const LANDLOCK_ADD_RULE: u64 = 445;
}

#[cfg(ampoule_program)]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, #0",
    "mov x30, #0",
    "mov x0, sp",
    "bl {entry}",
    "brk #0",
    entry = sym crate::entry,
);

/// Copies without calling itself (the compiler turns plain loops into calls of `memcpy`).
///
/// # Safety
/// As `memcpy(3)`.
#[cfg(ampoule_program)]
#[inline(always)]
pub unsafe fn copy(to: *mut u8, from: *const u8, len: usize) {
    let mut i = 0;
    while i < len {
        // SAFETY: i < len, within the caller's regions.
        unsafe {
            core::ptr::write_volatile(
                to.wrapping_add(i),
                core::ptr::read_volatile(from.wrapping_add(i)),
            )
        };
        i = i.wrapping_add(1);
    }
}

/// Fills without calling itself.
///
/// # Safety
/// As `memset(3)`.
#[cfg(ampoule_program)]
#[inline(always)]
pub unsafe fn fill(to: *mut u8, byte: u8, len: usize) {
    let mut i = 0;
    while i < len {
        // SAFETY: i < len, within the caller's region.
        unsafe { core::ptr::write_volatile(to.wrapping_add(i), byte) };
        i = i.wrapping_add(1);
    }
}
