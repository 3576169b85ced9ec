//! Registries: manifests and blobs over the distribution protocol (OCI distribution specification 1.1).
//!
//! Kernel objects: connections, and the process of a credential helper while one is asked. Invariant: no thread and no
//! connection outlives the [`Registry`]; credentials reach nobody but the registry and its own token service.
//!
//! | I want … | Here |
//! |---|---|
//! | a registry | [`Registry::new`], with [`Options`] |
//! | an image for [`Store::pull`](crate::Store::pull) | [`RegistryImage`] |
//! | an image to push with [`copy`](crate::copy()) | [`RegistryWriter`] |
//! | a manifest or an index | [`Registry::manifest`] |
//! | a blob, with broken connections taken up again | [`Registry::blob`] |
//! | to push | [`Registry::push_blob`], [`Registry::push_manifest`] |
//! | the tags of a repository | [`Registry::tags`] |
//!
//! ```no_run
//! use ampoule_image::{Reference, registry::{Options, Registry}};
//!
//! # fn main() -> ampoule_image::Result<()> {
//! let reference: Reference = "localhost:5000/team/app:1.2".parse()?;
//! let registry = Registry::new(reference.registry(), &Options::default())?;
//! let manifest = registry.manifest(&reference)?;
//! println!("{} {}", manifest.digest, manifest.media_type);
//! # Ok(())
//! # }
//! ```

mod blob;
mod credential_program;
mod credentials;
mod download;
mod endpoint;
mod http;
mod image;
mod options;
mod token;
mod trouble;
mod upload;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use ureq::http::Uri;
use ureq::{Agent, ResponseExt, SendBody};

use crate::digest::{Algorithm, Digest, Digester};
use crate::error::{Error, Fact, Result};
use crate::reference::Reference;

pub use blob::BlobReader;
pub(crate) use download::download;
pub use image::{RegistryImage, RegistryWriter};
pub use options::{Credentials, Login, Options, Scheme};
pub(crate) use trouble::Trouble;
pub use upload::{Push, Upload};

use endpoint::Endpoint;
use http::Answer;
use token::Authorization;

/// Longest manifest, in bytes: what registries accept themselves.
const MANIFEST_MAX: u64 = 4 << 20;

/// Longest list of tags in one answer, in bytes.
const TAGS_MAX: u64 = 4 << 20;

/// What manifests are asked for as.
const MANIFEST_TYPES: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

/// A registry: its address, who asks, and the tokens that it gave. Can be used from many threads at once.
#[derive(Debug)]
pub struct Registry {
    agent: Agent,
    endpoint: Endpoint,
    options: Options,
    credentials: Option<Credentials>,
    tokens: Mutex<HashMap<String, Authorization>>,
}

/// A manifest or an index as a registry gave it; its digest is that of its bytes, and the one of the reference if that
/// has one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FetchedManifest {
    /// The document.
    pub bytes: Vec<u8>,
    /// What the registry says that it is.
    pub media_type: String,
    /// The digest of the bytes.
    pub digest: Digest,
}

/// A request that can be made again.
struct Request<'a> {
    method: &'static str,
    url: Uri,
    scope: &'a str,
    headers: Vec<(&'static str, String)>,
}

impl Registry {
    /// The registry of that name, such as [`Reference::registry`] gives; nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::Network`](crate::ErrorKind::Network) for what is no host,
    /// [`ErrorKind::Certificate`](crate::ErrorKind::Certificate) for an authority that does not parse,
    /// [`ErrorKind::Unauthorized`](crate::ErrorKind::Unauthorized) for noted credentials that cannot be used,
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) for a credential helper that does not end.
    pub fn new(registry: &str, options: &Options) -> Result<Self> {
        let failed = |trouble| error(registry, trouble);
        let endpoint = Endpoint::new(registry, options.scheme).map_err(failed)?;
        let credentials = match &options.credentials {
            Login::Anonymous => None,
            Login::With(credentials) => Some(credentials.clone()),
            Login::Find => credentials::find(registry, options.helper).map_err(failed)?,
        };
        let agent = http::agent(options, endpoint.is_https()).map_err(failed)?;
        let (options, tokens) = (options.clone(), Mutex::default());
        Ok(Self { agent, endpoint, options, credentials, tokens })
    }

    /// A manifest or an index, by tag or digest; `latest` where the reference has neither.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) for an image that is not there,
    /// [`ErrorKind::Unauthorized`](crate::ErrorKind::Unauthorized),
    /// [`ErrorKind::DigestMismatch`](crate::ErrorKind::DigestMismatch), and the others of a registry:
    /// [`RateLimited`](crate::ErrorKind::RateLimited), [`Registry`](crate::ErrorKind::Registry),
    /// [`Network`](crate::ErrorKind::Network), [`Certificate`](crate::ErrorKind::Certificate),
    /// [`Timeout`](crate::ErrorKind::Timeout).
    pub fn manifest(&self, reference: &Reference) -> Result<FetchedManifest> {
        let (repository, name) = (reference.repository(), name_of(reference));
        let path = format!("/v2/{repository}/manifests/{name}");
        let scope = pull(repository);
        let fetch = || {
            let mut request = self.request("GET", &path, &scope)?;
            request.headers.push(("accept", MANIFEST_TYPES.to_owned()));
            let answer = http::checked(self.send(&request)?)?;
            let media_type = answer.headers().get("content-type");
            let media_type = media_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
            // Parameters such as a character set say nothing here.
            let media_type = media_type.split(';').next().unwrap_or_default().trim().to_owned();
            Ok((http::body(answer, MANIFEST_MAX)?, media_type))
        };
        let (bytes, media_type) = self.patiently(&path, fetch)?;
        let algorithm = reference.digest().map_or(Algorithm::Sha256, |digest| digest.algorithm());
        let mut digester = Digester::new(algorithm);
        digester.update(&bytes);
        let digest = digester.finish();
        match reference.digest() {
            Some(expected) if expected != digest => {
                Err(Fact::Mismatch { what: "manifest", expected, found: digest }.into())
            }
            _ => Ok(FetchedManifest { bytes, media_type, digest }),
        }
    }

    /// A blob of `size` bytes. What is read is not compared with the digest here. A connection that breaks is taken up
    /// again where it broke.
    ///
    /// # Errors
    /// As [`Registry::manifest`]; reading gives the same errors within [`std::io::Error`].
    pub fn blob(&self, repository: &str, digest: &Digest, size: u64) -> Result<BlobReader<'_>> {
        self.blob_from(repository, digest, size, 0)
    }

    /// As [`Registry::blob`], from byte `offset` on.
    ///
    /// # Errors
    /// As [`Registry::manifest`].
    pub fn blob_from(
        &self,
        repository: &str,
        digest: &Digest,
        size: u64,
        offset: u64,
    ) -> Result<BlobReader<'_>> {
        BlobReader::open(self, repository, digest, (size, offset))
    }

    /// The tags of a repository.
    ///
    /// # Errors
    /// As [`Registry::manifest`].
    pub fn tags(&self, repository: &str) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let mut tags = Vec::new();
        let mut next = Some(format!("/v2/{repository}/tags/list"));
        while let Some(path) = next.take() {
            let fetch = || {
                let answer = self.send(&self.request("GET", &path, &pull(repository))?)?;
                let answer = http::checked(answer)?;
                let after = next_page(&answer);
                let text = http::body(answer, TAGS_MAX)?;
                let page: Page =
                    serde_json::from_slice(&text).map_err(|_| Trouble::Header("list of tags"))?;
                Ok((page.tags.unwrap_or_default(), after))
            };
            let (page, after) = self.patiently(&path, fetch)?;
            // A page that adds nothing could go on for ever.
            next = after.filter(|_| !page.is_empty());
            tags.extend(page);
        }
        Ok(tags)
    }

    fn request<'a>(
        &self,
        method: &'static str,
        path: &str,
        scope: &'a str,
    ) -> Result<Request<'a>, Trouble> {
        let url = self.endpoint.resolve(path)?;
        Ok(Request { method, url, scope, headers: Vec::new() })
    }

    /// Sends a request without body, and once more with credentials if the registry asks for them.
    fn send(&self, request: &Request<'_>) -> Result<Answer, Trouble> {
        self.send_with(request, &mut || Ok(SendBody::none()))
    }

    /// As [`Registry::send`], with a body that can be made again.
    fn send_with(
        &self,
        request: &Request<'_>,
        body: &mut dyn FnMut() -> Result<SendBody<'static>, Trouble>,
    ) -> Result<Answer, Trouble> {
        let owned = self.endpoint.owns(&request.url);
        let known = self.token(request.scope).filter(|_| owned);
        let answer = self.send_once(request, known.as_ref(), body()?)?;
        // Somewhere else, where a redirect may lead, nobody has a right to ask.
        if answer.status().as_u16() != 401 || !self.endpoint.owns(answer.get_uri()) || !owned {
            return Ok(answer);
        }
        let challenge = token::challenge(&answer)?;
        let credentials = self.credentials.as_ref();
        let met = token::meet(&self.agent, &self.endpoint, &challenge, request.scope, credentials)?;
        let Some(authorization) = met else { return Ok(answer) };
        self.remember(request.scope, authorization.clone());
        drop(answer);
        self.send_once(request, Some(&authorization), body()?)
    }

    fn send_once(
        &self,
        request: &Request<'_>,
        authorization: Option<&Authorization>,
        body: SendBody<'static>,
    ) -> Result<Answer, Trouble> {
        let mut builder = ureq::http::Request::builder().method(request.method).uri(&request.url);
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        if let Some(authorization) = authorization {
            builder = builder.header("authorization", authorization.value());
        }
        let request_with_body = builder.body(body).map_err(|_| Trouble::NotHttp)?;
        self.agent.run(request_with_body).map_err(|error| http::trouble(&error, &request.url))
    }

    /// Does it again after failures that pass.
    fn patiently<T>(
        &self,
        path: &str,
        mut attempt: impl FnMut() -> Result<T, Trouble>,
    ) -> Result<T> {
        let mut done = 1;
        loop {
            match attempt() {
                Err(trouble) if trouble.is_passing() && done < self.options.attempts => {
                    std::thread::sleep(http::back_off(&self.options, &trouble, done));
                    done += 1;
                }
                other => return other.map_err(|trouble| self.error(path, trouble)),
            }
        }
    }

    fn error(&self, path: &str, trouble: Trouble) -> Error {
        error(&self.endpoint.url(path), trouble)
    }

    fn token(&self, scope: &str) -> Option<Authorization> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(scope).cloned()
    }

    fn remember(&self, scope: &str, authorization: Authorization) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(scope.to_owned(), authorization);
    }
}

fn error(request: &str, trouble: Trouble) -> Error {
    Fact::Registry { request: crate::error::clipped(request), trouble }.into()
}

/// What a token has to be good for.
fn pull(repository: &str) -> String {
    format!("repository:{repository}:pull")
}

/// What a manifest is asked for as: its digest rather than its tag.
fn name_of(reference: &Reference) -> String {
    let reference = reference.or_latest();
    match (reference.digest(), reference.tag()) {
        (Some(digest), _) => digest.to_string(),
        (None, tag) => tag.unwrap_or(crate::reference::DEFAULT_TAG).to_owned(),
    }
}

/// The `next` link of a list (RFC 8288); only a path of the same registry is followed.
fn next_page(answer: &Answer) -> Option<String> {
    let link = answer.headers().get("link")?.to_str().ok()?;
    let (path, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    (parameters.contains("rel=\"next\"") && path.starts_with("/v2/")).then(|| path.to_owned())
}
