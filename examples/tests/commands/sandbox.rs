//! What `sandbox` must do for whoever runs it.

use rustix::process::{Pid, Signal, kill_process};

use super::{Done, command, finish, read_until, sandbox, shell, start};

/// The exit codes of commands that end, are killed, take too long, or cannot be started.
pub(crate) fn exit_codes() {
    for pid1 in [&[][..], &["--payload-is-pid1"]] {
        let code = |options: &[&str], script: &str| {
            sandbox(&[pid1, options, &["--", "sh", "-c", script]].concat()).code
        };
        assert_eq!(code(&[], "exit 0"), Some(0));
        assert_eq!(code(&[], "exit 3"), Some(3));
        assert_eq!(code(&["--timeout", "0.3"], "sleep 60"), Some(124));
        assert_eq!(code(&[], "exit 255"), Some(255));
    }
    assert_eq!(sandbox(&["--", "sh", "-c", "kill -KILL $$"]).code, Some(137));
    assert_eq!(sandbox(&["--", "sh", "-c", "kill -TERM $$"]).code, Some(143));
}

/// What cannot be started is 125, and the reason is on standard error.
pub(crate) fn failures_are_125() {
    let cases: [(&[&str], &str); 8] = [
        (&["--", "no-such-program"], "the program is not there"),
        (&["--", "/usr"], "the program is a directory"),
        (&["--", "/etc/passwd"], "may not be executed"),
        (&["--cwd", "/nowhere", "--", "true"], "working directory"),
        (&["--bind", "/no/such:/x", "--", "true"], "/no/such"),
        (&["--hostname", "a", "--share", "uts", "--", "true"], "hostname"),
        (&["--nothing"], "--nothing"),
        (&[], "no command given"),
    ];
    for (arguments, reason) in cases {
        let Done { code, out, err } = sandbox(arguments);
        assert_eq!((code, out.as_str()), (Some(125), ""), "{arguments:?}");
        assert!(err.starts_with("sandbox: ") && err.contains(reason), "{arguments:?}: {err}");
    }
}

/// What is shown besides the command's own output.
pub(crate) fn shown() {
    let help = sandbox(&["--help"]);
    assert_eq!((help.code, help.err.as_str()), (Some(0), ""));
    assert!(help.out.contains("--explain"));
    let doctor = sandbox(&["--doctor"]).out;
    assert!(doctor.contains("user namespaces"));
    let groups = doctor.lines().find_map(|line| line.strip_prefix("groups "));
    let groups = groups.map(str::trim_start).unwrap_or_default();
    let said = ["below /", "in a transient scope", "NONE: "];
    assert!(said.iter().any(|said| groups.starts_with(said)), "{doctor}");

    let plan = sandbox(&["--explain", "--", "sh", "-c", "echo ran"]);
    assert_eq!(plan.code, Some(0));
    assert!(plan.out.contains("clone3(") && plan.out.contains("execve("), "{}", plan.out);
    assert!(!plan.out.contains("ran\n"));

    let report = sandbox(&["--report", "--timeout", "9", "--", "echo", "ran"]);
    assert_eq!(report.out, "ran\n");
    for control in ["NoNewPrivileges", "TimeLimit"] {
        let line = report.err.lines().find(|line| line.starts_with(control));
        assert!(line.is_some_and(|line| line.contains("in force")), "{}", report.err);
    }
    let timings = sandbox(&["--timings", "--", "true"]);
    assert!(timings.err.contains("Mounts") && timings.err.contains("exited with code 0"));
}

/// Settings reach the command.
pub(crate) fn settings() {
    let words = "--env A=b=c --cwd /usr --rlimit nofile=77:88 --hostname boxed --tmpfs /t:1M";
    let options: Vec<&str> = words.split(' ').collect();
    let script =
        "echo $A; pwd; ulimit -n; ulimit -Hn; hostname; head -c 2M /dev/zero > /t/x || echo full";
    let done = sandbox(&[options.as_slice(), &["--", "sh", "-c", script]].concat());
    assert_eq!(done.out, "b=c\n/usr\n77\n88\nboxed\nfull\n", "{}", done.err);

    let inherited =
        command("sandbox", &["--env", "FROM_HERE", "--", "sh", "-c", "echo $FROM_HERE"])
            .env("FROM_HERE", "there")
            .env("SECRET", "x")
            .spawn();
    assert_eq!(finish(inherited.unwrap()).out, "there\n");
    assert_eq!(shell(&[], "echo $SECRET$$"), "2\n");
    assert_eq!(shell(&["--payload-is-pid1"], "echo $$"), "1\n");
    assert_eq!(shell(&[], "grep -c : /proc/net/dev"), "1\n");
}

/// Binds are read-only unless they are not.
pub(crate) fn binds() {
    let dir = tempfile::tempdir().unwrap();
    let host = dir.path().to_str().unwrap();
    // As root the payload of a host view is nobody, and only the directory's own mode counts.
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(dir.path(), permissions).unwrap();
    let read = format!("{host}:/seen");
    let write = format!("{host}:/seen:rw");
    let script = "echo x > /seen/file && echo written || echo refused";
    let done = |bind: &str| sandbox(&["--bind", bind, "--", "sh", "-c", script]).out;
    assert_eq!(done(&read), "refused\n");
    assert!(!dir.path().join("file").exists());
    assert_eq!(done(&write), "written\n");
    assert_eq!(std::fs::read(dir.path().join("file")).unwrap(), b"x\n");
}

/// The ids and the capabilities of the command.
pub(crate) fn ids() {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let map = format!("0:{uid}:1,0:{gid}:1");
    let out = shell(&["--map", &map, "--uid", "0"], "id -u; id -g; cat /proc/self/uid_map");
    let words: Vec<_> = out.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "0", &uid.to_string(), "1"]);
    let effective = "sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status";
    assert_eq!(shell(&[], effective), "0000000000000000\n");
    let added = shell(&["--cap-add", "net_raw"], effective);
    assert_eq!(u64::from_str_radix(added.trim(), 16).unwrap(), 1 << 13);
}

/// A second sandbox in the namespaces of a first one.
pub(crate) fn join() {
    let mut first = start(&["--hostname", "first", "--", "sh", "-c", "echo ready; exec sleep 60"]);
    let mut out = first.stdout.take().unwrap();
    read_until(&mut out, "ready");
    let payload = payload_of(first.id());
    let target = |kinds: &str| format!("{payload}:{kinds}");
    let joined = target("user,uts,net");
    let ids = ["--uid", &id("uid", payload), "--gid", &id("gid", payload)].map(str::to_owned);
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let options = [&["--join", joined.as_str()], ids.as_slice()].concat();
    assert_eq!(shell(&options, "hostname"), "first\n");
    let inode = |kind: &str| {
        let link = std::fs::read_link(format!("/proc/{payload}/ns/{kind}")).unwrap();
        link.to_str().unwrap().to_owned() + "\n"
    };
    assert_eq!(shell(&options, "readlink /proc/self/ns/net"), inode("net"));
    assert_ne!(shell(&options, "readlink /proc/self/ns/ipc"), inode("ipc"));
    let pid = payload.to_string();
    let words = ["-t", &pid, "-U", "-u", "-n", "-S", ids[1], "-G", ids[3], "uname", "-n"];
    let entered = finish(command("nsenter", &words).spawn().unwrap());
    assert_eq!((entered.code, entered.out.as_str()), (Some(0), "first\n"), "{}", entered.err);
    first.stdout = Some(out);
    signal(first.id(), Signal::TERM);
    assert_eq!(finish(first).code, Some(143));
}

/// The first id that exists inside.
fn id(kind: &str, pid: u32) -> String {
    let map = std::fs::read_to_string(format!("/proc/{pid}/{kind}_map")).unwrap();
    map.split_whitespace().next().unwrap().to_owned()
}

/// The payload: the child of init, which is a child of the program, for a moment beside the launcher.
fn payload_of(program: u32) -> u32 {
    let children = |pid: u32| -> Vec<u32> {
        let path = format!("/proc/{pid}/task/{pid}/children");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    };
    children(program).into_iter().flat_map(children).next().unwrap()
}

/// Signals to the program reach the command.
pub(crate) fn signals() {
    let script = "trap 'echo caught; exit 9' TERM INT; echo ready; while :; do sleep 0.05; done";
    for number in [Signal::TERM, Signal::INT] {
        let mut child = start(&["--", "sh", "-c", script]);
        let mut out = child.stdout.take().unwrap();
        read_until(&mut out, "ready");
        signal(child.id(), number);
        read_until(&mut out, "caught");
        child.stdout = Some(out);
        assert_eq!(finish(child).code, Some(9));
    }
}

fn signal(pid: u32, number: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, number).unwrap();
}

/// System calls: the default, none refused, a profile that was recorded; the small examples about them.
pub(crate) fn system_calls() {
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let unshare = "unshare -U true 2>/dev/null && echo done || echo refused";
    assert_eq!(shell(&[], unshare), "refused\n");
    assert_eq!(shell(&["--seccomp", "default"], unshare), "refused\n");
    assert_eq!(shell(&["--seccomp", "unconfined"], unshare), "done\n");
    let (json, rust) = (file("profile.json"), file("profile.rs"));
    let script = "mkdir /tmp/x && ls /tmp";
    assert_eq!(shell(&["--record", &json], script), "x\n");
    assert_eq!(shell(&["--seccomp", &json], script), "x\n");
    let other = "chmod 700 /tmp 2>/dev/null || echo refused";
    assert_eq!(shell(&["--seccomp", &json], other), "refused\n");
    assert_eq!(shell(&["--record", &rust], script), "x\n");
    let code = std::fs::read_to_string(&rust).unwrap();
    assert!(code.starts_with("Filter::new(Action::NOT_PERMITTED)"), "{code}");
    let wrong = sandbox(&["--seccomp", &rust, "--", "true"]);
    assert_eq!((wrong.code, wrong.err.contains("seccomp profile")), (Some(125), true));

    let served = finish(command("notify", &[]).spawn().unwrap());
    for word in ["/served/one is made", "/etc/three is refused", "/served/../four is refused"] {
        assert!(served.out.contains(word), "{word}: {served:?}");
    }
    assert_eq!((served.code, served.out.contains("one\ntwo\n")), (Some(0), true), "{served:?}");
    let recorded = finish(command("record-profile", &["--", "id", "-u"]).spawn().unwrap());
    assert_eq!(recorded.code, Some(0), "{recorded:?}");
    assert!(recorded.out.contains("with this filter: exited with code 0"), "{recorded:?}");
}
