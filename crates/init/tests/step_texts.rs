//! Every step as a plan prints it: one line that can be read, which is what the program does.

use ampoule_init::steps::mount::{Attributes, Depth};
use ampoule_init::steps::{file, landlock, launch, mount, process, seccomp};
use ampoule_init::{Arg, Draft, Fd, Program, Step};

/// One of each.
fn every_step() -> Vec<Step> {
    let mut draft = Draft::default();
    let (a, b) = (draft.slots.take(), draft.slots.take());
    let plan = Fd::Plan(0);
    let files = [
        file::open(Fd::Cwd, c"/etc/passwd", 0, 0x12, a),
        file::verify(a.into(), file::Identity { device: file::device_number(8, 1), inode: 42 }),
        file::verify_device(a.into(), 1, 3),
        file::mkdir(plan, c"dir", 0o755),
        file::mknod(plan, c"null", 0o666, 1, 3),
        file::symlink(c"target", plan, c"link"),
        file::unlink(plan, c"link"),
        file::chmod(plan, c"file", 0o640),
        file::chown(plan, c"file", 1, 2),
        file::fchown(a.into(), 1, 2),
        file::fchmod(a.into(), 0o4755),
        file::fsetxattr(a.into(), c"user.x", b"value"),
        file::write_new(plan, c"file", 0o600, b"text\n"),
        file::write_existing(Fd::Cwd, c"/proc/self/x", &[0xff; 3]),
        file::write_label(plan, c"self/attr/exec", (1, "label"), 2),
        file::close(a),
    ];
    let starts = [
        launch::join(Fd::Launch(2), 0x4000_0000, "CLONE_NEWNET"),
        launch::unshare(0x2_0000, "CLONE_NEWNS"),
        launch::clone_first(0x2000_0000, "CLONE_NEWPID", Some(plan)),
        launch::clone_first(0, "", None),
        launch::child_file(plan, c"uid_map", b"0 1000 1\n"),
        launch::run_map_helper(c"/usr/bin/newuidmap", &[c"0".into(), c"100000".into()]),
        launch::release(),
        launch::wait_for_release(),
        launch::mark(1, "mounts"),
        launch::send_fd(3, b),
        launch::become_reaper(None),
        launch::become_reaper(Some(b.into())),
        launch::reset_signals(),
        launch::change_directory(0),
        launch::close_others(),
        seccomp::load_filter(&[0x7fff_0000_0000_0006], 2, "LOG"),
        launch::exec(),
    ];
    let [kept, rest] = launch::close_images_but(Fd::Launch(1));
    let joining = [launch::relay(plan), launch::close_images(), kept, rest, launch::close_kept()];
    let handled = landlock::Handled { access_fs: 0xffff, access_net: 3, scoped: 2 };
    let rights = landlock::Rights { of_directory: 0xc, of_file: 4 };
    let restrictions = [
        landlock::create(handled, a),
        landlock::allow_path(a.into(), b.into(), rights),
        landlock::allow_port(a.into(), 443, 2),
        landlock::restrict_self(plan),
    ];
    let mut steps = [&files[..], &starts, &joining, &restrictions].concat();
    steps.extend(mounts(a, b));
    steps.extend(processes(b));
    steps
}

fn mounts(a: ampoule_init::Slot, b: ampoule_init::Slot) -> Vec<Step> {
    let read_only = Attributes { set: 1, clear: 4, propagation: libc::MS_SLAVE };
    vec![
        mount::fsopen(c"tmpfs", a),
        mount::option(a, c"size", c"65536"),
        mount::option_parameter(a, c"upperdir", 1, "upper"),
        mount::flag(a, c"userxattr"),
        mount::option_fd(a, c"lowerdir+", Fd::Plan(1)),
        mount::create(a),
        mount::fsmount(a, 6, b),
        mount::open_tree(Fd::Plan(0), c"", Depth::Recursive, b),
        mount::attach(b.into(), a.into()),
        mount::attach_at(b.into(), c"/mnt"),
        mount::set_attributes(b.into(), c"", Depth::Recursive, read_only),
        mount::set_attributes(b.into(), c"/mnt", Depth::One, Attributes::default()),
        mount::id_map(
            b.into(),
            Depth::Recursive,
            Attributes { set: 1, ..Attributes::default() },
            Fd::Plan(3),
        ),
        mount::attach_below(b.into(), a.into(), c"null"),
        mount::target(b.into(), c"proc", libc::S_IFDIR, a),
        mount::pivot_root(),
        mount::detach_old_root(),
    ]
}

fn processes(slot: ampoule_init::Slot) -> Vec<Step> {
    vec![
        process::fchdir(slot.into()),
        process::chroot_here(),
        process::sethostname(b"box"),
        process::setdomainname(b"example"),
        process::setgid(1),
        process::setuid(2),
        process::setgroups(&[3, 4]),
        process::umask(0o27),
        process::restore_umask(slot),
        process::setrlimit(7, "RLIMIT_NOFILE", 10, u64::MAX),
        process::no_new_privs(),
        process::undumpable(),
        process::keep_capabilities(),
        process::drop_bounding(21, "CAP_SYS_ADMIN"),
        process::clear_ambient(),
        process::raise_ambient(10, "CAP_NET_BIND_SERVICE"),
        process::capset(1, 3, 0, "e=CAP_CHOWN"),
        process::sched_setattr([0; 48], "SCHED_OTHER nice 5"),
        process::sched_setaffinity(&[3], "0-1"),
        process::setpriority(-5),
        process::ioprio_set(0x4000, "best-effort:0"),
        process::personality(0x40000, "ADDR_NO_RANDOMIZE"),
        process::setsid(),
        process::new_session_keyring(),
        process::dup(Fd::Saved(slot), 9),
        process::ioctl(slot.into(), 0x540e, "TIOCSCTTY", Arg::Number(0)),
        process::interface_up(c"lo", slot),
    ]
}

#[test]
fn every_step_prints_one_readable_line() {
    let said: String = every_step().iter().map(|step| format!("{step}\n")).collect();
    let expected = include_str!("step_texts.txt");
    assert!(said == expected, "the printed steps differ from tests/step_texts.txt:\n{said}");
}

#[test]
fn a_program_prints_number_place_and_step() {
    let mut draft = Draft::default();
    draft.launcher(launch::clone_first(0x2000_0000, "CLONE_NEWPID", None));
    draft.launcher(launch::release());
    draft.first_all([launch::wait_for_release(), process::no_new_privs(), launch::exec()]);
    let program = Program::seal(draft).expect("a small program");
    let expected = "  0 launcher clone3(CLONE_NEWPID, no group)\n  1 launcher release()\n\
        \x20 2 first    wait_for_release()\n  3 first    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)\n\
        \x20 4 first    execve({program}, {args}, {env})\n";
    assert_eq!(program.to_string(), expected);
    assert_eq!(program.operations(), 5);
}
