//! What can go wrong with a registry, as facts.
//!
//! Kernel objects: none. Invariant: nothing here holds a credential or a token.

use std::path::PathBuf;
use std::time::Duration;

use super::credential_program;
use super::credentials;
use crate::error::ErrorKind;

/// What a registry, or the way to it, did.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("it answers {code}{}", said(.message))]
    Status { code: u16, message: Option<String>, wait: Option<Duration> },
    #[error("nothing came for too long")]
    Stalled,
    #[error("the host {0:?} is not known")]
    UnknownHost(String),
    #[error("{0}")]
    Connection(std::io::ErrorKind),
    #[error("the connection broke {attempts} times, the last time at byte {offset}")]
    Broken { attempts: u32, offset: u64 },
    #[error("TLS: {0}")]
    Tls(String),
    #[error("it leads from https to an address that is not encrypted")]
    Downgrade,
    #[error("more than {0} redirects")]
    Redirects(u32),
    #[error("the answer is no HTTP")]
    NotHttp,
    #[error("the answer has no valid {0}")]
    Header(&'static str),
    #[error("the answer has more than {0} bytes")]
    TooLong(u64),
    #[error("more than the {0} bytes that were allowed")]
    TooLarge(u64),
    #[error("that is no URL")]
    NoUrl,
    #[error("the registry wants a kind of credentials that is not known: {0:?}")]
    UnknownChallenge(String),
    #[error(
        "the registry wants credentials from {0}, which is not its own host: they were kept back"
    )]
    ForeignRealm(String),
    #[error("the answer of {0} holds no token")]
    NoToken(String),
    #[error("the credentials in {} cannot be used: {problem}", .file.display())]
    Credentials { file: PathBuf, problem: credentials::Problem },
}

/// The registry's own words, after a colon.
fn said(message: &Option<String>) -> String {
    message.as_ref().map(|text| format!(": {text}")).unwrap_or_default()
}

impl Trouble {
    /// What kind of error it is.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Credentials {
                problem:
                    credentials::Problem::Helper {
                        problem: credential_program::Problem::TimedOut(_),
                        ..
                    },
                ..
            } => ErrorKind::Timeout,
            Self::Status { code: 401 | 403, .. }
            | Self::ForeignRealm(_)
            | Self::UnknownChallenge(_)
            | Self::NoToken(_)
            | Self::Credentials { .. } => ErrorKind::Unauthorized,
            Self::Status { code: 404, .. } => ErrorKind::NotFound,
            Self::Status { code: 429, .. } => ErrorKind::RateLimited,
            Self::Status { .. }
            | Self::NotHttp
            | Self::Header(_)
            | Self::TooLong(_)
            | Self::Redirects(_) => ErrorKind::Registry,
            Self::TooLarge(_) => ErrorKind::QuotaExceeded,
            Self::NoUrl => ErrorKind::InvalidContainerfile,
            Self::Stalled => ErrorKind::Timeout,
            Self::UnknownHost(_) | Self::Connection(_) | Self::Broken { .. } => ErrorKind::Network,
            Self::Tls(_) | Self::Downgrade => ErrorKind::Certificate,
        }
    }

    /// Whether the same request may succeed a little later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Status { code, .. } => matches!(code, 408 | 425 | 429 | 500 | 502 | 503 | 504),
            Self::Stalled | Self::UnknownHost(_) | Self::NotHttp => true,
            // Nobody listens: it is not there, or only starts; a few tries are cheap.
            Self::Connection(_) => true,
            _ => false,
        }
    }
}
