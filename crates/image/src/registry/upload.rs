//! Blobs and manifests to a registry.
//!
//! Kernel objects: connections. Invariant: a manifest is pushed by whoever calls, after all that it names; a blob is
//! there when the registry has compared its digest.

use std::io::Cursor;

use ureq::SendBody;
use ureq::http::Uri;

use super::http::{self, Answer};
use super::trouble::Trouble;
use super::{Registry, Request, name_of, pull};
use crate::digest::Digest;
use crate::error::Result;
use crate::reference::Reference;

/// How many bytes are sent in one request: as many have to be kept to be sent again.
const CHUNK: usize = 8 << 20;

/// Whether a blob has to be sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum Push<'a> {
    /// The registry has it already.
    AlreadyThere,
    /// The registry took it over from another of its repositories.
    Mounted,
    /// It has to be sent.
    Send(Box<Upload<'a>>),
}

/// A blob on its way to a registry.
#[derive(Debug)]
pub struct Upload<'a> {
    registry: &'a Registry,
    path: String,
    scope: String,
    digest: Digest,
    location: Uri,
    /// Bytes that the registry has taken.
    taken: u64,
    /// Bytes that are not sent yet.
    waiting: Vec<u8>,
}

impl Registry {
    /// Whether a repository has a blob.
    ///
    /// # Errors
    /// As [`Registry::manifest`].
    pub fn has_blob(&self, repository: &str, digest: &Digest) -> Result<bool> {
        let path = format!("/v2/{repository}/blobs/{digest}");
        let scope = pull_push(repository);
        self.patiently(&path, || {
            let answer = self.send(&self.request("HEAD", &path, &scope)?)?;
            match answer.status().as_u16() {
                404 => Ok(false),
                _ => http::checked(answer).map(|_| true),
            }
        })
    }

    /// Begins to push a blob, unless the repository has it. Where `from` names another repository of the registry that
    /// may have it, the registry is asked to take it from there.
    ///
    /// # Errors
    /// As [`Registry::manifest`].
    pub fn push_blob(
        &self,
        repository: &str,
        digest: &Digest,
        from: Option<&str>,
    ) -> Result<Push<'_>> {
        if self.has_blob(repository, digest)? {
            return Ok(Push::AlreadyThere);
        }
        match from {
            Some(from) => self.mount(repository, digest, from),
            None => self.begin_upload(repository, digest).map(Push::Send),
        }
    }

    /// Begins to push a blob, whether or not the repository has it.
    ///
    /// # Errors
    /// As [`Registry::manifest`].
    pub fn begin_upload(&self, repository: &str, digest: &Digest) -> Result<Box<Upload<'_>>> {
        let path = format!("/v2/{repository}/blobs/uploads/");
        let scope = pull_push(repository);
        let location = self.patiently(&path, || self.location(&self.post(&path, &scope)?))?;
        Ok(Upload::begun(self, (path, scope), digest, location))
    }

    /// Asks to take a blob over from another repository; a registry that does not begins an upload instead.
    fn mount(&self, repository: &str, digest: &Digest, from: &str) -> Result<Push<'_>> {
        let path = format!("/v2/{repository}/blobs/uploads/?mount={digest}&from={from}");
        // Space-separated: a token for both.
        let scope = format!("{} {}", pull_push(repository), pull(from));
        let location = self.patiently(&path, || {
            let answer = self.post(&path, &scope)?;
            match answer.status().as_u16() {
                201 => Ok(None),
                _ => self.location(&answer).map(Some),
            }
        })?;
        Ok(match location {
            Some(location) => Push::Send(Upload::begun(self, (path, scope), digest, location)),
            None => Push::Mounted,
        })
    }

    fn post(&self, path: &str, scope: &str) -> Result<Answer, Trouble> {
        let mut request = self.request("POST", path, scope)?;
        request.headers.push(("content-length", "0".to_owned()));
        http::checked(self.send(&request)?)
    }

    /// Pushes a manifest or an index under the reference's tag, or under its digest if it has none.
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
        let name = reference.tag().map_or_else(|| name_of(reference), str::to_owned);
        let path = format!("/v2/{repository}/manifests/{name}");
        let scope = pull_push(repository);
        self.patiently(&path, || {
            let mut request = self.request("PUT", &path, &scope)?;
            request.headers.push(("content-type", media_type.to_owned()));
            request.headers.push(("content-length", bytes.len().to_string()));
            http::checked(self.send_with(&request, &mut || body(bytes))?).map(drop)
        })
    }

    /// Where an upload goes on.
    fn location(&self, answer: &Answer) -> Result<Uri, Trouble> {
        let location = answer.headers().get("location").and_then(|value| value.to_str().ok());
        self.endpoint.resolve(location.ok_or(Trouble::Header("Location"))?)
    }
}

impl<'a> Upload<'a> {
    fn begun(
        registry: &'a Registry,
        (path, scope): (String, String),
        digest: &Digest,
        location: Uri,
    ) -> Box<Self> {
        let (digest, waiting) = (*digest, Vec::new());
        Box::new(Self { registry, path, scope, digest, location, taken: 0, waiting })
    }

    /// Of what.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// As [`Registry::manifest`].
    pub fn send(&mut self, mut bytes: &[u8]) -> Result<()> {
        while self.waiting.len() + bytes.len() > CHUNK {
            let (now, later) = bytes.split_at(CHUNK - self.waiting.len());
            self.waiting.extend_from_slice(now);
            bytes = later;
            self.send_chunk()?;
        }
        self.waiting.extend_from_slice(bytes);
        Ok(())
    }

    /// Sends the rest, and has the registry compare the digest.
    ///
    /// # Errors
    /// As [`Registry::manifest`]; [`ErrorKind::Registry`](crate::ErrorKind::Registry) also for bytes that are not those
    /// of the digest.
    pub fn commit(mut self) -> Result<()> {
        let registry = self.registry;
        // With a request of its own for the last bytes, a broken one can be taken up again.
        if self.taken > 0 && !self.waiting.is_empty() {
            self.send_chunk()?;
        }
        let url = with_digest(&self.location, &self.digest);
        let url = url.map_err(|trouble| registry.error(&self.path, trouble))?;
        registry.patiently(&self.path, || {
            let headers = vec![
                ("content-type", "application/octet-stream".to_owned()),
                ("content-length", self.waiting.len().to_string()),
            ];
            let request = Request { method: "PUT", url: url.clone(), scope: &self.scope, headers };
            http::checked(registry.send_with(&request, &mut || body(&self.waiting))?).map(drop)
        })
    }

    fn send_chunk(&mut self) -> Result<()> {
        let (registry, path) = (self.registry, self.path.clone());
        let mut again = false;
        registry.patiently(&path, || {
            if std::mem::replace(&mut again, true) {
                self.ask_how_far()?;
            }
            if self.waiting.is_empty() {
                return Ok(());
            }
            let end = self.taken + self.waiting.len() as u64;
            let headers = vec![
                ("content-type", "application/octet-stream".to_owned()),
                ("content-length", self.waiting.len().to_string()),
                ("content-range", format!("{}-{}", self.taken, end - 1)),
            ];
            let url = self.location.clone();
            let request = Request { method: "PATCH", url, scope: &self.scope, headers };
            let answer = registry.send_with(&request, &mut || body(&self.waiting))?;
            self.location = registry.location(&http::checked(answer)?)?;
            self.taken = end;
            self.waiting.clear();
            Ok(())
        })
    }

    /// What the registry has of a chunk whose request broke.
    fn ask_how_far(&mut self) -> Result<(), Trouble> {
        let (method, url) = ("GET", self.location.clone());
        let request = Request { method, url, scope: &self.scope, headers: Vec::new() };
        let answer = http::checked(self.registry.send(&request)?)?;
        let range = answer.headers().get("range").and_then(|value| value.to_str().ok());
        let last = range.and_then(|text| text.rsplit('-').next()?.parse::<u64>().ok());
        // Of nothing, some registries say `0-0` as of one byte: then one is sent twice and refused, and said so.
        let has = last.map_or(0, |last| last.saturating_add(1));
        let has = if has == 1 && self.taken == 0 { 0 } else { has };
        let new = has.checked_sub(self.taken).and_then(|new| usize::try_from(new).ok());
        let new = new.filter(|&new| new <= self.waiting.len()).ok_or(Trouble::Header("Range"))?;
        self.location = self.registry.location(&answer).unwrap_or_else(|_| self.location.clone());
        self.waiting.drain(..new);
        self.taken = has;
        Ok(())
    }
}

fn body(bytes: &[u8]) -> Result<SendBody<'static>, Trouble> {
    Ok(SendBody::from_owned_reader(Cursor::new(bytes.to_vec())))
}

fn pull_push(repository: &str) -> String {
    format!("repository:{repository}:pull,push")
}

/// The last request of an upload names the digest.
fn with_digest(url: &Uri, digest: &Digest) -> Result<Uri, Trouble> {
    let joint = if url.query().is_some() { '&' } else { '?' };
    format!("{url}{joint}digest={digest}").parse().map_err(|_| Trouble::Header("Location"))
}
