//! What is published on IPv6, which packets a container cannot send, what its interface counted, and a switch of somebody
//! else. Needs root, unshare(1), ip(8) and openvswitch-switch.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod host;

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ampoule_net::{Attachment, Families, Netns, Veth};
use host::{Server, ask, ask_from, ask_udp, endpoint, inside, ip, network, outside, within};

#[test]
fn root_ports_are_published_on_ipv6() {
    inside("root_ports_are_published_on_ipv6", || {
        let (beyond, uplink) = outside();
        let (mut netns, mut near) = (Netns::create().unwrap(), Netns::create().unwrap());
        let ports = ["[::]:8080:80", "[2001:db8::1]:5300:53/udp", "[::]:9000-9001:7000-7001"];
        let ports = ports.iter().fold(endpoint(), |all, port| all.publish(port.parse().unwrap()));
        let web = network("web").families(Families::Both);
        let one = host::host().attach(&web, &ports, &mut netns).unwrap();
        let two = host::host().attach(&web, &endpoint(), &mut near).unwrap();
        let _servers = [Server::tcp(&netns, "[::]:80"), Server::tcp(&netns, "[::]:7001")];
        let _udp = Server::udp(&netns, "[::]:53");
        // The uplink is new: until its own address is known to be nobody else's, the host asks for no neighbour there.
        let deadline = Instant::now() + Duration::from_secs(10);
        while ask_from(&beyond, "[2001:db8::1]:8080").is_err() && Instant::now() < deadline {}
        assert_eq!(ask_from(&beyond, "[2001:db8::1]:8080").unwrap().to_string(), "2001:db8::2");
        assert!(ask_from(&beyond, "[2001:db8::1]:9001").is_ok());
        let seen = within(&beyond, || ask_udp("[2001:db8::1]:5300")).unwrap();
        assert_eq!(seen.to_string(), "2001:db8::2");
        // From the host, a neighbour and the container itself.
        for asked in [ask("[2001:db8::1]:8080"), ask_from(&near, "[2001:db8::1]:8080")] {
            asked.unwrap();
        }
        ask_from(&netns, "[2001:db8::1]:8080").unwrap();
        // What was published for IPv6 is not for IPv4, and the container's own address leads nowhere from outside.
        assert!(ask("127.0.0.1:8080").is_err());
        let own = one.addresses()[1];
        within(&beyond, || ip(&["-6", "route", "add", "default", "via", "2001:db8::1"]));
        assert!(ask_from(&beyond, &format!("[{own}]:80")).is_err());
        drop((one, two));
        uplink.disconnect().unwrap();
    });
}

/// Lets a container send to 127.0.0.0/8 by its gateway.
fn prepare_loopback(netns: &Netns, attachment: &Attachment) {
    let gateway = attachment.gateways()[0].address().to_string();
    within(netns, || {
        // Without these, the container's own kernel would not let them out.
        std::fs::write("/proc/sys/net/ipv4/conf/all/route_localnet", "1").unwrap();
        ip(&["address", "del", "127.0.0.1/8", "dev", "lo"]);
        ip(&["route", "add", "127.0.0.0/8", "via", &gateway, "dev", "eth0"]);
    });
}

fn send_to_loopback(netns: &Netns, attachment: &Attachment, port: u16) {
    within(netns, || {
        let socket = UdpSocket::bind((attachment.addresses()[0], 0)).unwrap();
        for _ in 0..3 {
            socket.send_to(b"x", ("127.0.0.1", port)).unwrap();
        }
    });
}

#[test]
fn root_no_packet_of_a_container_comes_to_the_hosts_loopback() {
    inside("root_no_packet_of_a_container_comes_to_the_hosts_loopback", || {
        let mut netns = Netns::create().unwrap();
        let web = network("web");
        let attachment = host::host().attach(&web, &endpoint(), &mut netns).unwrap();
        let bridge = web.bridge().name().to_string();
        let setting = format!("/proc/sys/net/ipv4/conf/{bridge}/route_localnet");
        assert_eq!(std::fs::read_to_string(setting).unwrap(), "1\n", "else the kernel drops them");
        let service = UdpSocket::bind("127.0.0.1:0").unwrap();
        service.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let port = service.local_addr().unwrap().port();
        let received = || {
            let path = format!("/sys/class/net/{bridge}/statistics/rx_packets");
            std::fs::read_to_string(path).unwrap().trim().parse::<u64>().unwrap()
        };
        rustix::mount::mount("none", "/sys", "sysfs", rustix::mount::MountFlags::empty(), None)
            .unwrap();
        let before = received();
        prepare_loopback(&netns, &attachment);
        // The first ones may come before the bridge forwards.
        for _ in 0..20 {
            send_to_loopback(&netns, &attachment, port);
            let error = service.recv_from(&mut [0; 8]).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
            if received() >= before + 3 {
                break;
            }
        }
        assert!(received() >= before + 3, "they came to the bridge");
        rustix::mount::unmount("/sys", rustix::mount::UnmountFlags::empty()).unwrap();
    });
}

/// A program that is ended with its test.
struct Daemon(Child);

impl Daemon {
    fn start(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).env("OVS_RUNDIR", "/run/ovs").env("OVS_LOGDIR", "/run/ovs");
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn vsctl(arguments: &[&str]) {
    let database = "--db=unix:/run/ovs/db.sock";
    let output =
        Command::new("ovs-vsctl").args([database, "--timeout=20"]).args(arguments).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// Asks for an echo (RFC 792) until it comes, for 20 s. The userspace datapath does not know of the checksums that the
/// kernel leaves to the hardware; this one is made here.
fn answers_echo(address: [u8; 4]) -> bool {
    let kind = rustix::net::SocketType::RAW;
    let protocol = Some(rustix::net::ipproto::ICMP);
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, kind, protocol).unwrap();
    let socket = UdpSocket::from(socket);
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    // Type 8, code 0, the complement of their sum, identifier and number 0.
    let request = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        let mut answer = [0; 64];
        // Until the switch knows its ports, the address is not found.
        let sent = socket.send_to(&request, (std::net::Ipv4Addr::from(address), 0));
        if sent.is_ok() && socket.recv(&mut answer).is_ok_and(|read| read >= 28 && answer[20] == 0)
        {
            return true;
        }
    }
    false
}

#[test]
fn root_two_containers_on_open_vswitch() {
    inside("root_two_containers_on_open_vswitch", || {
        std::fs::create_dir("/run/ovs").unwrap();
        let schema = "/usr/share/openvswitch/vswitch.ovsschema";
        let made = Command::new("ovsdb-tool").args(["create", "/run/ovs/conf.db", schema]).status();
        assert!(made.unwrap().success());
        let remote = "--remote=punix:/run/ovs/db.sock";
        let database = Daemon::start("ovsdb-server", &["/run/ovs/conf.db", remote]);
        let deadline = Instant::now() + Duration::from_secs(20);
        while !Path::new("/run/ovs/db.sock").exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        vsctl(&["--no-wait", "init"]);
        let switch = Daemon::start("ovs-vswitchd", &["unix:/run/ovs/db.sock"]);
        vsctl(&["add-br", "ovs9", "--", "set", "bridge", "ovs9", "datapath_type=netdev"]);
        let (mut one, mut two) = (Netns::create().unwrap(), Netns::create().unwrap());
        let veth = |name, address: &str| {
            Veth::new(name, "eth0").unwrap().address(address.parse().unwrap())
        };
        let left = veth("left", "10.77.0.1/24").connect(&mut one).unwrap();
        let right = veth("right", "10.77.0.2/24").connect(&mut two).unwrap();
        for port in ["left", "right"] {
            vsctl(&["add-port", "ovs9", port]);
        }
        let answered = within(&one, || answers_echo([10, 77, 0, 2]));
        assert!(answered, "no echo within 20 s");
        vsctl(&["del-br", "ovs9"]);
        drop((left, right, switch, database));
        // Those that the daemon makes by itself.
        for link in ["ovs-netdev", "ovs9"] {
            drop(Command::new("ip").args(["link", "del", link]).output().unwrap());
        }
        std::fs::remove_dir_all("/run/ovs").unwrap();
    });
}

#[test]
fn root_what_an_interface_counted() {
    inside("root_what_an_interface_counted", || {
        let (mut one, mut two) = (Netns::create().unwrap(), Netns::create().unwrap());
        let web = network("web");
        let left = host::host().attach(&web, &endpoint(), &mut one).unwrap();
        let right = host::host().attach(&web, &endpoint(), &mut two).unwrap();
        let before = one.statistics("eth0").unwrap();
        let _server = Server::tcp(&one, "0.0.0.0:80");
        ask_from(&two, &format!("{}:80", left.addresses()[0])).unwrap();
        let after = one.statistics("eth0").unwrap();
        assert!(after.rx_packets >= before.rx_packets + 3, "{before:?} {after:?}");
        assert!(after.tx_bytes >= before.tx_bytes + 60, "{before:?} {after:?}");
        assert_eq!((after.rx_errors, after.tx_dropped), (0, 0));
        let error = one.statistics("eth7").unwrap_err();
        assert_eq!(error.kind(), ampoule_net::ErrorKind::NotFound);
        drop((left, right));
    });
}
