//! The `--name=value` options of an instruction.
//!
//! Kernel objects: none. Invariant: an option that nobody took is an error.

use super::problem::ProblemKind;
use super::words;

/// The options that were written.
#[derive(Debug)]
pub(crate) struct Options {
    instruction: &'static str,
    left: Vec<(String, Option<String>)>,
}

impl Options {
    /// Reads the options before an instruction's arguments.
    pub(crate) fn read<'a>(
        instruction: &'static str,
        text: &'a str,
        escape: char,
    ) -> Result<(Self, &'a str), ProblemKind> {
        let (words, rest) = words::options(text, escape)?;
        let split = |word: String| match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        Ok((Self { instruction, left: words.into_iter().map(split).collect() }, rest))
    }

    /// The value of an option that can be given once.
    pub(crate) fn value(&mut self, name: &str) -> Result<Option<String>, ProblemKind> {
        let mut values = self.values(name)?;
        let value = values.pop();
        if values.is_empty() { Ok(value) } else { Err(ProblemKind::Option(name.to_owned())) }
    }

    /// The values of an option that can be given often.
    pub(crate) fn values(&mut self, name: &str) -> Result<Vec<String>, ProblemKind> {
        let taken = self.left.extract_if(.., |(found, _)| found == name);
        taken.map(|(name, value)| value.ok_or(ProblemKind::Option(name))).collect()
    }

    /// Whether an option without value, or with `true`, is there.
    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, ProblemKind> {
        let taken: Vec<_> = self.left.extract_if(.., |(found, _)| found == name).collect();
        match taken.as_slice() {
            [] => Ok(false),
            [(_, None)] => Ok(true),
            [(_, Some(value))] if value == "true" || value == "false" => Ok(value == "true"),
            _ => Err(ProblemKind::Option(name.to_owned())),
        }
    }

    /// An option that exists elsewhere and cannot be done here.
    pub(crate) fn unsupported(&mut self, name: &str) -> Result<(), ProblemKind> {
        match self.left.iter().any(|(found, _)| found == name) {
            true => Err(ProblemKind::Unsupported {
                instruction: self.instruction,
                what: name.to_owned(),
            }),
            false => Ok(()),
        }
    }

    /// All have been taken.
    pub(crate) fn end(self) -> Result<(), ProblemKind> {
        let instruction = self.instruction;
        match self.left.into_iter().next() {
            Some((option, _)) => Err(ProblemKind::UnknownOption { instruction, option }),
            None => Ok(()),
        }
    }
}
