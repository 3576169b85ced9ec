//! Steps of the launch itself: namespaces, the first process, its id maps, the hand-over, the payload.

use std::ffi::{CStr, CString};

use crate::step::{Arg, Fd, Slot, Step};
use crate::wire::code;

/// Joins a namespace; `flag` is its `CLONE_NEW…` (setns(2)).
#[must_use]
pub fn join(fd: Fd, flag: u64, name: &str) -> Step {
    Step::call("setns", libc::SYS_setns, vec![fd.into(), Arg::Named(flag, name.to_owned())])
}

/// Leaves for new namespaces; `flags` are `CLONE_NEW…` (unshare(2)).
#[must_use]
pub fn unshare(flags: u64, names: &str) -> Step {
    Step::call("unshare", libc::SYS_unshare, vec![Arg::Named(flags, names.to_owned())])
}

/// Clones the first process as a child of the host, in new namespaces and, on cgroup v2, in its group (clone3(2);
/// `CLONE_INTO_CGROUP` since Linux 5.7).
#[must_use]
pub fn clone_first(flags: u64, names: &str, group: Option<Fd>) -> Step {
    let group = group.map_or(Arg::Named(u64::MAX, "no group".to_owned()), Arg::Fd);
    let names = if names.is_empty() { "0" } else { names };
    Step::operation("clone3", code::FIRST, vec![Arg::Named(flags, names.to_owned()), group])
}

/// As [`clone_first`], with the launcher's memory in place of a copy: faster, but the first process cannot join a time
/// namespace then, which a process with shared memory may not (setns(2)).
#[must_use]
pub fn clone_first_sharing(flags: u64, names: &str, group: Option<Fd>) -> Step {
    let mut step = clone_first(flags, names, group);
    step.add_argument(Arg::Named(1, "CLONE_VM".to_owned()));
    step
}

/// The launcher goes on as another process, which is born in a group of cgroup v2 (`CLONE_INTO_CGROUP`), and ends: a write
/// to `cgroup.procs` would wait for a grace period of the kernel, some milliseconds.
///
/// For a launcher that gives its privileges up before it clones the first process, which could not be put into the
/// group then.
#[must_use]
pub fn relay(group: Fd) -> Step {
    Step::operation("relay", code::RELAY, vec![group.into()])
}

/// Closes the images and every descriptor of the plan and the launch but the payload's: before the first process of a
/// launcher that joined a container can be seen there.
#[must_use]
pub fn close_images() -> Step {
    let args =
        vec![Fd::Images.into(), Arg::Named(u64::from(u32::MAX), "~0".to_owned()), Arg::Number(0)];
    Step::call("close_range", libc::SYS_close_range, args)
}

/// As [`close_images`], but one descriptor of the plan or the launch stays: as [`Fd::Images`], until [`close_kept`].
#[must_use]
pub fn close_images_but(kept: Fd) -> [Step; 2] {
    let close_on_exec =
        Arg::Named(u64::from(libc::O_CLOEXEC.unsigned_abs()), "O_CLOEXEC".to_owned());
    let rest = Arg::Named(u64::from(u32::MAX), "~0".to_owned());
    [
        // In the place of an image, which is mapped: nothing else that is open has a number that is known beforehand.
        Step::call("dup3", libc::SYS_dup3, vec![kept.into(), Fd::Images.into(), close_on_exec]),
        Step::call(
            "close_range",
            libc::SYS_close_range,
            vec![Fd::AfterImage.into(), rest, Arg::Number(0)],
        ),
    ]
}

/// Closes what [`close_images_but`] left open.
#[must_use]
pub fn close_kept() -> Step {
    Step::call("close", libc::SYS_close, vec![Fd::Images.into()])
}

/// Writes `bytes` to a file of the first process's procfs directory (user_namespaces(7)).
#[must_use]
pub fn child_file(proc: Fd, name: &CStr, bytes: &[u8]) -> Step {
    let shown = format!("{:?}", String::from_utf8_lossy(bytes));
    let length = Arg::Number(bytes.len() as u64);
    let args = vec![proc.into(), name.into(), Arg::Bytes(bytes.to_vec(), shown), length];
    Step::operation("write_map", code::CHILD_FILE, args)
}

/// Runs `newuidmap` or `newgidmap` on the first process and waits for it (newuidmap(1)).
#[must_use]
pub fn run_map_helper(path: &CStr, ranges: &[CString]) -> Step {
    // The second word is replaced by the process id.
    let mut argv = vec![path.to_owned(), c"PID".to_owned()];
    argv.extend_from_slice(ranges);
    Step::operation(
        "run",
        code::HELPER,
        vec![path.into(), Arg::Texts(argv), Arg::Texts(Vec::new())],
    )
}

/// Lets the first process go on: the launcher's last step.
#[must_use]
pub fn release() -> Step {
    Step::operation("release", code::RELEASE, Vec::new())
}

/// Waits until the launcher has done everything; ends when the launcher ended early.
#[must_use]
pub fn wait_for_release() -> Step {
    Step::operation("wait_for_release", code::AWAIT, Vec::new())
}

/// Waits until the host lets it go on, which has then done its part ([`start_gated`](crate::start_gated)); ends with the
/// host, and when the launch is given up.
#[must_use]
pub fn wait_for_host() -> Step {
    Step::operation("wait_for_host", code::GATE, Vec::new())
}

/// Reports the time at the end of a stage, if times are wanted.
#[must_use]
pub fn mark(stage: u32, name: &'static str) -> Step {
    Step::operation("mark", code::MARK, vec![Arg::Named(u64::from(stage), name.to_owned())])
}

/// Sends a descriptor to the host; `what` is the number that it gets there.
#[must_use]
pub fn send_fd(what: u32, fd: Slot) -> Step {
    Step::operation("send_fd", code::SEND_FD, vec![what.into(), fd.into()])
}

/// Forks the payload; this process stays as the reaper, without the payload's descriptors, with `CAP_KILL` only.
///
/// Through `proc`, a procfs in which it sees itself, it opens its namespaces for the host.
#[must_use]
pub fn become_reaper(proc: Option<Fd>) -> Step {
    reaper(proc, Arg::Named(1, "CLONE_VM".to_owned()))
}

/// As [`become_reaper`], with a copy of the memory for the payload's process: where `fs.suid_dumpable` is 1, a change of
/// its ids would make shared memory, and so the reaper, dumpable (proc_sys_fs(5)).
#[must_use]
pub fn become_reaper_apart(proc: Option<Fd>) -> Step {
    reaper(proc, Arg::Number(0))
}

fn reaper(proc: Option<Fd>, memory: Arg) -> Step {
    let proc = proc.map_or(Arg::Named(u64::MAX, "no procfs".to_owned()), Arg::Fd);
    Step::operation("become_reaper", code::REAPER, vec![proc, memory])
}

/// Gives every signal its default disposition and unblocks all.
#[must_use]
pub fn reset_signals() -> Step {
    Step::operation("reset_signals", code::SIGNALS, Vec::new())
}

/// Changes to the launch's working directory; one outside the root is `EXDEV`.
#[must_use]
pub fn change_directory(parameter: u16) -> Step {
    Step::operation("chdir", code::CHDIR, vec![Arg::Parameter(parameter, "current_dir")])
}

/// Executes the launch's program with its arguments and environment (execve(2)).
#[must_use]
pub fn exec() -> Step {
    Step::operation("execve", code::EXEC, Vec::new()).named("execve", "{program}, {args}, {env}")
}

/// In a launch that is held, looks whether the program is there and waits until somebody starts it; nothing in others.
/// It stands directly behind [`change_directory`], whose parameter it takes again where the launch is replaced.
#[must_use]
pub fn hold(parameter: u16) -> Step {
    let directory = Arg::Named(u64::from(parameter), String::new());
    Step::operation("hold", code::HOLD, vec![directory]).named("hold", "")
}

/// Closes every descriptor that the payload must not inherit but the setup socket, which closes itself
/// (close_range(2), Linux 5.9).
#[must_use]
pub fn close_others() -> Step {
    let args = vec![
        Fd::AfterSetup.into(),
        Arg::Named(u64::from(u32::MAX), "~0".to_owned()),
        Arg::Number(0),
    ];
    Step::call("close_range", libc::SYS_close_range, args)
}
