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
        for ports in [None, Some("8080:80")] {
            let endpoint =
                ports.iter().fold(endpoint(), |all, port| all.publish(port.parse().unwrap()));
            let (mut attached, mut both): (Vec<Duration>, Vec<Duration>) = (0..500)
                .map(|_| {
                    let mut netns = Netns::create().unwrap();
                    let start = Instant::now();
                    let attachment = host::host().attach(&network, &endpoint, &mut netns).unwrap();
                    let there = start.elapsed();
                    attachment.unplug().unwrap();
                    (there, start.elapsed())
                })
                .unzip();
            attached.sort();
            both.sort();
            println!("{ports:?}: attach {:?}, {:?}", attached[250], attached[475]);
            println!("{ports:?}: attach and unplug, p50 and p95 {:?}, {:?}", both[250], both[475]);
        }
        drop(first);
        ip(&["link", "del", "br9"]);
    });
}
