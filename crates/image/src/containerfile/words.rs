//! Words of an instruction: where they end, with quotation marks and escapes left as they are.
//!
//! Kernel objects: none. Invariant: joined by blanks, the words parse to the same words again.

use super::problem::ProblemKind;

/// Splits at blanks outside of quotation marks.
pub(crate) fn split(text: &str, escape: char) -> Result<Vec<String>, ProblemKind> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = word_end(rest, escape)?;
        words.push(rest[..end].to_owned());
        rest = rest[end..].trim_start();
    }
    Ok(words)
}

/// The options before the arguments, and what follows them.
pub(crate) fn options(text: &str, escape: char) -> Result<(Vec<String>, &str), ProblemKind> {
    let mut options = Vec::new();
    let mut rest = text.trim_start();
    while rest.starts_with("--") {
        let end = word_end(rest, escape)?;
        let word = &rest[..end];
        rest = rest[end..].trim_start();
        if word == "--" {
            break;
        }
        options.push(word.to_owned());
    }
    Ok((options, rest))
}

/// The words of a JSON array, if the text is one.
pub(crate) fn json(text: &str) -> Result<Option<Vec<String>>, ProblemKind> {
    if !text.trim_start().starts_with('[') {
        return Ok(None);
    }
    match serde_json::from_str::<Vec<serde_json::Value>>(text) {
        // What merely looks like an array is a shell command: `[ -f x ] && y`.
        Err(_) => Ok(None),
        Ok(values) => values
            .into_iter()
            .map(|value| match value {
                serde_json::Value::String(text) => Ok(text),
                _ => Err(ProblemKind::NotStrings),
            })
            .collect::<Result<Vec<_>, _>>()
            .map(Some),
    }
}

/// Where the first word ends.
fn word_end(text: &str, escape: char) -> Result<usize, ProblemKind> {
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c.is_whitespace() => return Ok(at),
            c if c == escape => skip_one(&mut chars),
            '\'' => skip_to(&mut chars, c, None)?,
            '"' => skip_to(&mut chars, c, Some(escape))?,
            _ => {}
        }
    }
    Ok(text.len())
}

/// What an escape character protects.
fn skip_one(chars: &mut std::str::CharIndices<'_>) {
    chars.next();
}

fn skip_to(
    chars: &mut std::str::CharIndices<'_>,
    mark: char,
    escape: Option<char>,
) -> Result<(), ProblemKind> {
    while let Some((_, c)) = chars.next() {
        if c == mark {
            return Ok(());
        }
        if Some(c) == escape {
            skip_one(chars);
        }
    }
    Err(ProblemKind::Quote(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_escapes_hold_blanks() {
        let words = split(r#"a 'b c' d\ e f="g \" h"  i"#, '\\').unwrap();
        assert_eq!(words, ["a", "'b c'", r"d\ e", r#"f="g \" h""#, "i"]);
        assert_eq!(split("a` b c", '`').unwrap(), ["a` b", "c"]);
        assert_eq!(split("a 'b", '\\'), Err(ProblemKind::Quote('\'')));
    }

    #[test]
    fn options_end_at_the_first_word_without_dashes() {
        let (found, rest) = options("--from=a --chown='x y' -- --b c", '\\').unwrap();
        assert_eq!(found, ["--from=a", "--chown='x y'"]);
        assert_eq!(rest, "--b c");
    }

    #[test]
    fn only_arrays_of_strings_are_arrays() {
        assert_eq!(json(r#" ["a", "b c"]"#).unwrap().unwrap(), ["a", "b c"]);
        assert_eq!(json("[ -f x ] && y").unwrap(), None);
        assert_eq!(json("sh").unwrap(), None);
        assert_eq!(json(r#"["a", 1]"#), Err(ProblemKind::NotStrings));
    }
}
