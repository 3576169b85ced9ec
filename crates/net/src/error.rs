//! The one error type of this crate.
//!
//! Kernel objects: none. Invariant: an error holds facts (what was asked, of what, the errno); sentences are made in
//! `Display` only.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::program::Problem;

/// What went wrong, for `match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A name of a link or a network is empty, too long, or has a character that is not allowed.
    InvalidName,
    /// An address, a subnet, a route or a hardware address cannot be used.
    InvalidAddress,
    /// A published port cannot be used.
    InvalidPort,
    /// A rule of an egress policy cannot be used.
    InvalidEgress,
    /// A subnet overlaps a route of the host or another network.
    SubnetOverlaps,
    /// A subnet has no free address, or no subnet is free.
    PoolExhausted,
    /// The address is somebody else's.
    AddressInUse,
    /// The port is somebody else's, a container's or a program's of the host.
    PortInUse,
    /// There is such a link or network already.
    AlreadyExists,
    /// There is no such link, network, file or process.
    NotFound,
    /// The kernel refused for want of a capability (`CAP_NET_ADMIN`), or a file for want of permission.
    Denied,
    /// The kernel lacks what was asked for, or the module of it.
    Unsupported,
    /// The file with the leases is not one that this crate wrote.
    DamagedState,
    /// A network configuration of the CNI, or what its plugins are to be told, cannot be used.
    InvalidConfiguration,
    /// There is no such plugin in the directories.
    PluginMissing,
    /// A plugin refused or died.
    PluginFailed,
    /// A plugin's answer cannot be read.
    PluginOutput,
    /// A plugin did not end in time, and was killed.
    PluginTimedOut,
    /// No program that makes networks of ordinary users is installed; the hint names the packages.
    ProgramMissing,
    /// Such a program did not start.
    ProgramFailed,
    /// Another system call failed; see [`Error::errno`].
    System,
}

/// An error of this crate: opaque, with [`kind`](Self::kind), [`errno`](Self::errno), [`hint`](Self::hint) and
/// [`problems`](Self::problems).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Fact>);

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fact {
    Text { kind: ErrorKind, text: String, reason: Reason },
    System { operation: &'static str, object: String, errno: Errno },
    File { operation: &'static str, path: PathBuf, errno: Errno },
    Init { text: String, errno: Errno },
    Program { name: String, problem: Problem },
    Several { first: Box<Error>, rest: Vec<Error> },
}

/// Why a text was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Reason {
    #[error("is empty")]
    Empty,
    #[error("is longer than {0} bytes")]
    TooLong(usize),
    #[error("has a character that is not allowed")]
    BadCharacter,
    #[error("is not written as {0}")]
    Malformed(&'static str),
    #[error("is not between {0} and {1}")]
    OutOfRange(u64, u64),
    #[error("is not a range of as many ports as the other")]
    OtherLength,
    #[error("is not of the same family")]
    OtherFamily,
    #[error("has no room for hosts")]
    TooSmall,
    #[error("is a bridge of somebody else and needs a subnet")]
    NoSubnet,
    #[error("is not inside the network's subnet")]
    Outside,
    #[error("is given twice")]
    Twice,
    #[error("overlaps a route of the host")]
    Route,
    #[error("overlaps another network")]
    Network,
    #[error("has no free address")]
    Full,
    #[error("is in use")]
    InUse,
    #[error("exists and was not made for this network")]
    Foreign,
    #[error("has other settings than the one that is there")]
    OtherSettings,
    #[error("is not there")]
    Missing,
    #[error("is not the state of networks")]
    Damaged,
    #[error("has too many entries")]
    TooMany,
    #[error("has more than {0} bytes")]
    TooManyBytes(u64),
}

/// Texts of users are kept up to this many characters.
const TEXT_MAX: usize = 200;

impl Error {
    /// `text` is not a usable value.
    pub(crate) fn text(kind: ErrorKind, text: impl fmt::Display, reason: Reason) -> Self {
        let text = text.to_string().chars().take(TEXT_MAX).collect();
        Self(Box::new(Fact::Text { kind, text, reason }))
    }

    /// A call on an object of the kernel failed.
    pub(crate) fn system(operation: &'static str, object: impl fmt::Display, errno: Errno) -> Self {
        Self(Box::new(Fact::System { operation, object: object.to_string(), errno }))
    }

    /// A call on a path failed.
    pub(crate) fn at(operation: &'static str, path: &Path, errno: Errno) -> Self {
        Self(Box::new(Fact::File { operation, path: path.to_owned(), errno }))
    }

    /// As [`Self::at`].
    pub(crate) fn io(operation: &'static str, path: &Path, error: &io::Error) -> Self {
        Self::at(operation, path, Errno::from_io_error(error).unwrap_or(Errno::IO))
    }

    /// A program that was run did not do its work.
    pub(crate) fn program(name: &str, problem: Problem) -> Self {
        Self(Box::new(Fact::Program { name: name.to_owned(), problem }))
    }

    /// Several things failed: what is told is the first, the others are in [`Self::problems`].
    pub(crate) fn several(mut errors: Vec<Self>) -> Option<Self> {
        match errors.len() {
            0 => None,
            1 => errors.pop(),
            _ => {
                let rest = errors.split_off(1);
                let first = Box::new(errors.pop()?);
                Some(Self(Box::new(Fact::Several { first, rest })))
            }
        }
    }

    /// What went wrong, for `match`.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match &*self.0 {
            Fact::Text { kind, .. } => *kind,
            Fact::System { errno, .. } | Fact::File { errno, .. } | Fact::Init { errno, .. } => {
                kind_of(*errno)
            }
            Fact::Program { problem, .. } => kind_of_problem(problem),
            Fact::Several { first, .. } => first.kind(),
        }
    }

    /// The errno of the call that failed, if one did.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.system_errno().map(Errno::raw_os_error)
    }

    /// Each thing that failed, where several did; empty otherwise.
    #[must_use]
    pub fn problems(&self) -> Vec<&Error> {
        match &*self.0 {
            Fact::Several { first, rest } => std::iter::once(&**first).chain(rest).collect(),
            _ => Vec::new(),
        }
    }

    /// What the reader can do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self.kind() {
            ErrorKind::Denied => "the host's network needs CAP_NET_ADMIN",
            ErrorKind::Unsupported => {
                "load the kernel modules bridge, veth, nf_tables, nft_nat, nft_masq, nft_ct, nft_fib_inet"
            }
            ErrorKind::PoolExhausted => "end containers, or give the network a larger subnet",
            ErrorKind::SubnetOverlaps => "give the network another subnet, or none",
            ErrorKind::ProgramMissing => {
                "install the package passt, or, without published ports, slirp4netns"
            }
            ErrorKind::PluginMissing => "install the package containernetworking-plugins",
            ErrorKind::DamagedState => "remove the file when no container with a network runs",
            _ => return None,
        })
    }

    pub(crate) fn system_errno(&self) -> Option<Errno> {
        match &*self.0 {
            Fact::System { errno, .. } | Fact::File { errno, .. } | Fact::Init { errno, .. } => {
                Some(*errno)
            }
            Fact::Several { first, .. } => first.system_errno(),
            _ => None,
        }
    }
}

/// The kind of a plain failed call.
fn kind_of(errno: Errno) -> ErrorKind {
    match errno {
        Errno::ACCESS | Errno::PERM => ErrorKind::Denied,
        Errno::EXIST => ErrorKind::AlreadyExists,
        Errno::NOENT | Errno::NODEV | Errno::SRCH | Errno::NXIO => ErrorKind::NotFound,
        Errno::NOSYS | Errno::OPNOTSUPP | Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT => {
            ErrorKind::Unsupported
        }
        _ => ErrorKind::System,
    }
}

/// The kind of what a program did not do.
fn kind_of_problem(problem: &Problem) -> ErrorKind {
    match problem {
        Problem::NotReady(_) => ErrorKind::ProgramFailed,
        Problem::NotInstalled => ErrorKind::ProgramMissing,
        Problem::Missing => ErrorKind::PluginMissing,
        Problem::NotStarted(_) | Problem::Refused { .. } | Problem::Failed { .. } => {
            ErrorKind::PluginFailed
        }
        Problem::TimedOut(_) => ErrorKind::PluginTimedOut,
        Problem::TooLong(_) | Problem::Malformed(_) | Problem::OtherVersion(_) => {
            ErrorKind::PluginOutput
        }
    }
}

/// The subject of a sentence about a refused text.
fn subject(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidName => "name",
        ErrorKind::InvalidAddress | ErrorKind::AddressInUse => "address",
        ErrorKind::InvalidPort | ErrorKind::PortInUse => "published port",
        ErrorKind::InvalidEgress => "egress rule",
        ErrorKind::SubnetOverlaps | ErrorKind::PoolExhausted => "subnet",
        ErrorKind::AlreadyExists | ErrorKind::NotFound => "network",
        ErrorKind::DamagedState => "file",
        ErrorKind::InvalidConfiguration => "network configuration",
        _ => "value",
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Fact::Text { kind, text, reason } => write!(f, "{} {text:?} {reason}", subject(*kind)),
            Fact::System { operation, object, errno } if object.is_empty() => {
                write!(f, "{operation}: {errno}")
            }
            Fact::System { operation, object, errno } => {
                write!(f, "{operation}({object}): {errno}")
            }
            Fact::File { operation, path, errno } => {
                write!(f, "{operation}({}): {errno}", path.display())
            }
            Fact::Program { name, problem } => write!(f, "{name} {problem}"),
            Fact::Init { text, .. } => write!(f, "entering the network namespace: {text}"),
            Fact::Several { first, rest } => write!(f, "{first} (and {} more)", rest.len()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &*self.0 {
            Fact::Text { reason, .. } => Some(reason),
            Fact::System { errno, .. } | Fact::File { errno, .. } | Fact::Init { errno, .. } => {
                Some(errno)
            }
            Fact::Program { problem, .. } => Some(problem),
            Fact::Several { first, .. } => Some(&**first),
        }
    }
}

impl From<ampoule_init::Error> for Error {
    fn from(error: ampoule_init::Error) -> Self {
        let errno = error.errno().map_or(Errno::IO, Errno::from_raw_os_error);
        Self(Box::new(Fact::Init { text: error.to_string(), errno }))
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match (error.system_errno(), error.kind()) {
            (Some(errno), _) => io::Error::from(errno).kind(),
            (None, ErrorKind::NotFound) => io::ErrorKind::NotFound,
            (None, ErrorKind::PortInUse | ErrorKind::AddressInUse) => io::ErrorKind::AddrInUse,
            (None, ErrorKind::PoolExhausted) => io::ErrorKind::QuotaExceeded,
            (None, ErrorKind::DamagedState) => io::ErrorKind::InvalidData,
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
        let error = Error::system("create bridge", "br0", Errno::PERM);
        assert_eq!((error.kind(), error.errno()), (ErrorKind::Denied, Some(1)));
        assert_eq!(error.to_string(), "create bridge(br0): Operation not permitted (os error 1)");
        assert!(error.hint().is_some());
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::PermissionDenied);
        // What the kernel answers where the module of a kind of link, or of a netlink family, is missing.
        for errno in [Errno::OPNOTSUPP, Errno::PROTONOSUPPORT, Errno::AFNOSUPPORT] {
            let error = Error::system("create veth", "amp0", errno);
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.hint().unwrap().contains("veth"));
        }
    }

    #[test]
    fn the_first_of_several_is_told() {
        let one = || Error::text(ErrorKind::InvalidPort, "a\u{1b}", Reason::Empty);
        assert_eq!(Error::several(Vec::new()), None);
        assert_eq!(Error::several(vec![one()]), Some(one()));
        let both = Error::several(vec![one(), one()]).unwrap();
        assert_eq!(both.kind(), ErrorKind::InvalidPort);
        assert_eq!(both.problems().len(), 2);
        assert_eq!(both.to_string(), "published port \"a\\u{1b}\" is empty (and 1 more)");
    }
}
