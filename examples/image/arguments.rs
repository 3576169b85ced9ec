//! What the verbs of `image` share: the store, the platform, registries, words.
//!
//! Touches nothing but standard output, for `--help`. Invariant: an option that a verb does not know is an error.

use std::ffi::OsString;
use std::path::PathBuf;

use ampoule::Owners;
use ampoule::image::{Choice, Image, Reference, Store};
use ampoule_examples::arguments::{Failure, print};
use ampoule_examples::images::{Access, open_store_of, owners};
use lexopt::ValueExt as _;

/// What a verb ends with: an exit code, or nothing where it showed its help.
pub(crate) type Done = Result<Option<u8>, Failure>;

/// What was given to a verb, but for its own options.
#[derive(Debug, Default)]
pub(crate) struct Given {
    store: Option<PathBuf>,
    owners: Option<Owners>,
    pub(crate) choice: Choice,
    pub(crate) access: Access,
    words: std::collections::VecDeque<OsString>,
    /// What stands after `--`.
    pub(crate) command: Vec<OsString>,
}

/// Takes an option by its name; whether it was one of the verb's.
type Own<'a> = &'a mut dyn FnMut(&str, &mut lexopt::Parser) -> Result<bool, Failure>;

/// Reads a verb's command line; `None` when the help was printed.
pub(crate) fn given(
    mut from: lexopt::Parser,
    help: &str,
    own: Own<'_>,
) -> Result<Option<Given>, Failure> {
    use lexopt::prelude::*;
    let mut given = Given::default();
    loop {
        if let Some(mut raw) = from.try_raw_args()
            && raw.next_if(|word| word == "--").is_some()
        {
            given.command = raw.collect();
            return Ok(Some(given));
        }
        let name = match from.next()? {
            None => return Ok(Some(given)),
            Some(Short('h') | Long("help")) => return print(help).map(|()| None),
            Some(Value(word)) => {
                given.words.push_back(word);
                continue;
            }
            Some(Short(letter)) => letter.to_string(),
            Some(Long(name)) => name.to_owned(),
        };
        match name.as_str() {
            "store" => given.store = Some(from.value()?.into()),
            "owners" => given.owners = Some(owners(&from.value()?.string()?)?),
            "platform" => given.choice = choice(&from.value()?.string()?)?,
            _ if given.access.take(&name, &mut from)? || own(&name, &mut from)? => {}
            _ => return Err(format!("there is no option {name} here (see --help)").into()),
        }
    }
}

/// Takes no option.
pub(crate) fn none(_: &str, _: &mut lexopt::Parser) -> Result<bool, Failure> {
    Ok(false)
}

fn choice(text: &str) -> Result<Choice, Failure> {
    Ok(match text {
        "any" => Choice::Any,
        _ => Choice::Platform(text.parse()?),
    })
}

impl Given {
    pub(crate) fn store(&self) -> Result<Store, Failure> {
        open_store_of(self.owners.unwrap_or(Owners::Single), self.store.as_deref())
    }

    /// The next word, as it is.
    pub(crate) fn raw(&mut self, what: &str) -> Result<OsString, Failure> {
        self.words.pop_front().ok_or_else(|| format!("{what} is missing (see --help)").into())
    }

    /// The next word, if there is one.
    pub(crate) fn next_raw(&mut self) -> Option<OsString> {
        self.words.pop_front()
    }

    /// The next word as text.
    pub(crate) fn word(&mut self, what: &str) -> Result<String, Failure> {
        Ok(self.raw(what)?.string()?)
    }

    /// The next word as the name of an image.
    pub(crate) fn reference(&mut self, what: &str) -> Result<Reference, Failure> {
        Ok(self.word(what)?.parse()?)
    }

    /// The next word as a name, if there is one.
    pub(crate) fn name(&mut self) -> Result<Option<Reference>, Failure> {
        match self.words.pop_front() {
            Some(word) => Ok(Some(word.string()?.parse()?)),
            None => Ok(None),
        }
    }

    /// The next word as an image of the store.
    pub(crate) fn image(&mut self) -> Result<Image, Failure> {
        let name = self.reference("the image")?;
        Ok(self.store()?.image(&name)?)
    }

    /// Refuses words that nobody took.
    pub(crate) fn end(&self) -> Result<(), Failure> {
        match self.words.front() {
            Some(word) => Err(format!("{} is one word too many", word.display()).into()),
            None => Ok(()),
        }
    }
}
