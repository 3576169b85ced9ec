//! Tests of references: known forms, where errors point, and properties.

use proptest::prelude::*;

use super::*;
use crate::ErrorKind;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn parsed(text: &str) -> Reference {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn as_everybody_writes_them() {
    for (text, full, familiar) in [
        ("alpine", "docker.io/library/alpine", "alpine"),
        ("alpine:3.22", "docker.io/library/alpine:3.22", "alpine:3.22"),
        ("docker.io/library/alpine:3.22", "docker.io/library/alpine:3.22", "alpine:3.22"),
        ("docker.io/alpine", "docker.io/library/alpine", "alpine"),
        ("index.docker.io/alpine", "docker.io/library/alpine", "alpine"),
        ("team/app", "docker.io/team/app", "team/app"),
        ("library/a/b", "docker.io/library/a/b", "library/a/b"),
        ("localhost/x", "localhost/x", "localhost/x"),
        ("docker.io/localhost/x", "docker.io/localhost/x", "docker.io/localhost/x"),
        ("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"),
        ("localhost:5000/x:1", "localhost:5000/x:1", "localhost:5000/x:1"),
        ("[::1]:5000/x", "[::1]:5000/x", "[::1]:5000/x"),
        ("[fd00::1]/x", "[fd00::1]/x", "[fd00::1]/x"),
        ("Host/x", "Host/x", "Host/x"),
        (
            "a.example:443/b/c__d/e--f:T.1",
            "a.example:443/b/c__d/e--f:T.1",
            "a.example:443/b/c__d/e--f:T.1",
        ),
    ] {
        let reference = parsed(text);
        assert_eq!(reference.to_string(), full);
        assert_eq!(reference.familiar(), familiar);
    }
}

#[test]
fn digests() {
    let text = format!("localhost:5000/x:1@sha256:{HEX}");
    let reference = parsed(&text);
    assert_eq!(reference.to_string(), text);
    assert_eq!(reference.tag(), Some("1"));
    assert_eq!(reference.digest().map(|digest| digest.hex()), Some(HEX.to_owned()));
    assert_eq!(reference.or_latest(), reference);
    assert_eq!(parsed("x").or_latest().tag(), Some("latest"));
    let named = parsed(&format!("docker.io/library/{HEX}"));
    assert_eq!(named.familiar(), format!("library/{HEX}"));
}

#[test]
fn errors_say_where() {
    let long = "a".repeat(256);
    let long_tag = format!("x:{}", "t".repeat(129));
    for (text, offset) in [
        ("", 0),
        (HEX, 0),
        ("Alpine", 0),
        ("alpine:", 7),
        ("alpine:.x", 7),
        ("alpine:a b", 8),
        ("a//b", 2),
        ("/a", 0),
        ("a/", 2),
        ("a/_b", 2),
        ("a/b.", 3),
        ("a/b..c", 3),
        ("a/b___c", 3),
        ("a/b._c", 3),
        ("../../etc/passwd", 0),
        ("localhost:5000/Team/x", 15),
        ("localhost:99999/x", 10),
        ("localhost:/x", 10),
        ("-h.example/x", 0),
        ("h-.example/x", 1),
        ("h..example/x", 2),
        ("h_.example/x", 1),
        ("[::1/x", 4),
        ("[::g]:5/x", 1),
        ("[::1]5.x/x", 5),
        ("alpine@", 7),
        ("alpine@sha256:../x", 14),
        ("alpine@sha256:00@sha256:00", 16),
        ("alpine:1\n", 8),
        ("é", 0),
        (&long, 255),
        (&long_tag, 130),
    ] {
        let error = text.parse::<Reference>().expect_err(text);
        assert_eq!(error.kind(), ErrorKind::InvalidReference, "{text}");
        assert_eq!(error.offset(), Some(offset), "{error}");
    }
    let error = parsed("x").with_tag("a/b").expect_err("no tag");
    assert_eq!((error.kind(), error.offset()), (ErrorKind::InvalidReference, Some(1)));
}

/// Texts near the grammar.
fn near() -> impl Strategy<Value = String> {
    let registry = "((localhost|[a-zA-Z0-9-]{1,5}(\\.[a-z0-9]{1,3}){0,2})(:[0-9]{1,5})?/)?";
    let path = "[a-z0-9]{1,4}([._-]{1,2}[a-z0-9]{1,3}){0,2}(/[a-z0-9._-]{1,5}){0,2}";
    let rest = "(:[A-Za-z0-9_.-]{1,8})?(@sha256:[0-9a-f]{64})?";
    proptest::string::string_regex(&format!("{registry}{path}{rest}")).expect("regex")
}

proptest! {
    #[test]
    fn normalised_and_familiar_forms_name_the_same(text in near()) {
        if let Ok(reference) = text.parse::<Reference>() {
            prop_assert_eq!(&reference.to_string().parse::<Reference>().expect("full"), &reference);
            prop_assert_eq!(&reference.familiar().parse::<Reference>().expect("short"), &reference);
            prop_assert!(reference.name().len() <= 255);
            prop_assert!(!reference.name().split('/').any(|part| part.is_empty() || part == ".."));
        }
    }

    #[test]
    fn offsets_stay_inside(text in "\\PC{0,40}|[a-z0-9:/@._-]{0,40}") {
        if let Err(error) = text.parse::<Reference>() {
            let offset = error.offset().expect("an offset");
            prop_assert!(offset <= text.len());
            prop_assert!(text.is_char_boundary(offset));
        }
    }
}
