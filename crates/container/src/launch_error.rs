//! From a failed step to an error that names the setting and the reason.
//!
//! Invariant: the step that failed is always part of the error; a guess about the reason is only made where
//! the kernel has no other.

use std::ffi::CString;

use ampoule_init::{ErrorKind as InitKind, Launch, Parameter};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Stage, kind_of_errno};
use crate::host;
use crate::plan::CURRENT_DIR;

/// File type bits of `st_mode`.
const S_IFMT: u32 = 0o170_000;
/// A directory.
const S_IFDIR: u32 = 0o040_000;
/// A plan holds what it opened, which nothing can be mounted from when its last name is gone.
const REPLACED: &str = "a source was replaced or removed after the plan was made: make it again";

/// Makes the error of a failed launch; `stage` is where the failed step stands.
pub(crate) fn explain(
    error: ampoule_init::Error,
    stage: Option<Stage>,
    launch: &Launch<'_>,
) -> Error {
    explain_named(error, stage, launch.argv.first(), directory(launch))
}

/// As [`explain`], with the texts of the launch that the plan's steps do not show.
pub(crate) fn explain_named(
    error: ampoule_init::Error,
    stage: Option<Stage>,
    program: Option<&CString>,
    directory: Option<&CString>,
) -> Error {
    let errno = error.errno().map_or(Errno::IO, Errno::from_raw_os_error);
    let step = error.step_text().unwrap_or_default().to_owned();
    let call = step.split('(').next().unwrap_or_default();
    let (kind, hint) = match error.kind() {
        InitKind::Exec => exec(errno, error.aux()),
        InitKind::Clone => clone(errno, &step),
        InitKind::Step => of_step(call, errno, &step),
        _ => return Error::from(error),
    };
    let stage = match error.kind() {
        InitKind::Exec => Stage::Exec,
        InitKind::Clone => Stage::Namespaces,
        _ => stage.unwrap_or(Stage::Launch),
    };
    let about = error
        .step()
        .map_or_else(|| "the launcher".to_owned(), |index| format!("step {index}, {step}"));
    let about = match (error.kind(), call) {
        (InitKind::Exec, _) => named(program, &about),
        (_, "chdir") => named(directory, &about),
        _ => about,
    };
    let made = Error::new(kind, stage).about(about).with_errno(errno).caused_by(error);
    match hint {
        Some(hint) => made.with_hint(hint),
        None => made,
    }
}

/// Puts a text of the launch, which the plan's step does not show, before the step; a long one is cut.
fn named(text: Option<&CString>, step: &str) -> String {
    match text {
        Some(text) => {
            let shown: String = text.to_string_lossy().chars().take(200).collect();
            format!("{shown:?}, {step}")
        }
        None => step.to_owned(),
    }
}

/// The working directory of a launch.
pub(crate) fn directory<'a>(launch: &'a Launch<'_>) -> Option<&'a CString> {
    match launch.parameters.get(usize::from(CURRENT_DIR)) {
        Some(Parameter::Text(text)) => Some(text),
        _ => None,
    }
}

/// Why execve(2) failed; `mode` is that of the file, 0 if there is none.
fn exec(errno: Errno, mode: u32) -> (ErrorKind, Option<&'static str>) {
    match (errno, mode & S_IFMT) {
        (Errno::NOENT, 0) => {
            (ErrorKind::ProgramNotFound, Some("paths and PATH are those of the container"))
        }
        (Errno::NOENT | Errno::LIBBAD, _) => (
            ErrorKind::InterpreterNotFound,
            Some("the `#!` line or the dynamic loader names a file that is not in the root"),
        ),
        (Errno::NOTDIR, _) => (ErrorKind::ProgramNotFound, None),
        (Errno::ACCESS, S_IFDIR) | (Errno::ISDIR, _) => (ErrorKind::ProgramIsDirectory, None),
        (Errno::ACCESS | Errno::PERM, _) => (
            ErrorKind::ProgramNotExecutable,
            Some("the payload's user needs execute permission on it and on the directories above"),
        ),
        (Errno::NOEXEC, _) => {
            (ErrorKind::ProgramFormat, Some("another architecture, or a script without `#!`"))
        }
        (Errno::TOOBIG, _) => (ErrorKind::ArgumentsTooLong, None),
        _ => (kind_of_errno(errno), None),
    }
}

/// Why a process could not be cloned into its namespaces.
fn clone(errno: Errno, step: &str) -> (ErrorKind, Option<&'static str>) {
    let with_user = step.contains("CLONE_NEWUSER");
    match errno {
        Errno::PERM | Errno::NOSPC | Errno::USERS if with_user && host::denied_now().is_some() => {
            (ErrorKind::UserNamespacesDenied, host::denied_now())
        }
        Errno::PERM if with_user => (
            ErrorKind::UserNamespacesDenied,
            Some("a chroot, a seccomp filter or a security module forbids them"),
        ),
        Errno::NOSYS => (
            ErrorKind::PermissionDenied,
            Some("a seccomp filter forbids clone3, which every supported kernel has"),
        ),
        Errno::NOSPC | Errno::USERS => {
            (ErrorKind::NamespaceLimit, Some("see /proc/sys/user/max_*_namespaces"))
        }
        Errno::AGAIN => {
            (ErrorKind::ResourceLimit, Some("RLIMIT_NPROC or the pids limit of the control group"))
        }
        Errno::INVAL => (ErrorKind::Unsupported, Some("the kernel lacks one of these namespaces")),
        Errno::TXTBSY | Errno::ACCESS => (ErrorKind::MemfdForbidden, None),
        _ => (kind_of_errno(errno), None),
    }
}

/// Why another step failed.
fn of_step(call: &str, errno: Errno, step: &str) -> (ErrorKind, Option<&'static str>) {
    match (call, errno) {
        ("chdir", Errno::XDEV) => {
            (ErrorKind::WorkingDirectory, Some("it is outside the container's root"))
        }
        ("chdir", _) => (ErrorKind::WorkingDirectory, None),
        ("seccomp", Errno::INVAL) => (
            ErrorKind::Unsupported,
            Some(
                "the kernel lacks a flag or an action of the filter: see /proc/sys/kernel/seccomp",
            ),
        ),
        ("run" | "write_map", _) => {
            (ErrorKind::IdMap, Some("the ids must belong to the caller: see subuid(5)"))
        }
        ("fsmount" | "fsconfig", Errno::PERM) if host::denied_now().is_some() => {
            (ErrorKind::UserNamespacesDenied, host::denied_now())
        }
        ("interface_up", Errno::PERM) => (
            ErrorKind::PermissionDenied,
            Some("a new network needs CAP_NET_ADMIN, or a user namespace of its own"),
        ),
        ("unshare" | "setns", Errno::INVAL) if step.contains("CLONE_NEWTIME") => {
            (ErrorKind::Unsupported, None)
        }
        ("write", Errno::NOENT | Errno::INVAL) if step.contains("attr/apparmor") => {
            (ErrorKind::AppArmor, Some("load the profile with apparmor_parser"))
        }
        ("write", Errno::PERM | Errno::ACCESS) if step.contains("attr/apparmor") => (
            ErrorKind::AppArmor,
            Some("this process's own profile does not let it change to another"),
        ),
        ("landlock_restrict_self", Errno::TOOBIG) => {
            (ErrorKind::ResourceLimit, Some("16 rulesets at most hold for a process"))
        }
        ("verify", _) => (ErrorKind::FileSystem, Some(REPLACED)),
        ("open_tree" | "move_mount", Errno::NOENT) => (ErrorKind::FileSystem, Some(REPLACED)),
        ("openat2", Errno::NOENT) if step.contains("AT_FDCWD") => {
            (ErrorKind::FileSystem, Some(REPLACED))
        }
        ("openat2" | "target" | "move_mount" | "open_tree", _)
            if kind_of_errno(errno) == ErrorKind::System =>
        {
            (ErrorKind::FileSystem, None)
        }
        _ => (kind_of_errno(errno), None),
    }
}
