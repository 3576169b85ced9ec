//! `linux.netDevices`.

use serde_json::{Map, Value, json};

use crate::builder::Builder;
use crate::network::Network;

/// The devices of the host among a builder's networks; the other networks cannot be said.
pub(super) fn net_devices(builder: &Builder) -> Option<Value> {
    let mut said = Map::new();
    for network in &builder.networking.networks {
        let Network::Device(device) = network else { continue };
        let names = serde_json::to_value(device).unwrap_or_default();
        if let Some(host) = names["host"].as_str() {
            said.insert(host.to_owned(), json!({"name": names["container"]}));
        }
    }
    (!said.is_empty()).then_some(Value::Object(said))
}
