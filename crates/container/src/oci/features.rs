//! What this library does with a document, as a document (`features.md` of the specification).
//!
//! Kernel objects: none. Invariant: what stands in it is honoured on a kernel that has it; what is refused when a document
//! is read is false in it, or not there.

use ampoule_ns::CapabilitySet;
use ampoule_spec::features::{known, parse, to_json};
use ampoule_spec::oci::Features;
use serde_json::{Value, json};

use crate::error::{Error, Stage};

/// Hooks, name spaces, capabilities of this kernel, and the other parts of the Linux configuration that are honoured.
///
/// # Errors
/// [`System`](crate::ErrorKind::System) when the kernel does not say which capabilities it has.
pub fn features() -> Result<Features, Error> {
    let known_here = CapabilitySet::supported();
    let known_here = known_here.map_err(|error| Error::from_ns(Stage::Plan, error))?;
    let capabilities: Vec<_> = known_here.iter().map(|one| one.to_string()).collect();
    let unwritten = |error: ampoule_spec::Error| {
        Error::new(crate::ErrorKind::InvalidSettings, Stage::Plan).caused_by(error)
    };
    let text = to_json(&known()).map_err(unwritten)?;
    let mut all: Value = serde_json::from_str(&text).unwrap_or_default();
    all["hooks"] = json!([
        "prestart",
        "createRuntime",
        "createContainer",
        "startContainer",
        "poststart",
        "poststop",
    ]);
    all["linux"] = json!({
        "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
        "capabilities": capabilities,
        "cgroup": {
            "v1": true,
            "v2": true,
            "systemd": cfg!(feature = "systemd"),
            "systemdUser": cfg!(feature = "systemd"),
            "rdma": true,
        },
        "seccomp": seccomp(),
        "apparmor": { "enabled": true },
        "selinux": { "enabled": true },
        "intelRdt": { "enabled": false },
        "memoryPolicy": {
            "modes": [
                "MPOL_DEFAULT", "MPOL_PREFERRED", "MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_LOCAL",
                "MPOL_PREFERRED_MANY", "MPOL_WEIGHTED_INTERLEAVE",
            ],
            "flags": ["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"],
        },
        "mountExtensions": { "idmap": { "enabled": true } },
        "netDevices": { "enabled": cfg!(feature = "net") },
    });
    parse(all.to_string().as_bytes()).map_err(unwritten)
}

fn seccomp() -> Value {
    json!({
        "enabled": true,
        "actions": [
            "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS",
            "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE",
            "SCMP_ACT_TRAP",
        ],
        "operators": [
            "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT",
            "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE",
        ],
        "archs": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"],
        "knownFlags": [
            "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
            "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
        ],
        "supportedFlags": [
            "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
            "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
        ],
    })
}
