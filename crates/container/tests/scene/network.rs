//! What a container's own network sent until the end.
//!
//! Kernel objects: containers with a network of their own. Invariant: the payload's own traffic is what is asserted.

use ampoule::{Container, Namespace, OwnGroup, Setting};

use super::shell;

/// Also where the payload ends at once; and only where it was asked for and the network is not the host's.
pub(crate) fn is_counted_until_the_end() {
    let counted = || Container::host_view().own_group(OwnGroup::Counted);
    let run = |builder, script: &str| {
        let output = shell(builder, script).output().expect("a run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.status.resources().clone()
    };
    let idle = run(counted(), "true").network.expect("counters");
    let lo = idle.get("lo").expect("the loopback device");
    assert_eq!((lo.sent.packets, lo.received.packets), (0, 0));
    let datagrams = "bash -c 'for _ in 1 2 3; do echo 0123456789 > /dev/udp/127.0.0.1/9; done'";
    let resources = run(counted(), datagrams);
    let network = resources.network.as_ref().expect("counters");
    let lo = network.get("lo").expect("the loopback device");
    assert!(lo.sent.packets >= 3 && lo.sent.bytes >= 33, "{lo:?}");
    assert!(resources.to_string().contains("network received 0"), "{resources}");
    let of_the_host = counted().namespace(Namespace::Net, Setting::Host);
    assert_eq!(run(of_the_host, "true").network, None);
    assert_eq!(run(Container::host_view(), "true").network, None);
}
