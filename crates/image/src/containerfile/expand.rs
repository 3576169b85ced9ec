//! Variables in a word, and its quotation marks taken away.
//!
//! Kernel objects: none. Invariant: what a variable holds is never read again as a variable, a quotation mark or an
//! escape.

use std::iter::Peekable;
use std::str::Chars;

use super::pattern::{Pattern, Separator};
use super::problem::ProblemKind;

/// Longest value, in bytes, in which a pattern is replaced: that takes time in its square.
const REPLACED_MAX: usize = 32 << 10;
/// How deep `${a:-${b:-…}}` may go.
const DEPTH_MAX: usize = 32;

/// A word of an instruction as it was written: variables are not expanded yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Word {
    text: String,
    form: Form,
}

/// How a word is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Form {
    /// It means itself.
    Literal,
    /// It has variables and quotation marks, and this character before those that mean themselves.
    Written { escape: char },
}

impl Word {
    pub(crate) fn new(text: impl Into<String>, escape: char) -> Self {
        Self { text: text.into(), form: Form::Written { escape } }
    }

    /// A word that means itself, whatever stands in it.
    pub fn literal(text: impl Into<String>) -> Self {
        Self { text: text.into(), form: Form::Literal }
    }

    /// As it was written.
    #[must_use]
    pub fn as_written(&self) -> &str {
        &self.text
    }

    /// Its value: quotation marks and escapes taken away, variables replaced by what `lookup` knows. One that it does
    /// not know is empty.
    ///
    /// # Errors
    /// [`ProblemKind::Variable`], [`ProblemKind::Quote`], [`ProblemKind::Pattern`] for what does not parse;
    /// [`ProblemKind::Unset`] for `${name:?message}`.
    pub fn expand(&self, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, ProblemKind> {
        let Form::Written { escape } = self.form else { return Ok(self.text.clone()) };
        let rest = self.text.chars().peekable();
        let mut expansion = Expansion { rest, whole: &self.text, escape, lookup, depth: 0 };
        expansion.word(&[])
    }
}

/// The text of a here-document.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Document {
    pub(super) text: String,
    pub(super) variables: Variables,
}

/// What variables in a here-document are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Variables {
    /// Text like any other: its name was quoted.
    Text,
    /// Replaced; this character keeps one from it.
    Replaced { escape: char },
}

impl Document {
    /// As it was written.
    #[must_use]
    pub fn as_written(&self) -> &str {
        &self.text
    }

    /// Its text with variables replaced, unless its name was quoted; quotation marks in it mean themselves.
    ///
    /// # Errors
    /// As [`Word::expand`].
    pub fn expand(&self, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, ProblemKind> {
        let Variables::Replaced { escape } = self.variables else { return Ok(self.text.clone()) };
        let rest = self.text.chars().peekable();
        let mut expansion = Expansion { rest, whole: &self.text, escape, lookup, depth: 0 };
        let mut out = String::new();
        while let Some(c) = expansion.rest.next() {
            match c {
                '$' => out.push_str(&expansion.variable()?),
                c if c == escape => match expansion.rest.next_if(|&c| c == '$' || c == escape) {
                    Some(literal) => out.push(literal),
                    None => out.push(c),
                },
                c => out.push(c),
            }
        }
        Ok(out)
    }
}

struct Expansion<'a> {
    rest: Peekable<Chars<'a>>,
    whole: &'a str,
    escape: char,
    lookup: &'a dyn Fn(&str) -> Option<String>,
    depth: usize,
}

impl Expansion<'_> {
    /// Up to one of the characters, or to the end where there are none.
    fn word(&mut self, ends: &[char]) -> Result<String, ProblemKind> {
        let mut out = String::new();
        while let Some(&c) = self.rest.peek() {
            if ends.contains(&c) {
                return Ok(out);
            }
            self.rest.next();
            match c {
                '\'' => self.single(&mut out)?,
                '"' => self.double(&mut out)?,
                '$' => out.push_str(&self.variable()?),
                // One at the very end stands for itself.
                c if c == self.escape => out.push(self.rest.next().unwrap_or(c)),
                c => out.push(c),
            }
        }
        if ends.is_empty() { Ok(out) } else { Err(self.malformed()) }
    }

    fn single(&mut self, out: &mut String) -> Result<(), ProblemKind> {
        loop {
            match self.rest.next() {
                Some('\'') => return Ok(()),
                Some(c) => out.push(c),
                None => return Err(ProblemKind::Quote('\'')),
            }
        }
    }

    fn double(&mut self, out: &mut String) -> Result<(), ProblemKind> {
        loop {
            match self.rest.next() {
                Some('"') => return Ok(()),
                Some('$') => out.push_str(&self.variable()?),
                Some(c) if c == self.escape => {
                    let special = |&next: &char| next == '"' || next == '$' || next == c;
                    out.push(self.rest.next_if(special).unwrap_or(c));
                }
                Some(c) => out.push(c),
                None => return Err(ProblemKind::Quote('"')),
            }
        }
    }

    /// After a `$`.
    fn variable(&mut self) -> Result<String, ProblemKind> {
        if self.rest.next_if_eq(&'{').is_some() {
            return self.braced();
        }
        let name = self.name();
        if name.is_empty() {
            return Ok("$".to_owned());
        }
        Ok((self.lookup)(&name).unwrap_or_default())
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        let in_name = |name: &str, c: char| {
            c == '_' || c.is_ascii_alphabetic() || (!name.is_empty() && c.is_ascii_digit())
        };
        while let Some(c) = self.rest.next_if(|&c| in_name(&name, c)) {
            name.push(c);
        }
        name
    }

    /// After `${`.
    fn braced(&mut self) -> Result<String, ProblemKind> {
        self.depth += 1;
        let name = self.name();
        if name.is_empty() || self.depth > DEPTH_MAX {
            return Err(self.malformed());
        }
        let value = (self.lookup)(&name);
        let result = match self.rest.next() {
            Some('}') => {
                self.depth -= 1;
                return Ok(value.unwrap_or_default());
            }
            Some(':') => {
                let operator = self.rest.next().ok_or_else(|| self.malformed())?;
                self.default(operator, &name, value.filter(|value| !value.is_empty()))?
            }
            Some(operator @ ('-' | '+' | '?')) => self.default(operator, &name, value)?,
            Some(operator @ ('#' | '%')) => self.trimmed(operator, &value.unwrap_or_default())?,
            Some('/') => self.replaced(&value.unwrap_or_default())?,
            _ => return Err(self.malformed()),
        };
        self.depth -= 1;
        self.rest.next_if_eq(&'}').map(|_| result).ok_or_else(|| self.malformed())
    }

    /// `-` without a value the word, `+` with a value the word, `?` without a value an error.
    fn default(
        &mut self,
        operator: char,
        name: &str,
        value: Option<String>,
    ) -> Result<String, ProblemKind> {
        let word = self.word(&['}'])?;
        match (operator, value) {
            ('-' | '?', Some(value)) => Ok(value),
            ('-', None) | ('+', Some(_)) => Ok(word),
            ('+', None) => Ok(String::new()),
            ('?', None) => Err(ProblemKind::Unset { name: name.to_owned(), message: word }),
            _ => Err(self.malformed()),
        }
    }

    /// `#` without the shortest beginning that matches, `##` the longest; `%` and `%%` at the end.
    fn trimmed(&mut self, operator: char, value: &str) -> Result<String, ProblemKind> {
        let longest = self.rest.next_if_eq(&operator).is_some();
        let text = self.word(&['}'])?;
        let pattern = Pattern::new(&text, Separator::None);
        let pattern = pattern.map_err(|_| ProblemKind::Pattern(text))?;
        let from_start = operator == '#';
        let mut chars: Vec<char> = value.chars().collect();
        let pattern = if from_start {
            pattern
        } else {
            chars.reverse();
            pattern.reversed()
        };
        let matched = pattern.beginnings(&chars);
        let found = if longest {
            matched.iter().rposition(|&m| m)
        } else {
            matched.iter().position(|&m| m)
        };
        let mut kept = chars.split_off(found.unwrap_or(0));
        if !from_start {
            kept.reverse();
        }
        Ok(kept.into_iter().collect())
    }

    /// `/pattern/with` once, `//pattern/with` everywhere.
    fn replaced(&mut self, value: &str) -> Result<String, ProblemKind> {
        let everywhere = self.rest.next_if_eq(&'/').is_some();
        let text = self.word(&['/', '}'])?;
        let with = match self.rest.next_if_eq(&'/') {
            Some(_) => self.word(&['}'])?,
            None => String::new(),
        };
        let pattern = Pattern::new(&text, Separator::None);
        let pattern = pattern.map_err(|_| ProblemKind::Pattern(text))?;
        if value.len() > REPLACED_MAX {
            return Err(ProblemKind::TooLong(REPLACED_MAX));
        }
        Ok(replace(value, &pattern, &with, everywhere))
    }

    fn malformed(&self) -> ProblemKind {
        ProblemKind::Variable(self.whole.chars().take(80).collect())
    }
}

/// Replaces the longest match at each place.
fn replace(value: &str, pattern: &Pattern, with: &str, everywhere: bool) -> String {
    let chars: Vec<char> = value.chars().collect();
    let mut out = String::new();
    let mut at = 0;
    while let Some(&first) = chars.get(at) {
        let longest = pattern.beginnings(&chars[at..]).iter().rposition(|&m| m).unwrap_or(0);
        if longest == 0 {
            out.push(first);
            at += 1;
            continue;
        }
        out.push_str(with);
        at += longest;
        if !everywhere {
            break;
        }
    }
    out.extend(&chars[at..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "a" => Some("hello".to_owned()),
            "empty" => Some(String::new()),
            "dollar" => Some("$a '\\".to_owned()),
            "path" => Some("/usr/local/lib".to_owned()),
            _ => None,
        }
    }

    fn expand(text: &str) -> Result<String, ProblemKind> {
        Word::new(text, '\\').expand(&lookup)
    }

    #[test]
    fn variables_and_quotes() {
        for (text, value) in [
            ("x", "x"),
            ("$a", "hello"),
            ("${a}b$a", "hellobhello"),
            ("'$a'", "$a"),
            ("\"$a 'x'\"", "hello 'x'"),
            (r"\$a", "$a"),
            (r#""\$a\n""#, r"$a\n"),
            ("$unset.", "."),
            ("$1$", "$1$"),
            ("$dollar", "$a '\\"),
            ("${unset:-w$a}", "whello"),
            ("${empty:-w}", "w"),
            ("${empty-w}", ""),
            ("${a:+w}", "w"),
            ("${empty:+w}", ""),
            ("${empty+w}", "w"),
            ("${unset:-${empty:-deep}}", "deep"),
            ("${a:?needed}", "hello"),
            ("${path#*/}", "usr/local/lib"),
            ("${path##*/}", "lib"),
            ("${path%/*}", "/usr/local"),
            ("${path%%/*}", ""),
            ("${a#x}", "hello"),
            ("${a/l/L}", "heLlo"),
            ("${a//l/L}", "heLLo"),
            ("${a//l}", "heo"),
            ("${path//\\//:}", ":usr:local:lib"),
        ] {
            assert_eq!(expand(text).as_deref(), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_does_not_parse_is_named() {
        for text in ["${", "${a", "${}", "${a:}", "${a!b}", "${a:-b", "${1}"] {
            assert!(matches!(expand(text), Err(ProblemKind::Variable(_))), "{text}");
        }
        assert_eq!(expand("'x"), Err(ProblemKind::Quote('\'')));
        let unset = ProblemKind::Unset { name: "b".into(), message: "set it".into() };
        assert_eq!(expand("${b:?set it}"), Err(unset));
        let deep = "${b:-".repeat(1000);
        assert!(expand(&deep).is_err());
    }

    #[test]
    fn documents_keep_their_quotes() {
        let text = "\"$a\" '${a}' \\$a \\n\n".to_owned();
        let mut document = Document { text, variables: Variables::Replaced { escape: '\\' } };
        assert_eq!(document.expand(&lookup).unwrap(), "\"hello\" 'hello' $a \\n\n");
        document.variables = Variables::Text;
        assert_eq!(document.expand(&lookup).unwrap(), document.as_written());
    }
}
