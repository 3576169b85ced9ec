//! What a registry wants to see before it answers: its challenge, and the token that a token service gives.
//!
//! Kernel objects: connections. Invariant: credentials leave only for the registry's own domain, and never over a
//! connection that is less encrypted than the registry's (CVE-2020-15157).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http_auth::{ChallengeRef, parse_challenges};
use serde::Deserialize;
use ureq::http::Uri;

use super::endpoint::Endpoint;
use super::http::{self, Answer};
use super::options::Credentials;
use super::trouble::Trouble;

/// Longest answer of a token service, in bytes.
const TOKEN_MAX: u64 = 1 << 20;

/// The value of an `Authorization` header.
#[derive(Clone)]
pub(super) struct Authorization(String);

impl Authorization {
    pub(super) fn value(&self) -> &str {
        &self.0
    }

    fn basic(user: &str, password: &str) -> Self {
        Self(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
    }
}

impl std::fmt::Debug for Authorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authorization(…)")
    }
}

/// What a registry asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// Name and password with each request.
    Basic,
    /// A token of the service at `realm`.
    Bearer { realm: String, service: Option<String> },
}

/// The challenge of an answer: a token rather than a password.
pub(super) fn challenge(answer: &Answer) -> Result<Challenge, Trouble> {
    let headers = answer.headers().get_all("www-authenticate");
    let texts: Vec<&str> = headers.iter().filter_map(|value| value.to_str().ok()).collect();
    let mut found = None;
    let parsed: Vec<ChallengeRef<'_>> =
        texts.iter().filter_map(|text| parse_challenges(text).ok()).flatten().collect();
    for challenge in &parsed {
        let parameter = |name: &str| {
            let named = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            named.map(|(_, value)| value.to_unescaped())
        };
        if challenge.scheme.eq_ignore_ascii_case("bearer") {
            let realm = parameter("realm").ok_or(Trouble::Header("WWW-Authenticate"))?;
            return Ok(Challenge::Bearer { realm, service: parameter("service") });
        }
        if challenge.scheme.eq_ignore_ascii_case("basic") {
            found = Some(Challenge::Basic);
        }
    }
    let kinds = parsed.iter().map(|challenge| challenge.scheme).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| Trouble::UnknownChallenge(crate::error::clipped(&kinds)))
}

/// What a token service answers.
#[derive(Deserialize)]
struct Tokens {
    token: Option<String>,
    access_token: Option<String>,
}

/// Meets a challenge; nothing if there are no credentials that could.
pub(super) fn meet(
    agent: &ureq::Agent,
    endpoint: &Endpoint,
    challenge: &Challenge,
    scope: &str,
    credentials: Option<&Credentials>,
) -> Result<Option<Authorization>, Trouble> {
    match challenge {
        Challenge::Basic => Ok(match credentials {
            Some(Credentials::Password { user, password }) => {
                Some(Authorization::basic(user, password))
            }
            _ => None,
        }),
        Challenge::Bearer { realm, service } => {
            let url = realm_url(endpoint, realm)?;
            let trusted = endpoint.trusts(&url);
            let query = Query { url: &url, service: service.as_deref(), scope };
            let known = credentials.filter(|_| trusted);
            match ask(agent, &query, known) {
                Err(Trouble::Status { code: 401 | 403, .. })
                    if credentials.is_some() && !trusted =>
                {
                    Err(Trouble::ForeignRealm(url.host().unwrap_or_default().to_owned()))
                }
                other => other.map(Some),
            }
        }
    }
}

/// The token service's address; it must be as well encrypted as the registry's.
fn realm_url(endpoint: &Endpoint, realm: &str) -> Result<Uri, Trouble> {
    let url: Uri = realm.parse().map_err(|_| Trouble::Header("WWW-Authenticate"))?;
    match url.scheme_str() {
        Some("https") => Ok(url),
        Some("http") if !endpoint.is_https() => Ok(url),
        Some("http") => Err(Trouble::Downgrade),
        _ => Err(Trouble::Header("WWW-Authenticate")),
    }
}

struct Query<'a> {
    url: &'a Uri,
    service: Option<&'a str>,
    scope: &'a str,
}

/// Asks a token service.
fn ask(
    agent: &ureq::Agent,
    query: &Query<'_>,
    credentials: Option<&Credentials>,
) -> Result<Authorization, Trouble> {
    let mut pairs = vec![("scope", query.scope)];
    pairs.extend(query.service.map(|service| ("service", service)));
    let answer = match credentials {
        Some(Credentials::IdentityToken(token)) => {
            pairs.push(("grant_type", "refresh_token"));
            pairs.push(("client_id", "ampoule"));
            pairs.push(("refresh_token", token));
            agent.post(query.url).send_form(pairs)
        }
        Some(Credentials::Password { user, password }) => {
            let authorization = Authorization::basic(user, password);
            let request = agent.get(query.url).query_pairs(pairs);
            request.header("authorization", authorization.value()).call()
        }
        None => agent.get(query.url).query_pairs(pairs).call(),
    };
    let answer = http::checked(answer.map_err(|error| http::trouble(&error, query.url))?)?;
    let text = http::body(answer, TOKEN_MAX)?;
    let no_token = || Trouble::NoToken(query.url.host().unwrap_or_default().to_owned());
    let tokens: Tokens = serde_json::from_slice(&text).map_err(|_| no_token())?;
    let token = tokens.token.or(tokens.access_token).ok_or_else(no_token)?;
    if token.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err(no_token());
    }
    Ok(Authorization(format!("Bearer {token}")))
}
