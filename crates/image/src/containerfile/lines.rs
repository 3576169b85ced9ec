//! From text to instructions: directives, comments, lines that go on, here-documents.
//!
//! Kernel objects: none. Invariant: every instruction knows the line where it begins.

use super::expand::{Document, Variables};
use super::problem::{Problem, ProblemKind};
use super::words;

/// Longest file that is read, in bytes.
const FILE_MAX: usize = 16 << 20;

/// An instruction as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Where it begins, the first line being 1.
    pub(crate) number: usize,
    /// Its first word.
    pub(crate) name: String,
    /// What follows, joined.
    pub(crate) rest: String,
    /// Here-documents, in order.
    pub(crate) documents: Vec<HereDocument>,
}

/// Text that stands below an instruction, up to a line with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HereDocument {
    /// The name after `<<`.
    pub(crate) name: String,
    /// Its lines, without leading tabs where `<<-` was written.
    pub(crate) document: Document,
}

/// The lines of a file, and its escape character.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) escape: char,
    pub(crate) lines: Vec<Line>,
}

/// Splits a file.
pub(crate) fn split(text: &str) -> Result<Lines, Vec<Problem>> {
    if text.len() > FILE_MAX {
        return Err(vec![Problem::new(0, ProblemKind::TooLong(FILE_MAX))]);
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut source: Source<'_> = Source { lines: text.lines(), number: 0 };
    let mut problems = Vec::new();
    let escape = directives(text, &mut problems);
    let mut lines = Vec::new();
    while let Some((number, joined)) = source.logical(escape) {
        let (name, rest) = split_name(&joined);
        let mut line = Line { number, name, rest, documents: Vec::new() };
        match source.documents(&line, escape) {
            Ok(documents) => line.documents = documents,
            Err(kind) => problems.push(Problem::new(number, kind)),
        }
        lines.push(line);
    }
    if problems.is_empty() { Ok(Lines { escape, lines }) } else { Err(problems) }
}

/// The directives at the top; they end at the first line that is none.
fn directives(text: &str, problems: &mut Vec<Problem>) -> char {
    let mut escape = '\\';
    let mut seen: Vec<String> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let Some((key, value)) = directive(line) else { break };
        let bad = match (key.as_str(), value) {
            _ if seen.contains(&key) => true,
            ("escape", "`") => {
                escape = '`';
                false
            }
            ("escape", value) => value != "\\",
            // `syntax` names a builder and `check` its warnings; this is the builder.
            _ => false,
        };
        if bad {
            problems.push(Problem::new(number, ProblemKind::Directive(key.clone())));
        }
        seen.push(key);
    }
    escape
}

/// `# key=value`, for the keys that are known.
fn directive(line: &str) -> Option<(String, &str)> {
    let (key, value) = line.trim().strip_prefix('#')?.split_once('=')?;
    let key = key.trim().to_ascii_lowercase();
    matches!(key.as_str(), "escape" | "syntax" | "check").then(|| (key, value.trim()))
}

/// The lines that are left.
struct Source<'a> {
    lines: std::str::Lines<'a>,
    number: usize,
}

impl<'a> Source<'a> {
    fn next(&mut self) -> Option<&'a str> {
        self.number += 1;
        self.lines.next()
    }

    /// The next instruction in one piece, and where it begins.
    fn logical(&mut self, escape: char) -> Option<(usize, String)> {
        let mut joined = String::new();
        let mut begin = 0;
        while let Some(line) = self.next() {
            let trimmed = line.trim();
            if trimmed.is_empty() || trimmed.starts_with('#') {
                // Comments and empty lines may stand between the lines of one instruction.
                continue;
            }
            if begin == 0 {
                begin = self.number;
            }
            // A continued line keeps its own indentation: it can stand within quotes.
            let line = if joined.is_empty() { line.trim_start() } else { line };
            match continued(line, escape) {
                Some(line) => joined.push_str(line),
                None => {
                    joined.push_str(line);
                    break;
                }
            }
        }
        (begin != 0).then_some((begin, joined))
    }

    /// The here-documents that an instruction names.
    fn documents(&mut self, line: &Line, escape: char) -> Result<Vec<HereDocument>, ProblemKind> {
        if !holds_documents(line) {
            return Ok(Vec::new());
        }
        let markers = words::split(&line.rest, escape)?;
        let markers = markers.iter().filter_map(|word| Marker::read(word));
        markers.map(|marker| self.document(marker, escape)).collect()
    }

    fn document(&mut self, marker: Marker, escape: char) -> Result<HereDocument, ProblemKind> {
        let mut text = String::new();
        while let Some(line) = self.next() {
            let line = if marker.without_tabs { line.trim_start_matches('\t') } else { line };
            if line == marker.name {
                let variables = match marker.quoted {
                    true => Variables::Text,
                    false => Variables::Replaced { escape },
                };
                let document = Document { text, variables };
                return Ok(HereDocument { name: marker.name, document });
            }
            text.push_str(line);
            text.push('\n');
        }
        Err(ProblemKind::HereDocument(marker.name))
    }
}

/// Whether an instruction can have here-documents: those that take scripts and files, also within ONBUILD.
fn holds_documents(line: &Line) -> bool {
    let is = |name: &str| ["RUN", "COPY", "ADD"].iter().any(|k| k.eq_ignore_ascii_case(name));
    let inner = line.rest.split_whitespace().next().unwrap_or_default();
    is(&line.name) || (line.name.eq_ignore_ascii_case("ONBUILD") && is(inner))
}

/// `<<NAME`, `<<-NAME`, `<<"NAME"`, perhaps with a descriptor's number before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) name: String,
    without_tabs: bool,
    quoted: bool,
}

impl Marker {
    /// Reads one word.
    pub(crate) fn read(word: &str) -> Option<Self> {
        let word = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
        let (without_tabs, word) = match word.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, word),
        };
        let name: String = word.chars().filter(|&c| c != '"' && c != '\'').collect();
        let good = !name.is_empty() && !name.contains(['<', '>', '$', '(', ')', '\\']);
        let quoted = name.len() != word.len();
        good.then_some(Self { name, without_tabs, quoted })
    }
}

/// A line without the character that says that it goes on.
fn continued(line: &str, escape: char) -> Option<&str> {
    let line = line.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    // Two of them stand for the character itself.
    (!line.ends_with(escape)).then_some(line)
}

fn split_name(joined: &str) -> (String, String) {
    let joined = joined.trim();
    let (name, rest) = joined.split_once(char::is_whitespace).unwrap_or((joined, ""));
    (name.to_owned(), rest.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rests(text: &str) -> Vec<(usize, String, String)> {
        let lines = split(text).unwrap().lines;
        lines.into_iter().map(|line| (line.number, line.name, line.rest)).collect()
    }

    #[test]
    fn lines_go_on_over_comments() {
        let text = "\n# c\nRUN a \\\n  # in between\n\n  b \\  \n c\n  from x\nRUN x\\\\\nCMD y";
        let found = rests(text);
        let numbers: Vec<usize> = found.iter().map(|line| line.0).collect();
        assert_eq!(numbers, [3, 8, 9, 10]);
        assert_eq!(found[0].2, "a   b  c");
        assert_eq!(found[1].1, "from");
        assert_eq!(found[2].2, "x\\\\");
    }

    #[test]
    fn the_escape_character_is_a_directive() {
        let lines = split("# syntax=x\n# escape=`\nRUN a `\n b\\\nCMD c").unwrap();
        assert_eq!(lines.escape, '`');
        assert_eq!(lines.lines[0].rest, "a  b\\");
        assert_eq!(split("# x\n# escape=`\nFROM a").unwrap().escape, '\\');
        let problems = split("# escape=x\n# escape=`\n").unwrap_err();
        assert_eq!(problems.len(), 2);
    }

    #[test]
    fn here_documents_end_at_their_name() {
        let text = "RUN <<EOF cat <<-'B'\na $x\nEOF\n\tb\n\tB\nCOPY <<f /x\n# text\nf\nCMD <<no";
        let lines = split(text).unwrap().lines;
        assert_eq!(lines.len(), 3);
        let escaped = Variables::Replaced { escape: '\\' };
        let [first, second] = &lines[0].documents[..] else { panic!("two documents") };
        assert_eq!((first.document.as_written(), first.document.variables), ("a $x\n", escaped));
        assert_eq!(
            (second.document.as_written(), second.document.variables),
            ("b\n", Variables::Text)
        );
        assert_eq!(lines[1].documents[0].document.as_written(), "# text\n");
        assert!(lines[2].documents.is_empty());
        let problems = split("FROM x\nRUN <<EOF\na\n").unwrap_err();
        assert_eq!(problems[0].line(), 2);
    }
}
