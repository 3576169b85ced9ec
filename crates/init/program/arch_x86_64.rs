//! x86-64: entry point, system calls and their numbers.
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
            "syscall",
            inlateout("rax") nr => result,
            in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
            in("r10") args[3], in("r8") args[4], in("r9") args[5],
            lateout("rcx") _, lateout("r11") _,
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
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r13",
            "call r12",
            "ud2",
            "2:",
            inlateout("rax") nr::CLONE3 => result,
            in("rdi") args,
            in("rsi") size,
            in("r12") entry,
            in("r13") argument,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    result
}

/// Numbers of the calls that the program itself makes.
pub mod nr {
    pub const READ: u64 = 0;
    pub const WRITE: u64 = 1;
    pub const CLOSE: u64 = 3;
    pub const LSEEK: u64 = 8;
    pub const MMAP: u64 = 9;
    pub const RT_SIGACTION: u64 = 13;
    pub const RT_SIGPROCMASK: u64 = 14;
    pub const PREAD64: u64 = 17;
    pub const GETPID: u64 = 39;
    pub const RECVFROM: u64 = 45;
    pub const SENDMSG: u64 = 46;
    pub const RECVMSG: u64 = 47;
    pub const SOCKETPAIR: u64 = 53;
    pub const EXECVE: u64 = 59;
    pub const WAIT4: u64 = 61;
    pub const KILL: u64 = 62;
    pub const FCNTL: u64 = 72;
    pub const GETCWD: u64 = 79;
    pub const CHDIR: u64 = 80;
    pub const GETRUSAGE: u64 = 98;
    pub const GETPPID: u64 = 110;
    pub const CAPSET: u64 = 126;
    pub const PRCTL: u64 = 157;
    pub const CLOCK_GETTIME: u64 = 228;
    pub const EXIT_GROUP: u64 = 231;
    pub const OPENAT: u64 = 257;
    pub const MKDIRAT: u64 = 258;
    pub const NEWFSTATAT: u64 = 262;
    pub const PPOLL: u64 = 271;
    pub const ACCEPT4: u64 = 288;
    pub const SIGNALFD4: u64 = 289;
    pub const DUP3: u64 = 292;
    pub const PIPE2: u64 = 293;
    pub const STATX: u64 = 332;
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
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {entry}",
    "ud2",
    entry = sym crate::entry,
);

/// Copies without calling itself (the compiler turns plain loops into calls of `memcpy`).
///
/// # Safety
/// As `memcpy(3)`.
#[cfg(ampoule_program)]
#[inline(always)]
pub unsafe fn copy(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: the caller's regions; the direction flag is clear by the ABI.
    unsafe {
        asm!("rep movsb", inout("rcx") len => _, inout("rdi") to => _, inout("rsi") from => _, options(nostack))
    }
}

/// Fills without calling itself.
///
/// # Safety
/// As `memset(3)`.
#[cfg(ampoule_program)]
#[inline(always)]
pub unsafe fn fill(to: *mut u8, byte: u8, len: usize) {
    // SAFETY: the caller's region; the direction flag is clear by the ABI.
    unsafe {
        asm!("rep stosb", inout("rcx") len => _, inout("rdi") to => _, in("al") byte, options(nostack))
    }
}
