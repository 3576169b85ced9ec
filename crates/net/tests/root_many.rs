//! Many containers at once, and processes that are killed. Needs root, unshare(1) and ip(8).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod host;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ampoule_net::{Netns, Reach};
use host::{endpoint, inside, network};

const KILLED: &str = "AMPOULE_TEST_KILLED";

#[test]
fn root_sixty_four_at_once() {
    inside("root_sixty_four_at_once", || {
        let attachments: Vec<_> = std::thread::scope(|scope| {
            let attach = || {
                let mut netns = Netns::create().unwrap();
                let name = network("web");
                let attachment = host::host().attach(&name, &endpoint(), &mut netns).unwrap();
                (netns, attachment)
            };
            let threads: Vec<_> = (0..64).map(|_| scope.spawn(attach)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut addresses: Vec<_> =
            attachments.iter().map(|(_, attachment)| attachment.addresses()[0]).collect();
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), 64);
        std::thread::scope(|scope| {
            for (_netns, attachment) in attachments {
                scope.spawn(move || attachment.detach().unwrap());
            }
        });
    });
}

#[test]
fn root_two_hundred_and_fifty_on_one_bridge() {
    inside("root_two_hundred_and_fifty_on_one_bridge", || {
        let network = network("web").reach(Reach::Internal);
        let all: Vec<_> = (0..250)
            .map(|_| {
                let mut netns = Netns::create().unwrap();
                let attached = host::host().attach(&network, &endpoint(), &mut netns).unwrap();
                (netns, attached)
            })
            .collect();
        let (first, last) = (&all[0], &all[249]);
        let _server = host::Server::tcp(&first.0, "0.0.0.0:80");
        let seen = host::ask_from(&last.0, &format!("{}:80", first.1.addresses()[0])).unwrap();
        assert_eq!(seen, last.1.addresses()[0]);
        drop(all);
    });
}

#[test]
fn root_a_killed_process_leaves_nothing() {
    if std::env::var_os(KILLED).is_some() {
        return come_and_go();
    }
    inside("root_a_killed_process_leaves_nothing", || {
        let own = std::env::current_exe().unwrap();
        for round in 0..200_u64 {
            let mut child = Command::new(&own)
                .args(["--exact", "root_a_killed_process_leaves_nothing", "--nocapture"])
                .env(KILLED, "1")
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_millis(20 + round * 7 % 60));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        // Namespaces go some time after their last process.
        let deadline = Instant::now() + Duration::from_secs(20);
        while host::host().directory().exists() && Instant::now() < deadline {
            host::host().reconcile().unwrap();
            std::thread::sleep(Duration::from_millis(10));
        }
    });
}

/// What the killed process does.
fn come_and_go() {
    loop {
        let mut netns = Netns::create().unwrap();
        let ports = endpoint().publish("8080:80".parse().unwrap());
        // Its predecessor's namespace may not be gone yet.
        if let Ok(attachment) = host::host().attach(&network("web"), &ports, &mut netns) {
            attachment.detach().unwrap();
        } else {
            host::host().reconcile().unwrap();
        }
    }
}
