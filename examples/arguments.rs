//! Command lines: `--help`, and texts that do not go to anybody who has left.
//!
//! Touches standard output only.

use std::error::Error;
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;

/// Why an example cannot go on; its sentence goes to standard error.
pub type Failure = Box<dyn Error>;

/// Takes a command line whose only option is `--help`; `None` when the help was printed.
///
/// # Errors
/// Anything else on the command line.
pub fn only_help(help: &str) -> Result<Option<()>, Failure> {
    let mut arguments = lexopt::Parser::from_env();
    match arguments.next()? {
        None => Ok(Some(())),
        Some(lexopt::Arg::Short('h') | lexopt::Arg::Long("help")) => print(help).map(|()| None),
        Some(other) => Err(other.unexpected().into()),
    }
}

/// Prints; a reader that closed the pipe (`… | head`) is no error.
///
/// # Errors
/// What write(2) answered, but `EPIPE`.
pub fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// `NAME=VALUE`, or `NAME` alone.
#[must_use]
pub fn variable(text: &OsStr) -> (&OsStr, Option<&OsStr>) {
    let bytes = text.as_bytes();
    match bytes.iter().position(|&byte| byte == b'=') {
        Some(at) => (OsStr::from_bytes(&bytes[..at]), Some(OsStr::from_bytes(&bytes[at + 1..]))),
        None => (text, None),
    }
}

/// The same, where the value must be there.
///
/// # Errors
/// A name alone.
pub fn assignment(text: &OsStr) -> Result<(&OsStr, &OsStr), Failure> {
    match variable(text) {
        (name, Some(value)) => Ok((name, value)),
        (name, None) => Err(format!("{}: --env takes NAME=VALUE", name.display()).into()),
    }
}
