//! Hosts of pods that are killed.
//!
//! Kernel objects: pods on a bridge of a namespace that stands in for the host, with a group above their containers'.
//! Invariant: after `reconcile` and the next pod nothing is left.

mod oracle;
mod scene;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ampoule::{Container, Limits, Max, Pod, PodBuilder, net};
use ampoule_cgroups::Hierarchies;
use oracle::{alone_with, payload, tier};
use scene::networks::{bridge, clean, elsewhere, files, ip, tables};
use scene::{shell, soon, times};

fn pod() -> PodBuilder {
    let mut limits = Limits::default();
    limits.pids_max = Some(Max::Limit(50));
    let pod = Pod::builder().network(bridge("web", "10.77.0.0/16")).limits(limits);
    pod.publish("8080:80".parse().expect("a port"))
}

/// The host that will be killed.
#[test]
fn payload_main() {
    if payload::verb().as_deref() == Some("pods") {
        loop {
            let mut pod = pod().create().expect("a pod");
            for _ in 0..2 {
                let command = shell(pod.join(Container::host_view()), "exec busybox sleep 100");
                pod.start(command).expect("a container");
            }
            std::fs::write("/run/filled", "").expect("a file");
        }
    }
}

fn host(verb: &str) -> Child {
    let own = payload::own_program(verb);
    let mut command = Command::new(own.program);
    command.args(own.args).env(own.env.0, own.env.1).stdin(Stdio::null());
    command.stdout(Stdio::null()).spawn().expect("the test binary starts again")
}

/// The groups of pods, in every hierarchy in which this process has a group.
fn groups() -> Vec<String> {
    let hierarchies = Hierarchies::detect().expect("control groups");
    let mut found = Vec::new();
    for hierarchy in hierarchies.iter() {
        walk(&hierarchy.mount, 0, &mut found);
    }
    found
}

/// What is below a directory of pods.
fn walk(directory: &Path, depth: usize, found: &mut Vec<String>) {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()).filter(|path| path.is_dir()) {
        if directory.ends_with("ampoule-pod") {
            found.push(path.display().to_string());
        } else if depth < 6 {
            walk(&path, depth + 1, found);
        }
    }
}

/// Reaps what came from the killed host.
fn reaped() -> bool {
    use rustix::process::{WaitOptions, waitpid};
    let options = WaitOptions::NOHANG | WaitOptions::from_bits_retain(0x4000_0000);
    while let Ok(Some(_)) = waitpid(None, options) {}
    true
}

/// Kills a host; what it had ends with it.
fn end(mut host: Child) {
    host.kill().expect("our child");
    host.wait().expect("our child");
    assert!(soon(|| reaped() && scene::outside::descendants() == 0));
}

/// How long a host takes, on this machine and now, until its first pod is whole.
fn until_filled() -> Duration {
    let (begun, host) = (Instant::now(), host("pods"));
    let filled = Path::new("/run/filled");
    assert!(soon(|| filled.exists()), "no pod was ever whole");
    let whole = begun.elapsed();
    end(host);
    std::fs::remove_file(filled).expect("our file");
    whole
}

#[test]
fn a_killed_host_of_pods_leaves_nothing_to_the_next_pod() {
    tier::root();
    alone_with(elsewhere, || {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).expect("a subreaper");
        let others = groups();
        clean(|| {
            let (mut attached, mut grouped) = (0, 0);
            let whole = until_filled();
            for round in 0..u32::try_from(times(20, 200)).expect("a number") {
                let host = host("pods");
                // From its first call to somewhere in its second pod.
                std::thread::sleep(whole * ((round * 37) % 150) / 100);
                end(host);
                attached += usize::from(ip(&["-brief", "link"]).lines().count() > 1);
                grouped += usize::from(groups().len() > others.len());
                let nothing = || {
                    net::Host::new().and_then(|host| host.reconcile()).expect("a state");
                    files(Path::new("/run/ampoule")).is_empty()
                        && ip(&["-brief", "link"]).lines().count() == 1
                };
                assert!(soon(nothing), "{}", ip(&["link"]));
                assert_eq!(tables(), Vec::<String>::new());
                if round % 5 == 4 {
                    drop(pod().create().expect("a pod"));
                    assert_eq!(groups(), others, "round {round}");
                }
            }
            // Where the last host came so far.
            drop(std::fs::remove_file("/run/filled"));
            assert!(attached > 0, "none was killed while it was attached");
            assert!(grouped > 0, "none was killed while it had a group");
            // The groups that killed hosts left go with the next start.
            assert!(Container::host_view().command("true").status().expect("a run").success());
        });
    });
}
