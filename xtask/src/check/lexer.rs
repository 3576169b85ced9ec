//! Blanks the comments and literals of Rust source, so that rules see code only. Pure.
//!
//! Invariant: the result has the same lines, and every character that is left is code.

/// The source with comments and the contents of literals replaced by spaces.
pub(super) fn blank(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    let mut last = ' ';
    while let Some(first) = rest.chars().next() {
        let hidden = hidden_len(rest, last);
        let (token, tail) = rest.split_at(hidden.unwrap_or(first.len_utf8()));
        match hidden {
            Some(_) => code.extend(token.chars().map(|c| if c == '\n' { c } else { ' ' })),
            None => code += token,
        }
        last = if hidden.is_some() { ' ' } else { first };
        rest = tail;
    }
    code
}

/// The length of the comment or literal at the start of `text`; `last` is the character before.
fn hidden_len(text: &str, last: char) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(block_comment_len(text));
    }
    if !is_word(last)
        && let Some(len) = raw_string_len(text)
    {
        return Some(len);
    }
    match text.chars().next() {
        Some('"') => Some(quoted_len(text, '"')),
        Some('\'') if is_char_literal(text) => Some(quoted_len(text, '\'')),
        _ => None,
    }
}

/// Whether `c` can be in an identifier.
pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment_len(text: &str) -> usize {
    let mut depth = 0_u32;
    let mut at = 0;
    while let Some(rest) = text.get(at..) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn raw_string_len(text: &str) -> Option<usize> {
    let prefix = ["r", "br", "cr"].into_iter().find(|prefix| {
        let after = text.strip_prefix(prefix);
        after.is_some_and(|after| after.trim_start_matches('#').starts_with('"'))
    })?;
    let body = text.get(prefix.len()..)?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    let end = format!("\"{}", "#".repeat(hashes));
    let opened = prefix.len() + end.len();
    let len = text.get(opened..)?.find(&end);
    Some(len.map_or(text.len(), |len| opened + len + end.len()))
}

/// A `'` starts a literal if it is closed after one character or an escape; else a lifetime.
fn is_char_literal(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

fn quoted_len(text: &str, quote: char) -> usize {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return at + c.len_utf8();
        }
        if c == '\\' {
            chars.next();
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        let code = blank(source);
        code.split(|c| !is_word(c)).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn comments_and_literals_go() {
        assert_eq!(words("a // b\nc /* d /* e */ f */ g"), ["a", "c", "g"]);
        assert_eq!(
            words(r##"a "b \" c" d r#"e " f"# g b"h" c"i" j"##),
            ["a", "d", "g", "b", "c", "j"]
        );
        assert_eq!(words(r"a '\'' b 'c' d '\u{7f}' e"), ["a", "b", "d", "e"]);
    }

    #[test]
    fn lifetimes_and_raw_identifiers_stay() {
        assert_eq!(
            words("fn f<'a>(r#in: &'a str, 'b: 'c')"),
            ["fn", "f", "a", "r", "in", "a", "str", "b"]
        );
    }

    #[test]
    fn lines_stay() {
        let source = "a\n/* b\n c */\n\"d\n e\"\n";
        assert_eq!(blank(source).lines().count(), source.lines().count());
    }

    #[test]
    fn unfinished_text_ends_at_the_end() {
        for source in ["/* a", "\"a", "r#\"a\"", "'\\", "/*é", "\"é\\"] {
            assert_eq!(words(source), Vec::<String>::new(), "{source}");
        }
    }
}
