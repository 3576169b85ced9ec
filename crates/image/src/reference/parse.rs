//! The grammar of references, by hand, so that an error says at which byte the text goes wrong.
//!
//! Kernel objects: none. Invariant: what is accepted here has bounded length and no character that
//! means something in a path, a URL or a header.

use super::{DEFAULT_REGISTRY, OFFICIAL, Reference, Wrong};
use crate::digest::{self, Digest};
use crate::error::Reason;

/// The longest registry and repository together, in bytes.
const NAME_MAX: usize = 255;

/// The longest tag, in bytes.
const TAG_MAX: usize = 128;

/// `[registry/]repository[:tag][@digest]`.
pub(super) fn reference(text: &str) -> Result<Reference, Wrong> {
    let (named, digest) = match text.split_once('@') {
        Some((named, digits)) => (named, Some(shift(named.len() + 1, digest::parse(digits))?)),
        None => (text, None),
    };
    let (name, tag) = split_tag(named);
    if let Some(text) = tag {
        shift(name.len() + 1, self::tag(text))?;
    }
    let (registry, start) = registry_of(name)?;
    let path = name.get(start..).unwrap_or_default();
    shift(start, repository(path))?;
    if start == 0 && tag.is_none() && digest.is_none() && is_bare_digest(path) {
        return Err((0, Reason::BareDigest));
    }
    let official = registry == DEFAULT_REGISTRY && !path.contains('/');
    let repository = format!("{}{path}", if official { OFFICIAL } else { "" });
    if registry.len() + 1 + repository.len() > NAME_MAX {
        return Err((NAME_MAX.min(name.len()), Reason::TooLong(NAME_MAX)));
    }
    Ok(Reference { registry, repository, tag: tag.map(str::to_owned), digest })
}

/// The same result, with its offset counted from the start of the whole text.
fn shift<T>(start: usize, result: Result<T, Wrong>) -> Result<T, Wrong> {
    result.map_err(|(at, reason)| (start + at, reason))
}

/// A colon after the last slash starts a tag; an earlier one belongs to a port.
fn split_tag(named: &str) -> (&str, Option<&str>) {
    match named.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (named, None),
    }
}

/// The registry, and where the repository starts.
///
/// The first component is a registry if it could not be anything else: it has a dot, a port or an
/// upper-case letter, or it is `localhost`.
fn registry_of(name: &str) -> Result<(String, usize), Wrong> {
    let default = || (DEFAULT_REGISTRY.to_owned(), 0);
    let Some((first, _)) = name.split_once('/') else { return Ok(default()) };
    let is_host =
        first == "localhost" || first.bytes().any(|byte| matches!(byte, b'.' | b':' | b'A'..=b'Z'));
    if !is_host {
        return Ok(default());
    }
    host_and_port(first)?;
    // The name by which Docker's registry used to be known.
    let registry = if first == "index.docker.io" { DEFAULT_REGISTRY } else { first };
    Ok((registry.to_owned(), first.len() + 1))
}

fn host_and_port(text: &str) -> Result<(), Wrong> {
    let port_at = match text.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']').ok_or((text.len(), Reason::Lacks(']')))?;
            let address = rest.get(..end).unwrap_or_default();
            address.parse::<std::net::Ipv6Addr>().map_err(|_| (1, Reason::NotAnAddress))?;
            end + 2
        }
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, port) = text.split_at(port_at);
    if !host.starts_with('[') {
        host_name(host)?;
    }
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok(()),
        None => Err((port_at, Reason::Unexpected)),
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse::<u16>().map(|_| ()).map_err(|_| (port_at + 1, Reason::NotAPort))
        }
        Some(_) => Err((port_at + 1, Reason::NotAPort)),
    }
}

fn host_name(host: &str) -> Result<(), Wrong> {
    let mut start = 0;
    for label in host.split('.') {
        let bad = label.bytes().position(|byte| !byte.is_ascii_alphanumeric() && byte != b'-');
        if let Some(at) = bad {
            return Err((start + at, Reason::Unexpected));
        }
        if label.is_empty() {
            return Err((start, Reason::Empty));
        }
        if label.starts_with('-') {
            return Err((start, Reason::Unexpected));
        }
        if label.ends_with('-') {
            return Err((start + label.len() - 1, Reason::Unexpected));
        }
        start += label.len() + 1;
    }
    Ok(())
}

/// Components of lower-case letters and digits, with single `.`, one or two `_`, or any number of
/// `-` between them.
fn repository(path: &str) -> Result<(), Wrong> {
    let mut start = 0;
    for component in path.split('/') {
        shift(start, path_component(component))?;
        start += component.len() + 1;
    }
    Ok(())
}

fn path_component(text: &str) -> Result<(), Wrong> {
    let mut separator = 0..0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' => {
                let between = text.get(separator.clone()).unwrap_or_default();
                let is_separator = matches!(between, "" | "." | "_" | "__")
                    || between.bytes().all(|byte| byte == b'-');
                // A component starts with a letter or a digit.
                if !is_separator || (!between.is_empty() && separator.start == 0) {
                    return Err((separator.start, Reason::BadSeparator));
                }
                separator = at + 1..at + 1;
            }
            b'.' | b'_' | b'-' => separator.end = at + 1,
            b'A'..=b'Z' => return Err((at, Reason::UpperCase)),
            _ => return Err((at, Reason::Unexpected)),
        }
    }
    match text {
        "" => Err((0, Reason::Empty)),
        _ if !separator.is_empty() => Err((separator.start, Reason::BadSeparator)),
        _ => Ok(()),
    }
}

/// Up to 128 letters, digits, `_`, `.` and `-`, not starting with one of the last two.
pub(super) fn tag(text: &str) -> Result<(), Wrong> {
    let allowed = |(at, byte): (usize, u8)| {
        byte.is_ascii_alphanumeric() || byte == b'_' || (at > 0 && matches!(byte, b'.' | b'-'))
    };
    if text.is_empty() {
        return Err((0, Reason::Empty));
    }
    if let Some(at) = text.bytes().enumerate().position(|pair| !allowed(pair)) {
        return Err((at, Reason::Unexpected));
    }
    if text.len() > TAG_MAX {
        return Err((TAG_MAX, Reason::TooLong(TAG_MAX)));
    }
    Ok(())
}

/// What looks like the digest of an image is not taken for its name.
fn is_bare_digest(path: &str) -> bool {
    format!("sha256:{path}").parse::<Digest>().is_ok()
}
