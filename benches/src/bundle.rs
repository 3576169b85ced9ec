//! The OCI bundle that runc, crun and libcontainer are given. Touches one directory.
//!
//! Invariant: it asks for what the floor does: same namespaces, mounts, capabilities, no limits, no filter. The
//! root is the directory itself: a bundle has no word for an overlay root, so these peers do one mount less.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::floor_calls::{FIRST_HOST_ID, IDS};
use crate::rootfs::rootfs_of;

/// The usual container set, by name.
const CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SYS_CHROOT",
    "CAP_MKNOD",
    "CAP_AUDIT_WRITE",
    "CAP_SETFCAP",
];

/// Whether the bundle asks for a user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UserNamespace {
    /// A new one with the floor's id map.
    New,
    /// The host's.
    Host,
}

/// Writes `config.json` into `STAGE/bundle-NAME` and returns that directory.
///
/// # Errors
/// When the file cannot be written.
pub fn write(stage: &Path, name: &str, user: UserNamespace) -> Result<PathBuf, Failure> {
    let bundle = stage.join(format!("bundle-{name}"));
    fs::create_dir_all(&bundle).map_err(Failure::file("create", &bundle))?;
    let path = bundle.join("config.json");
    let text = serde_json::to_vec_pretty(&config(&rootfs_of(stage), user))?;
    fs::write(&path, text).map_err(Failure::file("write", &path))?;
    Ok(bundle)
}

/// The runtime configuration (OCI runtime specification 1.0).
fn config(rootfs: &Path, user: UserNamespace) -> Value {
    let mut config = json!({
        "ociVersion": "1.0.2",
        "hostname": "ampoule",
        "root": { "path": rootfs, "readonly": false },
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": ["/bin/true"],
            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"],
            "cwd": "/",
            "noNewPrivileges": true,
            "capabilities": {
                "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES,
            },
        },
        "mounts": mounts(),
        "linux": { "namespaces": namespaces(user) },
    });
    if user == UserNamespace::New {
        let map = json!([{ "containerID": 0, "hostID": FIRST_HOST_ID, "size": IDS }]);
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map;
    }
    config
}

fn namespaces(user: UserNamespace) -> Vec<Value> {
    let kinds = ["pid", "network", "ipc", "uts", "mount", "cgroup"];
    let more = (user == UserNamespace::New).then_some("user");
    kinds.into_iter().chain(more).map(|kind| json!({ "type": kind })).collect()
}

fn mounts() -> Value {
    let quiet = ["nosuid", "noexec", "nodev"];
    json!([
        { "destination": "/proc", "type": "proc", "source": "proc", "options": quiet },
        { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
          "options": ["nosuid", "mode=755", "size=64k"] },
        { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
          "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] },
        { "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
          "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=64m"] },
        { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": quiet },
    ])
}
