//! The groups of system calls from which the default profile and the presets are made, each with its reason.
//!
//! Kernel objects: the system-call tables. Invariant: every known call is in exactly one group (a test counts).

use crate::action::Action;

/// Who may use the calls of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Everybody.
    Always,
    /// Everybody, under conditions that stand in [`DETAILS`](super::DETAILS).
    Conditional,
    /// Who has one of these capabilities; others get the action.
    Granted(&'static [&'static str], Action),
    /// Nobody: this happens.
    Never(Action),
}

/// System calls that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Group {
    /// A short name.
    pub name: &'static str,
    /// Why its calls are, or are not, allowed.
    pub reason: &'static str,
    /// Who may use them.
    pub access: Access,
    /// The calls, of all machines.
    pub calls: &'static [&'static str],
}

const fn group(
    name: &'static str,
    reason: &'static str,
    access: Access,
    calls: &'static [&'static str],
) -> Group {
    Group { name, reason, access, calls }
}

const EPERM: Action = Action::NOT_PERMITTED;
const ENOSYS: Action = Action::NOT_IMPLEMENTED;
const fn with(capabilities: &'static [&'static str]) -> Access {
    Access::Granted(capabilities, EPERM)
}

/// All groups.
#[rustfmt::skip]
pub const GROUPS: &[Group] = &[
    group("read and write", "data of open files; access was checked when they were opened", Access::Always, &[
        "_llseek", "arm_fadvise64_64", "arm_sync_file_range", "cachestat", "close", "close_range", "copy_file_range",
        "dup", "dup2", "dup3", "fadvise64", "fadvise64_64", "fallocate", "fcntl", "fcntl64", "fdatasync", "flock",
        "fsync", "ftruncate", "ftruncate64", "lseek", "pread64", "preadv", "preadv2", "pwrite64", "pwritev",
        "pwritev2", "read", "readahead", "readv", "sendfile", "sendfile64", "splice", "sync", "sync_file_range",
        "sync_file_range2", "syncfs", "tee", "vmsplice", "write", "writev",
    ]),
    group("paths", "files by name; permissions and the mount namespace decide", Access::Always, &[
        "access", "chdir", "creat", "faccessat", "faccessat2", "fchdir", "fstat", "fstat64", "fstatat", "fstatat64",
        "fstatfs", "fstatfs64", "getcwd", "getdents", "getdents64", "inotify_add_watch", "inotify_init",
        "inotify_init1", "inotify_rm_watch", "link", "linkat", "listmount", "lstat", "lstat64", "mkdir", "mkdirat",
        "mknod", "mknodat", "name_to_handle_at", "newfstatat", "oldfstat", "oldlstat", "oldstat", "open", "openat",
        "openat2", "readdir", "readlink", "readlinkat", "rename", "renameat", "renameat2", "rmdir", "stat", "stat64",
        "statfs", "statfs64", "statmount", "statx", "symlink", "symlinkat", "truncate", "truncate64", "umask",
        "unlink", "unlinkat", "fanotify_mark",
    ]),
    group("attributes of files", "owner, mode, times and extended attributes; capabilities decide", Access::Always, &[
        "chmod", "chown", "chown32", "fchmod", "fchmodat", "fchmodat2", "fchown", "fchown32", "fchownat", "fgetxattr",
        "file_getattr", "file_setattr", "flistxattr", "fremovexattr", "fsetxattr", "futimesat", "getxattr",
        "getxattrat", "lchown", "lchown32", "lgetxattr", "listxattr", "listxattrat", "llistxattr", "lremovexattr",
        "lsetxattr", "removexattr", "removexattrat", "setxattr", "setxattrat", "utime", "utimensat",
        "utimensat_time64", "utimes",
    ]),
    group("memory", "the process's own memory", Access::Always, &[
        "brk", "cacheflush", "madvise", "map_shadow_stack", "membarrier", "memfd_create", "memfd_secret", "mincore",
        "mlock", "mlock2", "mlockall", "mmap", "mmap2", "mprotect", "mremap", "mseal", "msync", "munlock",
        "munlockall", "munmap", "pkey_alloc", "pkey_free", "pkey_mprotect", "remap_file_pages",
    ]),
    group("waiting", "readiness of descriptors, events and timers", Access::Always, &[
        "_newselect", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait", "epoll_pwait2",
        "epoll_wait", "epoll_wait_old", "eventfd", "eventfd2", "pause", "pipe", "pipe2", "poll", "ppoll",
        "ppoll_time64", "pselect6", "pselect6_time64", "select", "timerfd_create", "timerfd_gettime",
        "timerfd_gettime64", "timerfd_settime", "timerfd_settime64",
    ]),
    group("older asynchronous I/O", "reads and writes of open files in the background", Access::Always, &[
        "io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_pgetevents_time64", "io_setup", "io_submit",
    ]),
    group("threads and locks", "futexes, scheduling, thread-local storage", Access::Always, &[
        "arch_prctl", "futex", "futex_requeue", "futex_time64", "futex_wait", "futex_waitv", "futex_wake",
        "get_robust_list", "get_thread_area", "get_tls", "getcpu", "gettid", "rseq", "sched_get_priority_max",
        "sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler",
        "sched_rr_get_interval", "sched_rr_get_interval_time64", "sched_setaffinity", "sched_setattr",
        "sched_setparam", "sched_setscheduler", "sched_yield", "set_robust_list", "set_thread_area",
        "set_tid_address", "set_tls", "modify_ldt",
    ]),
    group("processes", "starting, ending and waiting for processes, seeing and limiting the own ones", Access::Always, &[
        "exit", "exit_group", "fork", "getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getrlimit",
        "getrusage", "getsid", "ioprio_get", "ioprio_set", "nice", "pidfd_open", "prctl", "prlimit64", "setpgid",
        "setpriority", "setrlimit", "setsid", "times", "ugetrlimit", "vfork", "wait4", "waitid", "waitpid",
        "process_mrelease",
    ]),
    group("exec", "a filter, no_new_privs and the bounding set outlive it", Access::Always, &["execve", "execveat"]),
    group("signals", "to processes that the ids and the pid namespace allow", Access::Always, &[
        "alarm", "kill", "pidfd_send_signal", "restart_syscall", "rt_sigaction", "rt_sigpending", "rt_sigprocmask",
        "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64",
        "rt_tgsigqueueinfo", "sgetmask", "sigaction", "sigaltstack", "signal", "signalfd", "signalfd4", "sigpending",
        "sigprocmask", "sigreturn", "sigsuspend", "ssetmask", "tgkill", "tkill", "breakpoint",
    ]),
    group("credentials", "the kernel refuses what capabilities do not cover", Access::Always, &[
        "capget", "capset", "getegid", "getegid32", "geteuid", "geteuid32", "getgid", "getgid32", "getgroups",
        "getgroups32", "getresgid", "getresgid32", "getresuid", "getresuid32", "getuid", "getuid32", "setfsgid",
        "setfsgid32", "setfsuid", "setfsuid32", "setgid", "setgid32", "setgroups", "setgroups32", "setregid",
        "setregid32", "setresgid", "setresgid32", "setresuid", "setresuid32", "setreuid", "setreuid32", "setuid",
        "setuid32",
    ]),
    group("more confinement", "a process may always give up more", Access::Always, &[
        "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "lsm_get_self_attr",
        "lsm_list_modules", "seccomp",
    ]),
    group("time", "reading clocks, and timers", Access::Always, &[
        "adjtimex", "clock_adjtime", "clock_adjtime64", "clock_getres", "clock_getres_time64", "clock_gettime",
        "clock_gettime64", "clock_nanosleep", "clock_nanosleep_time64", "getitimer", "gettimeofday", "nanosleep",
        "setitimer", "time", "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_gettime64",
        "timer_settime", "timer_settime64",
    ]),
    group("about the machine", "names, load and random numbers", Access::Always, &[
        "getrandom", "olduname", "oldolduname", "sysinfo", "uname",
    ]),
    group("System V and POSIX IPC", "an IPC namespace of its own", Access::Always, &[
        "ipc", "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedreceive_time64", "mq_timedsend",
        "mq_timedsend_time64", "mq_unlink", "msgctl", "msgget", "msgrcv", "msgsnd", "semctl", "semget", "semop",
        "semtimedop", "semtimedop_time64", "shmat", "shmctl", "shmdt", "shmget",
    ]),
    group("sockets", "data and options of sockets; which families there are stands in the details", Access::Always, &[
        "bind", "connect", "getpeername", "getsockname", "getsockopt", "recv", "recvfrom", "recvmmsg",
        "recvmmsg_time64", "recvmsg", "send", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown",
    ]),
    group("servers", "waiting for connections", Access::Always, &["accept", "accept4", "listen"]),
    group("tracing", "of processes in the same pid namespace, by one that could read them anyway", Access::Always, &[
        "process_vm_readv", "process_vm_writev", "ptrace",
    ]),
    group("return probes", "made by the kernel's own trampoline only; refused, a traced program would die",
        Access::Always, &["uprobe", "uretprobe"]),
    group("depends on arguments", "see the details", Access::Conditional, &[
        "clone", "ioctl", "personality", "socket", "socketpair", "unshare",
    ]),
    group("clone3", "its flags are in memory, where no filter sees them; programs then use clone",
        Access::Granted(&["SYS_ADMIN"], ENOSYS), &["clone3"]),
    group("socketcall", "its arguments are in memory, so that it would open any family; programs then use socket",
        Access::Never(ENOSYS), &["socketcall"]),
    group("io_uring", "makes calls that no filter sees; a large part of the kernel's published holes",
        Access::Never(EPERM), &["io_uring_enter", "io_uring_register", "io_uring_setup"]),
    group("userfaultfd", "stops the kernel in the middle of a copy, which makes races in it easy to win",
        Access::Never(EPERM), &["userfaultfd"]),
    group("keyrings", "keys belong to users, not to namespaces", Access::Never(EPERM), &[
        "add_key", "keyctl", "request_key",
    ]),
    group("BPF", "programs in the kernel", with(&["SYS_ADMIN", "BPF"]), &["bpf"]),
    group("perf", "shows other processes and the kernel", with(&["SYS_ADMIN", "PERFMON"]), &["perf_event_open"]),
    group("mounts", "the mount API, old and new: a large surface, and in a user namespace open to everybody",
        with(&["SYS_ADMIN"]), &[
        "fsconfig", "fsmount", "fsopen", "fspick", "mount", "mount_setattr", "move_mount", "open_tree",
        "open_tree_attr", "pivot_root", "umount", "umount2",
    ]),
    group("namespaces of others", "joining them; new ones are in the details", with(&["SYS_ADMIN"]), &["setns"]),
    group("host names", "of the namespace", with(&["SYS_ADMIN"]), &["setdomainname", "sethostname"]),
    group("marks on whole file systems", "events of all processes, quotas", with(&["SYS_ADMIN"]), &[
        "fanotify_init", "lookup_dcookie", "quotactl", "quotactl_fd",
    ]),
    group("chroot", "a way out for who keeps a descriptor", with(&["SYS_CHROOT"]), &["chroot"]),
    group("files by handle", "opens files outside the root by their number", with(&["DAC_READ_SEARCH"]), &[
        "open_by_handle_at",
    ]),
    group("modules", "code in the kernel", with(&["SYS_MODULE"]), &["delete_module", "finit_module", "init_module"]),
    group("another kernel", "reboots the machine", with(&["SYS_BOOT"]), &["kexec_file_load", "kexec_load", "reboot"]),
    group("ports", "hardware", with(&["SYS_RAWIO"]), &[
        "ioperm", "iopl", "pciconfig_iobase", "pciconfig_read", "pciconfig_write",
    ]),
    group("setting the clock", "of the whole machine", with(&["SYS_TIME"]), &[
        "clock_settime", "clock_settime64", "settimeofday", "stime",
    ]),
    group("swap", "of the whole machine", with(&["SYS_ADMIN"]), &["swapoff", "swapon"]),
    group("accounting", "of all processes", with(&["SYS_PACCT"]), &["acct"]),
    group("kernel log", "shows addresses and other containers", with(&["SYSLOG"]), &["syslog"]),
    group("terminals of others", "hangs up the terminal", with(&["SYS_TTY_CONFIG"]), &["vhangup"]),
    group("memory policy", "moves pages, also of other processes", with(&["SYS_NICE"]), &[
        "get_mempolicy", "mbind", "migrate_pages", "move_pages", "set_mempolicy", "set_mempolicy_home_node",
    ]),
    group("parts of other processes", "their descriptors and memory", with(&["SYS_PTRACE"]), &[
        "kcmp", "pidfd_getfd", "process_madvise",
    ]),
    group("labels", "of the process itself, which its maker has chosen", Access::Never(EPERM), &["lsm_set_self_attr"]),
    group("virtual 8086 mode", "16-bit programs; old and little tested", Access::Never(ENOSYS), &["vm86", "vm86old"]),
    group("gone", "no supported kernel has them, or no program needs them", Access::Never(ENOSYS), &[
        "_sysctl", "afs_syscall", "bdflush", "break", "create_module", "ftime", "get_kernel_syms", "getpmsg", "gtty", "idle",
        "lock", "mpx", "nfsservctl", "prof", "profil", "putpmsg", "query_module", "security", "stty", "sysfs",
        "tuxcall", "ulimit", "uselib", "usr26", "usr32", "ustat", "vserver",
    ]),
];
