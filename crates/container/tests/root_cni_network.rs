//! Networks of CNI plugins. Needs root, unshare(1), ip(8) and Debian's containernetworking-plugins with iptables.
//!
//! Kernel objects: containers in a network that stands in for the host's. Invariant: the plugins have deleted each.

mod oracle;
mod scene;

use std::path::Path;

use ampoule::net::cni::{Conflist, Plugins};
use ampoule::net::{self, Port};
use ampoule::{CniNetwork, Container, ErrorKind, Stage};
use oracle::{alone_with, tier, unchanged};
use scene::networks::{address, elsewhere, fetch, fetches, files, ip, server};
use scene::{print, refused, shell};

/// The addresses that are taken.
const LEASES: &str = "/run/leases/web";

/// A bridge with addresses in 10.66.0.0/24, and published ports.
fn network(second: &str) -> CniNetwork {
    let conf = format!(
        r#"{{"cniVersion": "1.0.0", "name": "web", "plugins": [
            {{"type": "bridge", "bridge": "cni9", "isGateway": true, "ipam": {{
                "type": "host-local", "dataDir": "/run/leases",
                "ranges": [[{{"subnet": "10.66.0.0/24"}}]], "routes": [{{"dst": "0.0.0.0/0"}}]}}}},
            {{"type": "{second}", "capabilities": {{"portMappings": true}}}}]}}"#
    );
    let conf = Conflist::parse(conf.as_bytes()).expect("a configuration");
    CniNetwork::new(conf, Plugins::in_directory("/usr/lib/cni"))
}

fn leases() -> usize {
    files(Path::new(LEASES)).iter().filter(|path| path.contains("10.66.0.")).count()
}

/// The links of the host's side.
fn ends() -> usize {
    ip(&["-brief", "link"]).lines().filter(|line| line.starts_with("veth")).count()
}

fn port() -> Port {
    "8080:80".parse().expect("a port")
}

/// Makes what the plugins do not take away, and takes it away in the end.
fn with_bridge(body: impl FnOnce()) {
    unchanged(|| {
        body();
        ip(&["link", "del", "cni9"]);
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "0").expect("a setting");
    });
}

#[test]
fn plugins_add_a_container_and_delete_it() {
    tier::root();
    alone_with(elsewhere, || {
        with_bridge(|| {
            let builder = Container::host_view().network(network("portmap"));
            let served = server(builder.clone().publish(port()), 80, "of plugins");
            let at = address(&served);
            assert!(at.to_string().starts_with("10.66.0."), "{at}");
            assert_eq!((leases(), ends()), (1, 1));
            assert_eq!(print(builder, &fetches((at, 80))), "of plugins");
            let gateway = [10, 66, 0, 1];
            assert_eq!(fetch((gateway, 8080).into()).as_deref(), Some("of plugins"));
            let wanted = network("portmap").arg("IgnoreUnknown", "1").arg("IP", "10.66.0.77");
            let wanted = wanted.link("web0".parse().expect("a name"));
            let shown = print(Container::host_view().network(wanted), "busybox ip -o -4 addr");
            assert!(shown.contains("web0") && shown.contains("10.66.0.77/24"), "{shown}");
            drop(served);
            assert_eq!((leases(), ends()), (0, 0));
            assert_eq!(fetch((gateway, 8080).into()), None);
        });
    });
}

#[test]
fn what_plugins_refuse_is_an_error_and_leaves_nothing() {
    tier::root();
    alone_with(elsewhere, || {
        let reason = |error: &ampoule::Error| {
            let source = std::error::Error::source(error).expect("a reason");
            source.downcast_ref::<net::Error>().expect("of the network crate").kind()
        };
        let launch = |network| shell(Container::host_view().network(network), "true").spawn();
        let error = refused(launch(network("nobodys-plugin")));
        assert_eq!((error.kind(), error.stage()), (ErrorKind::Network, Stage::Setup));
        assert_eq!(reason(&error), net::ErrorKind::PluginMissing);
        assert!(error.hint().is_some_and(|hint| hint.contains("containernetworking-plugins")));
        with_bridge(|| {
            // The bridge is there when the second plugin refuses its configuration.
            let error = refused(launch(network("vlan")));
            assert_eq!(reason(&error), net::ErrorKind::PluginFailed);
            assert_eq!((leases(), ends()), (0, 0));
        });
        let error = refused(launch(network("portmap").arg("A", "b;c")));
        assert_eq!(error.kind(), ErrorKind::InvalidSettings);
        // No plugin of this one publishes ports.
        let conf = br#"{"cniVersion": "1.0.0", "name": "plain", "type": "ptp"}"#;
        let conf = Conflist::parse(conf).expect("a configuration");
        let plain = CniNetwork::new(conf, Plugins::in_directory("/usr/lib/cni"));
        let builder = Container::host_view().network(plain).publish(port());
        let error = refused(shell(builder, "true").plan());
        assert_eq!(error.problems()[0].setting(), "publish", "{error}");
    });
}
