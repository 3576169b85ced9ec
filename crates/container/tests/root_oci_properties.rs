//! Single properties of `config.json`, for a host that is root: each by what the kernel shows in the container.
//!
//! Kernel objects: those of the containers. Invariant: the host is unchanged.

mod oracle;
mod scene;

use std::io::Read;
use std::os::unix::net::UnixListener;

use ampoule::ErrorKind;
use oracle::{fixture, tier, unchanged};
use scene::oci::bundle;
use serde_json::json;

/// What a script prints with one value at one place.
#[track_caller]
fn shows(script: &str, pointer: &str, value: serde_json::Value) -> String {
    bundle(script).with(pointer, value).print()
}

#[test]
fn of_the_process() {
    tier::root();
    unchanged(|| {
        let user = json!({"uid": 7, "gid": 8, "umask": 63, "additionalGids": [9, 10]});
        let said = shows("id -u; id -g; id -G; umask", "/process/user", user);
        assert_eq!(said, "7\n8\n8 9 10\n0077\n");
        assert_eq!(shows("pwd", "/process/cwd", json!("/tmp")), "/tmp\n");
        let limit = json!([{"type": "RLIMIT_NOFILE", "soft": 20, "hard": 30}]);
        assert_eq!(shows("ulimit -n; ulimit -Hn", "/process/rlimits", limit), "20\n30\n");
        let score = shows("cat /proc/self/oom_score_adj", "/process/oomScoreAdj", json!(321));
        assert_eq!(score, "321\n");
        let allowed =
            shows("grep NoNewPrivs /proc/self/status", "/process/noNewPrivileges", json!(false));
        assert_eq!(allowed, "NoNewPrivs:\t0\n");
        let none =
            bundle("grep CapBnd /proc/self/status; env").with("/process/capabilities", json!({}));
        let none = none.with("/process/env", json!(["PATH=/bin", "A=b=c", "E="])).print();
        assert!(none.starts_with("CapBnd:\t0000000000000000\n"), "{none}");
        assert!(none.contains("A=b=c\n") && none.contains("E=\n"), "{none}");
    });
}

#[test]
fn of_scheduling() {
    tier::root();
    unchanged(|| {
        let stat = "cut -d' ' -f 19,40,41 /proc/self/stat";
        let batch = json!({"policy": "SCHED_BATCH", "nice": 5});
        assert_eq!(shows(stat, "/process/scheduler", batch), "5 0 3\n");
        let class = json!({"class": "IOPRIO_CLASS_BE", "priority": 6});
        assert_eq!(shows("ionice", "/process/ioPriority", class), "best-effort: prio 6\n");
        let policy = json!({"mode": "MPOL_BIND", "nodes": "0"});
        let said = shows("cat /proc/self/numa_maps", "/linux/memoryPolicy", policy);
        assert!(said.lines().all(|line| line.contains(" bind:0")), "{said}");
        let domain = json!({"domain": "LINUX32"});
        let said = shows("cat /proc/self/personality", "/linux/personality", domain);
        assert_eq!(said, "00000008\n");
    });
}

#[test]
fn of_namespaces() {
    tier::root();
    unchanged(|| {
        let all = ["pid", "ipc", "uts", "network", "cgroup", "time"];
        let said = bundle("for kind in pid ipc uts net cgroup time mnt user; do readlink /proc/self/ns/$kind; done")
            .namespaces(&all)
            .print();
        let names = ["pid", "ipc", "uts", "net", "cgroup", "time", "mnt", "user"];
        for (name, inside) in names.iter().zip(said.lines()) {
            let own = std::fs::read_link(format!("/proc/self/ns/{name}")).expect("a link");
            let same = own.to_string_lossy() == inside;
            assert_eq!(same, *name == "user", "{name}: {inside}");
        }
        let offsets = json!({"boottime": {"secs": 86_400_000}});
        let said = bundle("cut -d. -f1 /proc/uptime").namespaces(&all);
        let said = said.with("/linux/timeOffsets", offsets).print();
        assert!(said.trim().parse::<u64>().expect("seconds") > 86_400_000, "{said}");
        let said =
            bundle("hostname; cat /proc/sys/kernel/domainname").with("/hostname", json!("h"));
        assert_eq!(said.with("/domainname", json!("d")).print(), "h\nd\n");
        let sysctl = json!({"net.ipv4.ip_forward": "1", "kernel.shmmax": "4096"});
        let script = "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax";
        assert_eq!(shows(script, "/linux/sysctl", sysctl), "1\n4096\n");
        let joined = json!([{"type": "mount"}, {"type": "pid"}, {"type": "uts", "path": "/proc/self/ns/uts"}]);
        let said = bundle("readlink /proc/self/ns/uts").with("/linux/namespaces", joined);
        let mut said = said;
        said.json.as_object_mut().expect("an object").remove("hostname");
        let own = std::fs::read_link("/proc/self/ns/uts").expect("a link");
        assert_eq!(said.print().trim(), own.to_string_lossy());
    });
}

#[test]
fn of_a_user_namespace() {
    tier::root();
    unchanged(|| {
        let map = json!([{"containerID": 0, "hostID": 300_000, "size": 1000}]);
        let data = fixture::directory("data");
        let source = data.path().to_str().expect("a path");
        let said = bundle("cat /proc/self/uid_map /proc/self/gid_map; stat -c '%u %t:%T' /dev/null; echo x >/dev/null; stat -c %u /plain /mapped")
            .mount("/plain", "bind", source, &["bind"])
        .mount("/mapped", "bind", source, &["bind", "idmap"])
        .namespaces(&["pid", "ipc", "uts", "network", "user"])
            .with("/linux/uidMappings", map.clone())
            .with("/linux/gidMappings", map)
            .print();
        let numbers: Vec<_> = said.split_whitespace().collect();
        assert_eq!(numbers[..6], ["0", "300000", "1000", "0", "300000", "1000"], "{said}");
        assert_eq!(numbers[7], "1:3", "{said}");
        assert_eq!(numbers[8..], ["65534", "0"], "{said}");
    });
}

#[test]
fn of_devices() {
    tier::root();
    unchanged(|| {
        let devices = json!([
            {"path": "/dev/my/null", "type": "c", "major": 1, "minor": 3, "fileMode": 384, "uid": 5, "gid": 6},
            {"path": "/dev/loop", "type": "b", "major": 7, "minor": 0},
            {"path": "/dev/pipe", "type": "p", "fileMode": 420},
            {"path": "/node", "type": "u", "major": 1, "minor": 5},
        ]);
        let said = bundle("stat -c '%n %F %t:%T %a %u %g' /dev/my/null /dev/loop /dev/pipe /node; head -c1 /node | wc -c")
            .with("/linux/devices", devices)
            .print();
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(
            lines,
            [
                "/dev/my/null character special file 1:3 600 5 6",
                "/dev/loop block special file 7:0 666 0 0",
                "/dev/pipe fifo 0:0 644 0 0",
                "/node character special file 1:5 666 0 0",
                "1",
            ]
        );
    });
}

#[test]
fn of_the_root() {
    tier::root();
    unchanged(|| {
        for (wanted, shown) in
            [("private", ""), ("shared", "shared:"), ("unbindable", "unbindable")]
        {
            let said = shows(
                "grep ' / / ' /proc/self/mountinfo; cat /proc/self/mountinfo",
                "/linux/rootfsPropagation",
                json!(wanted),
            );
            let line = said.lines().rfind(|line| line.split(' ').nth(4) == Some("/"));
            let fields = line.expect("a root").split(" - ").next().expect("fields").to_owned();
            let tags: Vec<_> = fields.split(' ').skip(6).collect();
            assert_eq!(tags.is_empty(), shown.is_empty(), "{wanted}: {fields}");
            assert!(tags.join(" ").contains(shown), "{wanted}: {fields}");
        }
        let bundled = bundle("echo x >/new; mkdir -p /a; pwd");
        let bundled = bundled.with("/root/readonly", json!(false));
        let bundled = bundled.with("/process/cwd", json!("/made/by/runtime"));
        assert_eq!(bundled.print(), "/made/by/runtime\n");
        let written = std::fs::read_to_string(bundled.root.path().join("new"));
        assert_eq!(written.expect("a file"), "x\n");
        let script = "cat /proc/version | wc -c; echo x >/etc/passwd";
        let masked = bundle(script).with("/linux/maskedPaths", json!(["/proc/version"]));
        assert!(masked.run().stdout.starts_with(b"0\n"));
    });
}

#[test]
fn of_terminals() {
    tier::root();
    unchanged(|| {
        let bundled = bundle("stty size; tty").with("/process/terminal", json!(true));
        let bundled = bundled.with("/process/consoleSize", json!({"height": 12, "width": 34}));
        let config = bundled.config().expect("a configuration");
        let mut container = config.into_command().spawn().expect("a container");
        let mut said = String::new();
        let mut pty = container.pty.take().expect("a terminal");
        // The other end is closed with the payload (EIO).
        let _end = std::io::Read::read_to_string(&mut pty, &mut said);
        container.wait().expect("an end");
        assert!(said.starts_with("12 34\r\n/dev/pts/0"), "{said}");
    });
}

#[test]
fn of_mounts() {
    tier::root();
    unchanged(|| {
        let data = fixture::directory("data");
        std::fs::write(data.path().join("file"), "bound\n").expect("a file");
        let (dir, file) = (data.path().to_path_buf(), data.path().join("file"));
        let (dir, file) = (dir.to_str().expect("a path"), file.to_str().expect("a path"));
        let said = bundle("cat /a/file /file; touch /a/x /b/x; cat /proc/self/mountinfo")
            .mount("/a", "none", dir, &["bind", "ro", "noexec", "nosymfollow", "nodiratime"])
            .mount("/b", "bind", dir, &["rbind", "rro", "rnoatime", "rprivate"])
            .mount("/file", "bind", file, &["bind", "nodev", "relatime"])
            .mount("/t", "tmpfs", "x", &["size=64k", "nr_inodes=9", "mode=700", "noswap", "sync"])
            .mount("/half", "tmpfs", "x", &["size=50%", "ro", "strictatime", "lazytime"])
            .mount("/etc", "tmpfs", "x", &["tmpcopyup"])
            .mount("/ram", "ramfs", "x", &["mode=711"])
            .mount("/p", "proc", "x", &["hidepid=2", "subset=pid"])
            .run();
        let table = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(table.starts_with("bound\nbound\n"), "{table}");
        let errors = String::from_utf8_lossy(&said.stderr).into_owned();
        assert_eq!(errors.matches("Read-only file system").count(), 2, "{errors}");
        for (point, wanted) in [
            ("/a", "ro,noexec,nodiratime,relatime,nosymfollow"),
            ("/b", " ro,"),
            ("/b", "noatime"),
            ("/file", "nodev,relatime"),
            ("/t", "size=64k,nr_inodes=9,mode=700"),
            ("/t", "sync"),
            ("/half", " ro - tmpfs"),
            ("/half", "lazytime"),
            ("/etc", " - overlay "),
            ("/ram", " - ramfs "),
            ("/p", "hidepid=invisible,subset=pid"),
        ] {
            let line = table.lines().rfind(|line| line.split(' ').nth(4) == Some(point));
            let line = line.unwrap_or_else(|| panic!("{point} is not in\n{table}"));
            assert!(line.contains(wanted), "{wanted} is not in {line}");
        }
    });
}

#[test]
fn of_the_mount_of_control_groups() {
    const KINDS: [&str; 6] = ["pid", "uts", "ipc", "cgroup", "network", "user"];
    tier::root();
    unchanged(|| {
        let name = format!("ampoule-oci-own-{}", std::process::id());
        let limits = json!({"memory": {"limit": 67_108_864}});
        let script = "echo own; cat /proc/self/cgroup; echo groups; find /sys/fs/cgroup -mindepth 2 -type d; \
            echo limit; cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; \
            echo inside; cat /sys/fs/cgroup/memory/cgroup.procs /sys/fs/cgroup/cgroup.procs 2>/dev/null | head -n1; \
            echo written; for d in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $d/x 2>/dev/null && echo $d; done; \
            echo end; ls /sys/fs/cgroup";
        for kinds in [&KINDS[..4], &KINDS] {
            let map = json!([{"containerID": 0, "hostID": 300_000, "size": 1000}]);
            let mut bundled = bundle(script)
                .namespaces(kinds)
                .with("/linux/cgroupsPath", json!(format!("/{name}")))
                .with("/linux/resources", limits.clone());
            if kinds.contains(&"user") {
                bundled = bundled.with("/linux/uidMappings", map.clone());
                bundled = bundled.with("/linux/gidMappings", map);
            }
            let said = bundled.print();
            let part = |from: &str, to: &str| {
                let (_, rest) = said.split_once(&format!("{from}\n")).expect("a section");
                rest.split_once(&format!("{to}\n")).expect("its end").0.to_owned()
            };
            let own = part("own", "groups");
            assert!(
                own.lines().any(|line| line.contains("memory") || line.starts_with("0::")),
                "{said}"
            );
            for line in own.lines() {
                assert!(line.ends_with(":/"), "{kinds:?} {line}\n{said}");
            }
            // Nothing of any other group, and no group above the own one.
            assert_eq!(part("groups", "limit"), "", "{said}");
            assert_eq!(part("limit", "inside"), "67108864\n", "{said}");
            assert_eq!(part("inside", "written"), "1\n", "{said}");
            assert_eq!(part("written", "end"), "", "{said}");
            let host = std::path::Path::new("/sys/fs/cgroup");
            let all = said.split_once("end\n").expect("the end").1.lines().count();
            let shown = std::fs::read_dir(host).expect("the host's").count();
            assert!(!host.join("memory").exists() || all == shown, "{said}");
        }
    });
}

#[test]
fn of_filters() {
    tier::root();
    unchanged(|| {
        let dir = fixture::directory("agent");
        let path = dir.path().join("socket");
        let agent = UnixListener::bind(&path).expect("a socket");
        let filter = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
            "listenerPath": path,
            "listenerMetadata": "text",
            "syscalls": [
                {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"},
                {"names": ["chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
            ],
        });
        let bundled = bundle("chmod 1 /etc; mkdir /dev/x").with("/linux/seccomp", filter);
        let config = bundled.config().expect("a configuration");
        let listener = config.listener.clone().expect("a listener");
        let command = config.into_command().stderr(ampoule::Stdio::piped());
        let mut container = command.spawn().expect("a container");
        let own = container.listener.take().expect("a filter that asks");
        listener.send(&own, container.pid(), &json!({"id": "a"})).expect("a message");
        drop(own);
        let (mut peer, _) = agent.accept().expect("a connection");
        let mut message = String::new();
        // The descriptor that comes with it is closed by the kernel, so that nobody answers: ENOSYS.
        peer.read_to_string(&mut message).expect("a message");
        let message: serde_json::Value = serde_json::from_str(&message).expect("JSON");
        assert_eq!(message["fds"], json!(["seccompFd"]));
        assert_eq!(message["metadata"], "text");
        assert_eq!(
            (&message["pid"], &message["state"]["id"]),
            (&json!(container.pid()), &json!("a"))
        );
        let mut said = String::new();
        container.stderr.take().expect("a pipe").read_to_string(&mut said).expect("a text");
        container.wait().expect("an end");
        assert!(said.contains("No space left") && said.contains("not implemented"), "{said}");
    });
}

#[test]
fn of_hooks() {
    tier::root();
    unchanged(|| {
        let dir = fixture::directory("hooks");
        let out = dir.path().join("out");
        let hook = |script: &str| {
            json!({
                "path": "/bin/sh",
                "args": ["hook", "-c", script],
                "env": [format!("OUT={}", out.display())],
                "timeout": 1,
            })
        };
        let hooks = json!({
            "prestart": [hook("{ cat; echo; echo $0; } >$OUT")],
            "createRuntime": [hook("exit 3")],
            "poststop": [hook("sleep 60")],
            "poststart": [{"path": "/nowhere"}],
        });
        let config = bundle("true").with("/hooks", hooks).config().expect("a configuration");
        let state = json!({"id": "a"});
        config.hooks.prestart[0].run(&state).expect("a run");
        assert_eq!(std::fs::read_to_string(&out).expect("a file"), "{\"id\":\"a\"}\nhook\n");
        let kind = |hook: &ampoule::oci::Hook| hook.run(&state).expect_err("a failure").kind();
        assert_eq!(kind(&config.hooks.create_runtime[0]), ErrorKind::Hook);
        assert_eq!(kind(&config.hooks.poststop[0]), ErrorKind::Hook);
        assert_eq!(kind(&config.hooks.poststart[0]), ErrorKind::ProgramNotFound);
    });
}

#[test]
fn of_groups() {
    tier::root();
    unchanged(|| {
        let name = format!("ampoule-oci-{}", std::process::id());
        let bundled = bundle("cat /proc/self/cgroup")
            .namespaces(&["pid", "uts"])
            .with("/linux/cgroupsPath", json!(format!("/{name}/of/it")))
            .with(
                "/linux/resources",
                json!({"pids": {"limit": 20}, "memory": {"limit": 67_108_864}}),
            );
        let said = bundled.print();
        let limited = |line: &&str| line.contains(":pids:") || line.contains("memory");
        assert!(said.lines().filter(limited).count() > 0, "{said}");
        for line in said.lines() {
            // Also where nothing is limited, and where nothing can be (`name=systemd`).
            assert!(line.ends_with(&format!(":/{name}/of/it")), "{said}");
        }
    });
}
