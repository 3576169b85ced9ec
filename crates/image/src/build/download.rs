//! ADD of a URL: what is downloaded, under which name, and how it is put into the tree.
//!
//! Kernel objects: a connection, and a file that no directory lists. Invariant: a file that has another digest than was
//! wanted is put nowhere.

use std::fs::File;
use std::path::PathBuf;
use std::time::SystemTime;

use super::Build;
use super::trouble::Trouble;
use crate::containerfile::ProblemKind;
use crate::digest::Digest;

/// A file that is to be downloaded.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) url: String,
    /// Its name in a directory, if the URL has one.
    pub(super) name: Option<PathBuf>,
    pub(super) checksum: Option<Digest>,
}

/// What came.
#[derive(Debug)]
pub(super) struct Download {
    pub(super) file: File,
    pub(super) digest: Digest,
    pub(super) modified: Option<SystemTime>,
}

impl Remote {
    /// The file of a URL; nothing where it is a path. A repository of git is one that cannot be had.
    pub(super) fn of(text: &str, checksum: Option<Digest>) -> Result<Option<Self>, Trouble> {
        let is = |schemes: &[&str]| schemes.iter().any(|scheme| text.starts_with(scheme));
        let is_web = is(&["http://", "https://"]);
        let path = path(text);
        if is(&["git://", "git@", "ssh://"]) || (is_web && path.ends_with(".git")) {
            return Err(Trouble::Unsupported("ADD of a repository of git"));
        }
        let remote = Self { url: text.to_owned(), name: name(path), checksum };
        Ok(is_web.then_some(remote))
    }

    /// The name that it has in a directory.
    pub(super) fn name(&self) -> Result<&PathBuf, Trouble> {
        let wanted = || ProblemKind::Value { what: "the name of a file", text: self.url.clone() };
        self.name.as_ref().ok_or_else(|| wanted().into())
    }

    /// Downloads it.
    #[cfg(feature = "registry")]
    pub(super) fn fetch(&self, build: &Build<'_>) -> Result<Download, Trouble> {
        use crate::digest::Algorithm;
        use crate::error::Error;
        use crate::registry::download;
        use crate::source::Spool;

        let scratch = build.store.scratch()?;
        let (options, bytes) = &build.downloads;
        let spool = Spool { directory: scratch.path().clone(), bytes: *bytes };
        let algorithm = self.checksum.map_or(Algorithm::Sha256, |digest| digest.algorithm());
        let mut file = spool.file()?;
        let done = download(&self.url, options, (algorithm, *bytes), &mut file)?;
        match self.checksum {
            Some(wanted) if wanted != done.digest => {
                Err(Error::mismatch("download", wanted, done.digest).into())
            }
            _ => Ok(Download { file, digest: done.digest, modified: done.modified }),
        }
    }

    /// Says that it cannot be had.
    #[cfg(not(feature = "registry"))]
    pub(super) fn fetch(&self, _: &Build<'_>) -> Result<Download, Trouble> {
        Err(Trouble::Unsupported("ADD of a URL without the feature `registry`"))
    }
}

/// The path of a URL, without what follows it.
fn path(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    rest.split_once('/').map_or("", |(_, path)| path)
}

/// The last component of a path, if it can be the name of a file.
fn name(path: &str) -> Option<PathBuf> {
    let last = path.rsplit('/').next().unwrap_or_default();
    let name = String::from_utf8(unescaped(last.as_bytes())).ok()?;
    let can_be = !matches!(name.as_str(), "" | "." | "..") && !name.contains(['/', '\0']);
    can_be.then(|| name.into())
}

/// With the bytes for which `%` and two digits stand (RFC 3986, 2.1).
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let plain = |digits: &&str| digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let byte = digits.filter(plain).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        (bytes, rest) = match byte.filter(|_| *first == b'%') {
            Some(byte) => ([bytes, vec![byte]].concat(), after.get(2..).unwrap_or_default()),
            None => ([bytes, vec![*first]].concat(), after),
        };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let name = |url: &str| Remote::of(url, None).unwrap().unwrap().name;
        for (url, wanted) in [
            ("http://a/b/c.tar?x=/y#z", "c.tar"),
            ("https://a:80/one%20two", "one two"),
            ("http://a/100%", "100%"),
            ("http://a/%zz", "%zz"),
        ] {
            assert_eq!(name(url), Some(wanted.into()), "{url}");
        }
        for url in ["http://a", "http://a/", "http://a/b/", "http://a/..", "http://a/%2e%2e"] {
            assert_eq!(name(url), None, "{url}");
        }
        for url in ["http://a/x%2fy", "http://a/%00", "http://a/%ff"] {
            assert_eq!(name(url), None, "{url}");
        }
        assert!(Remote::of("a/b", None).unwrap().is_none());
        for url in ["git@a:b", "git://a/b", "https://a/b.git#main"] {
            assert!(Remote::of(url, None).is_err(), "{url}");
        }
    }
}
