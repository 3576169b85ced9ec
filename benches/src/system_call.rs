//! Names and numbers of the system calls that the floor makes. Touches no kernel object.
//!
//! Invariant: a constant's name is the call's.

use std::ffi::c_long;

/// Defines a constant per call: its name and its number on this architecture (syscalls(2)).
macro_rules! calls {
    ($($constant:ident $name:literal $number:ident)*) => {
        $(pub(crate) const $constant: (&str, c_long) = ($name, libc::$number);)*
    };
}

calls! {
    CAPSET "capset" SYS_capset
    CHDIR "chdir" SYS_chdir
    CLOSE "close" SYS_close
    CLOSE_RANGE "close_range" SYS_close_range
    EXECVE "execve" SYS_execve
    FCHDIR "fchdir" SYS_fchdir
    FCHMODAT "fchmodat" SYS_fchmodat
    FSCONFIG "fsconfig" SYS_fsconfig
    FSMOUNT "fsmount" SYS_fsmount
    FSOPEN "fsopen" SYS_fsopen
    IOCTL "ioctl" SYS_ioctl
    KEYCTL "keyctl" SYS_keyctl
    MKDIRAT "mkdirat" SYS_mkdirat
    MKNODAT "mknodat" SYS_mknodat
    MOUNT "mount" SYS_mount
    MOVE_MOUNT "move_mount" SYS_move_mount
    OPEN_TREE "open_tree" SYS_open_tree
    OPENAT "openat" SYS_openat
    PIPE2 "pipe2" SYS_pipe2
    PIVOT_ROOT "pivot_root" SYS_pivot_root
    PRCTL "prctl" SYS_prctl
    READ "read" SYS_read
    RT_SIGACTION "rt_sigaction" SYS_rt_sigaction
    RT_SIGPROCMASK "rt_sigprocmask" SYS_rt_sigprocmask
    SECCOMP "seccomp" SYS_seccomp
    SETGROUPS "setgroups" SYS_setgroups
    SETHOSTNAME "sethostname" SYS_sethostname
    SETRESGID "setresgid" SYS_setresgid
    SETRESUID "setresuid" SYS_setresuid
    SETSID "setsid" SYS_setsid
    SOCKET "socket" SYS_socket
    SYMLINKAT "symlinkat" SYS_symlinkat
    UMASK "umask" SYS_umask
    UMOUNT2 "umount2" SYS_umount2
    UNLINKAT "unlinkat" SYS_unlinkat
    WRITE "write" SYS_write
}
