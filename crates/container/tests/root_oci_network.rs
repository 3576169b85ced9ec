//! `linux.netDevices` of `config.json`, for a host that is root: by what the kernel shows in the container.
//!
//! Kernel objects: containers in a network namespace that stands in for the host. Invariant: afterwards it is as before.

mod oracle;
mod scene;

use oracle::{alone_with, tier};
use scene::networks::{elsewhere, ip};
use scene::oci::bundle;
use serde_json::json;

#[test]
fn devices_of_the_host_are_the_containers() {
    tier::root();
    alone_with(elsewhere, || {
        ip(&["link", "add", "own0", "type", "veth", "peer", "name", "own1"]);
        ip(&["addr", "add", "10.77.9.9/24", "dev", "own0"]);
        ip(&["link", "set", "own0", "up"]);
        let devices = json!({"own0": {"name": "lan0"}, "own1": {}});
        let script = "cat /proc/net/dev | cut -d: -f1 | tail -n +3; cat /sys/class/net/lan0/flags; cat /proc/net/fib_trie; ls /etc; cat /etc/hostname";
        let bundled = bundle(script).with("/linux/netDevices", devices);
        let config = bundled.config().expect("a configuration");
        let written = config.to_document().expect("a document");
        assert_eq!(written.unsaid, [""; 0]);
        let said = bundled.print();
        for name in ["lan0", "own1"] {
            assert!(said.lines().any(|line| line.trim() == name), "{name} is not in\n{said}");
        }
        assert!(said.contains("0x1003") || said.contains("0x1043"), "not up:\n{said}");
        assert!(said.contains("10.77.9.9"), "{said}");
        // The document says nothing of names.
        assert!(!said.contains("resolv.conf") && said.ends_with("\nfrom-the-image\n"), "{said}");
        assert!(ip(&["-brief", "link"]).contains("own0"), "it is the host's again");
        let joined = json!([{"type": "mount"}, {"type": "pid"}, {"type": "uts"},
            {"type": "network", "path": "/proc/self/ns/net"}]);
        let refused = bundled.with("/linux/namespaces", joined).refused();
        assert!(refused.contains(&"linux.netDevices".to_owned()), "{refused:?}");
    });
}
