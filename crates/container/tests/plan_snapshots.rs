//! Plans as text, compared with what they were; the same builder gives the same steps.
//!
//! Kernel objects: descriptors that a plan opens. Invariant: nothing is started, so that no privilege is needed; what
//! differs from machine to machine is masked.
//!
//! `AMPOULE_UPDATE=1` writes the files of `tests/snapshots` anew. A host that is root and one that is not have their own.

mod oracle;

use std::fs;
use std::path::Path;

use ampoule::{
    Builder, Bytes, Capability, Container, IdMap, IdMapping, Namespace, OwnGroup, Pid1, Root,
    Setting, TimeOffset, TimeOffsets, User, WindowSize,
};
use oracle::fixture::{self, Rootfs};
use oracle::unchanged;

/// Hides paths of fixtures, numbers of five digits and more, and every number of a map or an identity: inodes, devices,
/// host ids.
fn masked(plan: &str, root: Option<&Rootfs>) -> String {
    let text = root.map_or_else(
        || plan.to_owned(),
        |root| plan.replace(&root.path().display().to_string(), "{rootfs}"),
    );
    let line = |line: &str| {
        let least = if line.contains("write_map(") || line.contains("verify(") { 1 } else { 5 };
        let (number, call) = line.split_at_checked(3).unwrap_or((line, ""));
        format!("{number}{}\n", without_numbers(call, least))
    };
    text.lines().map(line).collect()
}

/// Puts `#` in the place of numbers of at least so many digits.
fn without_numbers(text: &str, least: usize) -> String {
    let mut out = String::new();
    let mut digits = String::new();
    for letter in text.chars().map(Some).chain([None]) {
        match letter.filter(char::is_ascii_digit) {
            Some(digit) => digits.push(digit),
            None => {
                out.push_str(if digits.len() >= least { "#" } else { &digits });
                digits.clear();
                out.extend(letter);
            }
        }
    }
    out
}

#[track_caller]
fn compare(name: &str, builder: Builder, root: Option<&Rootfs>) {
    // Whether a group can be made differs from machine to machine.
    let builder = builder.own_group(OwnGroup::WithLimits);
    let plan = builder.command("/bin/true").tty(WindowSize::default()).plan().expect("a plan");
    let seen = masked(&plan.to_string(), root);
    let who = if rustix::process::geteuid().is_root() { "root" } else { "user" };
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/snapshots/{name}.{who}.txt"));
    if std::env::var_os("AMPOULE_UPDATE").is_some() {
        fs::write(&file, &seen).expect("a snapshot");
    }
    let known = fs::read_to_string(&file).unwrap_or_default();
    let pairs = known.lines().zip(seen.lines());
    let first = pairs.clone().position(|(known, seen)| known != seen).unwrap_or(pairs.count());
    let line = |text: &str| text.lines().nth(first).unwrap_or("(end)").to_owned();
    assert!(
        known == seen,
        "{}, line {}:\nknown {}\nseen  {}\nIf this is wanted: AMPOULE_UPDATE=1",
        file.display(),
        first + 1,
        line(&known),
        line(&seen)
    );
}

#[test]
fn root_file_system() {
    unchanged(|| {
        let root = fixture::rootfs();
        // Which of the default paths there are depends on the kernel.
        let builder = Container::from_rootfs(root.path()).masked_paths(["/proc/keys"]);
        compare("rootfs", builder.read_only_paths(["/proc/sys"]), Some(&root));
    });
}

#[test]
fn read_only_root_with_files_and_mounts() {
    unchanged(|| {
        let root = fixture::rootfs();
        let builder = Container::from_rootfs(root.path())
            .root(Root::ReadOnly)
            .tmpfs("/scratch", Bytes::mib(16))
            .bind_to(root.at("etc/hostname"), "/mnt/hostname")
            .bind_rw_to(root.at("home"), "/data")
            .file("/etc/motd", "hello\n")
            .link("/etc/link", "motd")
            .masked_paths(["/proc/keys", "/etc/group"])
            .read_only_paths(["/proc/sys"]);
        compare("files", builder, Some(&root));
    });
}

#[test]
fn bare_with_attributes() {
    unchanged(|| {
        let namespaces =
            [Namespace::User, Namespace::Uts, Namespace::Net, Namespace::Ipc, Namespace::Pid];
        let new = |builder: Builder, kind| builder.namespace(kind, Setting::New);
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let builder = namespaces.into_iter().fold(Container::bare(), new);
        let builder = builder
            .id_mapping(IdMapping::Explicit(IdMap::single(0, 0, uid, gid)))
            .user(User::ids(0, 0))
            .hostname("snapshot")
            .domainname("example")
            .sysctl("net.core.somaxconn", "42")
            .time_offsets(TimeOffsets {
                boottime: TimeOffset::seconds(60),
                ..TimeOffsets::default()
            })
            .rlimit("nofile=64:128".parse().expect("a limit"))
            .oom_score_adj(500)
            .umask(0o077)
            .cap_add(Capability::NetAdmin)
            .cap_drop(Capability::Chown);
        let plan = builder.command("/bin/true").plan().expect("a plan");
        let text = plan.to_string();
        assert!(text.contains("sethostname(\"snapshot\""), "{text}");
        let order = [
            "clone3(",
            "release(",
            "timens_offsets",
            "sethostname(",
            "become_reaper(",
            "RLIMIT_NOFILE",
            "PR_SET_KEEPCAPS",
            "close_range(",
            "chdir(",
            "execve(",
        ];
        let mut rest = text.as_str();
        for word in order {
            let at = rest.find(word).unwrap_or_else(|| panic!("no {word} in its place:\n{text}"));
            rest = &rest[at..];
        }
    });
}

#[test]
fn the_same_builder_gives_the_same_plan() {
    unchanged(|| {
        let root = fixture::rootfs();
        let text = || {
            let plan =
                Container::from_rootfs(root.path()).pid1(Pid1::Payload).command("true").plan();
            masked(&plan.expect("a plan").to_string(), Some(&root))
        };
        assert_eq!(text(), text());
    });
}

#[test]
fn every_operation_has_its_place() {
    unchanged(|| {
        let plan = Container::host_view().command("true").plan().expect("a plan");
        let lines = plan.to_string().lines().count();
        assert!(plan.operations() >= lines, "{} operations in {lines} steps", plan.operations());
        let report = plan.report().to_string();
        assert_eq!(report.lines().count(), plan.report().iter().count(), "{report}");
    });
}
