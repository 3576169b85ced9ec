//! What a payload may still reach: files, TCP ports, processes and sockets outside, as Landlock rules.
//!
//! Kernel objects: none; pure data. Invariant: what no rule mentions is not restricted, and what one mentions is denied
//! but for what the rules allow.

mod joining;
mod prepared;
mod rights;

pub(crate) use prepared::{Prepared, Whose, explain, prepare, prepare_for};

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::builder::Builder;
use crate::error::Problem;
use crate::origin::NewPrivileges;

/// The number of the ruleset among what init sends.
pub(crate) const RULESET: u32 = 4;

/// Rules that the kernel keeps for the payload and all that comes from it (landlock(7), Linux 5.13; feature
/// `landlock`).
///
/// They need neither namespaces nor privilege, and hold beside whatever else confines the payload.
///
/// * One rule for a path, and every other file is denied: it can be neither opened, listed, executed, made, removed nor
///   truncated. What the payload executes must be covered by [`Landlock::execute`], its libraries at least by
///   [`Landlock::read`].
/// * One rule for a TCP port, or [`Landlock::deny_tcp`], and all other ports are denied, for connections and for
///   listening; UDP and the like are not (that is what a network namespace is for).
/// * A [`LandlockScope`] ends at the payload's own processes.
///
/// Descriptors that the payload is given are used as before: a right is asked for when a file is opened.
///
/// Versions of the interface (ABI): files 5 (Linux 6.10; 1 in best effort), TCP 4 (Linux 6.7), scopes 6 (Linux 6.12).
/// Where the kernel has less, [`Command::plan`](crate::Command::plan) fails, unless
/// [`Control::Landlock`](crate::Control::Landlock) was named by [`Builder::best_effort`]: then what it has is in force,
/// and the report says what is not.
///
/// ```
/// use ampoule::{Container, Landlock, LandlockScope};
///
/// let rules = Landlock::new().execute("/usr").read("/etc").read_write("/tmp").connect_tcp(443);
/// let sandbox = Container::bare().landlock(rules.scope(LandlockScope::Signal));
/// # drop(sandbox);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Landlock {
    #[serde(default)]
    files: Vec<FileRule>,
    #[serde(default)]
    tcp: Option<Tcp>,
    #[serde(default)]
    scopes: Vec<LandlockScope>,
}

/// What is allowed at and beneath a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRule {
    path: PathBuf,
    access: FileAccess,
}

/// How files may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FileAccess {
    Read,
    Execute,
    ReadWrite,
}

/// The ports that are allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Tcp {
    connect: Vec<u16>,
    bind: Vec<u16>,
}

/// What ends at the payload's own processes: those that came from it, and what they made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LandlockScope {
    /// Connections to abstract UNIX sockets of others (unix(7)).
    AbstractUnixSocket,
    /// Signals to others.
    Signal,
}

impl Landlock {
    /// Without rules, which is refused: it would restrict nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Files at and beneath a path may be read, directories listed.
    ///
    /// All paths are absolute and those inside the container; in [`Container::bare`](crate::Container::bare), those of
    /// the host. They are looked up once, links followed: when the plan is made if the root is the host's and nothing is
    /// mounted in it, else at the launch. What is there then is what is allowed, whatever its path is later.
    #[must_use]
    pub fn read(self, path: impl Into<PathBuf>) -> Self {
        self.file(path, FileAccess::Read)
    }

    /// As [`Landlock::read`], and programs may be executed.
    #[must_use]
    pub fn execute(self, path: impl Into<PathBuf>) -> Self {
        self.file(path, FileAccess::Execute)
    }

    /// As [`Landlock::read`], and files may be written, truncated, made, linked, renamed and removed, and calls of
    /// devices made (ioctl(2)); programs may not be executed, device nodes not made.
    #[must_use]
    pub fn read_write(self, path: impl Into<PathBuf>) -> Self {
        self.file(path, FileAccess::ReadWrite)
    }

    /// TCP ports are denied but those of [`Landlock::connect_tcp`] and [`Landlock::bind_tcp`].
    #[must_use]
    pub fn deny_tcp(mut self) -> Self {
        self.tcp.get_or_insert_default();
        self
    }

    /// A connection may be made to this TCP port, of whatever address.
    #[must_use]
    pub fn connect_tcp(mut self, port: u16) -> Self {
        self.tcp.get_or_insert_default().connect.push(port);
        self
    }

    /// A socket may be bound to this TCP port; 0 is a port that the kernel chooses.
    #[must_use]
    pub fn bind_tcp(mut self, port: u16) -> Self {
        self.tcp.get_or_insert_default().bind.push(port);
        self
    }

    /// This ends at the payload's own processes.
    #[must_use]
    pub fn scope(mut self, scope: LandlockScope) -> Self {
        self.scopes.push(scope);
        self
    }

    fn file(mut self, path: impl Into<PathBuf>, access: FileAccess) -> Self {
        self.files.push(FileRule { path: path.into(), access });
        self
    }

    /// What is wrong with the rules.
    fn problems(&self) -> Vec<Problem> {
        let mut reasons = Vec::new();
        if *self == Self::default() {
            reasons.push("there is no rule: nothing would be restricted".to_owned());
        }
        let relative = self.files.iter().filter(|rule| !rule.path.is_absolute());
        reasons.extend(relative.map(|rule| format!("{} is not absolute", rule.path.display())));
        let mut problems: Vec<Problem> =
            reasons.into_iter().map(|reason| Problem::new("landlock", reason)).collect();
        for rule in &self.files {
            drop(crate::environment::path("landlock", &rule.path, &mut problems));
        }
        problems
    }
}

impl Builder {
    /// Restricts what the payload may reach, in place of an earlier restriction (landlock(7)).
    ///
    /// It needs [`NewPrivileges::Forbidden`], which is the default. Init stays outside of it. Every process that joins
    /// ([`Container::exec`](crate::Container::exec)) has the same rules, with the files that were found at the launch; a
    /// scope ends at it and what comes from it, so that it and the payload do not reach each other.
    #[must_use]
    pub fn landlock(mut self, rules: Landlock) -> Self {
        self.landlock = Some(rules);
        self
    }

    /// What is wrong with the settings of Landlock.
    pub(crate) fn landlock_problems(&self) -> Vec<Problem> {
        let Some(rules) = &self.landlock else { return Vec::new() };
        let mut problems = rules.problems();
        if self.new_privileges == NewPrivileges::Allowed {
            let reason =
                "the kernel takes it only where no privileges can be gained: forbid new_privileges";
            problems.push(Problem::new("landlock", reason));
        }
        problems
    }
}

impl fmt::Display for LandlockScope {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::AbstractUnixSocket => "abstract UNIX sockets",
            Self::Signal => "signals",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Container, ErrorKind};

    fn refused(builder: Builder) -> Vec<String> {
        let error = builder.command("true").plan().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidSettings, "{error}");
        error.problems().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_cannot_be_is_told_all_at_once() {
        let rules = Landlock::new().read("usr").execute("/b\0c");
        let builder = Container::bare().new_privileges(NewPrivileges::Allowed).landlock(rules);
        let problems = refused(builder);
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems.iter().all(|problem| problem.starts_with("landlock: ")), "{problems:?}");
        let empty = refused(Container::bare().landlock(Landlock::new()));
        assert_eq!(empty, ["landlock: there is no rule: nothing would be restricted"]);
    }

    #[test]
    fn rules_are_data() {
        let rules = Landlock::new().read("/usr").bind_tcp(80).scope(LandlockScope::Signal);
        let text = serde_json::to_string(&rules).unwrap();
        assert_eq!(
            text,
            r#"{"files":[{"path":"/usr","access":"read"}],"tcp":{"connect":[],"bind":[80]},"scopes":["signal"]}"#
        );
        assert_eq!(serde_json::from_str::<Landlock>(&text).unwrap(), rules);
        let builder = Container::bare().landlock(rules);
        let text = serde_json::to_string(&builder).unwrap();
        assert_eq!(serde_json::from_str::<Builder>(&text).unwrap(), builder);
        assert!(serde_json::from_str::<Landlock>(r#"{"udp":[1]}"#).is_err());
    }
}
