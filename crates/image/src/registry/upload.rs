//! Blobs and manifests to a registry.
//!
//! Kernel objects: connections. Invariant: a manifest is pushed by whoever calls, after all that it names.

use std::io::Read;

use ureq::SendBody;
use ureq::http::Uri;

use super::http::{self, Answer};
use super::trouble::Trouble;
use super::{Registry, Request, name_of, pull};
use crate::digest::Digest;
use crate::error::Result;
use crate::reference::Reference;

/// What became of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pushed {
    /// The registry had it already.
    AlreadyThere,
    /// The registry took it over from another of its repositories.
    Mounted,
    /// It was sent.
    Sent,
}

impl Registry {
    /// Whether a repository has a blob.
    ///
    /// # Errors
    /// As [`Registry::manifest`].
    pub fn has_blob(&self, repository: &str, digest: &Digest) -> Result<bool> {
        let path = format!("/v2/{repository}/blobs/{digest}");
        self.patiently(&path, || {
            let answer = self.send(&self.request("HEAD", &path, &pull_push(repository))?)?;
            match answer.status().as_u16() {
                404 => Ok(false),
                _ => http::checked(answer).map(|_| true),
            }
        })
    }

    /// Pushes a blob of `size` bytes, unless it is there. `open` gives its bytes, once for each attempt. Where `from`
    /// names another repository of the registry that may have it, it is asked to take it from there.
    ///
    /// # Errors
    /// As [`Registry::manifest`]; [`ErrorKind::System`](crate::ErrorKind::System) if the bytes cannot be read.
    pub fn push_blob<R: Read + 'static>(
        &self,
        repository: &str,
        (digest, size): (&Digest, u64),
        from: Option<&str>,
        open: impl Fn() -> std::io::Result<R>,
    ) -> Result<Pushed> {
        if self.has_blob(repository, digest)? {
            return Ok(Pushed::AlreadyThere);
        }
        let path = match from {
            Some(other) => format!("/v2/{repository}/blobs/uploads/?mount={digest}&from={other}"),
            None => format!("/v2/{repository}/blobs/uploads/"),
        };
        let scope = match from {
            // Space-separated: a token for both.
            Some(other) => format!("{} {}", pull_push(repository), pull(other)),
            None => pull_push(repository),
        };
        self.patiently(&path, || {
            let mut begin = self.request("POST", &path, &scope)?;
            begin.headers.push(("content-length", "0".to_owned()));
            let answer = http::checked(self.send(&begin)?)?;
            if from.is_some() && answer.status().as_u16() == 201 {
                return Ok(Pushed::Mounted);
            }
            let url = with_digest(&self.location(&answer)?, digest)?;
            let headers = vec![
                ("content-type", "application/octet-stream".to_owned()),
                ("content-length", size.to_string()),
            ];
            let request = Request { method: "PUT", url, scope: &scope, headers };
            let mut body = || {
                let reader = open().map_err(|error| Trouble::Unreadable(error.kind()))?;
                Ok(SendBody::from_owned_reader(reader.take(size)))
            };
            http::checked(self.send_with(&request, &mut body)?).map(|_| Pushed::Sent)
        })
    }

    /// Pushes a manifest or an index under the reference's tag, or under its digest if it has one.
    ///
    /// # Errors
    /// As [`Registry::manifest`].
    pub fn push_manifest(
        &self,
        reference: &Reference,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<()> {
        let repository = reference.repository();
        let name = match reference.tag() {
            Some(tag) => tag.to_owned(),
            None => name_of(reference),
        };
        let path = format!("/v2/{repository}/manifests/{name}");
        let scope = pull_push(repository);
        self.patiently(&path, || {
            let mut request = self.request("PUT", &path, &scope)?;
            request.headers.push(("content-type", media_type.to_owned()));
            request.headers.push(("content-length", bytes.len().to_string()));
            let mut body = || Ok(SendBody::from_owned_reader(std::io::Cursor::new(bytes.to_vec())));
            http::checked(self.send_with(&request, &mut body)?).map(drop)
        })
    }

    /// Where an upload goes on.
    fn location(&self, answer: &Answer) -> Result<Uri, Trouble> {
        let location = answer.headers().get("location").and_then(|value| value.to_str().ok());
        self.endpoint.resolve(location.ok_or(Trouble::Header("Location"))?)
    }
}

fn pull_push(repository: &str) -> String {
    format!("repository:{repository}:pull,push")
}

/// The last request of an upload names the digest.
fn with_digest(url: &Uri, digest: &Digest) -> Result<Uri, Trouble> {
    let joint = if url.query().is_some() { '&' } else { '?' };
    format!("{url}{joint}digest={digest}").parse().map_err(|_| Trouble::Header("Location"))
}
