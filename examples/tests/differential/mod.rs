//! What a container shows of itself, the same way under each runtime, and the bundles that are shown.
//!
//! Kernel objects: containers of three runtimes. Invariant: every line comes from the kernel's files as the container's
//! program reads them; a line's first word is its section.

mod known;

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::runtime::Scene;

/// Prints sections, each behind a line `== NAME`.
const SCRIPT: &str = r#"
s() { echo "== $1"; }
s status; cat /proc/$$/status
s mountinfo; cat /proc/$$/mountinfo
s limits; cat /proc/$$/limits
s cgroup; cat /proc/$$/cgroup
s resources
# Its own group, where the host's whole hierarchies are shown: without a cgroup namespace.
set -- /sys/fs/cgroup/*/@GROUP/one/*.*
[ -f "$1" ] || set -- /sys/fs/cgroup/*/*.* /sys/fs/cgroup/*.*
for f; do
  case ${f##*/} in
    memory.limit_in_bytes|memory.memsw.limit_in_bytes|memory.soft_limit_in_bytes|memory.swappiness|cpu.shares|\
    cpu.cfs_quota_us|cpu.cfs_period_us|cpuset.cpus|cpuset.mems|pids.max|blkio.bfq.weight|devices.list|memory.max|\
    memory.swap.max|memory.low|cpu.max|cpu.weight)
      [ -f "$f" ] && while read l; do echo "${f##*/}: $l"; done < "$f" ;;
  esac
done
s env; env
s fds; ls /proc/$$/fd
s place; pwd; umask; hostname; cat /proc/sys/kernel/domainname
s ids; cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups
s scores; cat /proc/self/oom_score_adj /proc/self/timerslack_ns /proc/self/personality
s session; read -r a b c d pgrp sid tty rest < /proc/$$/stat; echo $(($pgrp == $$)) $(($sid == $$)) $tty
s dev; stat -c '%n %A %u:%g %t:%T' /dev/* ; for l in /dev/*; do [ -L $l ] && echo $l $(readlink $l); done
s sysctl; cat /proc/sys/net/ipv4/ping_group_range /proc/sys/net/ipv4/ip_unprivileged_port_start
cat /proc/sys/kernel/shm_rmid_forced /proc/sys/net/core/somaxconn
s links; cat /sys/class/net/lo/flags
s done
"#;

/// A runtime that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runtime {
    Ours,
    Crun,
    Runc,
}

/// What the bundle of that name says beyond the usual.
pub(crate) fn bundle(name: &'static str) -> Scene {
    let scene = Scene::new(&format!("diff-{name}"), "");
    for name in ["stat", "hostname", "readlink"] {
        let link = scene.path("bundle/rootfs/bin").join(name);
        std::os::unix::fs::symlink("busybox", link).unwrap();
    }
    let script = SCRIPT.replace("@GROUP", scene.group());
    scene.change("/process/args", json!(["/bin/sh", "-c", script]));
    // What all three know.
    scene.change("/ociVersion", json!("1.0.2"));
    let changes = match name {
        "plain" => plain().to_vec(),
        "limited" => limited().to_vec(),
        "user" => user().to_vec(),
        "mapped" => mapped().to_vec(),
        other => panic!("no bundle {other}"),
    };
    changes.iter().for_each(|(pointer, value)| scene.change(pointer, value.clone()));
    scene
}

fn plain() -> [(&'static str, Value); 2] {
    [("/process/user/umask", json!(0o027)), ("/process/cwd", json!("/tmp"))]
}

fn limited() -> [(&'static str, Value); 9] {
    let [umask, cwd] = plain();
    let rlimits = json!([
        { "type": "RLIMIT_NOFILE", "soft": 100, "hard": 200 },
        { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 },
        { "type": "RLIMIT_CPU", "soft": 1000, "hard": 2000 },
    ]);
    [
        umask,
        cwd,
        ("/process/rlimits", rlimits),
        ("/process/oomScoreAdj", json!(321)),
        ("/process/env", json!(["PATH=/bin", "A=b", "EMPTY=", "LONG=a b  c=d"])),
        ("/hostname", json!("other")),
        ("/linux/sysctl", json!({ "net.core.somaxconn": "99", "kernel.shm_rmid_forced": "1" })),
        ("/linux/resources/memory", json!({ "limit": 64 << 20, "reservation": 32 << 20 })),
        ("/linux/resources/cpu", json!({ "shares": 512, "quota": 50000, "period": 100_000 })),
    ]
}

fn user() -> [(&'static str, Value); 8] {
    let [umask, cwd] = plain();
    let capabilities = ["CAP_NET_RAW", "CAP_KILL"];
    let capabilities = json!({
        "bounding": ["CAP_NET_RAW", "CAP_KILL", "CAP_CHOWN"], "effective": capabilities,
        "permitted": capabilities, "inheritable": capabilities, "ambient": capabilities,
    });
    let filter = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["mkdirat", "ptrace"], "action": "SCMP_ACT_ERRNO" }],
    });
    [
        umask,
        cwd,
        ("/process/user/uid", json!(1000)),
        ("/process/user/gid", json!(1001)),
        ("/process/user/additionalGids", json!([5, 1002])),
        ("/process/capabilities", capabilities),
        ("/process/noNewPrivileges", json!(true)),
        ("/linux/seccomp", filter),
    ]
}

fn mapped() -> [(&'static str, Value); 9] {
    let [umask, cwd] = plain();
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    let kinds =
        ["pid", "ipc", "uts", "mount", "user", "network"].map(|kind| json!({ "type": kind }));
    let tmpfs = |options: &[&str]| json!({ "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": options });
    [
        umask,
        cwd,
        ("/linux/namespaces", json!(kinds)),
        ("/linux/uidMappings", map.clone()),
        ("/linux/gidMappings", map),
        ("/linux/maskedPaths", json!(["/proc/kcore", "/proc/keys", "/sys/firmware"])),
        ("/linux/readonlyPaths", json!(["/proc/sys", "/proc/bus"])),
        ("/mounts/-", tmpfs(&["nosuid", "noexec", "size=1m", "mode=1777"])),
        ("/root/readonly", json!(true)),
    ]
}

/// What the program prints under a runtime, each line normalised and behind its section's name.
pub(crate) fn shown(scene: &Scene, by: Runtime) -> BTreeSet<String> {
    let own = scene.command(&["run", "one"]);
    let (program, id) = match by {
        Runtime::Ours => (own.get_program().to_owned(), "one"),
        Runtime::Crun => ("crun".into(), "one"),
        Runtime::Runc => ("runc".into(), "one"),
    };
    // crun takes no machine with both versions of control groups: each is shown the first alone.
    let shell = "g=/sys/fs/cgroup/unified; [ ! -d $g ] || umount $g; umask 022; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", shell, "sh"]).arg(program);
    command.arg("--root").arg(scene.path(&format!("state-{by:?}"))).args(["run", id]);
    // Not the device: crun gives the host's to the container's user.
    let output = command.current_dir(scene.path("bundle")).stdin(Stdio::piped()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.ends_with("== done\n"), "{by:?}: {said}\n{text}");
    let mut section = "";
    let lines = text.lines().filter_map(|line| match line.strip_prefix("== ") {
        Some(name) => {
            section = name;
            None
        }
        None => normal(section, line).map(|line| format!("{section} {line}")),
    });
    lines.collect()
}

/// Without what differs from run to run.
fn normal(section: &str, line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match section {
        "status" => {
            const VARIES: [&str; 11] = [
                "Vm",
                "Rss",
                "Hugetlb",
                "voluntary",
                "nonvoluntary",
                "Tgid",
                "Ngid",
                "Pid",
                "SigQ",
                "State",
                "FDSize",
            ];
            let varies = VARIES.iter().any(|name| line.starts_with(name));
            (!varies).then(|| words.join(" "))
        }
        "mountinfo" => Some(mount(&words)),
        _ => Some(words.join(" ")),
    }
}

/// A line of proc_pid_mountinfo(5): mount point, type, options and propagation as sets. The source of a file system without
/// a device is a mere name.
fn mount(words: &[&str]) -> String {
    let set = |text: &str| {
        let set: BTreeSet<&str> = text.split(',').filter(|word| !word.is_empty()).collect();
        Vec::from_iter(set).join(",")
    };
    let dash = words.iter().position(|word| *word == "-").expect("a dash");
    let tags = words[6..dash].iter().map(|tag| tag.split(':').next().unwrap_or_default());
    let tags = Vec::from_iter(tags).join(",");
    let &[_, _, _, root, point, own, ..] = words else { panic!("{words:?}") };
    let &[kind, _, whole] = &words[dash + 1..] else { panic!("{words:?}") };
    let root = match kind {
        // The bundle's place, and one's own group.
        "tmpfs" if point == "/" => "/",
        _ => root,
    };
    format!("{point} {kind} root={root} [{}] [{}] [{tags}]", set(own), set(whole))
}

/// The machine's name for whatever is wrong.
pub(crate) fn are_there() {
    for name in ["crun", "runc"] {
        let found = Command::new(name).arg("--version").stdout(Stdio::null()).status();
        assert!(found.is_ok_and(|status| status.success()), "{name} is needed");
    }
    assert!(fs::metadata("/bin/busybox").is_ok(), "busybox-static is needed");
}
