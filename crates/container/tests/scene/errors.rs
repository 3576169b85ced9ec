//! Bad input: each a typed error that names the setting, before anything runs, with nothing left.
//!
//! Kernel objects: whole launches that fail. Invariant: a payload that would leave a mark never does.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use ampoule::{Builder, Bytes, Command, Container, ErrorKind, Mount, Root, Stage, WindowSize};
use ampoule_init::wire::fault;

use super::{is_error, refused, rooted, shell};
use crate::oracle::fixture;

fn view() -> Builder {
    Container::host_view()
}

/// Plan and spawn must both refuse these settings.
#[track_caller]
fn invalid(command: Command, words: &[&str]) {
    is_error(&refused(command.plan()), ErrorKind::InvalidSettings, Stage::Plan, words);
    is_error(&refused(command.spawn()), ErrorKind::InvalidSettings, Stage::Plan, words);
}

pub(crate) fn nul_bytes() {
    let nul = "a\0b";
    invalid(view().command(nul), &["command", "NUL"]);
    invalid(view().command("true").arg(nul), &["args", "NUL"]);
    invalid(view().command("true").env(nul, "x"), &["env", "NUL"]);
    invalid(view().command("true").env("x", nul), &["env", "NUL"]);
    invalid(view().command("true").current_dir(nul), &["current_dir", "NUL"]);
    invalid(view().hostname(nul).command("true"), &["hostname"]);
    invalid(view().sysctl("net.core.somaxconn", nul).command("true"), &["sysctl"]);
    for builder in [
        view().bind_to("/usr", nul),
        view().bind_to("/u\0sr", "/x"),
        view().file("/a\0", ""),
        view().link("/l", nul),
        view().tmpfs("/\0", Bytes::mib(1)),
        view().masked_paths(["/\0"]),
        view().read_only_paths(["/\0"]),
        Container::from_rootfs("/\0"),
    ] {
        let error = refused(builder.command("true").plan());
        assert_eq!(error.stage(), Stage::Plan);
        assert!(
            matches!(error.kind(), ErrorKind::FileSystem | ErrorKind::InvalidSettings),
            "{error}"
        );
    }
    let plan = view().command("true").plan().expect("a plan");
    let error = refused(plan.launch().args([nul]).spawn());
    is_error(&error, ErrorKind::InvalidSettings, Stage::Plan, &["args", "NUL"]);
    refused(plan.launch().program(nul).spawn());
    refused(plan.launch().env("A", nul).spawn());
    refused(plan.launch().current_dir(nul).spawn());
}

pub(crate) fn every_problem_is_listed() {
    let builder = view().hostname("h".repeat(65)).domainname("").umask(0o7777).stop_signal(0);
    let command =
        builder.oom_score_adj(5000).sysctl("x", "y").command("true").fd(1, fd()).fd(2000, fd());
    let error = refused(command.fd(2000, fd()).plan());
    let mut settings: Vec<_> = error.problems().iter().map(ampoule::Problem::setting).collect();
    settings.sort_unstable();
    let wanted = [
        "domainname",
        "fd",
        "fd",
        "fd",
        "hostname",
        "oom_score_adj",
        "stop_signal",
        "sysctl",
        "umask",
    ];
    assert_eq!(settings, wanted, "{error}");
    let io = std::io::Error::from(error);
    assert_eq!(io.kind(), std::io::ErrorKind::InvalidInput);
}

fn fd() -> std::os::fd::OwnedFd {
    std::fs::File::open("/dev/null").expect("null").into()
}

pub(crate) fn programs_that_cannot_be_executed() {
    let elf = |machine: u8| {
        let mut bytes = vec![0; 4096];
        bytes[..20].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\0\0");
        bytes[18] = machine;
        bytes
    };
    let root = fixture::rootfs()
        .with_file("bin/plain", "#!/bin/sh\n", 0o644)
        .with_file("bin/garbage", "garbage", 0o755)
        .with_file("bin/foreign", elf(243), 0o755)
        .with_file("bin/lost", "#!/not/there\n", 0o755)
        .with_file("bin/empty", "", 0o755)
        .with_symlink("bin/dangling", "/not/there")
        .with_fifo("bin/fifo", 0o755);
    for (program, kind) in [
        ("/bin/nothing", ErrorKind::ProgramNotFound),
        ("nothing", ErrorKind::ProgramNotFound),
        ("bin/../../../x", ErrorKind::ProgramNotFound),
        ("/bin/dangling", ErrorKind::ProgramNotFound),
        ("/bin/true/x", ErrorKind::ProgramNotFound),
        ("/bin", ErrorKind::ProgramIsDirectory),
        ("/", ErrorKind::ProgramIsDirectory),
        (".", ErrorKind::ProgramIsDirectory),
        ("/bin/plain", ErrorKind::ProgramNotExecutable),
        ("plain", ErrorKind::ProgramNotExecutable),
        ("/bin/fifo", ErrorKind::ProgramNotExecutable),
        ("/dev/null", ErrorKind::ProgramNotExecutable),
        ("/bin/garbage", ErrorKind::ProgramFormat),
        ("/bin/foreign", ErrorKind::ProgramFormat),
        ("/bin/empty", ErrorKind::ProgramFormat),
        ("/bin/lost", ErrorKind::InterpreterNotFound),
    ] {
        let error = refused(rooted(&root).command(program).spawn());
        assert_eq!((error.kind(), error.stage()), (kind, Stage::Exec), "{program}: {error}");
        assert!(error.errno().is_some(), "{program}: {error}");
        // The text must say which program.
        assert!(error.to_string().contains(program), "{program}: {error}");
    }
    invalid(rooted(&root).command(""), &["command", "empty"]);
}

pub(crate) fn arguments_that_are_too_long() {
    let error = refused(view().command("true").arg("x".repeat(200_000)).spawn());
    is_error(&error, ErrorKind::ArgumentsTooLong, Stage::Exec, &[]);
    let error = refused(view().command("true").args(vec!["y".repeat(100_000); 100]).spawn());
    is_error(&error, ErrorKind::ArgumentsTooLong, Stage::Exec, &[]);
    let most = view().command("true").arg("x".repeat(131_000)).output().expect("a run");
    assert!(most.status.success());
}

pub(crate) fn working_directories() {
    let root = fixture::rootfs().with_dir("closed", 0).with_symlink("out", "/not/there");
    for directory in ["/not/there", "/etc/passwd", "/out", "not/there"] {
        let error = refused(rooted(&root).command("true").current_dir(directory).spawn());
        is_error(&error, ErrorKind::WorkingDirectory, Stage::Process, &[directory]);
        assert!(error.errno().is_some());
    }
    let output = rooted(&root).command("pwd").current_dir("etc/../tmp").output().expect("a run");
    assert_eq!(output.stdout, b"/tmp\n");
}

pub(crate) fn roots_that_cannot_be() {
    let root = fixture::rootfs();
    for (path, word) in [
        (std::path::PathBuf::from("relative/root"), "relative"),
        ("/not/there/at/all".into(), "not/there"),
        (root.at("etc/passwd"), "passwd"),
        ("".into(), "root"),
        ("/x".repeat(32_768).into(), "/x"),
    ] {
        let error = refused(Container::from_rootfs(path).command("true").plan());
        is_error(&error, ErrorKind::FileSystem, Stage::Plan, &[word]);
    }
    let builder = Container::host_view().root(Root::InPlace);
    is_error(
        &refused(builder.command("true").plan()),
        ErrorKind::FileSystem,
        Stage::Plan,
        &["root"],
    );
}

pub(crate) fn mounts_that_cannot_be() {
    let long = "/a".repeat(32_768);
    for (mount, word) in [
        (Mount::bind("/not/there", "/x"), "/not/there"),
        (Mount::bind("usr", "/x"), "usr"),
        (Mount::bind("/usr", "x"), "\"x\""),
        (Mount::bind("/usr", "/a/../../x"), ".."),
        (Mount::bind("/usr", ".."), ".."),
        (Mount::tmpfs("/", 1 << 20), "root itself"),
        (Mount::tmpfs(long.as_str(), 1 << 20), "too long"),
        (Mount::bind(long.as_str(), "/x"), "too long"),
        (Mount::overlay(vec!["/usr".into()], "/x"), "few layers"),
    ] {
        let error = refused(view().mount(mount).command("true").plan());
        is_error(&error, ErrorKind::FileSystem, Stage::Plan, &[word]);
    }
}

/// A file of the host has another inode after every update; a plan that outlives one says what happened.
pub(crate) fn sources_that_are_replaced_or_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    let [file, other] = ["file", "other"].map(|name| dir.path().join(name));
    std::fs::write(&file, "old").expect("a file");
    let plan = view().bind_to(&file, "/x").command("cat").arg("/x").plan().expect("a plan");
    assert_eq!(plan.launch().output().expect("a run").stdout, b"old");
    std::fs::write(&other, "new").expect("a file");
    std::fs::rename(&other, &file).expect("replaced");
    is_error(&refused(plan.launch().spawn()), ErrorKind::FileSystem, Stage::Mounts, &["replaced"]);
    std::fs::remove_file(&file).expect("removed");
    let error = refused(plan.launch().spawn());
    is_error(&error, ErrorKind::FileSystem, Stage::Mounts, &["removed"]);
}

pub(crate) fn names_that_are_too_long() {
    invalid(view().hostname("h".repeat(65)).command("true"), &["hostname", "64"]);
    invalid(view().domainname("d".repeat(65)).command("true"), &["domainname", "64"]);
    invalid(view().command("true").current_dir("/x".repeat(32_768)), &["current_dir", "65536"]);
    invalid(view().command("/x".repeat(32_768)), &["command", "65536"]);
    let long = OsString::from("v".repeat(65_536));
    let output = view().env("LONG", long).command("true").output().expect("long values are fine");
    assert!(output.status.success());
}

pub(crate) fn wrong_variables() {
    invalid(view().env("", "x").command("true"), &["env"]);
    invalid(view().env("A=B", "x").command("true"), &["env", "A=B"]);
}

pub(crate) fn detached_containers_have_no_pipes() {
    let builder = view().on_drop(ampoule::OnDrop::Detach);
    invalid(builder.command("true").stdout(ampoule::Stdio::piped()), &["on_drop", "pipes"]);
}

pub(crate) fn a_launch_that_hangs_is_ended() {
    let plan = view().command("true").plan().expect("a plan");
    let last = u32::try_from(plan.operations() - 1).expect("few");
    for operation in [0, 3, last / 2, last] {
        let started = Instant::now();
        let launch = plan.launch().inject_fault(operation, fault::HANG);
        let error = refused(launch.start_timeout(Duration::from_millis(100)).spawn());
        is_error(&error, ErrorKind::StartTimeout, Stage::Launch, &[]);
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    }
}

pub(crate) fn an_init_that_dies_is_seen() {
    let plan = view().command("true").plan().expect("a plan");
    for operation in (0..plan.operations()).step_by(3) {
        let operation = u32::try_from(operation).expect("few");
        let error = refused(plan.launch().inject_fault(operation, fault::EXIT).spawn());
        // A first process that dies before its ids are mapped makes the launcher fail first.
        let named = (error.kind(), error.stage()) == (ErrorKind::InitDied, Stage::Launch);
        assert!(named || error.stage() == Stage::Namespaces, "{operation}: {error}");
    }
}

pub(crate) fn a_missing_call_is_named() {
    let plan = shell(view(), "exit 0").tty(WindowSize::default()).plan().expect("a plan");
    let text = plan.to_string();
    for operation in 0..plan.operations() {
        let operation = u32::try_from(operation).expect("few");
        let launch = plan.launch().inject_fault(operation, 38);
        match launch.spawn() {
            Ok(mut container) => drop(container.wait().expect("a status")),
            Err(error) => {
                assert_eq!(error.errno(), Some(38), "{error}");
                let words = error.to_string();
                let step = words.split("step ").nth(1).and_then(|rest| rest.split_once(", "));
                let (_, step) = step.unwrap_or_else(|| panic!("no step in {words}"));
                let call = step.split('(').next().expect("a call");
                assert!(text.contains(call), "{words}");
            }
        }
    }
}
