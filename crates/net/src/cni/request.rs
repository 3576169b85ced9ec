//! What an engine tells plugins of a container.
//!
//! Kernel objects: none. Invariant: what is said here cannot be read as anything else by a plugin.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::conflist::check_name;
use crate::error::{Error, ErrorKind, Reason, Result};
use crate::name::LinkName;
use crate::ports::Port;

/// A container that is to be added to a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub(super) container: String,
    pub(super) link: LinkName,
    args: Vec<(String, String)>,
    pub(super) capabilities: Map<String, Value>,
}

impl Request {
    /// A container by its identifier, and the name of its link.
    ///
    /// # Errors
    /// [`InvalidConfiguration`](ErrorKind::InvalidConfiguration) for an identifier that is empty or has other characters
    /// than letters, digits, `_`, `.` and `-`; [`InvalidName`](ErrorKind::InvalidName).
    pub fn new(container: &str, link: &str) -> Result<Self> {
        check_name(container)?;
        let (container, link) = (container.to_owned(), LinkName::new(link)?);
        Ok(Self { container, link, args: Vec::new(), capabilities: Map::new() })
    }

    /// Adds to `CNI_ARGS`.
    ///
    /// # Errors
    /// [`InvalidConfiguration`](ErrorKind::InvalidConfiguration) for what is empty, or has a `;`, a NUL, or a `=` in its
    /// key.
    pub fn arg(mut self, key: &str, value: &str) -> Result<Self> {
        let bad = |text: &str| text.contains([';', '\0']);
        if key.is_empty() || key.contains('=') || bad(key) || bad(value) {
            let text = format!("{key}={value}");
            let reason = Reason::Malformed("KEY=VALUE, without a semicolon");
            return Err(Error::text(ErrorKind::InvalidConfiguration, text, reason));
        }
        self.args.push((key.to_owned(), value.to_owned()));
        Ok(self)
    }

    /// What plugins that have this capability are told in `runtimeConfig`.
    #[must_use]
    pub fn capability(mut self, name: &str, value: Value) -> Self {
        self.capabilities.insert(name.to_owned(), value);
        self
    }

    /// Publishes a port, through a plugin with the capability `portMappings`.
    #[must_use]
    pub fn publish(mut self, port: Port) -> Self {
        let (first, last) = port.host_range();
        let (inside, _) = port.container_range();
        let mappings = self.capabilities.entry("portMappings").or_insert(Value::Array(Vec::new()));
        if let Value::Array(mappings) = mappings {
            mappings.extend((first..=last).zip(inside..).map(|(host, container)| {
                let mut mapping = serde_json::json!({
                    "hostPort": host,
                    "containerPort": container,
                    "protocol": port.protocol_name(),
                });
                if let (Some(address), Value::Object(mapping)) = (port.host_address(), &mut mapping)
                {
                    mapping.insert("hostIP".to_owned(), address.to_string().into());
                }
                mapping
            }));
        }
        self
    }

    /// The value of `CNI_ARGS`.
    pub(super) fn args(&self) -> String {
        let pairs = self.args.iter().map(|(key, value)| format!("{key}={value}"));
        pairs.collect::<Vec<_>>().join(";")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plugin_would_misread_is_refused() {
        for id in ["", "-a", "../a", "a b"] {
            let error = Request::new(id, "eth0").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfiguration, "{id}");
        }
        let long = Request::new("a", "a234567890123456").unwrap_err();
        assert_eq!(long.kind(), ErrorKind::InvalidName);
        let request = Request::new("a", "eth0").unwrap().arg("IP", "10.0.0.7").unwrap();
        let request = request.arg("MODE", "a=b").unwrap();
        assert_eq!(request.args(), "IP=10.0.0.7;MODE=a=b");
        for (key, value) in [("", "a"), ("a=", "b"), ("a", "b;c=d"), ("a;", "b"), ("a", "\0")] {
            assert!(request.clone().arg(key, value).is_err(), "{key} {value}");
        }
    }

    #[test]
    fn ports_are_mappings() {
        let request = Request::new("a", "eth0").unwrap();
        let request = request.publish("127.0.0.1:8080-8081:80-81/udp".parse().unwrap());
        let expected = serde_json::json!([
            {"hostPort": 8080, "containerPort": 80, "protocol": "udp", "hostIP": "127.0.0.1"},
            {"hostPort": 8081, "containerPort": 81, "protocol": "udp", "hostIP": "127.0.0.1"},
        ]);
        assert_eq!(request.capabilities["portMappings"], expected);
    }
}
