//! Command lines of verbs: each verb has options of its own, and words.
//!
//! Touches nothing. Invariant: an option that the verb does not have is an error.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::str::FromStr;

use lexopt::Arg::{Long, Short, Value};

use crate::arguments::Failure;

/// A verb with its options and words.
#[derive(Debug)]
pub struct Call {
    /// The verb.
    pub verb: &'static str,
    options: Vec<(&'static str, OsString)>,
    /// What is no option.
    pub words: Vec<OsString>,
}

impl Call {
    /// Reads what stands behind a verb; `None` when the help was asked for.
    ///
    /// The options are `long`, `long|s` with a short form, and `long=` or `long|s=` with a value. Behind so many words
    /// everything is a word.
    ///
    /// # Errors
    /// An option that is not among these, or that has no value.
    pub fn parse(
        verb: &'static str,
        options: &'static str,
        words: usize,
        mut from: lexopt::Parser,
    ) -> Result<Option<Self>, Failure> {
        let mut call = Self { verb, options: Vec::new(), words: Vec::new() };
        while let Some(argument) = from.next()? {
            let wanted = match argument {
                Long(name) => name.to_owned(),
                Short(letter) => letter.to_string(),
                Value(word) => {
                    call.words.push(word);
                    if call.words.len() >= words {
                        call.words.extend(from.raw_args()?);
                    }
                    continue;
                }
            };
            let is_long = matches!(argument, Long(_));
            let mut known = options.split_whitespace().map(known);
            let found =
                known.find(|(long, short, _)| wanted == if is_long { *long } else { *short });
            let value = match found {
                None if ["help", "h"].contains(&wanted.as_str()) => return Ok(None),
                None => {
                    let dashes = if is_long { "--" } else { "-" };
                    return Err(
                        format!("{verb} has no option {dashes}{wanted} (see --help)").into()
                    );
                }
                Some((.., Takes::Value)) => from.value()?,
                // `-it` is two options.
                Some((.., Takes::Nothing)) if is_long => from.optional_value().unwrap_or_default(),
                Some((.., Takes::Nothing)) => OsString::new(),
            };
            if let Some((long, _, takes)) = found
                && (takes == Takes::Value || value != "false")
            {
                call.options.push((long, value));
            }
        }
        Ok(Some(call))
    }

    /// Whether an option was given.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(known, _)| *known == name)
    }

    /// The values of an option that can be given several times.
    pub fn all(&self, name: &str) -> impl DoubleEndedIterator<Item = &OsStr> {
        let named = self.options.iter().filter(move |(known, _)| *known == name);
        named.map(|(_, value)| value.as_os_str())
    }

    /// Everything that was given, in this order.
    pub fn options(&self) -> impl Iterator<Item = (&'static str, &OsStr)> {
        self.options.iter().map(|(name, value)| (*name, value.as_os_str()))
    }

    /// Its value: the last one counts.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&OsStr> {
        self.all(name).next_back()
    }

    /// The same, as a path.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<&Path> {
        self.option(name).map(Path::new)
    }

    /// The same, read as what it must be.
    ///
    /// # Errors
    /// As it is read.
    pub fn parsed<T: FromStr>(&self, name: &str) -> Result<Option<T>, Failure>
    where
        Failure: From<T::Err>,
    {
        Ok(self.option(name).map(|text| text.to_string_lossy().parse()).transpose()?)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Value,
}

/// Its long and its short name; without a short one that is empty.
fn known(option: &'static str) -> (&'static str, &'static str, Takes) {
    let (names, takes) = match option.strip_suffix('=') {
        Some(names) => (names, Takes::Value),
        None => (option, Takes::Nothing),
    };
    let (long, short) = names.split_once('|').unwrap_or((names, ""));
    (long, short, takes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(line: &str, words: usize) -> Result<Option<Call>, Failure> {
        let from = lexopt::Parser::from_args(line.split_whitespace());
        Call::parse("run", "tty|t interactive|i env|e= name= rm", words, from)
    }

    #[test]
    fn options_and_words() {
        let call = call("-it --env A=1 -eB=2 --name=x --rm=false image sh -t", 1).unwrap().unwrap();
        assert!(call.has("tty") && call.has("interactive") && !call.has("rm"));
        assert_eq!(call.all("env").collect::<Vec<_>>(), ["A=1", "B=2"]);
        assert_eq!(call.option("env"), Some(OsStr::new("B=2")));
        assert_eq!(call.parsed::<String>("name").unwrap().as_deref(), Some("x"));
        assert_eq!(call.words, ["image", "sh", "-t"]);
    }

    #[test]
    fn what_cannot_be() {
        for (line, said) in [("--colour", "--colour"), ("-c", "-c"), ("--name", "--name")] {
            let error = call(line, 1).unwrap_err().to_string();
            assert!(error.contains(said), "{line}: {error}");
        }
        assert!(call("one --name x two --help", usize::MAX).unwrap().is_none());
        assert!(call("--name x", 1).unwrap().unwrap().parsed::<u64>("name").is_err());
    }
}
