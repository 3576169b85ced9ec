//! The options of `sandbox` about networks.
//!
//! Touches nothing. Invariant: every option is one setter of the library.

use std::path::Path;

use ampoule::net::cni::{Conflist, Plugins};
use ampoule::net::{Egress, Port};
use ampoule::{Builder, CniNetwork, Network, Target};
use ampoule_examples::arguments::Failure;
use lexopt::ValueExt as _;

/// What was asked for.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    networks: Vec<Network>,
    ports: Vec<Port>,
    egress: Option<Egress>,
}

impl Networks {
    /// Takes an option, if it is one of these.
    pub(crate) fn option(
        &mut self,
        name: &str,
        from: &mut lexopt::Parser,
    ) -> Result<bool, Failure> {
        match name {
            "net" => self.networks.push(network(&from.value()?.string()?)?),
            "publish" => self.ports.push(from.value()?.string()?.parse()?),
            "egress" => {
                let policy = self.egress.take().unwrap_or_default();
                self.egress = Some(allowed(policy, &from.value()?.string()?)?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub(crate) fn on(self, builder: Builder) -> Builder {
        let builder = self.networks.into_iter().fold(builder, Builder::network);
        let builder = self.ports.into_iter().fold(builder, Builder::publish);
        self.egress.into_iter().fold(builder, Builder::egress)
    }
}

fn network(text: &str) -> Result<Network, Failure> {
    let (kind, name) = text.split_once(':').map_or((text, None), |(kind, name)| (kind, Some(name)));
    Ok(match (kind, name) {
        ("none", None) => Network::None,
        ("host", None) => Network::Host,
        ("bridge", name) => Network::bridge(name.unwrap_or("sandbox"))?,
        ("user", None) => Network::user()?,
        ("cni", Some(file)) => Network::Cni(plugins(Path::new(file))?),
        ("veth", Some(name)) => Network::veth(name)?,
        ("device", Some(name)) => Network::device(name)?,
        ("join", Some(text)) => Network::Join(match text.parse() {
            Ok(pid) => Target::Pid(pid),
            Err(_) => Target::Path(text.into()),
        }),
        _ => return Err(format!("--net {text}: there is no such network (see --help)").into()),
    })
}

/// A configuration, with the plugins where they usually are.
fn plugins(file: &Path) -> Result<CniNetwork, Failure> {
    let plugins = Plugins::in_directory("/opt/cni/bin").directory("/usr/lib/cni");
    Ok(CniNetwork::new(Conflist::read(file)?, plugins))
}

fn allowed(policy: Egress, text: &str) -> Result<Egress, Failure> {
    match text.strip_prefix("allow=") {
        Some(rule) => Ok(policy.allow(rule.parse()?)),
        None if text == "none" => Ok(policy),
        None => Err(format!("--egress {text}: it is none or allow=CIDR[:PORT][/PROTOCOL]").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read() {
        assert_eq!(network("join:7").unwrap(), Network::Join(Target::Pid(7)));
        let path = Network::Join(Target::Path("/run/netns/a".into()));
        assert_eq!(network("join:/run/netns/a").unwrap(), path);
        assert_eq!(network("bridge").unwrap(), network("bridge:sandbox").unwrap());
        assert_eq!(network("user").unwrap(), Network::user().unwrap());
        for wrong in [
            "",
            "user:a",
            "cni:/nowhere",
            "hosts",
            "none:a",
            "veth",
            "bridge:a/b",
            "device:a234567890123456",
        ] {
            assert!(network(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn policies_are_read() {
        let policy = allowed(Egress::default(), "allow=10.0.0.0/8:443").unwrap();
        assert_eq!(policy.allowed().len(), 1);
        assert!(allowed(policy, "10.0.0.0/8").is_err());
    }
}
