//! How a registry is reached.
//!
//! Kernel objects: none. Invariant: pure data.

use std::fmt;
use std::time::Duration;

/// How a registry is reached, and how much patience there is with it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Encrypted or not.
    pub scheme: Scheme,
    /// Who asks.
    pub credentials: Login,
    /// Certificates of authorities, PEM; where there are any, only they are trusted. Otherwise the system's are.
    pub authorities: Vec<Vec<u8>>,
    /// How long nothing may come before a connection counts as broken (30 s).
    pub stall: Duration,
    /// How long a connection may take to be made (10 s).
    pub connect: Duration,
    /// How often a request is made at most, while no byte has come since the last time (5).
    pub attempts: u32,
    /// The wait before the second request; it doubles with each (200 ms). A registry that says how long to wait is
    /// believed, up to a minute.
    pub back_off: Duration,
    /// How long a credential helper may take (30 s); one that takes longer is killed.
    pub helper: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            scheme: Scheme::Auto,
            credentials: Login::Find,
            authorities: Vec::new(),
            stall: Duration::from_secs(30),
            connect: Duration::from_secs(10),
            attempts: 5,
            back_off: Duration::from_millis(200),
            helper: Duration::from_secs(30),
        }
    }
}

/// Whether a registry's connections are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scheme {
    /// They are, but to a host that is this machine (`localhost`, 127.0.0.0/8, `::1`).
    #[default]
    Auto,
    /// They are, also to this machine.
    Https,
    /// They are not: whoever is between can read and change everything but what a digest protects.
    Http,
}

/// Who asks a registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Login {
    /// Whoever `podman login` or `docker login` has noted for the registry (containers-auth.json(5)): in
    /// `$REGISTRY_AUTH_FILE`, or where that is not set in `$XDG_RUNTIME_DIR/containers/auth.json` and
    /// `~/.config/containers/auth.json`; then in `~/.docker/config.json`. The helpers that a file names (`credHelpers`,
    /// `credsStore`) are asked within [`Options::helper`]. Entries for a part of a registry are passed over. Nobody, if
    /// no file names the registry; a file that cannot be used is an error.
    #[default]
    Find,
    /// Nobody.
    Anonymous,
    /// These.
    With(Credentials),
}

/// What proves who asks. `Debug` does not show secrets.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credentials {
    /// A name and a password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// A token for which the registry's token service gives others (OAuth 2 refresh token).
    IdentityToken(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => write!(f, "Password({user:?}, …)"),
            Self::IdentityToken(_) => f.write_str("IdentityToken(…)"),
        }
    }
}
