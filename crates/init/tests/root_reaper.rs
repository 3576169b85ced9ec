//! What the reaper does for a running payload: time limit, signals, the host's end, secrets, no pid namespace.

mod support;

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use ampoule_init::reaper::{self, Cause};
use ampoule_init::steps::{launch as l, process as p};
use ampoule_init::{PidNamespace, process};
use support::{
    alone, children, children_of, comm_and_state, descriptors, ends_within, eventually, finish,
    kill, launch, pidfd, pidfds_of_tree, pipe, reaped, run, seal, shell, status_line, tree, turn,
};

#[test]
fn the_time_limit_is_kept_to_50_ms() {
    let _turn = turn();
    for millis in [40, 250, 1100] {
        let limit = Duration::from_millis(millis);
        // Three tries: other programs of this machine may be in the way.
        let took = [0; 3].map(|_| timed_out_after(limit)).into_iter().min().expect("three");
        assert!(took < limit + Duration::from_millis(50), "{millis} ms: {took:?}");
    }
}

/// How long a payload with this limit lives; the host does nothing meanwhile.
fn timed_out_after(limit: Duration) -> Duration {
    let mut launch = shell("sleep 100");
    launch.timeout = Some(limit);
    let begin = Instant::now();
    let started = run(&reaped(), &launch);
    assert!(ends_within(&started.pidfd, limit + Duration::from_secs(5)));
    let took = begin.elapsed();
    let ended = finish(&started).expect("a status");
    assert_eq!((ended.cause, ended.status), (Cause::TimedOut, 9));
    assert!(took >= limit, "too early: {took:?}");
    took
}

#[test]
fn a_payload_that_is_fast_enough_does_not_time_out() {
    let _turn = turn();
    for timeout in [Duration::from_secs(60), Duration::MAX] {
        let mut launch = shell("exit 6");
        launch.timeout = Some(timeout);
        let ended = finish(&run(&reaped(), &launch)).expect("a status");
        assert_eq!((ended.cause, ended.status), (Cause::Ended, 6 << 8));
    }
}

#[test]
fn signals_reach_the_payload_only() {
    let _turn = turn();
    let (mut reader, writer) = pipe();
    let (input, _hold) = pipe();
    let mut launch = shell("trap 'exit 21' TERM; echo; while :; do read x; done");
    launch.payload_fds[0].1 = input.as_fd();
    launch.payload_fds[1].1 = writer.as_fd();
    let started = run(&reaped(), &launch);
    reader.read_exact(&mut [0]).expect("the trap is set");
    reaper::signal(&started.control, 15).expect("a request");
    assert_eq!(finish(&started).map(|ended| ended.status), Some(21 << 8));
}

#[test]
fn a_signal_to_all_reaches_the_descendants() {
    let _turn = turn();
    let (mut reader, writer) = pipe();
    let mut launch = shell("setsid sleep 1000 & echo; wait; exit 3");
    launch.payload_fds[1].1 = writer.as_fd();
    let started = run(&reaped(), &launch);
    reader.read_exact(&mut [0]).expect("the descendant is there");
    assert!(eventually(|| tree(started.pid).len() == 3));
    reaper::signal_all(&started.control, 9).expect("a request");
    assert_eq!(finish(&started).map(|ended| ended.status), Some(9));
}

#[test]
fn the_payload_has_default_signals_although_the_host_has_not() {
    alone(
        "the_payload_has_default_signals_although_the_host_has_not",
        &["/bin/sh", "-c", "trap '' TERM HUP USR1; exec \"$@\"", "sh"],
        || {
            let mut mask = nix::sys::signal::SigSet::empty();
            mask.add(nix::sys::signal::SIGINT);
            mask.add(nix::sys::signal::SIGUSR2);
            mask.thread_block().expect("a mask");
            let _turn = turn();
            let before = std::fs::read_to_string("/proc/thread-self/status").expect("procfs");
            let ignored = status_line(std::process::id(), "SigIgn");
            let ignored = u64::from_str_radix(&ignored, 16).expect("a mask");
            assert_eq!(ignored & 0x5201, 0x5201, "HUP, USR1, PIPE, TERM");
            let (input, hold) = pipe();
            let mut launch = launch(&["/bin/cat"]);
            launch.payload_fds[0].1 = input.as_fd();
            let started = run(&reaped(), &launch);
            let payload = children_of(started.pid)[0];
            for line in ["SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd"] {
                assert_eq!(status_line(payload, line), "0000000000000000", "{line}");
            }
            let after = std::fs::read_to_string("/proc/thread-self/status").expect("procfs");
            let signals =
                |text: &str| text.lines().filter(|l| l.starts_with("Sig")).collect::<String>();
            assert_eq!(signals(&before), signals(&after));
            drop(hold);
            finish(&started);
        },
    );
}

#[test]
fn the_container_ends_with_its_host() {
    const NAME: &str = "the_container_ends_with_its_host";
    if std::env::var_os("AMPOULE_HOST").is_some() {
        return be_a_host();
    }
    let _turn = turn();
    let (mut reader, writer) = pipe();
    let own = std::env::current_exe().expect("a path");
    let mut command = std::process::Command::new(own);
    command.args(["--exact", NAME, "--nocapture", "--test-threads=1"]).env("AMPOULE_HOST", "1");
    command.stdout(writer);
    let mut host = command.spawn().expect("a process");
    drop(command);
    let ids = two_ids(&mut reader);
    let (first, fork) = (ids[0], ids[1]);
    let all = pidfds_of_tree(first);
    assert!(all.len() >= 2, "a reaper and its payload");
    let fork = pidfd(fork);
    host.kill().expect("a kill");
    let begin = Instant::now();
    for each in &all {
        assert!(
            ends_within(each, support::at_once().saturating_sub(begin.elapsed())),
            "the container lives on"
        );
    }
    // It is the host's end that counts, not the end of everybody who holds a copy of its descriptors.
    assert!(!ends_within(&fork, Duration::ZERO), "the host's other fork has ended");
    process::signal(&fork, rustix::process::Signal::KILL).expect("a kill");
    host.wait().expect("a status");
}

fn two_ids(reader: &mut impl Read) -> Vec<u32> {
    let mut said = Vec::new();
    let mut byte = [0];
    while !said.ends_with(b"<") {
        reader.read_exact(&mut byte).expect("two numbers");
        said.push(byte[0]);
    }
    let said = String::from_utf8(said).expect("text");
    let ids = said.rsplit_once('>').expect("a mark").1.trim_end_matches('<');
    ids.split(' ').map(|id| id.parse().expect("an id")).collect()
}

/// The host's part of the test above: a container, and a fork that lives on with all descriptors.
fn be_a_host() {
    let own = pidfd(std::process::id());
    let mut launch = shell("setsid sleep 1000 & sleep 1000");
    launch.fds = vec![own.as_fd()];
    launch.host = Some(0);
    let started = run(&reaped(), &launch);
    match fork::fork().expect("a fork") {
        fork::Fork::Child => std::thread::sleep(Duration::from_secs(60)),
        fork::Fork::Parent(fork) => {
            assert!(eventually(|| tree(started.pid).len() >= 2));
            std::io::stdout()
                .write_all(format!(">{} {fork}<", started.pid).as_bytes())
                .expect("stdout");
            std::io::stdout().flush().expect("stdout");
            std::thread::sleep(Duration::from_secs(60));
        }
    }
}

#[test]
fn the_reaper_holds_three_descriptors() {
    let _turn = turn();
    let own = pidfd(std::process::id());
    let (input, hold) = pipe();
    let mut launch = launch(&["/bin/cat"]);
    launch.payload_fds[0].1 = input.as_fd();
    launch.fds = vec![own.as_fd()];
    launch.host = Some(0);
    let started = run(&reaped(), &launch);
    let held = descriptors(&started.pid.to_string());
    assert_eq!(held.keys().copied().collect::<Vec<_>>(), [0, 1, 4], "{held:?}");
    assert!(held[&0].starts_with("socket:"), "{held:?}");
    assert!(held[&1].contains("pidfd"), "{held:?}");
    assert!(held[&4].contains("signalfd"), "{held:?}");
    drop(hold);
    finish(&started);
}

#[test]
fn the_payload_cannot_read_its_reaper() {
    let _turn = turn();
    // Root without capabilities: the same user, which alone would be enough for a dumpable process.
    let program = seal(
        libc::CLONE_NEWPID as u64 | libc::CLONE_NEWNS as u64,
        &[
            proc_step(),
            p::undumpable(),
            l::become_reaper(None),
            p::no_new_privs(),
            p::prctl(libc::PR_SET_SECUREBITS, "PR_SET_SECUREBITS", 1_u64.into(), 0_u64.into()),
            p::capset(0, 0, 0, "none"),
        ],
    );
    let mut launch = shell(
        "grep Name: /proc/1/status; for f in mem environ auxv maps fd/0 fd/4; do cat /proc/1/$f >/dev/null 2>&1 && echo read $f; done; \
         for f in exe cwd root fd/0 fd/4; do readlink /proc/1/$f; done; echo end",
    );
    let text = support::output(&program, &mut launch);
    assert_eq!(text, "Name:\tampoule-init\nend\n");
}

/// Mounts a procfs of the new pid namespace.
fn proc_step() -> ampoule_init::Step {
    let text = |text: &std::ffi::CStr| ampoule_init::Arg::from(text);
    let flags = 0_u64.into();
    ampoule_init::Step::call(
        "mount",
        libc::SYS_mount,
        vec![
            text(c"none"),
            text(c"/"),
            0_u64.into(),
            (libc::MS_REC | libc::MS_PRIVATE).into(),
            0_u64.into(),
        ],
    )
    .then(ampoule_init::Step::call(
        "mount",
        libc::SYS_mount,
        vec![text(c"proc"), text(c"/proc"), text(c"proc"), flags, 0_u64.into()],
    ))
    .named("mount", "proc")
}

#[test]
fn without_a_pid_namespace_the_reaper_ends_all_descendants() {
    let _turn = turn();
    let program = seal(0, &[p::undumpable(), l::become_reaper(None)]);
    for script in [
        "setsid sleep 1000 & (setsid sleep 1001 &); (setsid sh -c '(setsid sleep 1002 &)' &); echo; read x; exit 2",
        "i=0; while [ $i -lt 60 ]; do (setsid sleep 1003 & ); i=$((i+1)); done; echo; read x; exit 2",
    ] {
        let (mut reader, writer) = pipe();
        let (input, hold) = pipe();
        let mut launch = shell(script);
        launch.pid_namespace = PidNamespace::Other;
        launch.payload_fds[0].1 = input.as_fd();
        launch.payload_fds[1].1 = writer.as_fd();
        let started = run(&program, &launch);
        reader.read_exact(&mut [0]).expect("ready");
        assert!(eventually(|| children_of(started.pid).len() >= 3));
        let all = pidfds_of_tree(started.pid);
        (&hold).write_all(b"\n").expect("a reader");
        assert_eq!(finish(&started).map(|ended| ended.status), Some(2 << 8));
        assert!(all.iter().all(|each| ends_within(each, Duration::ZERO)), "{script}");
    }
}

#[test]
fn without_a_pid_namespace_and_procfs_the_descendants_end_too() {
    let _turn = turn();
    // The payload's root has no /proc: the list of children was opened before.
    let root = std::env::temp_dir().join(format!("ampoule-init-root-{}", std::process::id()));
    let bin = root.join("bin");
    std::fs::create_dir_all(&bin).expect("a directory");
    let root_text = support::text(root.to_str().expect("text"));
    let chroot = ampoule_init::Step::call("chdir", libc::SYS_chdir, vec![root_text.into()])
        .then(p::chroot_here());
    let bind = |from: &std::ffi::CStr| {
        let to = root.join(from.to_str().expect("text").trim_start_matches('/'));
        std::fs::create_dir_all(&to).expect("a directory");
        let to = support::text(to.to_str().expect("text"));
        ampoule_init::Step::call(
            "mount",
            libc::SYS_mount,
            vec![
                from.into(),
                to.into(),
                0_u64.into(),
                (libc::MS_BIND | libc::MS_REC).into(),
                0_u64.into(),
            ],
        )
    };
    let private = ampoule_init::Step::call(
        "mount",
        libc::SYS_mount,
        vec![
            c"none".into(),
            c"/".into(),
            0_u64.into(),
            (libc::MS_REC | libc::MS_PRIVATE).into(),
            0_u64.into(),
        ],
    );
    let mut steps = vec![private, bind(c"/usr"), bind(c"/bin"), bind(c"/lib"), bind(c"/dev")];
    if std::path::Path::new("/lib64").exists() {
        steps.push(bind(c"/lib64"));
    }
    steps.extend([chroot, p::undumpable(), l::become_reaper(None)]);
    let program = seal(libc::CLONE_NEWNS as u64, &steps);
    let (mut reader, writer) = pipe();
    let (input, hold) = pipe();
    let mut launch =
        shell("test -e /proc/self && exit 9; (setsid sleep 1004 &); echo; read x; exit 2");
    launch.pid_namespace = PidNamespace::Other;
    launch.payload_fds[0].1 = input.as_fd();
    launch.payload_fds[1].1 = writer.as_fd();
    let started = run(&program, &launch);
    reader.read_exact(&mut [0]).expect("ready");
    assert!(eventually(|| children_of(started.pid).len() == 2));
    let all = pidfds_of_tree(started.pid);
    drop(hold);
    finish(&started);
    assert!(all.iter().all(|each| ends_within(each, Duration::ZERO)));
    std::fs::remove_dir_all(root).expect("the directory");
}

#[test]
fn without_a_pid_namespace_the_payload_dies_with_a_killed_reaper() {
    let _turn = turn();
    // Also after a change of credentials, which clears the parent-death signal.
    let program = seal(0, &[l::become_reaper(None), p::setgid(65534), p::setuid(65534)]);
    let mut launch = launch(&["/bin/sleep", "1000"]);
    launch.pid_namespace = PidNamespace::Other;
    let started = run(&program, &launch);
    let payload = pidfd(children_of(started.pid)[0]);
    kill(&started);
    assert!(ends_within(&payload, support::at_once()));
}

#[test]
fn no_process_is_left_waiting() {
    let _turn = turn();
    let started = run(&reaped(), &shell("exit 0"));
    finish(&started);
    assert!(
        children()
            .iter()
            .all(|&child| comm_and_state(child).is_none_or(|(comm, _)| comm != "ampoule-init"))
    );
}

#[test]
fn the_reaper_opens_its_root_and_namespaces_for_the_host() {
    let _turn = turn();
    let mut draft = ampoule_init::Draft::default();
    let proc = draft.slots.take();
    draft.launcher(l::clone_first(
        libc::CLONE_NEWPID as u64 | libc::CLONE_NEWNS as u64,
        "flags",
        None,
    ));
    draft.launcher(l::release());
    let path = u64::from((libc::O_PATH | libc::O_DIRECTORY).unsigned_abs());
    let open = ampoule_init::steps::file::open(ampoule_init::Fd::Cwd, c"/proc", path, 0, proc);
    draft.first_all([l::wait_for_release(), proc_step(), open, p::undumpable()]);
    draft.first_all([
        l::become_reaper(Some(proc.into())),
        l::reset_signals(),
        l::close_others(),
        l::exec(),
    ]);
    let program = ampoule_init::Program::seal(draft).expect("a small program");
    let own = pidfd(std::process::id());
    // Wherever the payload's numbers leave a gap for the reaper's descriptor of its procfs.
    for numbers in [[0, 1, 2], [0, 2, 9], [0, 1, 9], [0, 5, 9], [0, 3, 4]] {
        let (input, hold) = pipe();
        let mut launch = shell("read x; exit 3");
        launch.payload_fds = numbers.map(|number| (number, support::null())).to_vec();
        launch.payload_fds[0].1 = input.as_fd();
        launch.fds = vec![own.as_fd()];
        launch.host = Some(0);
        let started = run(&program, &launch);
        let mut ended = None;
        for (what, name) in (1..).zip(ampoule_init::wire::open::NAMESPACES) {
            let limit = Instant::now() + Duration::from_secs(5);
            let fd = reaper::open(&started.control, what, limit, &mut ended).expect("a namespace");
            let name = name.to_str().expect("text").trim_start_matches("self/");
            let link = std::fs::read_link(format!("/proc/{}/{name}", started.pid)).expect("procfs");
            assert_eq!(support::name_of(fd), link.to_string_lossy(), "{numbers:?}");
        }
        let limit = Instant::now() + Duration::from_secs(5);
        let root = reaper::open(&started.control, 0, limit, &mut ended).expect("the root");
        assert_eq!(support::name_of(root), "/");
        let error =
            reaper::open(&started.control, 99, limit, &mut ended).expect_err("no such thing");
        assert_eq!((error.errno(), ended), (Some(libc::EINVAL), None));
        drop(hold);
        assert_eq!(finish(&started).map(|ended| ended.status), Some(3 << 8));
    }
}
