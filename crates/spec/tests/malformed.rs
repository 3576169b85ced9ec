//! JSON that is broken, ambiguous or too much is refused, with the line, the column and the place.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use ampoule_spec::{DOCUMENT_MAX, Document, ErrorKind};
use proptest::prelude::*;

const CONFIG: &str = include_str!("bundles/every-property.json");

fn refused(json: &str) -> String {
    let error = Document::parse(json.as_bytes()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
    assert!(error.problems()[0].position.is_some());
    error.to_string()
}

#[test]
fn wherever_it_ends_early_it_is_told_where() {
    for end in (0..CONFIG.trim_end().len()).step_by(5) {
        let error = Document::parse(&CONFIG.as_bytes()[..end]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{end}: {error}");
        let position = error.problems()[0].position.unwrap();
        assert_eq!(position.line, CONFIG[..end].lines().count().max(position.line), "{error}");
    }
    let end = CONFIG.find("\"RLIMIT_CORE\"").unwrap();
    let line = CONFIG[..end].lines().count();
    let expected = format!("process.rlimits[1].type (line {line}, column ");
    assert!(refused(&CONFIG[..end]).starts_with(&expected), "{}", refused(&CONFIG[..end]));
}

#[test]
fn what_can_be_read_in_two_ways() {
    let cases = [
        (r#"{"root": 1, "root": 2}"#, "root (line 1, column 18): the key \"root\" stands twice"),
        (
            r#"{"linux": {"Namespaces": []}}"#,
            "linux.Namespaces (line 1, column 23): \"Namespaces\" is a field in another case",
        ),
        (
            "{\"proce\u{17f}s\": 1}",
            "[\"proce\u{17f}s\"] (line 1, column 11): \"proce\u{17f}s\" is a field in another case",
        ),
        (r#"{"x": {"a": 1, "a": 2}}"#, "x.a (line 1, column 18): the key \"a\" stands twice"),
        (
            r#"{"annotations": {"a": "", "a": ""}}"#,
            "annotations.a (line 1, column 29): the key \"a\" stands twice",
        ),
        ("{} {}", "the document (line 1, column 4): trailing characters"),
        (r#"{"root": 1,}"#, "the document (line 1, column 12): trailing comma"),
    ];
    for (json, expected) in cases {
        assert_eq!(refused(json), expected, "{json}");
    }
}

/// Keys that are data, and fields of others, are theirs to name.
#[test]
fn data_is_not_a_field() {
    let json = r#"{"ociVersion": "1.3.0", "annotations": {"Root": "1", "root": "2"}, "x": {"Root": 1, "rOOt": 2}}"#;
    let document = Document::parse(json.as_bytes()).unwrap();
    assert_eq!(document.unknown()[0].json, r#"{"Root":1,"rOOt":2}"#);
}

#[test]
fn too_much() {
    let deep = format!("{{\"x\": {}{}}}", "[".repeat(100), "]".repeat(100));
    assert!(refused(&deep).ends_with("nested more than 64 deep"), "{}", refused(&deep));
    let error = Document::parse(" ".repeat(DOCUMENT_MAX + 1).as_bytes()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    let wide = format!("{{\"mounts\": [{}1]}}", "1,".repeat(10_000));
    let error = Document::parse(wide.as_bytes()).unwrap_err();
    assert!(error.problems().len() <= 64, "{}", error.problems().len());
    for text in ["", "null", "[]", "7", "\"x\""] {
        assert!(Document::parse(text.as_bytes()).is_err(), "{text}");
    }
}

/// Pieces that mean something, to be put where others were.
const PIECES: [&str; 12] = [
    "null",
    "[]",
    "{}",
    "-1",
    "1e400",
    "0.1",
    "\"\"",
    "\"a\\u0000\"",
    "18446744073709551616",
    "[{}]",
    "{\"x\": 1}",
    "true",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// As the fuzz target: no panic, what is read is written back, what is refused says where.
    #[test]
    fn changed_documents_are_read_or_refused(
        changes in proptest::collection::vec((0..CONFIG.len(), proptest::sample::select(PIECES.to_vec())), 1..4)
    ) {
        let mut json = CONFIG.to_owned();
        for (at, piece) in changes {
            // The next value after this place, as far as a comma or the end of what it is in.
            let Some(start) = json.get(at..).and_then(|rest| rest.find(": ")).map(|it| at + it + 2) else {
                continue;
            };
            let length = json[start..].find([',', '}', ']', '\n']).unwrap_or(0);
            json.replace_range(start..start + length, piece);
        }
        ampoule_spec::fuzz::config(json.as_bytes());
    }
}
