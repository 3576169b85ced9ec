//! Containers from `config.json`, for a host that is root: what engines write runs as it says.
//!
//! Kernel objects: those of the containers. Invariant: the host is unchanged.

mod oracle;
mod scene;

use oracle::{tier, unchanged};
use scene::oci::{Bundled, PODMAN, bundle};
use serde_json::json;

/// A line of `/proc/self/mountinfo`, by its mount point.
fn line<'a>(table: &'a str, point: &str) -> &'a str {
    let is = |line: &&str| line.split(' ').nth(4) == Some(point);
    table.lines().rfind(is).unwrap_or_else(|| panic!("{point} is no mount of\n{table}"))
}

#[test]
fn a_bundle_of_runc_spec() {
    tier::root();
    unchanged(|| {
        let said = bundle(
            "hostname; echo $$; echo $TERM; ulimit -n; id -u; pwd; \
             grep -E 'CapBnd|CapPrm|CapEff|NoNewPrivs|CapAmb|Umask' /proc/self/status; \
             cat /proc/kcore | wc -c; touch /x 2>&1; echo 1 2>&1 >/proc/sys/kernel/panic",
        );
        let output = said.run();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[..6], ["runc", "1", "xterm", "1024", "0", "/"], "{text}");
        for status in [
            "Umask:\t0022",
            "CapPrm:\t0000000020000420",
            "CapEff:\t0000000020000420",
            "CapBnd:\t0000000020000420",
            "CapAmb:\t0000000000000000",
            "NoNewPrivs:\t1",
        ] {
            assert!(text.contains(status), "{status} is not in\n{text}");
        }
        assert!(text.contains("\n0\n") && text.contains("Read-only file system"), "{text}");
    });
}

#[test]
fn the_mounts_are_those_that_are_given() {
    tier::root();
    unchanged(|| {
        let table = bundle("cat /proc/self/mountinfo").print();
        for (point, kind) in [
            ("/proc", " - proc "),
            ("/dev", " - tmpfs "),
            ("/dev/pts", " - devpts "),
            ("/dev/shm", " - tmpfs "),
            ("/dev/mqueue", " - mqueue "),
            ("/sys", " - sysfs "),
        ] {
            assert!(line(&table, point).contains(kind), "{point} in\n{table}");
        }
        assert!(line(&table, "/dev").contains(" rw,nosuid - tmpfs "), "{table}");
        assert!(line(&table, "/dev").contains("size=65536k,mode=755"), "{table}");
        assert!(line(&table, "/dev/pts").contains("rw,nosuid,noexec,relatime"), "{table}");
        assert!(line(&table, "/sys").contains(" ro,nosuid,nodev,noexec,relatime "), "{table}");
        let bare = bundle("/bin/busybox ls /dev; ls /proc");
        let bare = bare.with("/mounts", json!([])).with("/linux/maskedPaths", json!([]));
        let bare = bare.with("/linux/readonlyPaths", json!([]));
        assert_eq!(bare.print().lines().filter(|name| *name == "self").count(), 0);
    });
}

#[test]
fn dev_is_what_a_runtime_supplies() {
    tier::root();
    unchanged(|| {
        let said = bundle(
            "cd /dev; stat -c '%n %t:%T %a' null zero full random urandom tty; \
             for link in fd stdin stdout stderr ptmx; do readlink $link; done; echo x > null && head -c 2 zero | wc -c",
        );
        let nodes = "null 1:3 666\nzero 1:5 666\nfull 1:7 666\nrandom 1:8 666\nurandom 1:9 666\ntty 5:0 666\n";
        let links = "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n";
        assert_eq!(said.print(), format!("{nodes}{links}2\n"));
    });
}

#[test]
fn a_bundle_of_podman() {
    tier::root();
    unchanged(|| {
        let mut bundled = bundle("id; echo $A; cat /proc/self/oom_score_adj");
        let args = bundled.json["process"]["args"].clone();
        bundled.json = serde_json::from_str(PODMAN).expect("JSON");
        let bundled = bundled.with("/process/args", args);
        let bundled = without_foreign(bundled);
        assert!(bundled.print().starts_with("uid=0(root) gid=0"), "{}", bundled.print());
    });
}

/// Without what is of the machine that the document was written on.
fn without_foreign(mut bundled: Bundled) -> Bundled {
    let mounts = bundled.json["mounts"].as_array_mut().expect("mounts");
    mounts.retain(|mount| mount["type"] != "bind");
    // This needs CAP_SYS_RESOURCE.
    bundled.with("/process/rlimits", json!([]))
}
