//! Requests and answers: what is sent again and when, and what an answer may be.
//!
//! Kernel objects: connections. Invariant: no answer is read without a limit, none is waited for without end.

use std::io::Read;
use std::time::Duration;

use serde::Deserialize;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::options::Options;
use super::trouble::Trouble;
use crate::error::clipped;

/// An answer whose body is still to be read.
pub(super) type Answer = ureq::http::Response<Body>;

/// Most redirects that one request follows.
const REDIRECTS_MAX: u32 = 5;

/// Longest message of an error, in bytes.
const MESSAGE_MAX: u64 = 64 << 10;

/// Longest wait that a registry can ask for.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A client without cookies; credentials never follow a redirect.
pub(super) fn agent(options: &Options, is_https: bool) -> Result<Agent, Trouble> {
    let tls = TlsConfig::builder().root_certs(roots(&options.authorities)?).build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .https_only(is_https)
        .http_status_as_error(false)
        .max_redirects(REDIRECTS_MAX)
        .redirect_auth_headers(ureq::config::RedirectAuthHeaders::Never)
        .user_agent(concat!("ampoule/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(options.connect))
        .timeout_resolve(Some(options.connect))
        .timeout_per_read(Some(options.stall))
        .timeout_per_write(Some(options.stall))
        .build();
    Ok(config.into())
}

fn roots(authorities: &[Vec<u8>]) -> Result<RootCerts, Trouble> {
    if authorities.is_empty() {
        return Ok(RootCerts::PlatformVerifier);
    }
    let mut certificates = Vec::new();
    for pem in authorities {
        for item in ureq::tls::parse_pem(pem) {
            if let ureq::tls::PemItem::Certificate(certificate) =
                item.map_err(|error| Trouble::Tls(clipped(&error.to_string())))?
            {
                certificates.push(certificate);
            }
        }
    }
    Ok(RootCerts::Specific(std::sync::Arc::new(certificates as Vec<Certificate<'static>>)))
}

/// What a failed request was.
pub(super) fn trouble(error: &ureq::Error, url: &Uri) -> Trouble {
    let host = || url.host().unwrap_or_default().to_owned();
    match error {
        ureq::Error::StatusCode(code) => Trouble::Status { code: *code, message: None, wait: None },
        ureq::Error::HostNotFound => Trouble::UnknownHost(host()),
        ureq::Error::Timeout(_) => Trouble::Stalled,
        ureq::Error::TooManyRedirects => Trouble::Redirects(REDIRECTS_MAX),
        ureq::Error::RequireHttpsOnly(_) => Trouble::Downgrade,
        ureq::Error::Tls(text) => Trouble::Tls((*text).to_owned()),
        ureq::Error::Rustls(error) => Trouble::Tls(clipped(&error.to_string())),
        ureq::Error::Io(error) => from_io(error),
        _ => Trouble::NotHttp,
    }
}

/// What a failed read of a body was.
pub(super) fn from_io(error: &std::io::Error) -> Trouble {
    if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
        return trouble(inner, &Uri::default());
    }
    match error.kind() {
        std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock => Trouble::Stalled,
        // What rustls makes of a handshake that fails.
        std::io::ErrorKind::InvalidData => Trouble::Tls(clipped(&error.to_string())),
        kind => Trouble::Connection(kind),
    }
}

/// Refuses an answer that is a failure, in the registry's own words.
pub(super) fn checked(answer: Answer) -> Result<Answer, Trouble> {
    let code = answer.status().as_u16();
    match code {
        200..=299 => Ok(answer),
        _ => {
            let wait = retry_after(&answer);
            Err(Trouble::Status { code, message: message(answer), wait })
        }
    }
}

/// The errors in a registry's answer (distribution specification, "Error codes").
#[derive(Deserialize)]
struct Errors {
    errors: Vec<OneError>,
}

#[derive(Deserialize)]
struct OneError {
    #[serde(default)]
    code: String,
    message: Option<String>,
}

fn message(answer: Answer) -> Option<String> {
    let text = body(answer, MESSAGE_MAX).ok()?;
    let errors: Errors = serde_json::from_slice(&text).ok()?;
    let first = errors.errors.into_iter().next()?;
    let message = first.message.filter(|message| !message.is_empty()).unwrap_or(first.code);
    Some(clipped(&message.replace(char::is_control, " ")))
}

/// A whole body, which may not be longer than that.
pub(super) fn body(answer: Answer, limit: u64) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    let reader = answer.into_body().into_reader();
    reader.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| from_io(&e))?;
    if bytes.len() as u64 > limit { Err(Trouble::TooLong(limit)) } else { Ok(bytes) }
}

/// How long a registry asks to wait: seconds, or nothing where it says a date.
fn retry_after(answer: &Answer) -> Option<Duration> {
    let text = answer.headers().get("retry-after")?.to_str().ok()?;
    Some(Duration::from_secs(text.trim().parse().ok()?).min(WAIT_MAX))
}

/// The wait before a further attempt, `done` having been made: what the registry asks for, or else it doubles. It is cut
/// by a part that depends on the clock, so that clients that failed together do not come again together.
pub(super) fn back_off(options: &Options, trouble: &Trouble, done: u32) -> Duration {
    if let Trouble::Status { wait: Some(wait), .. } = trouble {
        return *wait;
    }
    let whole = options.back_off.saturating_mul(1 << done.saturating_sub(1).min(10)).min(WAIT_MAX);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let part = now.map_or(0, |now| now.subsec_nanos() % 512);
    whole.mul_f64(1.0 - f64::from(part) / 1024.0)
}
