//! The executable of init: what a payload can do to it, and what the kernel forbids.

mod support;

use std::os::fd::AsFd;

use ampoule_init::steps::launch as l;
use ampoule_init::{ErrorKind, start};
use support::{alone, children_of, finish, null, output, pipe, reaped, run, seal, shell, turn};

/// A payload with all capabilities reaches `/proc/1/exe`; with its own procfs it can name it.
fn exposed() -> ampoule_init::Program {
    let text = |text: &std::ffi::CStr| ampoule_init::Arg::from(text);
    let mount = |from, to, kind, flags: u64| {
        let args = vec![text(from), text(to), kind, flags.into(), 0_u64.into()];
        ampoule_init::Step::call("mount", libc::SYS_mount, args)
    };
    let private = mount(c"none", c"/", 0_u64.into(), libc::MS_REC | libc::MS_PRIVATE);
    let proc = mount(c"proc", c"/proc", text(c"proc"), 0);
    let flags = libc::CLONE_NEWPID | libc::CLONE_NEWNS;
    seal(u64::from(flags.unsigned_abs()), &[private, proc, l::become_reaper(None)])
}

#[test]
fn a_payload_that_changes_the_executable_harms_no_later_launch() {
    let _turn = turn();
    let program = exposed();
    let changes = [
        "chmod 0",
        "chmod 0111",
        "chmod 0444",
        "chmod 0777",
        "chmod 06555",
        "chown 12:34",
        "chown :34",
    ];
    for change in changes {
        let said = output(
            &program,
            &mut shell(&format!("readlink /proc/1/exe; {change} /proc/1/exe; echo done")),
        );
        assert!(
            said.starts_with("/memfd:ampoule-init") && said.ends_with("done\n"),
            "{change}: {said}"
        );
        for _ in 0..3 {
            let ended = finish(&run(&program, &shell("exit 5"))).expect("a status");
            assert_eq!(ended.status, 5 << 8, "{change}");
        }
    }
}

#[test]
fn a_payload_that_changes_the_executable_all_the_time_harms_no_launch() {
    let _turn = turn();
    let program = exposed();
    let (input, hold) = pipe();
    let mut attacker = shell(
        "exec 3<&0; while :; do chmod 0 /proc/1/exe; chmod 0555 /proc/1/exe; chmod 0111 /proc/1/exe; done 2>/dev/null",
    );
    attacker.payload_fds[0].1 = input.as_fd();
    let attackers: Vec<_> = (0..2).map(|_| run(&program, &attacker)).collect();
    for _ in 0..60 {
        let ended = finish(&run(&program, &shell("exit 5"))).expect("a status");
        assert_eq!(ended.status, 5 << 8);
    }
    drop(hold);
    attackers.iter().for_each(support::kill);
}

#[test]
fn the_executable_cannot_be_written() {
    let _turn = turn();
    let said = output(
        &exposed(),
        &mut shell(
            "chmod 0755 /proc/1/exe 2>/dev/null; (echo x >/proc/1/exe) 2>/dev/null && echo written; \
         (: >/proc/1/exe) 2>/dev/null && echo truncated; exec 5</proc/1/exe; (echo x >/proc/self/fd/5) 2>/dev/null && echo written; echo end",
        ),
    );
    assert_eq!(said, "end\n");
}

const FRESH_PID_NAMESPACE: [&str; 3] = ["/usr/bin/unshare", "-pf", "--mount-proc"];

#[test]
fn where_executable_memfds_are_forbidden_a_file_without_name_is_used() {
    alone(
        "where_executable_memfds_are_forbidden_a_file_without_name_is_used",
        &FRESH_PID_NAMESPACE,
        || {
            std::fs::write("/proc/sys/vm/memfd_noexec", "2").expect("a pid namespace of our own");
            let _turn = turn();
            let program = reaped();
            // Without standard streams in the host, the file must not be found at their numbers.
            let streams = [0, 1, 2].map(|number| {
                let copy = rustix::io::fcntl_dupfd_cloexec(stream(number), 10).expect("a number");
                nix::unistd::close(number).expect("an open stream");
                copy
            });
            let started = start(&program, &shell("exit 6"));
            let low = [0, 1, 2]
                .map(|number| std::fs::exists(format!("/proc/self/fd/{number}")).expect("procfs"));
            for copy in &streams {
                let back = rustix::io::fcntl_dupfd_cloexec(copy, 0).expect("a number");
                let _for_good = std::os::fd::IntoRawFd::into_raw_fd(back);
            }
            assert_eq!(low, [false; 3], "a descriptor of ours at a stream's number");
            finish(&started.expect("a start"));
            drop(streams);
            for _ in 0..5 {
                let (input, hold) = pipe();
                let mut launch = shell("read x; exit 6");
                launch.payload_fds[0].1 = input.as_fd();
                let started = run(&program, &launch);
                let exe = std::fs::read_link(format!("/proc/{}/exe", started.pid)).expect("procfs");
                assert!(!exe.to_string_lossy().contains("memfd"), "{exe:?}");
                assert_eq!(children_of(started.pid).len(), 1);
                drop(hold);
                assert_eq!(finish(&started).map(|ended| ended.status), Some(6 << 8));
            }
        },
    );
}

#[test]
fn where_no_directory_is_executable_that_is_a_typed_error() {
    let without = ["/usr/bin/env", "-u", "XDG_RUNTIME_DIR"];
    let words = ["/usr/bin/unshare", "-pmf", "--mount-proc"].into_iter().chain(without);
    let words: Vec<&str> = words.collect();
    alone("where_no_directory_is_executable_that_is_a_typed_error", &words, || {
        std::fs::write("/proc/sys/vm/memfd_noexec", "2").expect("a pid namespace of our own");
        for dir in ["/dev/shm", "/tmp"] {
            let mut mount = std::process::Command::new("mount");
            let status = mount.args(["-t", "tmpfs", "-o", "noexec", "none", dir]).status();
            assert!(status.expect("mount(8)").success(), "{dir}");
        }
        let _turn = turn();
        null();
        let error = start(&reaped(), &shell("exit")).expect_err("forbidden");
        assert_eq!(error.kind(), ErrorKind::MemfdForbidden, "{error}");
        assert_eq!(error.errno(), Some(libc::EACCES));
    });
}

#[test]
fn a_changed_file_without_name_is_not_used_again() {
    alone("a_changed_file_without_name_is_not_used_again", &FRESH_PID_NAMESPACE, || {
        std::fs::write("/proc/sys/vm/memfd_noexec", "2").expect("a pid namespace of our own");
        let _turn = turn();
        let program = exposed();
        // Mode and owner are as before in the end, only the time of the change tells.
        for change in ["chmod 0755 /proc/1/exe; chmod 0555 /proc/1/exe", "chmod 0 /proc/1/exe"] {
            let before = executable(&program);
            output(&program, &mut shell(change));
            assert_ne!(executable(&program), before, "{change}");
        }
        assert_eq!(executable(&program), executable(&program));
    });
}

/// A standard stream of this process.
fn stream(number: i32) -> std::os::fd::BorrowedFd<'static> {
    match number {
        0 => rustix::stdio::stdin(),
        1 => rustix::stdio::stdout(),
        _ => rustix::stdio::stderr(),
    }
}

/// The inode that a launch executes.
fn executable(program: &ampoule_init::Program) -> u64 {
    let (input, hold) = pipe();
    let mut launch = shell("read x");
    launch.payload_fds[0].1 = input.as_fd();
    let started = run(program, &launch);
    let exe = std::fs::metadata(format!("/proc/{}/exe", started.pid)).expect("procfs");
    drop(hold);
    finish(&started);
    std::os::unix::fs::MetadataExt::ino(&exe)
}
