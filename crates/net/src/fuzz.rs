//! The pure parsers of this crate behind one shape, for the fuzz targets. Not a public interface.
//!
//! Kernel objects: none. Invariant: no input makes any of these panic, and memory stays proportional to the input.

use std::str::FromStr;

use crate::nft::table::parse_counters;
use crate::state::State;
use crate::{Allow, Cidr, LinkName, Mac, NetworkName, Port, device, link, socket};

/// Every setting that is read from a short text: what is accepted must be read back the same.
pub fn settings(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    round_trip::<Cidr>(&text);
    round_trip::<Mac>(&text);
    round_trip::<Port>(&text);
    round_trip::<Allow>(&text);
    round_trip::<LinkName>(&text);
    round_trip::<NetworkName>(&text);
}

fn round_trip<T: FromStr + ToString + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let again = value.to_string().parse::<T>().ok();
        assert!(again.is_some_and(|again| again == value), "{text:?}");
    }
}

/// The file with the state: what is accepted is written the same.
pub fn state(data: &[u8]) {
    if let Some(state) = State::parse(data) {
        let bytes = state.to_bytes().ok();
        let again = bytes.as_deref().and_then(State::parse);
        assert!(again.is_some_and(|again| again == state));
        drop(state.sysctls_needed());
    }
}

/// Configurations and answers of CNI plugins.
pub fn cni(data: &[u8]) {
    if let Ok(list) = crate::cni::Conflist::parse(data) {
        assert!(list.types().count() > 0);
        drop(crate::cni::parse_answer(data, list.version()));
    }
}

/// Answers of the kernel: links, routes, addresses, rules.
pub fn answers(data: &[u8]) {
    for (_, _, payload) in socket::split(data) {
        drop(link::parse_link(&payload));
        assert!(crate::Statistics::parse(&payload).is_none_or(|_| payload.len() >= 64));
        let found = [link::parse_route(&payload), device::parse_address(&payload, 1)];
        assert!(found.iter().flatten().all(|cidr| cidr.contains(cidr.network().address())));
        assert!(parse_counters("t", &payload).len() <= payload.len());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_read(data: Vec<u8>) {
            super::settings(&data);
            super::state(&data);
            super::answers(&data);
            super::cni(&data);
        }

        #[test]
        fn likely_texts_come_back(text in "\\[?[0-9a-f.:]{0,12}\\]?(/[0-9]{1,3})?(:[0-9]{1,5}(-[0-9]{1,5})?)?(/tcp|/udp|/icmp)?") {
            super::settings(text.as_bytes());
        }
    }
}
