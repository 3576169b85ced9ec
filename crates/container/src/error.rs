//! What can go wrong, with the stage, the reason and a hint.
//!
//! Invariant: an error holds facts; sentences are made in `Display`. A payload that fails is no error.

use std::borrow::Cow;
use std::fmt;
use std::io;

use ampoule_init::ErrorKind as InitKind;
use ampoule_overlay as overlay;
use rustix::io::Errno;

/// What kind of error it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Settings that cannot be: [`Error::problems`] lists every one.
    InvalidSettings,
    /// The program is not there (in the container's root and `PATH`).
    ProgramNotFound,
    /// The program is a directory.
    ProgramIsDirectory,
    /// The program may not be executed: mode, owner, or a mount without execution.
    ProgramNotExecutable,
    /// The program has a format or architecture that the kernel cannot execute.
    ProgramFormat,
    /// The program's interpreter (`#!` or ELF) is not there.
    InterpreterNotFound,
    /// The arguments and the environment are too long for the kernel.
    ArgumentsTooLong,
    /// The working directory is not there, no directory, or outside the root.
    WorkingDirectory,
    /// User namespaces are forbidden or used up on this machine.
    UserNamespacesDenied,
    /// A limit on the number of namespaces is reached (`/proc/sys/user/max_*_namespaces`).
    NamespaceLimit,
    /// The host program runs in secure mode (set-user-id or file capabilities).
    SecureHost,
    /// A user or group name is unknown in the root, or an id cannot be used.
    User,
    /// Id maps that cannot be.
    IdMap,
    /// The root directory or a mount's source cannot be used.
    FileSystem,
    /// The host's `/proc` is masked, so that a new one is refused by the kernel.
    ProcMasked,
    /// A call was refused for lack of privilege.
    PermissionDenied,
    /// The kernel lacks what is needed.
    Unsupported,
    /// A limit on descriptors, memory, processes or space is reached.
    ResourceLimit,
    /// `RLIMIT_FSIZE` of the host is too low.
    FileSizeLimit,
    /// Executable memory files are forbidden (`vm.memfd_noexec`).
    MemfdForbidden,
    /// A stream of the host that the payload would inherit is closed.
    StreamClosed,
    /// The launch did not finish in time.
    StartTimeout,
    /// Init ended without a report.
    InitDied,
    /// A process did not end after `SIGKILL`.
    NotEnding,
    /// The exit status cannot be had: somebody else reaped the process.
    StatusLost,
    /// A limit of resources cannot be put in force, or there is no control group.
    Limits,
    /// More was asked for than a limit allows.
    TooLarge,
    /// The root has no layers: a host view, the host's own, or a directory that is changed in place.
    NoLayers,
    /// The container still runs.
    StillRunning,
    /// AppArmor is not enabled, the profile not loaded, or the payload under another one.
    AppArmor,
    /// A hook of a runtime configuration failed.
    Hook,
    /// The container has ended.
    Ended,
    /// The image's store cannot be used, or layers are not unpacked in it.
    Image,
    /// A network cannot be had: the source is an error of the crate `ampoule-net` (feature `net`).
    Network,
    /// The label cannot be had: the policy does not have it or does not permit it.
    Selinux,
    /// The container is not in the state that this takes: created, running, paused or stopped.
    WrongState,
    /// A container with this id is there already.
    Exists,
    /// There is no container with this id.
    NotFound,
    /// The file of a container is not whole, or of another version.
    StateFile,
    /// Another system call failed.
    System,
}

/// Where it went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// While the plan was made: nothing was started.
    Plan,
    /// In the host, while a launch was prepared.
    Launch,
    /// In the launcher: namespaces, the first process, its id maps.
    Namespaces,
    /// Mounts and files of the new root.
    Mounts,
    /// The change of the root.
    Root,
    /// Names, sysctls and network of the new namespaces.
    Setup,
    /// Attributes of the process: limits, ids, capabilities.
    Process,
    /// The program itself.
    Exec,
    /// After the start.
    Running,
}

/// An error.
#[derive(Debug)]
pub struct Error(Box<Facts>);

#[derive(Debug)]
struct Facts {
    kind: ErrorKind,
    stage: Stage,
    what: String,
    errno: Option<i32>,
    hint: Option<&'static str>,
    problems: Vec<Problem>,
    source: Option<Source>,
}

/// The error of the crate below.
type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

/// One thing that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    setting: Cow<'static, str>,
    reason: String,
}

impl Problem {
    pub(crate) fn new(setting: impl Into<Cow<'static, str>>, reason: impl Into<String>) -> Self {
        Self { setting: setting.into(), reason: reason.into() }
    }

    /// The setting, named as its method, or by its place in a `config.json`.
    #[must_use]
    pub fn setting(&self) -> &str {
        &self.setting
    }

    /// Why it cannot be.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.setting, self.reason)
    }
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, stage: Stage) -> Self {
        let (what, problems) = (String::new(), Vec::new());
        Self(Box::new(Facts { kind, stage, what, errno: None, hint: None, problems, source: None }))
    }

    /// A failed system call of the host.
    pub(crate) fn call(stage: Stage, what: &'static str, errno: Errno) -> Self {
        Self::new(kind_of_errno(errno), stage).about(what).with_errno(errno)
    }

    /// A failed operation of the host.
    pub(crate) fn io(stage: Stage, what: &'static str, error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(errno) => Self::call(stage, what, Errno::from_raw_os_error(errno)),
            None => Self::new(ErrorKind::System, stage).about(what),
        }
    }

    /// Settings that cannot be.
    pub(crate) fn invalid(problems: Vec<Problem>) -> Self {
        let mut error = Self::new(ErrorKind::InvalidSettings, Stage::Plan);
        error.0.problems = problems;
        error
    }

    /// An error of the namespace crate.
    pub(crate) fn from_ns(stage: Stage, error: ampoule_ns::Error) -> Self {
        use ampoule_ns::ErrorKind as Ns;
        let kind = match error.kind() {
            Ns::UserNotFound | Ns::GroupNotFound | Ns::InvalidUser | Ns::UnsuitableFile => {
                ErrorKind::User
            }
            Ns::InvalidIdMap | Ns::NoSubIds | Ns::HelperMissing | Ns::IdRangesExhausted => {
                ErrorKind::IdMap
            }
            Ns::Denied => ErrorKind::PermissionDenied,
            Ns::Unsupported => ErrorKind::Unsupported,
            Ns::ProcessGone | Ns::System => error
                .errno()
                .map_or(ErrorKind::System, |errno| kind_of_errno(Errno::from_raw_os_error(errno))),
            _ => ErrorKind::InvalidSettings,
        };
        let mut made = Self::new(kind, stage).about(error.to_string());
        made.0.hint = error.hint();
        made.0.errno = error.errno();
        made.caused_by(error)
    }

    /// An error of the control group crate.
    pub(crate) fn from_cgroups(stage: Stage, error: ampoule_cgroups::Error) -> Self {
        use ampoule_cgroups::ErrorKind as Group;
        let kind = match error.kind() {
            Group::InvalidLimits | Group::InvalidPath | Group::InvalidValue => {
                ErrorKind::InvalidSettings
            }
            _ => ErrorKind::Limits,
        };
        let mut made = Self::new(kind, stage).about(error.to_string());
        made.0.hint = error.hint();
        made.0.errno = error.errno();
        let problem =
            |problem: &ampoule_cgroups::Problem| Problem::new("limits", problem.to_string());
        made.0.problems = error.problems().iter().map(problem).collect();
        made.caused_by(error)
    }

    /// An error of the system-call filter crate.
    pub(crate) fn from_seccomp(stage: Stage, error: ampoule_seccomp::Error) -> Self {
        use ampoule_seccomp::ErrorKind as Filter;
        let kind = match error.kind() {
            Filter::Denied => ErrorKind::PermissionDenied,
            Filter::Unsupported => ErrorKind::Unsupported,
            Filter::System | Filter::CallerGone | Filter::OtherThread => ErrorKind::System,
            _ => ErrorKind::InvalidSettings,
        };
        let mut made = Self::new(kind, stage);
        let problem =
            |problem: &ampoule_seccomp::Problem| Problem::new("seccomp", problem.to_string());
        made.0.problems = error.problems().iter().map(problem).collect();
        if made.0.problems.is_empty() {
            made.0.problems = vec![Problem::new("seccomp", error.to_string())];
        }
        made.0.errno = error.errno();
        made.caused_by(error)
    }

    /// An error of the file system crate.
    pub(crate) fn from_overlay(error: overlay::Error) -> Self {
        Self::from_overlay_at(Stage::Plan, error)
    }

    /// As [`Error::from_overlay`], at another stage than the plan.
    pub(crate) fn from_overlay_at(stage: Stage, error: overlay::Error) -> Self {
        let kind = match error.kind() {
            overlay::ErrorKind::ProcMasked => ErrorKind::ProcMasked,
            _ => match error.errno().map(|errno| kind_of_errno(Errno::from_raw_os_error(errno))) {
                Some(ErrorKind::ResourceLimit) => ErrorKind::ResourceLimit,
                _ => ErrorKind::FileSystem,
            },
        };
        let mut made = Self::new(kind, stage);
        made.0.problems =
            error.problems().map(|problem| Problem::new("root", problem.to_string())).collect();
        if made.0.problems.is_empty() {
            made = made.about(error.to_string());
        }
        made.0.errno = error.errno();
        made.caused_by(error)
    }

    pub(crate) fn about(mut self, what: impl Into<String>) -> Self {
        self.0.what = what.into();
        self
    }

    pub(crate) fn with_errno(mut self, errno: Errno) -> Self {
        self.0.errno = Some(errno.raw_os_error());
        self
    }

    pub(crate) fn with_hint(mut self, hint: &'static str) -> Self {
        self.0.hint = Some(hint);
        self
    }

    pub(crate) fn caused_by(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// What kind of error it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Where it went wrong.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.0.stage
    }

    /// The kernel's error number, if a call failed.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.0.errno
    }

    /// What can be done about it, if that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint
    }

    /// Everything that is wrong with the settings.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.0.problems
    }
}

/// What an error number says by itself.
pub(crate) fn kind_of_errno(errno: Errno) -> ErrorKind {
    match errno {
        Errno::PERM | Errno::ACCESS => ErrorKind::PermissionDenied,
        Errno::NOSYS | Errno::OPNOTSUPP => ErrorKind::Unsupported,
        Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN | Errno::NOSPC | Errno::DQUOT => {
            ErrorKind::ResourceLimit
        }
        _ => ErrorKind::System,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.kind.to_string();
        if !self.0.what.is_empty() {
            text = format!("{text}: {}", self.0.what);
        }
        for (index, problem) in self.0.problems.iter().enumerate() {
            text = format!("{text}{} {problem}", if index == 0 { ":" } else { ";" });
        }
        out.write_str(&text)?;
        // What comes from the crates below says it already.
        let reason = self.0.errno.map(|errno| io::Error::from_raw_os_error(errno).to_string());
        if let Some(reason) = reason.filter(|reason| !text.contains(reason)) {
            write!(out, ": {reason}")?;
        }
        match self.0.hint {
            Some(hint) => write!(out, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::InvalidSettings => "these settings cannot be",
            Self::ProgramNotFound => "the program is not there",
            Self::ProgramIsDirectory => "the program is a directory",
            Self::ProgramNotExecutable => "the program may not be executed",
            Self::ProgramFormat => "the program has a format that the kernel cannot execute",
            Self::InterpreterNotFound => "the program's interpreter is not there",
            Self::ArgumentsTooLong => "arguments and environment are too long",
            Self::WorkingDirectory => "the working directory cannot be used",
            Self::UserNamespacesDenied => "user namespaces are not allowed here",
            Self::NamespaceLimit => "the limit of namespaces is reached",
            Self::SecureHost => {
                "the host program runs in secure mode (set-user-id or file capabilities)"
            }
            Self::User => "the user cannot be used",
            Self::IdMap => "the id maps cannot be",
            Self::FileSystem => "the file system cannot be used",
            Self::ProcMasked => "a new /proc is refused because the host's is masked",
            Self::PermissionDenied => "permission denied",
            Self::Unsupported => "the kernel lacks this",
            Self::ResourceLimit => "a limit is reached",
            Self::FileSizeLimit => "RLIMIT_FSIZE is too low",
            Self::MemfdForbidden => "executable memory files are forbidden",
            Self::StreamClosed => "a stream to inherit is closed",
            Self::StartTimeout => "the launch did not finish in time",
            Self::InitDied => "init ended without a report",
            Self::NotEnding => "a process did not end after SIGKILL",
            Self::StatusLost => "the exit status was lost",
            Self::Limits => "a limit of resources cannot be put in force",
            Self::NoLayers => "the root has no layers",
            Self::Network => "the network cannot be had",
            Self::Selinux => "the SELinux label cannot be had",
            Self::StillRunning => "the container still runs",
            Self::AppArmor => "the AppArmor profile cannot be had",
            Self::Hook => "a hook failed",
            Self::Ended => "the container has ended",
            Self::Image => "the image cannot be used",
            Self::TooLarge => "more than the limit",
            Self::WrongState => "the container is in another state",
            Self::Exists => "a container with this id exists already",
            Self::NotFound => "there is no such container",
            Self::StateFile => "the file of the container cannot be used",
            Self::System => "a system call failed",
        })
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match (error.kind(), error.errno()) {
            (ErrorKind::InvalidSettings, _) => io::ErrorKind::InvalidInput,
            (ErrorKind::ProgramNotFound, _) => io::ErrorKind::NotFound,
            (ErrorKind::StartTimeout, _) => io::ErrorKind::TimedOut,
            (ErrorKind::Unsupported, _) => io::ErrorKind::Unsupported,
            (_, Some(errno)) => io::Error::from_raw_os_error(errno).kind(),
            (_, None) => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

impl From<ampoule_init::Error> for Error {
    fn from(error: ampoule_init::Error) -> Self {
        let errno = error.errno().map(Errno::from_raw_os_error);
        let kind = match error.kind() {
            InitKind::FileSizeLimit => ErrorKind::FileSizeLimit,
            InitKind::MemfdForbidden => ErrorKind::MemfdForbidden,
            InitKind::InitDied => ErrorKind::InitDied,
            InitKind::StartTimeout => ErrorKind::StartTimeout,
            InitKind::NotEnding => ErrorKind::NotEnding,
            InitKind::StatusLost => ErrorKind::StatusLost,
            InitKind::NulByte => ErrorKind::InvalidSettings,
            InitKind::ProgramTooLarge => ErrorKind::TooLarge,
            _ => errno.map_or(ErrorKind::System, kind_of_errno),
        };
        let mut made = Self::new(kind, Stage::Launch).about(error.subject());
        made.0.errno = error.errno();
        made.caused_by(error)
    }
}
