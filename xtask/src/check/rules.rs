//! What a source file must not contain. Pure: path and text in, findings out.

use super::lexer::{blank, is_word};

/// Lines over which a file is worth a warning.
pub(super) const LONG: usize = 400;
/// Lines that a file may not exceed.
pub(super) const TOO_LONG: usize = 500;

/// Where `unsafe` may stand: a path prefix and the reason.
#[rustfmt::skip]
const UNSAFE_ALLOWED: &[(&str, &str)] = &[
    ("crates/init/src/sys/", "the safe wrappers of system calls"),
    ("crates/init/program/", "the embedded program, which has no standard library"),
    ("benches/src/floor.rs", "the raw floor makes the system calls itself; not published"),
];

const VAGUE: &[&str] =
    &["util", "utils", "common", "helper", "helpers", "manager", "managers", "misc"];

/// Lines that hold the word `unsafe` where it is not allowed.
pub(super) fn unsafe_code(path: &str, text: &str) -> Vec<String> {
    if UNSAFE_ALLOWED.iter().any(|(prefix, _)| path.starts_with(prefix)) {
        return Vec::new();
    }
    let code = blank(text);
    let lines = code.lines().enumerate();
    let hits = lines.filter(|(_, line)| line.split(|c| !is_word(c)).any(|word| word == "unsafe"));
    hits.map(|(index, _)| format!("{path}:{}: unsafe is not allowed here", index + 1)).collect()
}

/// `allow` and `expect` attributes without a reason.
pub(super) fn reasons(path: &str, text: &str) -> Vec<String> {
    let code = blank(text);
    let mut findings = Vec::new();
    for opening in ["[allow(", "[expect("] {
        for (at, _) in code.match_indices(opening) {
            let (before, after) = code.split_at(at + opening.len());
            let inside = after.split(']').next().unwrap_or(after);
            if !inside.split(|c| !is_word(c)).any(|word| word == "reason") {
                let line = before.matches('\n').count() + 1;
                findings.push(format!("{path}:{line}: a lint is switched off without a reason"));
            }
        }
    }
    findings
}

/// A vague word in the path or in the name of a module.
pub(super) fn names(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for part in path.trim_end_matches(".rs").split('/') {
        if is_vague(part) {
            findings.push(format!("{path}: `{part}` says nothing"));
        }
    }
    let code = blank(text);
    for (index, line) in code.lines().enumerate() {
        let mut words = line.split(|c| !is_word(c)).skip_while(|word| *word != "mod").skip(1);
        if words.next().is_some_and(is_vague) {
            findings.push(format!("{path}:{}: this module's name says nothing", index + 1));
        }
    }
    findings
}

fn is_vague(name: &str) -> bool {
    name.split(['_', '-']).any(|word| VAGUE.contains(&word))
}

/// Code that is not there yet and tests that do not run.
pub(super) fn finished(path: &str, text: &str) -> Vec<String> {
    let marker = concat!("FIX", "ME");
    let code = blank(text);
    let mut findings = Vec::new();
    for (index, (line, code)) in text.lines().zip(code.lines()).enumerate() {
        let in_code = ["todo!", "unimplemented!", "#[ignore"].into_iter();
        let hits = in_code.filter(|word| code.contains(word));
        let marked = line.contains(marker).then_some(marker);
        findings.extend(hits.chain(marked).map(|word| format!("{path}:{}: {word}", index + 1)));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_is_found_in_code_only() {
        let text = "// unsafe\nunsafe { f(\"unsafe\") }\n#![forbid(unsafe_code)]\n";
        assert_eq!(unsafe_code("crates/ns/src/a.rs", text).len(), 1);
        assert!(unsafe_code("crates/init/src/sys/a.rs", text).is_empty());
        assert_eq!(unsafe_code("crates/init/src/system.rs", text).len(), 1);
    }

    #[test]
    fn a_reason_may_be_on_another_line() {
        let good = "#[expect(\n    dead_code,\n    reason = \"why\"\n)]\nfn f() {}\n";
        assert!(reasons("a.rs", good).is_empty());
        let bad = "fn f() {}\n#![allow(dead_code)] // reason\n#[expect(x)]";
        assert_eq!(reasons("a.rs", bad).len(), 2);
    }

    #[test]
    fn vague_names_are_found() {
        assert_eq!(names("crates/a/tests/common/mod.rs", "").len(), 1);
        assert_eq!(names("crates/a/src/id_helpers.rs", "").len(), 1);
        assert_eq!(names("a.rs", "pub(crate) mod misc {").len(), 1);
        assert!(names("crates/commonality/src/model.rs", "mod model; // mod util").is_empty());
    }

    #[test]
    fn unfinished_code_is_found() {
        let text = format!("todo!();\n#[ignore]\n// {}{}\n// todo!()\n", "FIX", "ME");
        assert_eq!(finished("a.rs", &text).len(), 3);
    }
}
