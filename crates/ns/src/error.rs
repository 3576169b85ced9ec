//! The one error type of this crate.
//!
//! Kernel objects: none. Invariant: an error holds facts (what was asked, the path, the errno);
//! sentences are made in `Display` only.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::id_map::IdMapProblem;

/// What went wrong, for `match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No namespace kind has this name.
    InvalidNamespace,
    /// The id map cannot be used; [`Error::problems`] lists every reason.
    InvalidIdMap,
    /// The caller has no ranges in `/etc/subuid` or `/etc/subgid`.
    NoSubIds,
    /// `newuidmap` or `newgidmap` is needed and not installed.
    HelperMissing,
    /// No free range of host ids was found for an automatic id map.
    IdRangesExhausted,
    /// A user or group was not written as an id or a name.
    InvalidUser,
    /// The user is not in the `passwd` file of the root.
    UserNotFound,
    /// The group is not in the `group` file of the root.
    GroupNotFound,
    /// A file that must be read is not a regular file, is too large, or its path does not end.
    UnsuitableFile,
    /// A capability name or set is wrong.
    InvalidCapability,
    /// A resource limit is wrong.
    InvalidRlimit,
    /// A scheduling or I/O priority setting is wrong.
    InvalidScheduler,
    /// A set of CPUs is wrong.
    InvalidCpuSet,
    /// An execution domain or its flags are wrong.
    InvalidPersonality,
    /// A memory policy that cannot be.
    InvalidMemoryPolicy,
    /// A sysctl is malformed, or does not belong to a namespace.
    InvalidSysctl,
    /// A host or domain name is wrong.
    InvalidHostname,
    /// An offset of a time namespace is out of range.
    InvalidTimeOffset,
    /// A name for a pinned namespace is wrong.
    InvalidPinName,
    /// A descriptor is not a namespace of the expected kind.
    WrongNamespace,
    /// The path is not a pinned namespace.
    NotPinned,
    /// The path exists already.
    AlreadyExists,
    /// The process does not exist, or ended meanwhile.
    ProcessGone,
    /// The kernel refused for want of permission.
    Denied,
    /// The kernel does not have what was asked for.
    Unsupported,
    /// Another system call failed; see [`Error::errno`].
    System,
}

/// An error of this crate: opaque, with [`kind`](Self::kind), [`errno`](Self::errno) and
/// [`hint`](Self::hint).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Fact>);

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fact {
    Text { kind: ErrorKind, text: String, reason: Reason },
    File { path: PathBuf, reason: Reason },
    IdMap { problems: Vec<IdMapProblem> },
    NoSubIds { path: PathBuf, uid: u32 },
    IdRangesExhausted { tried: u32 },
    Process { pid: u32, errno: Errno },
    System { operation: &'static str, path: Option<PathBuf>, errno: Errno },
}

/// Why a text or a file was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Reason {
    #[error("is empty")]
    Empty,
    #[error("is longer than {0} bytes")]
    TooLong(usize),
    #[error("is not known")]
    Unknown,
    #[error("is not installed")]
    NotInstalled,
    #[error("does not exist in the root")]
    NotInRoot,
    #[error("has a character that is not allowed")]
    BadCharacter,
    #[error("is not a plain decimal number")]
    NotANumber,
    #[error("is not between {0} and {1}")]
    OutOfRange(i64, i64),
    #[error("is not written as {0}")]
    Malformed(&'static str),
    #[error("has a soft limit above the hard limit")]
    SoftAboveHard,
    #[error("needs 1024 ns <= runtime <= deadline <= period < 2^63 ns")]
    DeadlineOrder,
    #[error("has flags that are unknown or do not fit")]
    FlagsDoNotFit,
    #[error("is not namespaced: writing it would change the whole machine")]
    NotNamespaced,
    #[error("has a setting of its own")]
    HasSetter,
    #[error("has ambient capabilities that are not permitted")]
    AmbientNotPermitted,
    #[error("has permitted capabilities outside the bounding set")]
    PermittedNotBounded,
    #[error("is a namespace of another kind")]
    OtherKind,
    #[error("is not a namespace file")]
    NotANamespace,
    #[error("is not a pinned namespace")]
    NotPinned,
    #[error("is not a procfs")]
    NotProcfs,
    #[error("is not a regular file")]
    NotRegular,
    #[error("is too large")]
    TooLarge,
    #[error("goes through too many symbolic links")]
    TooManyLinks,
    #[error("is below too many directories")]
    TooDeep,
    #[error("is in more groups than the kernel takes")]
    TooManyGroups,
    #[error("changed while it was opened")]
    Changed,
}

/// Texts of users are kept up to this many characters.
const TEXT_MAX: usize = 80;

impl Error {
    /// `text` is not a valid value.
    pub(crate) fn text(kind: ErrorKind, text: &str, reason: Reason) -> Self {
        let text = text.chars().take(TEXT_MAX).collect();
        Self(Box::new(Fact::Text { kind, text, reason }))
    }

    /// The file at `path` cannot be used.
    pub(crate) fn file(path: &Path, reason: Reason) -> Self {
        Self(Box::new(Fact::File { path: path.to_owned(), reason }))
    }

    pub(crate) fn id_map(problems: Vec<IdMapProblem>) -> Self {
        Self(Box::new(Fact::IdMap { problems }))
    }

    pub(crate) fn no_sub_ids(path: &Path, uid: u32) -> Self {
        Self(Box::new(Fact::NoSubIds { path: path.to_owned(), uid }))
    }

    pub(crate) fn id_ranges_exhausted(tried: u32) -> Self {
        Self(Box::new(Fact::IdRangesExhausted { tried }))
    }

    /// Looking at process `pid` failed.
    pub(crate) fn process(pid: u32, errno: Errno) -> Self {
        Self(Box::new(Fact::Process { pid, errno }))
    }

    /// A system call failed, on no path.
    pub(crate) fn system(operation: &'static str, errno: Errno) -> Self {
        Self(Box::new(Fact::System { operation, path: None, errno }))
    }

    /// A system call failed on `path`.
    pub(crate) fn init(error: &ampoule_init::Error) -> Self {
        let errno = error.errno().map_or(Errno::IO, Errno::from_raw_os_error);
        Self::system("make a user namespace", errno)
    }

    pub(crate) fn io(operation: &'static str, error: &io::Error) -> Self {
        let errno = error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
        Self::system(operation, errno)
    }

    pub(crate) fn at(operation: &'static str, path: &Path, errno: Errno) -> Self {
        Self(Box::new(Fact::System { operation, path: Some(path.to_owned()), errno }))
    }

    /// What went wrong, for `match`.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match &*self.0 {
            Fact::Text { kind, .. } => *kind,
            Fact::File { reason: Reason::NotPinned, .. } => ErrorKind::NotPinned,
            Fact::File { .. } => ErrorKind::UnsuitableFile,
            Fact::IdMap { .. } => ErrorKind::InvalidIdMap,
            Fact::NoSubIds { .. } => ErrorKind::NoSubIds,
            Fact::IdRangesExhausted { .. } => ErrorKind::IdRangesExhausted,
            Fact::Process { errno: Errno::NOENT | Errno::SRCH, .. } => ErrorKind::ProcessGone,
            Fact::Process { errno, .. } | Fact::System { errno, .. } => kind_of(*errno),
        }
    }

    /// The errno of the system call that failed, if one did.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.system_errno().map(Errno::raw_os_error)
    }

    /// Every problem of an id map; empty for other errors.
    #[must_use]
    pub fn problems(&self) -> &[IdMapProblem] {
        match &*self.0 {
            Fact::IdMap { problems } => problems,
            _ => &[],
        }
    }

    /// What the reader can do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        if matches!(&*self.0, Fact::Text { reason: Reason::HasSetter, .. }) {
            return Some("use the host name or domain name setting instead");
        }
        Some(match self.kind() {
            ErrorKind::NoSubIds => {
                "let the administrator run usermod --add-subuids and --add-subgids"
            }
            ErrorKind::HelperMissing => {
                "install the package uidmap (shadow-utils), or map one id only"
            }
            ErrorKind::IdRangesExhausted => "give an explicit id map, or end unused containers",
            ErrorKind::UserNotFound | ErrorKind::GroupNotFound => {
                "names are looked up in the root's own etc/passwd and etc/group; a number needs no entry"
            }
            ErrorKind::Denied => "run as root, or look only at processes of your own",
            ErrorKind::NotPinned => "only a path that pin() made can be unpinned",
            _ => return None,
        })
    }

    fn system_errno(&self) -> Option<Errno> {
        match &*self.0 {
            Fact::Process { errno, .. } | Fact::System { errno, .. } => Some(*errno),
            _ => None,
        }
    }
}

/// The kind of a plain failed system call.
fn kind_of(errno: Errno) -> ErrorKind {
    match errno {
        Errno::ACCESS | Errno::PERM => ErrorKind::Denied,
        Errno::EXIST => ErrorKind::AlreadyExists,
        Errno::NOSYS | Errno::OPNOTSUPP => ErrorKind::Unsupported,
        _ => ErrorKind::System,
    }
}

/// The subject of a sentence about a refused text.
fn subject(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidNamespace => "namespace",
        ErrorKind::HelperMissing => "program",
        ErrorKind::InvalidUser | ErrorKind::UserNotFound => "user",
        ErrorKind::GroupNotFound => "group",
        ErrorKind::InvalidCapability => "capability",
        ErrorKind::InvalidRlimit => "resource limit",
        ErrorKind::InvalidScheduler => "scheduler setting",
        ErrorKind::InvalidCpuSet => "CPU set",
        ErrorKind::InvalidPersonality => "personality",
        ErrorKind::InvalidMemoryPolicy => "memory policy",
        ErrorKind::InvalidSysctl => "sysctl",
        ErrorKind::InvalidHostname => "host name",
        ErrorKind::InvalidTimeOffset => "time offset",
        ErrorKind::WrongNamespace => "descriptor given as namespace",
        ErrorKind::InvalidPinName => "name of a pinned namespace",
        _ => "value",
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Fact::Text { kind, text, reason } => write!(f, "{} {text:?} {reason}", subject(*kind)),
            Fact::File { path, reason } => write!(f, "{} {reason}", path.display()),
            Fact::IdMap { problems } => write_problems(f, problems),
            Fact::NoSubIds { path, uid } => {
                write!(f, "{} has no range for uid {uid}", path.display())
            }
            Fact::IdRangesExhausted { tried } => {
                write!(f, "no free range of 65536 host ids in {tried} tries")
            }
            Fact::Process { pid, errno } => write!(f, "process {pid}: {errno}"),
            Fact::System { operation, path: Some(path), errno } => {
                write!(f, "{operation}({}): {errno}", path.display())
            }
            Fact::System { operation, path: None, errno } => write!(f, "{operation}: {errno}"),
        }
    }
}

fn write_problems(f: &mut fmt::Formatter<'_>, problems: &[IdMapProblem]) -> fmt::Result {
    f.write_str("id map: ")?;
    for (index, problem) in problems.iter().enumerate() {
        let separator = if index == 0 { "" } else { "; " };
        write!(f, "{separator}{problem}")?;
    }
    Ok(())
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &*self.0 {
            Fact::Text { reason, .. } | Fact::File { reason, .. } => Some(reason),
            Fact::Process { errno, .. } | Fact::System { errno, .. } => Some(errno),
            Fact::IdMap { problems } => problems.first().map(|first| first as _),
            Fact::NoSubIds { .. } | Fact::IdRangesExhausted { .. } => None,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match (error.system_errno(), error.kind()) {
            (Some(errno), _) => io::Error::from(errno).kind(),
            (None, ErrorKind::UserNotFound | ErrorKind::GroupNotFound | ErrorKind::NoSubIds) => {
                io::ErrorKind::NotFound
            }
            (None, ErrorKind::IdRangesExhausted) => io::ErrorKind::QuotaExceeded,
            (None, _) => io::ErrorKind::InvalidInput,
        };
        io::Error::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_come_back() {
        let error = Error::at("open", Path::new("/x"), Errno::ACCESS);
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert_eq!(error.errno(), Some(13));
        assert_eq!(error.to_string(), "open(/x): Permission denied (os error 13)");
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn long_texts_are_cut_and_escaped() {
        let text = format!("\x1b{}", "a".repeat(70_000));
        let error = Error::text(ErrorKind::InvalidUser, &text, Reason::BadCharacter);
        let shown = error.to_string();
        assert!(shown.len() < 200, "{}", shown.len());
        assert!(shown.starts_with("user \"\\u{1b}aaa"), "{shown}");
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn an_ended_process_is_gone() {
        assert_eq!(Error::process(7, Errno::SRCH).kind(), ErrorKind::ProcessGone);
        assert_eq!(Error::process(7, Errno::NOENT).kind(), ErrorKind::ProcessGone);
        assert_eq!(Error::process(7, Errno::ACCESS).kind(), ErrorKind::Denied);
    }
}
