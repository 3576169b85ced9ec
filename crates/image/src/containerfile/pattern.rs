//! Wildcards as build files use them: in the sources of `COPY`, in `.dockerignore`, in `${name#pattern}`.
//!
//! Kernel objects: none. Invariant: matching takes time in the product of both lengths at most.

/// One element of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// This character.
    Literal(char),
    /// Any one character but a separator.
    One,
    /// Any number of characters but separators.
    Many,
    /// Any number of characters, separators too.
    Everything,
    /// Any number of whole directories, each with its slash: `**/`.
    Directories,
    /// A character between any of these pairs, or between none of them.
    Class { inside: bool, ranges: Vec<(char, char)> },
}

/// What `*` and `?` stop at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Separator {
    /// `/`; `**` crosses it.
    Slash,
    /// Nothing.
    None,
}

/// A pattern of `*`, `?`, `[a-z]`, `[^a-z]` and `\` before a character that stands for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    tokens: Vec<Token>,
    separator: Separator,
}

/// A pattern whose `[` or `\` has no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pattern ends within `[` or after `\\`")]
pub(crate) struct PatternError;

impl Pattern {
    /// Reads a pattern.
    pub(crate) fn new(text: &str, separator: Separator) -> Result<Self, PatternError> {
        let mut tokens = Vec::new();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            let token = match c {
                '*' if separator == Separator::None => Token::Everything,
                '*' if rest.next_if_eq(&'*').is_some() => Token::Everything,
                '*' => Token::Many,
                '?' => Token::One,
                '[' => class(&mut rest)?,
                '\\' => Token::Literal(rest.next().ok_or(PatternError)?),
                c => Token::Literal(c),
            };
            let after_everything = tokens.last() == Some(&Token::Everything);
            match token {
                // `**/` matches no directory at all, too.
                Token::Literal('/') if after_everything && separator == Separator::Slash => {
                    tokens.pop();
                    tokens.push(Token::Directories);
                }
                Token::Everything | Token::Many if after_everything => {}
                token => tokens.push(token),
            }
        }
        Ok(Self { tokens, separator })
    }

    /// Whether the whole text matches.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        self.beginnings(&text)[text.len()]
    }

    /// The only text that matches, if there are no wildcards.
    pub(crate) fn literal(&self) -> Option<String> {
        let literal = |token: &Token| match token {
            Token::Literal(c) => Some(*c),
            _ => None,
        };
        self.tokens.iter().map(literal).collect()
    }

    /// For each number of characters, none being the first, whether that beginning of the text matches.
    pub(crate) fn beginnings(&self, text: &[char]) -> Vec<bool> {
        let mut reached = vec![false; text.len() + 1];
        reached[0] = true;
        for token in &self.tokens {
            reached = self.after(token, &reached, text);
        }
        reached
    }

    /// The pattern that matches what this one does, read from the end; without separator.
    pub(crate) fn reversed(mut self) -> Self {
        self.tokens.reverse();
        self
    }

    fn after(&self, token: &Token, before: &[bool], text: &[char]) -> Vec<bool> {
        if *token == Token::Directories {
            return directories(before, text);
        }
        let mut reached = vec![false; before.len()];
        for end in 0..before.len() {
            let last = end.checked_sub(1).map(|at| (text[at], at));
            reached[end] = match (token, last) {
                (Token::Everything, last) => before[end] || last.is_some_and(|(_, at)| reached[at]),
                (Token::Many, last) => {
                    before[end] || last.is_some_and(|(c, at)| reached[at] && !self.separates(c))
                }
                (Token::One, Some((c, at))) => before[at] && !self.separates(c),
                (Token::Literal(wanted), Some((c, at))) => before[at] && *wanted == c,
                (Token::Class { inside, ranges }, Some((c, at))) => {
                    let found = ranges.iter().any(|&(low, high)| (low..=high).contains(&c));
                    before[at] && found == *inside && !self.separates(c)
                }
                (_, None) | (Token::Directories, _) => false,
            };
        }
        reached
    }

    fn separates(&self, c: char) -> bool {
        self.separator == Separator::Slash && c == '/'
    }
}

/// Past any number of whole directories.
fn directories(before: &[bool], text: &[char]) -> Vec<bool> {
    let mut open = false;
    (0..before.len())
        .map(|end| {
            let after_slash = end > 0 && text[end - 1] == '/';
            let here = before[end] || (open && after_slash);
            open |= before[end];
            here
        })
        .collect()
}

/// The rest of a class, after its `[`.
fn class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Token, PatternError> {
    let inside = rest.next_if(|&c| c == '^' || c == '!').is_none();
    let mut ranges = Vec::new();
    loop {
        let low = match rest.next().ok_or(PatternError)? {
            ']' if !ranges.is_empty() => return Ok(Token::Class { inside, ranges }),
            '\\' => rest.next().ok_or(PatternError)?,
            c => c,
        };
        let high = if rest.next_if_eq(&'-').is_none() {
            low
        } else {
            match rest.next().ok_or(PatternError)? {
                '\\' => rest.next().ok_or(PatternError)?,
                ']' => return Err(PatternError),
                c => c,
            }
        };
        ranges.push((low, high));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern, Separator::Slash).unwrap().matches(text)
    }

    #[test]
    fn wildcards_stop_at_a_slash() {
        for (pattern, text) in [
            ("*.rs", "main.rs"),
            ("a?c", "abc"),
            ("a/*/c", "a/b/c"),
            ("[a-c]x", "bx"),
            ("[^a-c]x", "dx"),
            (r"\*", "*"),
            ("**/x", "x"),
            ("**/x", "a/b/x"),
            ("a/**", "a/b/c"),
            ("a/**/z", "a/z"),
            ("a/**/z", "a/b/c/z"),
            ("**", "a/b"),
            ("", ""),
        ] {
            assert!(path(pattern, text), "{pattern} matches {text}");
        }
        for (pattern, text) in [
            ("*.rs", "a/main.rs"),
            ("a?c", "a/c"),
            ("a/*/c", "a/b/b/c"),
            ("[^a-c]", "/"),
            ("**/x", "ax"),
            ("a/**/z", "a/bz"),
            ("a", ""),
        ] {
            assert!(!path(pattern, text), "{pattern} does not match {text}");
        }
    }

    #[test]
    fn without_separator_a_star_crosses_slashes() {
        let pattern = Pattern::new("*/", Separator::None).unwrap();
        assert!(pattern.matches("a/b/"));
        assert!(!pattern.matches("a/b"));
    }

    #[test]
    fn what_has_no_end_is_refused() {
        for text in ["[a", "[", "a\\", "[a-]", "[^"] {
            assert_eq!(Pattern::new(text, Separator::Slash), Err(PatternError), "{text}");
        }
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let pattern = Pattern::new(&"*a".repeat(50), Separator::Slash).unwrap();
        assert!(!pattern.matches(&"a".repeat(49)));
        assert!(!pattern.matches(&"ab".repeat(400)));
    }
}
