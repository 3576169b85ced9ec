//! Networks on a kernel of its own with pure cgroup v2, whose modules come when they are needed.
//!
//! Kernel objects: containers on a bridge of a namespace of the guest. Invariant: the guest is unchanged, but for its modules.

mod oracle;
mod scene;

use std::fs;
use std::path::Path;
use std::process::Command;

use ampoule::net::{self, Egress};
use ampoule::{Container, Pod};
use oracle::{alone_with, tier};
use scene::networks::{address, bridge, clean, elsewhere, fetch, fetches, server, tables};
use scene::{print, refused, run, shell};

/// Where modprobe.d(5) is told that a module is not there.
const BLOCKED: &str = "/etc/modprobe.d/ampoule.conf";

/// The first network of this machine fails for want of a module, says so, and leaves nothing.
fn without(module: &str) {
    // Another test of the same guest may have used it.
    let remove = Command::new("modprobe").args(["--remove-holders", "-r", module]).status();
    assert!(remove.is_ok() && !Path::new("/sys/module").join(module).exists(), "{module}");
    fs::write(BLOCKED, format!("install {module} /bin/false\n")).expect("a file");
    let builder = Container::host_view().network(bridge("web", "10.77.1.0/24"));
    let error = refused(shell(builder, "true").spawn());
    let source = std::error::Error::source(&error).expect("a reason");
    let reason = source.downcast_ref::<net::Error>().expect("of the network crate");
    assert_eq!(reason.kind(), net::ErrorKind::Unsupported, "{module}: {error}");
    assert!(error.hint().is_some_and(|hint| hint.contains(module)), "{module}: {error}");
    fs::remove_file(BLOCKED).expect("our file");
}

fn with_modules() {
    let web = || Container::host_view().network(bridge("web", "10.77.1.0/24"));
    let port = || "8080:80".parse().expect("a port");
    let served = server(web().publish(port()), 80, "from the guest");
    let gateway = served.attachments().next().expect("one").gateways()[0].address();
    for host in ["127.0.0.1".parse().expect("an address"), gateway] {
        let fetched = fetch((host, 8080).into());
        assert_eq!(fetched.as_deref(), Some("from the guest"), "{host}");
    }
    for at in [(address(&served), 80), (gateway, 8080)] {
        assert_eq!(print(web(), &fetches(at)), "from the guest");
    }
    let none = web().egress(Egress::deny_all());
    let timed = format!("timeout 3 {}", fetches((address(&served), 80)));
    assert!(!run(none, &timed).status.success());
    drop(served);
    assert_eq!(fetch(([127, 0, 0, 1], 8080).into()), None);
    let mut limits = ampoule::Limits::default();
    limits.pids_max = Some(ampoule::Max::Limit(50));
    let pod = Pod::builder().network(bridge("web", "10.77.1.0/24")).limits(limits);
    let mut pod = pod.publish(port()).create().expect("a pod");
    let builder = Container::host_view().file("/srv/index.html", "of a pod");
    let command = shell(pod.join(builder), "exec busybox httpd -f -p 80 -h /srv");
    pod.start(command).expect("a server");
    let serves = || fetch(([127, 0, 0, 1], 8080).into()).as_deref() == Some("of a pod");
    assert!(scene::soon(serves), "nobody serves");
}

#[test]
fn bridges_and_published_ports() {
    tier::vm();
    alone_with(elsewhere, || {
        for module in ["bridge", "veth", "nf_tables"] {
            println!("without {module}");
            clean(|| without(module));
        }
        println!("with all of them");
        clean(with_modules);
        assert_eq!(tables(), Vec::<String>::new());
    });
}
