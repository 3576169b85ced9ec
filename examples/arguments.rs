//! Command lines: `--help`, and texts that do not go to anybody who has left.
//!
//! Touches standard output only.

use std::error::Error;
use std::io::Write;

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
