//! Containers on a bridge, one after another.
//!
//! Kernel objects: containers in a network namespace that stands in for the host. Invariant: afterwards nothing of it is
//! there, and everything else is as before.

mod oracle;
mod scene;

use ampoule::net::{BridgeNetwork, Families};
use ampoule::{Container, Network};
use oracle::{alone_with, tier};
use scene::networks::{clean, elsewhere, ip, tables};
use scene::times;

/// What a network adds to: links, addresses, routes, tables of packet filters.
fn picture() -> [String; 5] {
    [
        ip(&["-brief", "link"]),
        ip(&["-brief", "address"]),
        ip(&["route", "show", "table", "all"]),
        ip(&["-6", "route", "show", "table", "all"]),
        tables().join(" "),
    ]
}

fn network(name: &str, subnet: &str) -> Network {
    let network = BridgeNetwork::new(name).expect("a name").families(Families::Both);
    network.subnet(subnet.parse().expect("a subnet")).into()
}

#[test]
fn a_thousand_containers_leave_nothing() {
    tier::root();
    alone_with(elsewhere, || {
        clean(|| {
            let before = picture();
            let web = network("web", "10.77.1.0/24");
            let plain = Container::host_view().network(web.clone());
            let published = plain.clone().publish("8080:80".parse().expect("a port"));
            let two = plain.clone().network(network("back", "10.77.2.0/24"));
            let plans =
                [plain, published, two].map(|it| it.command("true").plan().expect("a plan"));
            for round in 0..times(50, 1000) {
                let plan = &plans[round % plans.len()];
                let status = plan.launch().status();
                assert!(status.expect("a container").success(), "round {round}");
            }
            // The kernel deletes links with their namespaces, some time after these.
            assert!(scene::soon(|| picture() == before), "{:#?}\n{before:#?}", picture());
        });
    });
}
