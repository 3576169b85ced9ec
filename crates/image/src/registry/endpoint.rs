//! Where a registry is, and which other addresses belong to it.
//!
//! Kernel objects: none. Invariant: what leads from https to http is refused, whoever says so.

use std::net::IpAddr;

use ureq::http::Uri;
use ureq::http::uri::Authority;

use super::options::Scheme;
use super::trouble::Trouble;
use crate::reference::DEFAULT_REGISTRY;

/// Docker's registry answers at another name than its images have.
const DEFAULT_HOST: &str = "registry-1.docker.io";

/// The address of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    scheme: &'static str,
    authority: Authority,
}

impl Endpoint {
    /// The address of the registry that a reference names.
    pub(super) fn new(registry: &str, scheme: Scheme) -> Result<Self, Trouble> {
        let host = if registry == DEFAULT_REGISTRY { DEFAULT_HOST } else { registry };
        let authority: Authority =
            host.parse().map_err(|_| Trouble::UnknownHost(registry.to_owned()))?;
        let plain = match scheme {
            Scheme::Http => true,
            Scheme::Https => false,
            Scheme::Auto => is_this_machine(authority.host()),
        };
        Ok(Self { scheme: if plain { "http" } else { "https" }, authority })
    }

    /// Whether connections are encrypted.
    pub(super) fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    /// The URL of a path.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.authority)
    }

    /// Whether a URL is at this very address: only there credentials are sent.
    pub(super) fn owns(&self, url: &Uri) -> bool {
        let port = |authority: &Authority| {
            authority.port_u16().unwrap_or(if self.is_https() { 443 } else { 80 })
        };
        url.scheme_str() == Some(self.scheme)
            && url.authority().is_some_and(|other| {
                other.host().eq_ignore_ascii_case(self.authority.host())
                    && port(other) == port(&self.authority)
            })
    }

    /// The URL of a `Location`, which may be relative.
    pub(super) fn resolve(&self, location: &str) -> Result<Uri, Trouble> {
        let url = if location.starts_with('/') { self.url(location) } else { location.to_owned() };
        let url: Uri = url.parse().map_err(|_| Trouble::Header("Location"))?;
        match url.scheme_str() {
            Some("https") => Ok(url),
            Some("http") if !self.is_https() => Ok(url),
            Some("http") => Err(Trouble::Downgrade),
            _ => Err(Trouble::Header("Location")),
        }
    }

    /// Whether a token service may have the registry's credentials: it is at the registry's host, or both are in one
    /// domain, as `auth.docker.io` and `registry-1.docker.io` are.
    pub(super) fn trusts(&self, realm: &Uri) -> bool {
        let (Some(realm), Some("https" | "http")) = (realm.host(), realm.scheme_str()) else {
            return false;
        };
        let own = self.authority.host();
        own.eq_ignore_ascii_case(realm) || (!is_address(own) && in_one_domain(own, realm))
    }
}

/// Whether a name is in the domain that another one is directly in; a domain has two labels at least.
fn in_one_domain(one: &str, other: &str) -> bool {
    let labels = |name: &str| {
        name.to_ascii_lowercase().rsplit('.').map(str::to_owned).collect::<Vec<String>>()
    };
    let (one, other) = (labels(one), labels(other));
    let common = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    common >= 2 && common + 1 >= one.len()
}

fn is_address(host: &str) -> bool {
    host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

/// Whether a host is this machine, whatever a name server says.
fn is_this_machine(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let name = host.to_ascii_lowercase();
    address.is_ok_and(|address| address.is_loopback())
        || name == "localhost"
        || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(registry: &str) -> Endpoint {
        Endpoint::new(registry, Scheme::Auto).unwrap()
    }

    #[test]
    fn only_this_machine_is_reached_without_encryption() {
        for registry in
            ["localhost", "localhost:5000", "127.0.0.1:5000", "[::1]:5000", "a.localhost"]
        {
            assert!(!endpoint(registry).is_https(), "{registry}");
        }
        for registry in ["docker.io", "localhost.example.com", "10.0.0.1:5000", "128.0.0.1"] {
            assert!(endpoint(registry).is_https(), "{registry}");
        }
        assert!(Endpoint::new("localhost", Scheme::Https).unwrap().is_https());
        assert_eq!(endpoint("docker.io").url("/v2/"), "https://registry-1.docker.io/v2/");
    }

    #[test]
    fn an_address_is_owned_with_its_port_and_scheme() {
        let own = endpoint("r.example.com");
        let owns = |url: &str| own.owns(&url.parse().unwrap());
        assert!(owns("https://r.example.com/x") && owns("https://R.example.com:443/"));
        for url in ["http://r.example.com/", "https://r.example.com:444/", "https://example.com/"] {
            assert!(!owns(url), "{url}");
        }
    }

    #[test]
    fn a_location_never_loses_its_encryption() {
        let own = endpoint("r.example.com");
        assert_eq!(own.resolve("/a?b=c").unwrap(), "https://r.example.com/a?b=c");
        assert_eq!(
            own.resolve("https://cdn.example.org/a").unwrap().host(),
            Some("cdn.example.org")
        );
        assert_eq!(own.resolve("http://r.example.com/a"), Err(Trouble::Downgrade));
        assert_eq!(own.resolve("ftp://x/a"), Err(Trouble::Header("Location")));
    }

    #[test]
    fn credentials_go_to_the_registrys_own_domain() {
        let trusts =
            |registry: &str, realm: &str| endpoint(registry).trusts(&realm.parse().unwrap());
        assert!(trusts("docker.io", "https://auth.docker.io/token"));
        assert!(trusts("registry.gitlab.com", "https://gitlab.com/jwt/auth"));
        assert!(trusts("ghcr.io", "https://ghcr.io/token"));
        assert!(trusts("localhost:5000", "http://localhost:5001/auth"));
        for (registry, realm) in [
            ("docker.io", "https://auth.evil.io/token"),
            ("ghcr.io", "https://evil.io/"),
            ("a.example.com", "https://com/"),
            ("10.0.0.1", "https://10.0.0.2/"),
            ("a.b.c.example.com", "https://example.com/"),
            ("localhost:5000", "http://127.0.0.2/auth"),
        ] {
            assert!(!trusts(registry, realm), "{registry} {realm}");
        }
    }
}
