//! Many containers with networks at once, and a host that is killed while it attaches and detaches.
//!
//! Kernel objects: containers on a bridge of a namespace that stands in for the host. Invariant: none fails, and after
//! `reconcile` nothing is left.

mod oracle;
mod scene;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ampoule::{Container, net};
use oracle::{alone_with, payload, tier};
use scene::networks::{address, bridge, clean, elsewhere, files, ip};
use scene::{print, shell, soon, times};

/// The host that will be killed.
#[test]
fn payload_main() {
    if payload::verb().as_deref() == Some("attach") {
        let builder = Container::host_view().network(bridge("web", "10.77.0.0/16"));
        let port = builder.clone().publish("8080:80".parse().expect("a port"));
        let (one, two) = (port.command("true"), builder.command("true"));
        let (one, two) = (one.plan().expect("a plan"), two.plan().expect("a plan"));
        loop {
            let mut first = one.launch().spawn().expect("a container");
            two.launch().status().expect("a status");
            first.wait().expect("a status");
        }
    }
}

fn host(verb: &str) -> Child {
    let own = payload::own_program(verb);
    let mut command = Command::new(own.program);
    command.args(own.args).env(own.env.0, own.env.1).stdin(Stdio::null());
    command.stdout(Stdio::null()).spawn().expect("the test binary starts again")
}

#[test]
fn a_killed_host_leaves_nothing_that_reconcile_does_not_take() {
    tier::root();
    alone_with(elsewhere, || {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).expect("a subreaper");
        clean(|| {
            let mut attached = 0;
            for round in 0..times(20, 200) {
                let mut host = host("attach");
                std::thread::sleep(Duration::from_micros(20_000 + (round as u64 * 7919) % 60_000));
                host.kill().expect("our child");
                host.wait().expect("our child");
                assert!(soon(|| reaped() && scene::outside::descendants() == 0));
                attached += usize::from(ip(&["-brief", "link"]).lines().count() > 1);
                // A namespace that still is there is in use, as far as anybody can see.
                let nothing = || {
                    net::Host::new().and_then(|host| host.reconcile()).expect("a state");
                    files(Path::new("/run/ampoule")).is_empty()
                        && ip(&["-brief", "link"]).lines().count() == 1
                };
                assert!(soon(nothing), "{}", ip(&["link"]));
            }
            // The groups that killed hosts left go with the next start.
            assert!(Container::host_view().command("true").status().expect("a run").success());
            assert!(attached > 0, "it was never killed while something was attached");
        });
    });
}

/// Reaps what came from the killed host.
fn reaped() -> bool {
    use rustix::process::{WaitOptions, waitpid};
    let options = WaitOptions::NOHANG | WaitOptions::from_bits_retain(0x4000_0000);
    while let Ok(Some(_)) = waitpid(None, options) {}
    true
}

#[test]
fn sixty_four_at_once() {
    tier::root();
    alone_with(elsewhere, || {
        clean(|| {
            let builder = Container::host_view().network(bridge("web", "10.77.0.0/24"));
            let plan = shell(builder, "busybox ip -o -4 addr show eth0").plan().expect("a plan");
            let said: Vec<String> = std::thread::scope(|threads| {
                let one = || {
                    let launch = plan.launch().start_timeout(Duration::from_secs(60));
                    scene::printed(launch.output().expect("a container"))
                };
                let started: Vec<_> = (0..64).map(|_| threads.spawn(one)).collect();
                started.into_iter().map(|thread| thread.join().expect("a thread")).collect()
            });
            assert!(said.iter().all(|said| said.contains("10.77.0.")), "{said:?}");
        });
    });
}

#[test]
fn two_hundred_and_fifty_on_one_bridge() {
    tier::root();
    alone_with(elsewhere, || {
        clean(|| {
            let builder = Container::host_view().network(bridge("web", "10.77.0.0/24"));
            let plan = shell(builder.clone(), "exec busybox sleep 1000").plan().expect("a plan");
            let start = |_| plan.launch().spawn().expect("a container");
            let containers: Vec<Container> = (0..250).map(start).collect();
            let addresses: BTreeSet<_> = containers.iter().map(address).collect();
            assert_eq!(addresses.len(), 250);
            let (first, last) = (address(&containers[0]), address(&containers[249]));
            let reach = format!(
                "busybox nc -w 2 {first} 9 </dev/null 2>&1; busybox nc -w 2 {last} 9 </dev/null 2>&1; true"
            );
            let said = print(builder, &reach);
            assert_eq!(said.matches("refused").count(), 2, "{said}");
        });
    });
}
