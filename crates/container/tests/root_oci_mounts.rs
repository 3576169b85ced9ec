//! Mounts of `config.json` that depend on namespaces and labels, for a host that is root.
//!
//! Kernel objects: those of the containers. Invariant: the host is unchanged.

mod oracle;
mod scene;

use std::path::Path;

use ampoule::ErrorKind;
use oracle::{tier, unchanged};
use scene::oci::{Bundled, bundle};
use scene::refused;
use serde_json::json;

/// In a user namespace of ids that are nobody's on the host.
fn mapped(bundled: Bundled, kinds: &[&str]) -> Bundled {
    let map = json!([{"containerID": 0, "hostID": 300_000, "size": 1000}]);
    let bundled = bundled.namespaces(&[kinds, &["user"]].concat());
    bundled.with("/linux/uidMappings", map.clone()).with("/linux/gidMappings", map)
}

#[test]
fn a_relative_destination_starts_at_the_root() {
    tier::root();
    unchanged(|| {
        let said = bundle("pwd; grep -c ' /a/b ' /proc/self/mountinfo");
        let said =
            said.with("/root/readonly", json!(false)).mount("a/b", "tmpfs", "x", &["size=4k"]);
        assert_eq!(said.print(), "/\n1\n");
    });
}

#[test]
fn without_a_cgroup_namespace_the_own_groups_alone_are_shown() {
    const KINDS: [&str; 4] = ["pid", "uts", "ipc", "network"];
    tier::root();
    if !Path::new("/sys/fs/cgroup/memory").exists() {
        // Of the second version alone the host's mount is shown.
        let top = "test -e /sys/fs/cgroup/cgroup.controllers -a ! -e /sys/fs/cgroup/cgroup.events";
        return unchanged(|| drop(bundle(top).namespaces(&KINDS).print()));
    }
    unchanged(|| {
        let name = format!("ampoule-oci-shown-{}", std::process::id());
        let script = "cat /proc/self/cgroup; echo groups; find /sys/fs/cgroup -mindepth 2 -type d; \
            echo limit; cat /sys/fs/cgroup/memory/memory.limit_in_bytes; \
            for d in /sys/fs/cgroup/*; do test -L $d || grep -c . $d/cgroup.procs; done | sort -u; \
            for d in /sys/fs/cgroup/*; do mkdir $d/x 2>/dev/null && echo $d; done; \
            echo end; ls /sys/fs/cgroup";
        let limits = json!({"memory": {"limit": 67_108_864}});
        let plain = bundle(script).namespaces(&KINDS);
        for bundled in [plain, mapped(bundle(script), &KINDS)] {
            let said = bundled
                .with("/linux/cgroupsPath", json!(format!("/{name}")))
                .with("/linux/resources", limits.clone())
                .print();
            let (own, rest) = said.split_once("groups\n").expect("its groups");
            for line in own.lines() {
                assert!(line.ends_with(&format!(":/{name}")), "{said}");
            }
            let (groups, rest) = rest.split_once("limit\n").expect("a limit");
            assert_eq!(groups, "", "{said}");
            let (limit, all) = rest.split_once("end\n").expect("the end");
            // Its shell and what that runs, and nothing was made.
            let lines: Vec<_> = limit.lines().collect();
            assert_eq!(lines[0], "67108864", "{said}");
            let few =
                |count: &&str| count.parse::<u32>().is_ok_and(|count| (1..8).contains(&count));
            assert!(lines.len() > 1 && lines[1..].iter().all(few), "{said}");
            let shown = std::fs::read_dir("/sys/fs/cgroup").expect("the host's").count();
            assert_eq!(all.lines().count(), shown, "{said}");
        }
    });
}

#[test]
fn message_queues_belong_to_the_containers_root() {
    tier::root();
    unchanged(|| {
        let script = "stat -c '%u %g' /dev/mqueue; readlink /proc/self/ns/ipc";
        let said = mapped(bundle(script), &["pid", "ipc", "uts"]).print();
        let own = std::fs::read_link("/proc/self/ns/ipc").expect("a link");
        let (owner, namespace) = said.split_once('\n').expect("two lines");
        assert_eq!(owner, "0 0");
        assert_ne!(namespace.trim(), own.to_string_lossy());
    });
}

#[test]
fn a_label_of_mounts_is_an_error_without_selinux() {
    tier::root();
    unchanged(|| {
        let label = "system_u:object_r:container_file_t:s0:c1,c2";
        let said = bundle("true").with("/linux/mountLabel", json!(label));
        let config = said.config().expect("a configuration");
        let error = refused(config.into_command().plan());
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("mounts"), "{error}");
        let error = said.with("/linux/mountLabel", json!("no label")).refused();
        assert_eq!(error, ["linux.mountLabel"]);
    });
}
