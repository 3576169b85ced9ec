//! Terminals at `/dev/console` and mounts with maps of their own, for a host that is root: by what the kernel shows in
//! the container.
//!
//! Kernel objects: those of the containers. Invariant: the host is unchanged.

mod oracle;
mod scene;

use std::io::Read;
use std::os::unix::fs::MetadataExt;

use oracle::{fixture, tier, unchanged};
use scene::oci::bundle;
use serde_json::json;

#[test]
fn of_the_console() {
    tier::root();
    unchanged(|| {
        let script = "stat -c '%F %t:%T' /dev/console $(tty); echo written >/dev/console; cat /proc/self/mountinfo; \
                      touch /dev/x; echo";
        for options in [&["mode=755"][..], &["mode=755", "ro"]] {
            let bundled = bundle(script).with("/process/terminal", json!(true));
            let bundled = bundled.mount("/dev", "tmpfs", "x", options);
            let bundled = bundled.mount("/dev/pts", "devpts", "x", &["newinstance"]);
            let mut container =
                bundled.config().expect("a configuration").into_command().spawn().expect("started");
            let mut said = String::new();
            let mut pty = container.pty.take().expect("a terminal");
            // The other end is closed with the payload (EIO).
            let _end = pty.read_to_string(&mut said);
            container.wait().expect("an end");
            // Of a pty's peer, the first one of its devpts.
            let peer = "character special file 88:0\r\n";
            assert!(said.starts_with(&format!("{peer}{peer}written\r\n")), "{said}");
            let mounted = said.lines().filter(|line| line.contains(" /0 /dev/console "));
            assert_eq!(mounted.count(), 1, "{said}");
            let refused = said.contains("Read-only file system");
            assert_eq!(refused, options.contains(&"ro"), "{said}");
        }
        assert_eq!(bundle("ls /dev/console 2>/dev/null; echo $?").print(), "1\n");
    });
}

#[test]
fn of_maps_of_mounts() {
    tier::root();
    unchanged(|| {
        // What user 0 owns here belongs to these ids of the host.
        let map = |host: u32| json!([{"containerID": 0, "hostID": host, "size": 1000}]);
        let data = fixture::directory("data");
        std::fs::write(data.path().join("file"), "").expect("a file");
        let source = data.path().to_str().expect("a path");
        let mount = |target: &str, options: &[&str], host: u32| {
            json!({"destination": target, "type": "bind", "source": source, "options": options,
                "uidMappings": map(host), "gidMappings": map(host + 1)})
        };
        let script =
            "stat -c %u:%g /one/file /two/file /three/file; touch /two/new; stat -c %u /two/new";
        let bundled = bundle(script)
            .with("/mounts/-", mount("/one", &["rbind", "ro"], 7000))
            .with("/mounts/-", mount("/two", &["rbind", "ridmap"], 300_000))
            .with("/mounts/-", mount("/three", &["bind", "idmap"], 7000));
        // In the host's user namespace user 0 is not on the mounts, and so makes nothing there (EOVERFLOW).
        let said = bundled.run();
        let shown = String::from_utf8_lossy(&said.stdout).into_owned();
        assert_eq!(shown, "7000:7001\n300000:300001\n7000:7001\n");
        let own = json!([{"containerID": 0, "hostID": 300_000, "size": 1000}]);
        let other = json!([{"containerID": 0, "hostID": 300_001, "size": 1000}]);
        // They are ids of the host, whatever namespace the container has.
        let said = bundled
            .namespaces(&["pid", "ipc", "uts", "network", "user"])
            .with("/linux/uidMappings", own)
            .with("/linux/gidMappings", other)
            .print();
        assert_eq!(said, "65534:65534\n0:0\n65534:65534\n0\n");

        let new = std::fs::metadata(data.path().join("new")).expect("a file");
        assert_eq!((new.uid(), new.gid()), (0, 0));
    });
}
