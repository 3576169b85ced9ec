//! Bridge networks, veth pairs and devices. Needs root, unshare(1) and ip(8).

mod host;

use std::net::IpAddr;

use ampoule_net::{
    Device, ErrorKind, Families, HostDevice, LinkName, Neighbours, Netns, Reach, Veth,
};
use host::{Server, ask, ask_from, endpoint, inside, ip, network, within};

fn first(attachment: &ampoule_net::Attachment) -> IpAddr {
    attachment.addresses()[0]
}

#[test]
fn root_containers_of_a_network_reach_each_other() {
    inside("root_containers_of_a_network_reach_each_other", || {
        let (mut one, mut two) = (Netns::create().unwrap(), Netns::create().unwrap());
        let network = network("web").families(Families::Both).mtu(1400);
        let left = host::host().attach(&network, &endpoint(), &mut one).unwrap();
        let right = host::host().attach(&network, &endpoint(), &mut two).unwrap();
        assert_eq!(one.links().unwrap(), ["lo", "eth0"]);
        let _server = Server::tcp(&one, "0.0.0.0:80");
        assert_eq!(ask_from(&two, &format!("{}:80", first(&left))).unwrap(), first(&right));
        assert_eq!(ask(&format!("{}:80", first(&left))).unwrap(), left.gateways()[0].address());
        let _server = Server::tcp(&one, "[::]:81");
        let v6 = left.addresses()[1];
        assert_eq!(ask_from(&two, &format!("[{v6}]:81")).unwrap(), right.addresses()[1]);
        let shown = within(&one, || ip(&["-details", "link", "show", "eth0"]));
        assert!(shown.contains("mtu 1400"), "{shown}");
        assert_eq!(host::host().networks().unwrap(), [(network.name().clone(), 2)]);
        right.detach().unwrap();
        assert_eq!(two.links().unwrap(), ["lo"]);
        drop(left);
    });
}

#[test]
fn root_a_container_that_is_gone_is_reconciled() {
    inside("root_a_container_that_is_gone_is_reconciled", || {
        let mut gone = Netns::create().unwrap();
        let attachment = host::host().attach(&network("a"), &endpoint(), &mut gone).unwrap();
        let address = first(&attachment);
        let link = attachment.host_link().to_string();
        attachment.leave();
        drop(gone);
        // The kernel takes namespaces apart when it has time.
        while ip(&["-brief", "link"]).contains(&link) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let found = host::host().reconcile().unwrap();
        assert_eq!(found.addresses, [address]);
        assert_eq!(found.networks, [network("a").name().clone()]);
        assert_eq!(host::host().reconcile().unwrap(), ampoule_net::Reconciled::default());
    });
}

#[test]
fn root_several_networks_in_one_container() {
    inside("root_several_networks_in_one_container", || {
        let mut netns = Netns::create().unwrap();
        let host = host::host();
        let front = host.attach(&network("front"), &endpoint(), &mut netns).unwrap();
        let back = ampoule_net::Endpoint::new("eth1").unwrap();
        let internal = network("back").reach(Reach::Internal);
        let back = host.attach(&internal, &back, &mut netns).unwrap();
        assert_ne!(front.gateways()[0].network(), back.gateways()[0].network());
        let routes = within(&netns, || ip(&["route"]));
        let default = format!("default via {} dev eth0", front.gateways()[0].address());
        assert_eq!(routes.matches("default").count(), 1, "{routes}");
        assert!(routes.contains(&default), "{routes}");
        let error = host.attach(&network("third"), &endpoint(), &mut netns).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
        assert_eq!(host.networks().unwrap().len(), 2);
    });
}

#[test]
fn root_what_cannot_be_leaves_nothing() {
    inside("root_what_cannot_be_leaves_nothing", || {
        let (host, mut netns) = (host::host(), Netns::create().unwrap());
        let mut refused = |network: &ampoule_net::BridgeNetwork,
                           endpoint: &ampoule_net::Endpoint| {
            let error = host.attach(network, endpoint, &mut netns).unwrap_err();
            assert!(error.problems().is_empty(), "{error}");
            error.kind()
        };
        ip(&["route", "add", "10.7.0.0/16", "dev", "lo"]);
        let overlapping = network("a").subnet("10.7.1.0/24".parse().unwrap());
        assert_eq!(refused(&overlapping, &endpoint()), ErrorKind::SubnetOverlaps);
        ip(&["route", "del", "10.7.0.0/16"]);
        let outside = endpoint().address("10.1.2.3".parse().unwrap());
        assert_eq!(refused(&network("a"), &outside), ErrorKind::InvalidAddress);
        let route = endpoint().route(host::route("10.9.0.0/16", "10.200.0.1"));
        assert_eq!(refused(&network("a"), &route), ErrorKind::System);
        let device = Device::Own(LinkName::new("lo").unwrap());
        assert_eq!(refused(&network("a").device(device), &endpoint()), ErrorKind::AlreadyExists);
        ip(&["link", "add", "br8", "type", "bridge"]);
        let device = Device::Own(LinkName::new("br8").unwrap());
        assert_eq!(refused(&network("a").device(device), &endpoint()), ErrorKind::AlreadyExists);
        assert!(ip(&["-brief", "link"]).contains("br8"));
        ip(&["link", "del", "br8"]);
        let missing = Device::Existing(LinkName::new("br9").unwrap());
        let missing = network("a").device(missing).subnet("10.7.1.0/24".parse().unwrap());
        assert_eq!(refused(&missing, &endpoint()), ErrorKind::NotFound);
        assert!(host.networks().unwrap().is_empty());
        assert!(!host.directory().exists());
    });
}

#[test]
fn root_a_bridge_of_somebody_else_stays() {
    inside("root_a_bridge_of_somebody_else_stays", || {
        ip(&["link", "add", "br9", "type", "bridge"]);
        ip(&["address", "add", "10.7.1.1/24", "dev", "br9"]);
        ip(&["link", "set", "br9", "up"]);
        let device = Device::Existing(LinkName::new("br9").unwrap());
        let network = network("a").device(device).subnet("10.7.1.0/24".parse().unwrap());
        let mut netns = Netns::create().unwrap();
        let attachment = host::host().attach(&network, &endpoint(), &mut netns).unwrap();
        let _server = Server::tcp(&netns, "0.0.0.0:80");
        assert!(ask(&format!("{}:80", first(&attachment))).is_ok());
        drop(attachment);
        assert!(ip(&["-brief", "address"]).contains("10.7.1.1/24"));
        let setting = std::fs::read_to_string("/proc/sys/net/ipv4/conf/br9/route_localnet");
        assert_eq!(setting.unwrap(), "0\n");
        ip(&["link", "del", "br9"]);
    });
}

#[test]
fn root_isolated_neighbours_reach_the_host_only() {
    inside("root_isolated_neighbours_reach_the_host_only", || {
        let (mut one, mut two) = (Netns::create().unwrap(), Netns::create().unwrap());
        let network = network("web").neighbours(Neighbours::Isolated);
        let left = host::host().attach(&network, &endpoint(), &mut one).unwrap();
        let _right = host::host().attach(&network, &endpoint(), &mut two).unwrap();
        let _server = Server::tcp(&one, "0.0.0.0:80");
        assert!(ask(&format!("{}:80", first(&left))).is_ok());
        assert!(ask_from(&two, &format!("{}:80", first(&left))).is_err());
    });
}

#[test]
fn root_a_veth_pair_is_the_callers() {
    inside("root_a_veth_pair_is_the_callers", || {
        let mut netns = Netns::create().unwrap();
        let veth = Veth::new("mine", "eth0").unwrap();
        let veth = veth.host_address("10.3.0.1/30".parse().unwrap());
        let veth =
            veth.address("10.3.0.2/30".parse().unwrap()).mac("0a:00:00:00:00:07".parse().unwrap());
        let veth = veth.route(host::route("0.0.0.0/0", "10.3.0.1"));
        let connected = veth.connect(&mut netns).unwrap();
        let _server = Server::tcp(&netns, "0.0.0.0:80");
        assert_eq!(ask("10.3.0.2:80").unwrap().to_string(), "10.3.0.1");
        let shown = within(&netns, || ip(&["link", "show", "eth0"]));
        assert!(shown.contains("0a:00:00:00:00:07"), "{shown}");
        let error = veth.connect(&mut netns).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        connected.disconnect().unwrap();
    });
}

#[test]
fn root_a_device_is_moved_and_comes_back() {
    inside("root_a_device_is_moved_and_comes_back", || {
        ip(&["link", "add", "dev9", "type", "veth", "peer", "name", "dev8"]);
        ip(&["address", "add", "10.4.0.1/24", "dev", "dev9"]);
        ip(&["link", "set", "dev9", "up"]);
        let mut netns = Netns::create().unwrap();
        let device = HostDevice::new("dev9").unwrap().named(LinkName::new("data0").unwrap());
        let moved = device.move_into(&mut netns).unwrap();
        assert_eq!(moved.addresses(), ["10.4.0.1/24".parse().unwrap()]);
        assert!(!ip(&["-brief", "link"]).contains("dev9"));
        let shown = within(&netns, || ip(&["-brief", "address"]));
        assert!(shown.contains("data0") && shown.contains("10.4.0.1/24"), "{shown}");
        assert_eq!(device.move_into(&mut netns).unwrap_err().kind(), ErrorKind::NotFound);
        moved.give_back(&mut netns).unwrap();
        let shown = ip(&["-brief", "address"]);
        assert!(shown.contains("dev9") && shown.contains("10.4.0.1/24"), "{shown}");
        ip(&["link", "del", "dev9"]);
    });
}
