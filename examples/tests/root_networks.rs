//! `web-server`, `pod`, `only-net` and `sandbox --net`: what they promise works, in a network that stands in for the
//! host's, with an empty `/run`.

use std::path::PathBuf;
use std::process::{Command, Output};

/// The program of an example.
fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("own executable");
    let built = own.parent().and_then(|deps| deps.parent()).expect("target/debug");
    built.join("examples").join(name)
}

/// Runs a shell script in new network and mount namespaces; `$0` is the example.
#[track_caller]
fn run(name: &str, script: &str) -> String {
    let setup = format!("mount -t tmpfs none /run && ip link set lo up && {script}");
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--propagation", "private", "--", "sh", "-c", &setup]);
    let Output { status, stdout, stderr } =
        command.arg(program(name)).output().expect("unshare(1)");
    let said = String::from_utf8_lossy(&stdout).into_owned();
    assert!(status.success(), "{said}{}", String::from_utf8_lossy(&stderr));
    said
}

const NOTHING_LEFT: &str = "test -z \"$(find /run -type f)\" && test $(ip -br link | wc -l) = 1";

#[test]
fn a_server_is_reached_from_a_container_and_from_the_host() {
    let said = run("web-server", &format!("\"$0\" 8088 && {NOTHING_LEFT}"));
    assert!(said.contains("another container gets: hello from a container\n"), "{said}");
    assert!(said.contains("the host gets: hello from a container\n"), "{said}");
}

#[test]
fn a_pod_shares_its_network() {
    let said = run("pod", &format!("\"$0\" && {NOTHING_LEFT}"));
    assert!(said.contains("a client in the pod gets: hello from the same pod\n"), "{said}");
    assert!(said.contains("its host name is shop\n"), "{said}");
}

#[test]
fn networks_alone_come_and_go() {
    let said = run("only-net", &format!("\"$0\" && {NOTHING_LEFT}"));
    assert!(said.contains("network only-net: 2 in use"), "{said}");
    assert!(said.ends_with("networks left: 0\n"), "{said}");
}

#[test]
fn the_sandbox_has_networks() {
    let look = "cat /proc/net/dev /etc/hostname";
    let script = format!(
        "\"$0\" --net bridge:a -p 8080:80 --egress allow=10.0.0.0/8:443 -- sh -c '{look}' && \
         \"$0\" --net none -- cat /proc/net/dev && {NOTHING_LEFT}"
    );
    let said = run("sandbox", &script);
    assert_eq!(said.matches("eth0:").count(), 1, "{said}");
    assert_eq!(said.matches("lo:").count(), 2, "{said}");
}
