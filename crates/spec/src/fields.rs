//! The names of all fields of a runtime configuration, a features document and an image's configuration.
//!
//! Kernel objects: none. Invariant: those of version 1.3 of the specification, for Linux; what stands in the sections of
//! other systems is not looked at.

/// Those of `config.json` and of a features document.
#[rustfmt::skip]
pub(crate) const FIELDS: &[&str] = &[
    // config.json
    "ociVersion", "root", "mounts", "process", "hostname", "domainname", "hooks", "annotations", "linux",
    "solaris", "windows", "vm", "zos", "freebsd",
    "path", "readonly", "destination", "type", "source", "options", "uidMappings", "gidMappings",
    // process
    "terminal", "consoleSize", "height", "width", "user", "uid", "gid", "umask", "additionalGids", "username",
    "args", "commandLine", "env", "cwd", "capabilities", "bounding", "effective", "inheritable", "permitted",
    "ambient", "rlimits", "hard", "soft", "noNewPrivileges", "apparmorProfile", "oomScoreAdj", "selinuxLabel",
    "ioPriority", "class", "priority", "scheduler", "policy", "nice", "flags", "runtime", "deadline", "period",
    "execCPUAffinity", "initial", "final",
    // hooks
    "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop", "timeout",
    // linux
    "netDevices", "name", "hostID", "containerID", "size", "sysctl", "resources", "cgroupsPath", "namespaces",
    "devices", "major", "minor", "fileMode", "seccomp", "rootfsPropagation", "maskedPaths", "readonlyPaths",
    "mountLabel", "intelRdt", "closID", "schemata", "l3CacheSchema", "memBwSchema", "enableCMT", "enableMBM",
    "enableMonitoring", "memoryPolicy", "mode", "nodes", "personality", "domain", "timeOffsets", "secs", "nanosecs",
    // linux.resources
    "allow", "access", "memory", "limit", "reservation", "swap", "kernel", "kernelTCP", "swappiness",
    "disableOOMKiller", "useHierarchy", "checkBeforeUpdate", "cpu", "shares", "quota", "burst", "realtimeRuntime",
    "realtimePeriod", "cpus", "mems", "idle", "pids", "blockIO", "weight", "leafWeight", "weightDevice",
    "throttleReadBpsDevice", "throttleWriteBpsDevice", "throttleReadIOPSDevice", "throttleWriteIOPSDevice", "rate",
    "hugepageLimits", "pageSize", "network", "classID", "priorities", "rdma", "hcaHandles", "hcaObjects", "unified",
    // linux.seccomp
    "defaultAction", "defaultErrnoRet", "architectures", "listenerPath", "listenerMetadata", "syscalls", "names",
    "action", "errnoRet", "index", "value", "valueTwo", "op",
    // the features document
    "ociVersionMin", "ociVersionMax", "mountOptions", "potentiallyUnsafeConfigAnnotations", "cgroup", "v1", "v2",
    "systemd", "systemdUser", "enabled", "actions", "operators", "archs", "knownFlags", "supportedFlags",
    "apparmor", "selinux", "mountExtensions", "idmap", "modes", "monitoring",
];

/// Those of an image's configuration, version 1.1 of its specification.
#[rustfmt::skip]
pub(crate) const IMAGE_FIELDS: &[&str] = &[
    "created", "author", "architecture", "os", "os.version", "os.features", "variant", "config", "rootfs", "history",
    "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal",
    "type", "diff_ids", "created_by", "comment", "empty_layer",
];
