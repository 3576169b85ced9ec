//! Containers on a switch of somebody else: two of them ping each other through Open vSwitch, by its userspace datapath.
//! Needs Debian's openvswitch-switch.
//!
//! Kernel objects: containers in a network namespace that stands in for the host, the switch's daemons. Invariant:
//! afterwards it is as before.

mod oracle;
mod scene;

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ampoule::net::{Cidr, Veth};
use ampoule::{Capability, Container, User};
use oracle::{alone_with, tier};
use scene::networks::{clean, elsewhere, ip};
use scene::{shell, soon};

/// A program that is ended with its test.
struct Daemon(Child);

impl Daemon {
    fn start(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).env("OVS_RUNDIR", "/run/ovs").env("OVS_LOGDIR", "/run/ovs");
        Self(
            command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("openvswitch-switch"),
        )
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.kill().expect("our child");
        self.0.wait().expect("our child");
    }
}

fn vsctl(arguments: &[&str]) {
    let mut command = Command::new("ovs-vsctl");
    let output = command.args(["--db=unix:/run/ovs/db.sock", "--timeout=20"]).args(arguments);
    let output = output.output().expect("openvswitch-switch");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// A switch without ports.
fn switch() -> [Daemon; 2] {
    std::fs::create_dir("/run/ovs").expect("a directory");
    let schema = "/usr/share/openvswitch/vswitch.ovsschema";
    let made = Command::new("ovsdb-tool").args(["create", "/run/ovs/conf.db", schema]).status();
    assert!(made.expect("openvswitch-switch").success());
    let database =
        Daemon::start("ovsdb-server", &["/run/ovs/conf.db", "--remote=punix:/run/ovs/db.sock"]);
    assert!(soon(|| Path::new("/run/ovs/db.sock").exists()));
    vsctl(&["--no-wait", "init"]);
    let switch = Daemon::start("ovs-vswitchd", &["unix:/run/ovs/db.sock"]);
    vsctl(&["add-br", "ovs9", "--", "set", "bridge", "ovs9", "datapath_type=netdev"]);
    [switch, database]
}

#[test]
fn two_containers_ping_through_open_vswitch() {
    tier::root();
    alone_with(elsewhere, || {
        clean(|| {
            let daemons = switch();
            let on = |host: &str, address: &str| {
                let address: Cidr = address.parse().expect("an address");
                let veth = Veth::new(host, "eth0").expect("names").address(address);
                Container::host_view()
                    .user(User::ids(0, 0))
                    .cap_add(Capability::NetRaw)
                    .network(veth)
            };
            let left = shell(on("left", "10.77.7.1/24"), "sleep 100").spawn().expect("a container");
            let right = on("right", "10.77.7.2/24").command("sh");
            let right = right.args([
                "-c",
                "read begin; until busybox ping -c 1 -W 1 10.77.7.1; do :; done; \
                busybox ping -c 3 -W 10 10.77.7.1",
            ]);
            let right = right.stdin(ampoule::Stdio::piped()).stdout(ampoule::Stdio::piped());
            let mut right = right.spawn().expect("a container");
            for port in ["left", "right"] {
                vsctl(&["add-port", "ovs9", port]);
            }
            // The first ones may come before the switch knows its ports.
            drop(right.stdin.take());
            let mut said = String::new();
            right.stdout.take().expect("a pipe").read_to_string(&mut said).expect("text");
            assert!(right.wait().expect("a status").success(), "{said}");
            assert!(said.contains("3 packets transmitted, 3 packets received"), "{said}");
            drop(left);
            vsctl(&["del-br", "ovs9"]);
            drop(daemons);
            // That one the daemon makes by itself.
            drop(Command::new("ip").args(["link", "del", "ovs-netdev"]).output());
            std::fs::remove_dir_all("/run/ovs").expect("our directory");
            assert_eq!(ip(&["-brief", "link"]).lines().count(), 1);
        });
    });
}
