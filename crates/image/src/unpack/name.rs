//! The name of a member as a path inside the root.
//!
//! Kernel objects: none. Invariant: a [`Name`] has no empty component, no `.`, no `..`, no zero
//! byte and no slash at either end; the root is the empty name.

use super::quotas::{Quota, Quotas};
use super::trouble::{NameTrouble, Trouble};

/// What whiteouts begin with.
const WHITEOUT: &[u8] = b".wh.";

/// What follows [`WHITEOUT`] in the name of an opaque directory's mark.
const OPAQUE: &[u8] = b".wh..opq";

/// A path inside the root.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name(Vec<u8>);

/// What a name stands for in a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The root itself.
    Root,
    /// A file of that name.
    Member(Name),
    /// Whatever lower layers have by this name is gone.
    Whiteout(Name),
    /// Whatever lower layers have in this directory is gone.
    Opaque(Name),
}

impl Name {
    /// Slashes at the begin, doubled ones and `.` are passed over, as tar(1) does; `..` is refused
    /// everywhere.
    pub(crate) fn parse(raw: &[u8], quotas: &Quotas) -> Result<Self, NameError> {
        if raw.len() > quotas.name {
            return Err(NameError::Quota(Quota::Name, quotas.name));
        }
        if raw.is_empty() {
            return Err(NameError::Trouble(NameTrouble::Empty));
        }
        if raw.contains(&0) {
            return Err(NameError::Trouble(NameTrouble::Nul));
        }
        let mut path = Vec::with_capacity(raw.len());
        let mut depth = 0;
        for part in raw.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")) {
            if part == b".." {
                return Err(NameError::Trouble(NameTrouble::Up));
            }
            depth += 1;
            if depth > quotas.depth {
                return Err(NameError::Quota(Quota::Depth, quotas.depth));
            }
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(part);
        }
        Ok(Self(path))
    }

    /// What the member called `raw` stands for.
    pub(crate) fn meaning(raw: &[u8], quotas: &Quotas) -> Result<Meaning, Trouble> {
        let name = Self::parse(raw, quotas).map_err(|error| error.of(Trouble::Name))?;
        let (parent, last) = name.split();
        if parent.split(|byte| *byte == b'/').any(|part| part.starts_with(WHITEOUT)) {
            return Err(Trouble::Whiteout);
        }
        match last.strip_prefix(WHITEOUT) {
            _ if last.is_empty() => Ok(Meaning::Root),
            None => Ok(Meaning::Member(name)),
            Some(OPAQUE) => Ok(Meaning::Opaque(Self(parent.to_vec()))),
            // `.wh..`, `.wh...` name no file; `.wh..wh.` is AUFS's own.
            Some(b"" | b"." | b"..") => Err(Trouble::Whiteout),
            Some(hidden) if hidden.starts_with(WHITEOUT) => Err(Trouble::Whiteout),
            Some(hidden) if parent.is_empty() => Ok(Meaning::Whiteout(Self(hidden.to_vec()))),
            Some(hidden) => Ok(Meaning::Whiteout(Self([parent, b"/", hidden].concat()))),
        }
    }

    /// The directory and the last component.
    pub(crate) fn split(&self) -> (&[u8], &[u8]) {
        split(&self.0)
    }

    /// The path, relative to the root.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameError {
    Trouble(NameTrouble),
    Quota(Quota, usize),
}

impl NameError {
    /// As the trouble of a layer, of its name or of a link's target.
    pub(crate) fn of(self, what: impl FnOnce(NameTrouble) -> Trouble) -> Trouble {
        match self {
            Self::Trouble(trouble) => what(trouble),
            Self::Quota(quota, max) => Trouble::Quota(quota, max as u64),
        }
    }
}

/// The directory that a path is in, and its last component.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => {
            let (parent, last) = path.split_at(slash);
            (parent, last.get(1..).unwrap_or_default())
        }
        None => (&[], path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(raw: &str) -> Result<Meaning, Trouble> {
        Name::meaning(raw.as_bytes(), &Quotas::default())
    }

    fn name(text: &str) -> Name {
        Name(text.as_bytes().to_vec())
    }

    #[test]
    fn members() {
        for (raw, path) in [("a", "a"), ("./a/", "a"), ("//a//./b", "a/b"), ("a/.b..c", "a/.b..c")]
        {
            assert_eq!(meaning(raw), Ok(Meaning::Member(name(path))), "{raw}");
        }
        for raw in ["/", ".", "./", "//./"] {
            assert_eq!(meaning(raw), Ok(Meaning::Root), "{raw}");
        }
        assert_eq!(name("a/b/c").split(), (b"a/b".as_slice(), b"c".as_slice()));
    }

    #[test]
    fn names_that_lead_out() {
        for raw in ["..", "../x", "/..", "a/../b", "a/..", "./../x", "a/../../x"] {
            assert_eq!(meaning(raw), Err(Trouble::Name(NameTrouble::Up)), "{raw}");
        }
        assert_eq!(meaning(""), Err(Trouble::Name(NameTrouble::Empty)));
        assert_eq!(meaning("a\0b"), Err(Trouble::Name(NameTrouble::Nul)));
        assert!(matches!(meaning(&"a/".repeat(257)), Err(Trouble::Quota(Quota::Depth, 256))));
        assert!(matches!(meaning(&"a".repeat(4096)), Err(Trouble::Quota(Quota::Name, 4095))));
    }

    #[test]
    fn whiteouts() {
        assert_eq!(meaning("a/.wh.b"), Ok(Meaning::Whiteout(name("a/b"))));
        assert_eq!(meaning(".wh.b"), Ok(Meaning::Whiteout(name("b"))));
        assert_eq!(meaning(".wh....b"), Ok(Meaning::Whiteout(name("...b"))));
        assert_eq!(meaning("a/.wh..wh..opq"), Ok(Meaning::Opaque(name("a"))));
        assert_eq!(meaning(".wh..wh..opq"), Ok(Meaning::Opaque(name(""))));
        for raw in [
            ".wh.",
            "a/.wh..",
            "a/.wh...",
            ".wh..wh.plnk",
            ".wh..wh..wh..opq",
            ".wh.a/b",
            "a/.wh.b/c",
        ] {
            assert_eq!(meaning(raw), Err(Trouble::Whiteout), "{raw}");
        }
    }
}
