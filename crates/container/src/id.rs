//! The name of a container.
//!
//! Kernel objects: none; it is part of a group's name. Invariant: a name is one component of any path.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Problem;

/// A name is at most this long.
const LENGTH_MAX: usize = 128;

/// A name that no other container of this machine has now (of this pid namespace).
pub(crate) fn fresh() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// What is wrong with a name.
pub(crate) fn problem(id: &str) -> Option<Problem> {
    let first = id.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte);
    let reason = match () {
        () if id.len() > LENGTH_MAX => format!("it is longer than {LENGTH_MAX} bytes"),
        () if !first => "its first character is no letter or digit".to_owned(),
        () if !id.bytes().all(plain) => {
            "it has a character that is no letter, digit, '.', '_', '-' or '+'".to_owned()
        }
        () => return None,
    };
    Some(Problem::new("id", reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_plain_component() {
        for id in ["a", "7", "web.1", "a_b-c+d", &"x".repeat(128), &fresh()] {
            assert_eq!(problem(id), None, "{id}");
        }
        let long = "x".repeat(4096);
        for id in ["", ".", "..", "../x", "/", "a/b", "a b", "a\n", "-a", "ü", "a\0", &long] {
            assert!(problem(id).is_some(), "{id:?}");
        }
        assert_ne!(fresh(), fresh());
    }
}
