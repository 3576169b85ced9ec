//! What plugins answer: what the container has of the network.
//!
//! Kernel objects: none. Invariant: an answer is read by a pure function; what is not known of it is kept, because it is
//! handed to the next plugin.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::conflist::Version;
use crate::bridge::Route;
use crate::cidr::Cidr;
use crate::program::Problem;

/// The result of a chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub(super) raw: Map<String, Value>,
    interfaces: Vec<Interface>,
    addresses: Vec<Address>,
    routes: Vec<(Cidr, Option<IpAddr>)>,
    nameservers: Vec<IpAddr>,
}

/// A link that a plugin made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its hardware address, as the plugin writes it.
    pub mac: Option<String>,
    /// The namespace; none is the host's.
    pub sandbox: Option<String>,
}

/// An address of the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Address {
    /// The address with its prefix.
    pub address: Cidr,
    /// The gateway of its subnet.
    pub gateway: Option<IpAddr>,
    /// Whose it is, as an index into [`Answer::interfaces`].
    pub interface: Option<usize>,
}

impl Answer {
    /// The links, on the host and in the container.
    #[must_use]
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// The addresses.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The routes.
    pub fn routes(&self) -> impl Iterator<Item = Route> {
        self.routes
            .iter()
            .map(|(destination, gateway)| Route { destination: *destination, gateway: *gateway })
    }

    /// The name servers.
    #[must_use]
    pub fn nameservers(&self) -> &[IpAddr] {
        &self.nameservers
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    cni_version: String,
    #[serde(default)]
    interfaces: Option<Vec<WireInterface>>,
    #[serde(default)]
    ips: Option<Vec<WireAddress>>,
    #[serde(default)]
    routes: Option<Vec<WireRoute>>,
    #[serde(default)]
    dns: Option<WireDns>,
}

#[derive(Deserialize)]
struct WireInterface {
    name: String,
    #[serde(default)]
    mac: Option<String>,
    #[serde(default)]
    sandbox: Option<String>,
}

#[derive(Deserialize)]
struct WireAddress {
    address: Cidr,
    #[serde(default)]
    gateway: Option<IpAddr>,
    #[serde(default)]
    interface: Option<usize>,
}

#[derive(Deserialize)]
struct WireRoute {
    dst: Cidr,
    #[serde(default)]
    gw: Option<IpAddr>,
}

#[derive(Deserialize)]
struct WireDns {
    #[serde(default)]
    nameservers: Option<Vec<IpAddr>>,
}

/// Reads what a plugin wrote.
pub(crate) fn parse_answer(bytes: &[u8], asked: Version) -> Result<Answer, Problem> {
    let malformed = |error: serde_json::Error| Problem::Malformed(error.to_string());
    let raw: Map<String, Value> = serde_json::from_slice(bytes).map_err(malformed)?;
    let wire: Wire = serde_json::from_value(Value::Object(raw.clone())).map_err(malformed)?;
    if Version::parse(&wire.cni_version) != Some(asked) {
        return Err(Problem::OtherVersion(wire.cni_version.chars().take(20).collect()));
    }
    let interfaces: Vec<_> = wire.interfaces.into_iter().flatten().map(Interface::from).collect();
    let addresses: Vec<_> = wire.ips.into_iter().flatten().map(Address::from).collect();
    let beyond = |address: &Address| address.interface.is_some_and(|at| at >= interfaces.len());
    if addresses.iter().any(beyond) {
        return Err(Problem::Malformed("an address of an interface that is not listed".to_owned()));
    }
    let routes = wire.routes.into_iter().flatten().map(|route| (route.dst, route.gw)).collect();
    let nameservers = wire.dns.and_then(|dns| dns.nameservers).unwrap_or_default();
    Ok(Answer { raw, interfaces, addresses, routes, nameservers })
}

impl From<WireInterface> for Interface {
    fn from(wire: WireInterface) -> Self {
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        Self { name: wire.name, mac: filled(wire.mac), sandbox: filled(wire.sandbox) }
    }
}

impl From<WireAddress> for Address {
    fn from(wire: WireAddress) -> Self {
        Self { address: wire.address, gateway: wire.gateway, interface: wire.interface }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WHOLE: &str = r#"{"cniVersion":"0.4.0","x":{"y":1},
        "interfaces":[{"name":"br","mac":"aa"},{"name":"eth0","sandbox":"/n"}],
        "ips":[{"version":"4","interface":1,"address":"10.1.0.2/16","gateway":"10.1.0.1"}],
        "routes":[{"dst":"0.0.0.0/0"}],"dns":{"nameservers":["10.1.0.1"]}}"#;

    #[test]
    fn an_answer_is_read_and_kept() {
        let answer = parse_answer(WHOLE.as_bytes(), Version::V0_4_0).unwrap();
        assert_eq!(answer.interfaces()[1].sandbox.as_deref(), Some("/n"));
        assert_eq!(answer.addresses()[0].address.to_string(), "10.1.0.2/16");
        assert_eq!(answer.routes().count(), 1);
        assert_eq!(answer.nameservers().len(), 1);
        assert!(answer.raw.contains_key("x"));
    }

    #[test]
    fn what_is_no_answer_is_said() {
        let other = parse_answer(WHOLE.as_bytes(), Version::V1_0_0).unwrap_err();
        assert_eq!(other, Problem::OtherVersion("0.4.0".to_owned()));
        for text in [
            "",
            "null",
            "{}",
            r#"{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.1"}]}{"#,
            r#"{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.1/33"}]}"#,
            r#"{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.1/24","interface":0}]}"#,
            r#"{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.1/24","interface":-1}]}"#,
            r#"{"cniVersion":"1.0.0","routes":[{"dst":"x"}]}"#,
        ] {
            let problem = parse_answer(text.as_bytes(), Version::V1_0_0).unwrap_err();
            assert!(matches!(problem, Problem::Malformed(_)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_read(bytes: Vec<u8>) {
            prop_assert!(parse_answer(&bytes, Version::V1_0_0).is_err());
        }
    }
}
