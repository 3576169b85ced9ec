//! A thousand containers one after the other leave nothing. Needs root, unshare(1) and ip(8).
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking")]

mod host;

use std::time::{Duration, Instant};

use ampoule_net::Netns;
use host::{endpoint, inside, ip, network};

#[test]
fn soak_a_thousand_cycles() {
    inside("soak_a_thousand_cycles", || {
        ip(&["link", "add", "br9", "type", "bridge"]);
        ip(&["address", "add", "10.7.1.1/24", "dev", "br9"]);
        ip(&["link", "set", "br9", "up"]);
        let device = ampoule_net::Device::Existing(ampoule_net::LinkName::new("br9").unwrap());
        let network = network("web").device(device).subnet("10.7.1.0/24".parse().unwrap());
        // One stays, so that the network does.
        let mut stays = Netns::create().unwrap();
        let first = host::host().attach(&network, &endpoint(), &mut stays).unwrap();
        let mut times: Vec<(Duration, Duration)> = (0..1000)
            .map(|_| {
                let mut netns = Netns::create().unwrap();
                let start = Instant::now();
                let attached = host::host().attach(&network, &endpoint(), &mut netns).unwrap();
                let there = start.elapsed();
                attached.detach().unwrap();
                (start.elapsed(), there)
            })
            .collect();
        times.sort();
        println!("attach and detach, attach alone: median {:?}, p90 {:?}", times[500], times[900]);
        drop(first);
        ip(&["link", "del", "br9"]);
    });
}
