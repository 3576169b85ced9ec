//! The instructions of a build file, as data.
//!
//! Kernel objects: none. Invariant: what a [`Word`] says is not expanded yet; everything else is as it will be used.

use std::time::Duration;

use super::expand::{Document, Word};
use super::run_mount::RunMount;

/// One instruction after a FROM.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Instruction {
    /// Adds files of the build's directory, of a URL or of an archive.
    Add(Copy),
    /// Declares a variable of the build, with its default.
    Arg(Vec<Argument>),
    /// The default arguments.
    Cmd(Invocation),
    /// Copies files of the build's directory, of another stage or of an image.
    Copy(Copy),
    /// The program of the image.
    Entrypoint(Invocation),
    /// Sets variables of the environment.
    Env(Vec<(Word, Word)>),
    /// Ports that the program listens on, such as `80/tcp` or `8000-8010`.
    Expose(Vec<Word>),
    /// How to see that the program is well.
    Healthcheck(Healthcheck),
    /// Sets labels.
    Label(Vec<(Word, Word)>),
    /// Who made the image.
    Maintainer(String),
    /// An instruction for builds that start from this image, as it was written.
    OnBuild(String),
    /// Runs a program and keeps what it changes.
    Run(Run),
    /// What runs the commands that are not arrays.
    Shell(Vec<String>),
    /// The signal that ends the program, by name or number.
    StopSignal(Word),
    /// Who runs the following programs: `user[:group]`.
    User(Word),
    /// Directories that outlive a container.
    Volume(Vec<Word>),
    /// The working directory.
    Workdir(Word),
}

impl Instruction {
    /// Its name, in capitals.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Add(_) => "ADD",
            Self::Arg(_) => "ARG",
            Self::Cmd(_) => "CMD",
            Self::Copy(_) => "COPY",
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Env(_) => "ENV",
            Self::Expose(_) => "EXPOSE",
            Self::Healthcheck(_) => "HEALTHCHECK",
            Self::Label(_) => "LABEL",
            Self::Maintainer(_) => "MAINTAINER",
            Self::OnBuild(_) => "ONBUILD",
            Self::Run(_) => "RUN",
            Self::Shell(_) => "SHELL",
            Self::StopSignal(_) => "STOPSIGNAL",
            Self::User(_) => "USER",
            Self::Volume(_) => "VOLUME",
            Self::Workdir(_) => "WORKDIR",
        }
    }
}

/// A program to execute.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Invocation {
    /// A line for the shell.
    Shell(String),
    /// A program with its arguments.
    Exec(Vec<String>),
}

/// A variable of the build.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// What it is where nothing else was given.
    pub default: Option<Word>,
}

/// RUN.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Run {
    /// What runs.
    pub command: RunCommand,
    /// The network that it has, where the file says so.
    pub network: Option<RunNetwork>,
    /// What it sees besides the image.
    pub mounts: Vec<RunMount>,
}

/// What RUN executes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunCommand {
    /// A program or a line for the shell; here-documents follow the line as the shell reads them.
    Invocation(Invocation),
    /// A here-document that is itself the script.
    Script(String),
}

/// `RUN --network=…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RunNetwork {
    /// What the build uses.
    Default,
    /// Its own loopback only.
    None,
    /// The host's.
    Host,
}

/// COPY or ADD.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copy {
    /// What is copied; the words can have wildcards.
    pub sources: Vec<CopySource>,
    /// Where to; ends in `/` for a directory.
    pub destination: Word,
    /// The stage or image that the sources are in; otherwise the build's directory.
    pub from: Option<Word>,
    /// The owner, `user[:group]`; otherwise 0:0.
    pub owner: Option<Word>,
    /// The mode, octal; otherwise each source's own.
    pub mode: Option<Word>,
    /// The digest that a URL's content must have.
    pub checksum: Option<Word>,
    /// Patterns of what is not copied.
    pub exclude: Vec<Word>,
}

/// What COPY or ADD takes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CopySource {
    /// A path, a pattern, or (ADD) a URL.
    Path(Word),
    /// A file that stands in the build file itself.
    Inline {
        /// The file's name.
        name: String,
        /// Its text.
        document: Document,
    },
}

/// HEALTHCHECK.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Healthcheck {
    /// None, also where the image below has one.
    None,
    /// A program that ends with status 0 where all is well.
    Command {
        /// The program.
        command: Invocation,
        /// Its times.
        times: HealthTimes,
    },
}

/// When a check runs; `None` is the engine's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthTimes {
    /// Between two checks.
    pub interval: Option<Duration>,
    /// For one check.
    pub timeout: Option<Duration>,
    /// After the start, while failures do not count.
    pub start_period: Option<Duration>,
    /// Between two checks in that time.
    pub start_interval: Option<Duration>,
    /// Failures in a row that count as ill.
    pub retries: Option<u32>,
}
