//! Who connects a container to a bridge that is there, and takes it off again: ours, the bridge plugin of the CNI, netavark.
//!
//! Kernel objects: those of the network namespace that it runs in, which stands in for a host and ends with it. Invariant:
//! making the container's namespace is not in a figure of the first block, and each bridge has a first user that stays.

use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ampoule::net::cni::{Conflist, Plugins, Request};
use ampoule::net::{Attachment, BridgeNetwork, Endpoint, Host, Netns};
use ampoule::{Container, Network, Plan};

use crate::failure::Failure;

/// Where Debian has netavark.
const NETAVARK: &str = "/usr/lib/podman/netavark";

/// One who is measured.
pub trait Entrant {
    /// One time, from the beginning to the end of what the row says.
    ///
    /// # Errors
    /// Whatever it reports.
    fn once(&mut self, round: usize) -> Result<Duration, Failure>;
}

/// A row before it is measured.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Who.
    pub name: &'static str,
    /// What it does.
    pub remark: &'static str,
    /// How it is made.
    pub make: fn() -> Result<Box<dyn Entrant>, Failure>,
}

/// All rows; those of whole containers last.
pub const ROWS: [Row; 7] = [
    Row { name: "ours", remark: "attach, unplug", make: || crate_row("web", None, Way::Unplug) },
    Row {
        name: "ours-port",
        remark: "with a published port",
        make: || crate_row("port", Some("8080:80"), Way::Unplug),
    },
    Row {
        name: "ours-detach",
        remark: "the pair is deleted before it returns",
        make: || crate_row("detach", None, Way::Detach),
    },
    Row { name: "cni-bridge", remark: "bridge and host-local, ADD, DEL", make: cni },
    Row { name: "netavark", remark: "setup, teardown", make: netavark },
    Row { name: "container-none", remark: "start to cleaned, Network::None", make: none },
    Row { name: "container-bridge", remark: "the same on a bridge", make: bridge },
];

fn reported(error: impl std::fmt::Display) -> Failure {
    Failure::Reported(error.to_string().into())
}

/// How an attachment ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Unplug,
    Detach,
}

/// The crate by itself.
struct Crate {
    network: BridgeNetwork,
    endpoint: Endpoint,
    way: Way,
    _first: (Attachment, Netns),
}

fn crate_row(name: &str, port: Option<&str>, way: Way) -> Result<Box<dyn Entrant>, Failure> {
    let network = BridgeNetwork::new(name).map_err(reported)?;
    let plain = Endpoint::new("eth0").map_err(reported)?;
    let mut netns = Netns::create().map_err(reported)?;
    let host = Host::new().map_err(reported)?;
    let first = host.attach(&network, &plain, &mut netns).map_err(reported)?;
    let endpoint = match port {
        Some(port) => plain.publish(port.parse().map_err(reported)?),
        None => plain,
    };
    Ok(Box::new(Crate { network, endpoint, way, _first: (first, netns) }))
}

impl Entrant for Crate {
    fn once(&mut self, _: usize) -> Result<Duration, Failure> {
        let mut netns = Netns::create().map_err(reported)?;
        let start = Instant::now();
        let host = Host::new().map_err(reported)?;
        let attached = host.attach(&self.network, &self.endpoint, &mut netns).map_err(reported)?;
        let ended = match self.way {
            Way::Unplug => attached.unplug(),
            Way::Detach => attached.detach(),
        };
        ended.map_err(reported)?;
        Ok(start.elapsed())
    }
}

/// The plugins of the CNI.
struct Cni {
    conflist: Conflist,
    plugins: Plugins,
}

fn cni() -> Result<Box<dyn Entrant>, Failure> {
    let text = r#"{"cniVersion":"1.0.0","name":"bench","plugins":[{"type":"bridge","bridge":"cni9",
        "isGateway":true,"ipam":{"type":"host-local","dataDir":"/run/cni","subnet":"10.66.0.0/16"}}]}"#;
    let conflist = Conflist::parse(text.as_bytes()).map_err(reported)?;
    let mut cni = Cni { conflist, plugins: Plugins::in_directory("/usr/lib/cni") };
    // Its bridge stays.
    cni.once(0)?;
    Ok(Box::new(cni))
}

impl Entrant for Cni {
    fn once(&mut self, round: usize) -> Result<Duration, Failure> {
        let netns = Netns::create().map_err(reported)?;
        let request = Request::new(&format!("c{round}"), "eth0").map_err(reported)?;
        let start = Instant::now();
        let added = self.plugins.add(&self.conflist, &request, &netns).map_err(reported)?;
        added.delete().map_err(reported)?;
        Ok(start.elapsed())
    }
}

/// The program of Podman.
struct Netavark {
    _first: Netns,
}

fn netavark() -> Result<Box<dyn Entrant>, Failure> {
    let first = Netns::create().map_err(reported)?;
    call_netavark("setup", &first, 2)?;
    Ok(Box::new(Netavark { _first: first }))
}

impl Entrant for Netavark {
    fn once(&mut self, round: usize) -> Result<Duration, Failure> {
        let netns = Netns::create().map_err(reported)?;
        let address = 3 + round % 200;
        let start = Instant::now();
        call_netavark("setup", &netns, address)?;
        call_netavark("teardown", &netns, address)?;
        Ok(start.elapsed())
    }
}

fn call_netavark(verb: &str, netns: &Netns, address: usize) -> Result<(), Failure> {
    let path = format!("/proc/{}/fd/{}", std::process::id(), netns.as_fd().as_raw_fd());
    let id = format!("{address:064x}");
    let options = serde_json::json!({
        "container_id": id,
        "container_name": format!("c{address}"),
        "networks": {
            "bench": {"static_ips": [format!("10.67.0.{address}")], "interface_name": "eth0"},
        },
        "network_info": {
            "bench": {
                "name": "bench", "id": "b".repeat(64), "driver": "bridge",
                "network_interface": "nav9", "created": "2024-01-01T00:00:00Z",
                "subnets": [{"subnet": "10.67.0.0/16", "gateway": "10.67.0.1"}],
                "ipv6_enabled": false, "internal": false, "dns_enabled": false,
                "ipam_options": {"driver": "host-local"},
            },
        },
    });
    let mut command = Command::new(NETAVARK);
    command.args(["--config", "/run/netavark", verb, &path]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(Failure::call("netavark"))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(options.to_string().as_bytes()).map_err(Failure::call("write"))?;
    }
    let output = child.wait_with_output().map_err(Failure::call("wait"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(reported(String::from_utf8_lossy(&output.stderr))),
    }
}

/// A whole container.
struct Whole {
    plan: Plan,
    _first: Option<(Attachment, Netns)>,
}

fn none() -> Result<Box<dyn Entrant>, Failure> {
    let plan = Container::host_view().command("/bin/true").plan().map_err(reported)?;
    Ok(Box::new(Whole { plan, _first: None }))
}

fn bridge() -> Result<Box<dyn Entrant>, Failure> {
    let network = BridgeNetwork::new("whole").map_err(reported)?;
    let endpoint = Endpoint::new("eth0").map_err(reported)?;
    let mut netns = Netns::create().map_err(reported)?;
    let host = Host::new().map_err(reported)?;
    let first = host.attach(&network, &endpoint, &mut netns).map_err(reported)?;
    let builder = Container::host_view().network(Network::Bridge { network, endpoint: None });
    let plan = builder.command("/bin/true").plan().map_err(reported)?;
    Ok(Box::new(Whole { plan, _first: Some((first, netns)) }))
}

impl Entrant for Whole {
    fn once(&mut self, _: usize) -> Result<Duration, Failure> {
        let start = Instant::now();
        let mut container = self.plan.launch().spawn().map_err(reported)?;
        let status = container.wait().map_err(reported)?;
        drop(container);
        let taken = start.elapsed();
        match status.success() {
            true => Ok(taken),
            false => Err(reported(status)),
        }
    }
}
