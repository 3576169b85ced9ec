//! `.dockerignore`: which files of the build's directory are not part of it.
//!
//! Kernel objects: none. Invariant: the last pattern that matches a path or one of its parents decides.

use super::pattern::{Pattern, Separator};
use super::problem::{Problem, ProblemKind};

/// The patterns of a `.dockerignore` or `.containerignore` file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    pattern: Pattern,
    excludes: bool,
}

impl Ignore {
    /// Reads the file's text: a pattern per line, `#` in the first column for comments, `!` before what is kept.
    ///
    /// # Errors
    /// Every pattern that does not parse, with its line.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let mut rules = Vec::new();
        let mut problems = Vec::new();
        for (line, text) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
            let pattern = text.trim();
            if text.starts_with('#') || pattern.is_empty() {
                continue;
            }
            let (excludes, pattern) = match pattern.strip_prefix('!') {
                Some(kept) => (false, kept.trim()),
                None => (true, pattern),
            };
            let pattern = clean(pattern);
            if pattern.is_empty() {
                continue;
            }
            match Pattern::new(&pattern, Separator::Slash) {
                Ok(pattern) => rules.push(Rule { pattern, excludes }),
                Err(_) => problems.push(Problem::new(line, ProblemKind::Pattern(pattern))),
            }
        }
        if problems.is_empty() { Ok(Self { rules }) } else { Err(problems) }
    }

    /// Whether a path is left out. It is relative to the build's directory and has no `.` or `..` in it.
    #[must_use]
    pub fn excludes(&self, path: &str) -> bool {
        let matches = |rule: &Rule| self_and_parents(path).any(|part| rule.pattern.matches(part));
        self.rules.iter().rev().find(|rule| matches(rule)).is_some_and(|rule| rule.excludes)
    }

    /// Whether something below an excluded directory can be kept, so that it must be walked all the same.
    #[must_use]
    pub fn has_exceptions(&self) -> bool {
        self.rules.iter().any(|rule| !rule.excludes)
    }
}

/// A path and the directories above it.
fn self_and_parents(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| path.rsplit_once('/').map(|(parent, _)| parent))
}

/// Without `.`, `..`, doubled and outer slashes.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_match_decides() {
        let text = "# comment\n*.md\n!README.md\nnode_modules\n**/target/\n./a/../b\n\n/abs/file\n";
        let ignore = Ignore::parse(text).unwrap();
        for path in ["x.md", "node_modules", "node_modules/a/b", "x/target/debug", "b", "abs/file"]
        {
            assert!(ignore.excludes(path), "{path}");
        }
        for path in ["README.md", "d/x.md", "src", "a", "targets", "file"] {
            assert!(!ignore.excludes(path), "{path}");
        }
        assert!(ignore.has_exceptions());
    }

    #[test]
    fn an_exception_below_an_excluded_directory_is_kept() {
        let ignore = Ignore::parse("*\n!src\n!Cargo.toml").unwrap();
        assert!(ignore.excludes("doc/x"));
        assert!(!ignore.excludes("src/main.rs"));
        assert!(!ignore.excludes("Cargo.toml"));
    }

    #[test]
    fn a_pattern_without_end_is_named_with_its_line() {
        let problems = Ignore::parse("a\n[b\n\\").unwrap_err();
        assert_eq!(problems.iter().map(Problem::line).collect::<Vec<_>>(), [2, 3]);
    }
}
