//! Where an image is or goes to, as a word of a command line.
//!
//! Touches nothing but names of files. Invariant: a prefix decides; without one the caller says what a word is.

use std::path::{Path, PathBuf};

use ampoule::image::Reference;

use crate::arguments::Failure;

/// Where an image is, or goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `oci:DIR[:NAME]`: an OCI layout that is a directory.
    Layout(PathBuf, Option<String>),
    /// `oci-archive:FILE[:NAME]`: an OCI layout in a tar file.
    LayoutArchive(PathBuf, Option<String>),
    /// `docker-archive:FILE[:NAME]`: what `docker save` writes.
    DockerArchive(PathBuf, Option<Reference>),
    /// `dir:DIR`: the files themselves in a directory.
    Directory(PathBuf),
    /// `tar:FILE`: the files themselves in a tar file.
    Tar(PathBuf),
    /// A path without a prefix: a layout, or an archive of either kind.
    Path(PathBuf),
    /// `docker://NAME`, or a name: in a registry.
    Registry(Reference),
}

impl Place {
    /// Reads a word that is a reference unless it has a prefix.
    ///
    /// # Errors
    /// What does not parse.
    pub fn or_reference(text: &str) -> Result<Self, Failure> {
        match Self::prefixed(text)? {
            Some(place) => Ok(place),
            None => Ok(Self::Registry(text.parse()?)),
        }
    }

    /// Reads a word that is a path unless it has a prefix.
    ///
    /// # Errors
    /// What does not parse.
    pub fn or_path(text: &str) -> Result<Self, Failure> {
        Ok(Self::prefixed(text)?.unwrap_or_else(|| Self::Path(text.into())))
    }

    /// Reads a word that is a path if it has a prefix of one or begins with `/`, `./` or `../`; `None` for a name.
    ///
    /// # Errors
    /// What does not parse.
    pub fn if_path(text: &str) -> Result<Option<Self>, Failure> {
        let is_path = ["/", "./", "../"].iter().any(|start| text.starts_with(start));
        match Self::prefixed(text)? {
            None if is_path => Ok(Some(Self::Path(text.into()))),
            prefixed => Ok(prefixed),
        }
    }

    fn prefixed(text: &str) -> Result<Option<Self>, Failure> {
        if let Some(name) = text.strip_prefix("docker://") {
            return Ok(Some(Self::Registry(name.parse()?)));
        }
        let Some((prefix, rest)) = text.split_once(':') else { return Ok(None) };
        // A name has colons of its own, so that the first one ends the path.
        let (path, name) = match rest.split_once(':') {
            Some((path, name)) => (PathBuf::from(path), Some(name.to_owned())),
            None => (PathBuf::from(rest), None),
        };
        let place = match prefix {
            "oci" => Self::Layout(path, name),
            "oci-archive" => Self::LayoutArchive(path, name),
            "docker-archive" => {
                Self::DockerArchive(path, name.map(|name| name.parse()).transpose()?)
            }
            "dir" => Self::Directory(rest.into()),
            "tar" => Self::Tar(rest.into()),
            _ => return Ok(None),
        };
        match rest.is_empty() {
            true => Err(format!("{text}: a path is missing").into()),
            false => Ok(Some(place)),
        }
    }

    /// A name for an image that has none: after its file.
    pub(super) fn name(path: &Path, tag: &str) -> Option<Reference> {
        let stem = path.file_stem()?.to_str()?.to_lowercase();
        format!("localhost/{stem}:{tag}").parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_decide() {
        let of = |text: &str| Place::or_reference(text).unwrap();
        assert_eq!(of("oci:/d"), Place::Layout("/d".into(), None));
        let named = Some("localhost/x:1".to_owned());
        assert_eq!(of("oci:/d:localhost/x:1"), Place::Layout("/d".into(), named));
        assert_eq!(of("oci-archive:f.tar"), Place::LayoutArchive("f.tar".into(), None));
        let named = Some("x:1".parse().unwrap());
        assert_eq!(of("docker-archive:f:x:1"), Place::DockerArchive("f".into(), named));
        assert_eq!(of("tar:a:b"), Place::Tar("a:b".into()));
        assert_eq!(of("dir:."), Place::Directory(".".into()));
        for name in ["alpine", "alpine:3.22", "localhost:5000/x:1", "docker://alpine"] {
            assert!(matches!(of(name), Place::Registry(_)), "{name}");
        }
        for wrong in ["oci:", "dir:", "docker-archive:f:X Y", "UPPER", "docker://"] {
            assert!(Place::or_reference(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn paths_and_names() {
        assert_eq!(Place::or_path("x.tar").unwrap(), Place::Path("x.tar".into()));
        assert_eq!(Place::if_path("alpine:3").unwrap(), None);
        assert_eq!(Place::if_path("./x").unwrap(), Some(Place::Path("./x".into())));
        let name = Place::name(Path::new("/a/Debian.tar"), "latest").unwrap();
        assert_eq!(name.to_string(), "localhost/debian:latest");
        assert_eq!(Place::name(Path::new("/"), "latest"), None);
    }
}
