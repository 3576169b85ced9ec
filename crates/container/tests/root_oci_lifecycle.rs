//! Further processes and hooks of a bundle's container, for a host that is root: each by what the kernel shows of them.
//!
//! Kernel objects: those of the containers, their directories. Invariant: the host is unchanged.

mod oracle;
mod scene;

use std::path::Path;

use ampoule::oci::{Inherited, process};
use ampoule::{Error, ErrorKind, Force, Kept, RunState, StateDirectory};
use oracle::{fixture, tier, unchanged};
use scene::kept::states;
use scene::oci::{Bundled, bundle};
use scene::{printed, refused};
use serde_json::{Value, json};

fn create(states: &StateDirectory, bundled: &Bundled) -> Result<Kept, Error> {
    let config = bundled.config().unwrap_or_else(|error| panic!("{error}"));
    states.create_config("a", config, bundled.root.path(), Inherited::default())
}

/// What a script prints in a running container, as a process with this on top.
#[track_caller]
fn exec(kept: &Kept, script: &str, said: &Value) -> Result<String, Error> {
    let container = kept.container().expect("it runs");
    let mut whole = json!({
        "args": ["/bin/sh", "-c", script],
        "cwd": "/",
        "env": ["PATH=/bin"],
        "user": {"uid": 0, "gid": 0},
    });
    let (Value::Object(object), Value::Object(more)) = (&mut whole, said) else { panic!("{said}") };
    object.extend(more.clone());
    Ok(printed(process(container, whole.to_string().as_bytes())?.output()?))
}

/// A container that only waits, with what a process of it would not have by itself.
fn waiting(states: &StateDirectory) -> (Bundled, Kept) {
    let bundled = bundle("sleep 1000").with("/process/oomScoreAdj", json!(100));
    let bundled = bundled.with("/process/noNewPrivileges", json!(false));
    let limits = json!([{"type": "RLIMIT_NOFILE", "soft": 40, "hard": 50}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]);
    let bundled = bundled.with("/process/rlimits", limits);
    let mut kept = create(states, &bundled).expect("a container");
    kept.start().expect("a start");
    (bundled, kept)
}

#[test]
fn a_process_is_as_its_document_says() {
    tier::root();
    unchanged(|| {
        let (_place, states) = states();
        let (_bundled, kept) = waiting(&states);
        let shows = |script: &str, said: Value| {
            exec(&kept, script, &said).unwrap_or_else(|error| panic!("{error}"))
        };
        let user = json!({"user": {"uid": 7, "gid": 8, "umask": 63, "additionalGids": [9, 10]}});
        assert_eq!(shows("id -u; id -g; id -G; umask", user), "7\n8\n8 9 10\n0077\n");
        let limits = json!({"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 20, "hard": 30}]});
        let script = "ulimit -n; ulimit -Hn; ulimit -c";
        assert_eq!(shows(script, limits), "20\n30\n0\n");
        assert_eq!(shows(script, json!({})), "40\n50\n0\n");
        let score = "cat /proc/self/oom_score_adj";
        assert_eq!(shows(score, json!({"oomScoreAdj": 321})), "321\n");
        assert_eq!(shows(score, json!({})), "100\n");
        let privileges = "grep NoNewPrivs /proc/self/status";
        assert_eq!(shows(privileges, json!({"noNewPrivileges": true})), "NoNewPrivs:\t1\n");
        assert_eq!(shows(privileges, json!({"noNewPrivileges": false})), "NoNewPrivs:\t0\n");
        let batch = json!({"scheduler": {"policy": "SCHED_BATCH", "nice": 5}});
        assert_eq!(shows("cut -d' ' -f 19,40,41 /proc/self/stat", batch), "5 0 3\n");
        let class = json!({"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 6}});
        assert_eq!(shows("ionice", class), "best-effort: prio 6\n");
        let cpus = json!({"execCPUAffinity": {"initial": "0", "final": "0"}});
        let list = "grep Cpus_allowed_list /proc/self/status";
        assert_eq!(shows(list, cpus), "Cpus_allowed_list:\t0\n");
        states.delete("a", Force::Yes).expect("a deletion");
    });
}

#[test]
fn what_a_process_cannot_be_is_refused() {
    tier::root();
    unchanged(|| {
        let (_place, states) = states();
        let (_bundled, kept) = waiting(&states);
        let refuses = |said: Value| refused(exec(&kept, "true", &said));
        for (said, at) in [
            (json!({"oomScoreAdj": 1001}), "oom"),
            (json!({"rlimits": [{"type": "RLIMIT_CORE", "soft": 2, "hard": 1}]}), "rlimit"),
            (json!({"user": {"uid": 0, "gid": 0, "umask": 4096}}), "umask"),
            (json!({"commandLine": "a"}), "process.commandLine"),
        ] {
            let error = refuses(said);
            assert_eq!(error.kind(), ErrorKind::InvalidSettings);
            assert!(error.to_string().contains(at), "{at}: {error}");
        }
        // Neither module is in force on the machine of this tier.
        let profile = refuses(json!({"apparmorProfile": "no-such-profile"}));
        assert_eq!(profile.kind(), ErrorKind::AppArmor, "{profile}");
        let label = refuses(json!({"selinuxLabel": "system_u:system_r:container_t:s0:c1,c2"}));
        assert!(matches!(label.kind(), ErrorKind::Unsupported | ErrorKind::Selinux), "{label}");
        states.delete("a", Force::Yes).expect("a deletion");
        let strict = bundle("sleep 1000").with("/process/noNewPrivileges", json!(true));
        let mut kept = create(&states, &strict).expect("a container");
        kept.start().expect("a start");
        let error = refused(exec(&kept, "true", &json!({"noNewPrivileges": false})));
        assert!(error.to_string().contains("new_privileges"), "{error}");
        states.delete("a", Force::Yes).expect("a deletion");
    });
}

/// A hook that runs this shell script.
fn hook(script: &str, out: &Path) -> Value {
    json!({
        "path": "/bin/sh",
        "args": ["sh", "-c", script],
        "env": [format!("OUT={}", out.display()), "PATH=/bin:/usr/bin"],
        "timeout": 20,
    })
}

#[test]
fn hooks_run_in_the_containers_namespaces() {
    const SHOW: &str = "{ cat; echo; echo $0; pwd; for n in mnt uts pid net ipc; do readlink /proc/self/ns/$n; done; \
        hostname; test -e $OUT.host; echo $?; } >$OUT 2>&1";
    tier::root();
    unchanged(|| {
        let (_place, states) = states();
        let dir = fixture::directory("hooks");
        let host = dir.path().join("create");
        std::fs::write(dir.path().join("create.host"), "").expect("a file");
        let mut named = hook(SHOW, &host);
        named["args"][0] = json!("hook");
        let bundled = bundle("cat /order; sleep 1000");
        let inside = Path::new("/start");
        let bundled = bundled.with("/root/readonly", json!(false)).with(
            "/hooks",
            json!({
                "createContainer": [named],
                "startContainer": [hook(SHOW, inside), hook("echo in >/order", inside)],
            }),
        );
        let mut kept = create(&states, &bundled).expect("a container");
        let pid = kept.pid().expect("a process");
        let own = |kind: &str| {
            let link = std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).expect("a link");
            link.to_string_lossy().into_owned()
        };
        let spaces: Vec<_> = ["mnt", "uts", "pid", "net", "ipc"].map(own).into();
        let check = |said: &str, status: &str, name: &str| {
            let lines: Vec<_> = said.lines().collect();
            let state: Value = serde_json::from_str(lines[0]).expect("a state");
            assert_eq!((&state["id"], &state["pid"]), (&json!("a"), &json!(1)), "{said}");
            assert_eq!(state["status"], status, "{said}");
            assert_eq!(lines[1..3], [name, "/"], "{said}");
            assert_eq!(lines[3..8], spaces, "{said}");
            assert_eq!(lines[8], "runc", "{said}");
        };
        let said = std::fs::read_to_string(&host).expect("what the hook has written");
        check(&said, "creating", "hook");
        // The host's root was its own.
        assert_eq!(said.lines().nth(9), Some("0"), "{said}");
        let written = |name: &str| std::fs::read_to_string(bundled.root.path().join(name));
        assert!(written("start").is_err());
        assert_eq!(kept.state(), RunState::Created);
        kept.start_with_hooks().expect("a start");
        check(&written("start").expect("what the hook has written"), "created", "sh");
        assert_eq!(written("order").expect("a file"), "in\n");
        states.delete("a", Force::Yes).expect("a deletion");
    });
}

#[test]
fn hooks_that_fail_end_the_container() {
    tier::root();
    unchanged(|| {
        let (_place, states) = states();
        let with =
            |key: &str, hook: Value| bundle("sleep 1000").with("/hooks", json!({key: [hook]}));
        let out = Path::new("/none");
        let error = refused(create(&states, &with("createContainer", hook("exit 3", out))));
        assert_eq!(error.kind(), ErrorKind::Hook, "{error}");
        assert!(refused(states.get("a")).kind() == ErrorKind::NotFound);
        let absent = json!({"path": "/no/such/hook"});
        let error = refused(create(&states, &with("createContainer", absent.clone())));
        assert_eq!(error.kind(), ErrorKind::ProgramNotFound, "{error}");
        let late = json!({"path": "/bin/sleep", "args": ["sleep", "60"], "timeout": 1});
        for (hook, kind) in [
            (hook("exit 3", out), ErrorKind::Hook),
            (absent, ErrorKind::ProgramNotFound),
            (late, ErrorKind::Hook),
        ] {
            let bundled = with("startContainer", hook);
            let mut kept = create(&states, &bundled).expect("a container");
            let error = refused(kept.start_with_hooks());
            assert_eq!(error.kind(), kind, "{error}");
            assert_eq!(kept.state(), RunState::Stopped);
            states.delete("a", Force::No).expect("it has ended");
        }
    });
}
