//! What engines read of an error: the log file, and texts that they look for.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::SystemTime;

use ampoule::{Error, ErrorKind};
use serde_json::json;

use crate::arguments::{Globals, LogFormat};

/// Appends a line to the log, if there is one. A log that cannot be written does not fail the command.
pub(crate) fn write(globals: &Globals, level: &str, text: &str) {
    let Some(path) = &globals.log else { return };
    let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let line = match globals.log_format {
        LogFormat::Json => json!({ "level": level, "msg": text, "time": time }).to_string(),
        LogFormat::Text => format!("time={time:?} level={level} msg={text:?}"),
    };
    let file = OpenOptions::new().append(true).create(true).open(path);
    drop(file.and_then(|mut file| writeln!(file, "{line}")));
}

/// The error with the words by which engines tell it apart.
pub(crate) fn sentence(error: &(dyn std::error::Error + 'static)) -> String {
    let text = error.to_string();
    let words = error.downcast_ref::<Error>().and_then(words);
    match words.filter(|words| !text.to_lowercase().contains(&words.to_lowercase())) {
        Some(words) => format!("{words}: {text}"),
        None => text,
    }
}

fn words(error: &Error) -> Option<&'static str> {
    Some(match error.kind() {
        ErrorKind::ProgramNotFound => "executable file not found in $PATH",
        ErrorKind::InterpreterNotFound => "no such file or directory",
        ErrorKind::ProgramNotExecutable | ErrorKind::ProgramIsDirectory => "permission denied",
        ErrorKind::NotFound => "container does not exist",
        ErrorKind::Exists => "container with given ID already exists",
        ErrorKind::WrongState if error.to_string().contains("cannot kill") => {
            "container not running"
        }
        _ => return None,
    })
}
