//! Filters of system calls: what the kernel shows of them, what they refuse, what they are refused for.
//!
//! Kernel objects: whole containers. Invariant: what is asserted is read from the kernel's files or is the error of a
//! call that a payload made.

use ampoule::seccomp::{Action, Arch, Filter, Granted, Profile, Rule, syscall};
use ampoule::{
    Builder, Capabilities, Capability, Control, ErrorKind, Namespace, NewPrivileges, Report,
    Seccomp, Stage, State,
};

use super::{Look, is_error, refused, rooted};
use crate::oracle::fixture::{self, Gate, Rootfs, one_call};
use crate::oracle::payload::Status;

/// `CLONE_NEWUSER`.
const NEW_USER: u64 = 0x1000_0000;
const EPERM: i32 = 1;
const EAFNOSUPPORT: i32 = 97;
const ENOSYS: i32 = 38;

/// What each call does under the default profile, where that differs from no filter.
const REFUSED: &[(&str, [u64; 5], i32)] = &[
    ("unshare", [NEW_USER, 0, 0, 0, 0], EPERM),
    ("clone", [NEW_USER, 0, 0, 0, 0], EPERM),
    ("clone3", [0; 5], ENOSYS),
    ("keyctl", [0, 0xffff_fffd, 0, 0, 0], EPERM),
    ("add_key", [0; 5], EPERM),
    ("request_key", [0; 5], EPERM),
    ("io_uring_setup", [1, 0, 0, 0, 0], EPERM),
    ("io_uring_enter", [999, 0, 0, 0, 0], EPERM),
    ("perf_event_open", [0; 5], EPERM),
    ("setns", [999, 0, 0, 0, 0], EPERM),
    ("mount_setattr", [999, 0, 0, 0, 0], EPERM),
    ("personality", [0x4_0000, 0, 0, 0, 0], EPERM),
    ("kcmp", [2, 2, 99, 0, 0], EPERM),
    ("pidfd_getfd", [999, 0, 0, 0, 0], EPERM),
    ("socket", [17, 3, 0, 0, 0], EAFNOSUPPORT),
    ("lsm_set_self_attr", [0; 5], EPERM),
];

/// What is refused with and without a filter, for other reasons.
const REFUSED_ANYWAY: &[(&str, [u64; 5], i32)] = &[
    ("bpf", [0; 5], EPERM),
    ("fsopen", [0; 5], EPERM),
    ("open_tree", [0, 0, 1, 0, 0], EPERM),
    ("mount", [0; 5], EPERM),
    ("pivot_root", [0; 5], EPERM),
    ("userfaultfd", [0; 5], EPERM),
    ("socket", [38, 5, 0, 0, 0], EAFNOSUPPORT),
    ("socket", [40, 1, 0, 0, 0], EAFNOSUPPORT),
    ("open_by_handle_at", [0; 5], EPERM),
    ("init_module", [0; 5], EPERM),
    ("kexec_load", [0; 5], EPERM),
];

/// The error of one call that a payload makes.
#[track_caller]
fn call(builder: Builder, entry: Gate, number: u32, args: [u64; 5]) -> i32 {
    let builder = builder.file_with_mode("/call", one_call(entry, number, args), 0o755);
    let status = builder.command("/call").status().expect("a run");
    status.code().unwrap_or_else(|| panic!("{status}"))
}

fn number(name: &str) -> u32 {
    syscall::number(Arch::native(), name).unwrap_or_else(|| panic!("no {name}"))
}

/// A root without programs: the payload's own file is enough.
fn empty() -> Rootfs {
    fixture::empty_rootfs()
}

pub(crate) fn the_kernels_surface_is_closed() {
    let root = empty();
    let one = |builder: Builder, name, args| call(builder, Gate::Native, number(name), args);
    for (name, args, errno) in REFUSED.iter().chain(REFUSED_ANYWAY) {
        assert_eq!(one(rooted(&root), name, *args), *errno, "{name} {args:x?}");
    }
    for (name, args, errno) in REFUSED {
        let open = one(rooted(&root).seccomp(Seccomp::Unconfined), name, *args);
        assert_ne!(open, *errno, "{name} {args:x?} is refused by something else");
    }
    assert_eq!(one(rooted(&root), "getpid", [0; 5]), 0);
}

#[cfg(target_arch = "x86_64")]
pub(crate) fn other_entries_are_no_way_around() {
    let root = empty();
    let x32 = 0x4000_0000 | number("unshare");
    assert_eq!(call(rooted(&root), Gate::Native, x32, [NEW_USER, 0, 0, 0, 0]), ENOSYS);
    for (name, args, errno) in REFUSED.iter().filter(|(name, ..)| *name != "personality") {
        let Some(number) = syscall::number(Arch::X86, name) else { continue };
        assert_eq!(call(rooted(&root), Gate::ThirtyTwoBits, number, *args), *errno, "{name}");
    }
    let socketcall = syscall::number(Arch::X86, "socketcall").expect("a call of this entry");
    assert_eq!(call(rooted(&root), Gate::ThirtyTwoBits, socketcall, [1, 0, 0, 0, 0]), ENOSYS);
    let getpid = syscall::number(Arch::X86, "getpid").expect("a call of this entry");
    assert_eq!(call(rooted(&root), Gate::ThirtyTwoBits, getpid, [0; 5]), 0);
}

#[cfg(target_arch = "x86_64")]
pub(crate) fn other_entries_are_no_way_around_for_what_joins() {
    let x32 = (Gate::Native, 0x4000_0000 | number("unshare"), [NEW_USER, 0, 0, 0, 0], ENOSYS);
    let thirty_two_bits = |name: &str| syscall::number(Arch::X86, name);
    let of_32_bits = REFUSED.iter().filter(|(name, ..)| *name != "personality");
    let of_32_bits = of_32_bits.filter_map(|(name, args, errno)| {
        Some((Gate::ThirtyTwoBits, thirty_two_bits(name)?, *args, *errno))
    });
    let others = [("socketcall", [1, 0, 0, 0, 0], ENOSYS), ("getpid", [0; 5], 0)];
    let others = others.map(|(name, args, errno)| {
        (Gate::ThirtyTwoBits, thirty_two_bits(name).expect("a call of this entry"), args, errno)
    });
    let calls: Vec<_> = of_32_bits.chain(others).chain([x32]).collect();
    assert!(calls.len() > 10, "{calls:x?}");
    let root = empty();
    let with_calls = calls.iter().enumerate().fold(rooted(&root), |builder, (at, call)| {
        let program = one_call(call.0, call.1, call.2);
        builder.file_with_mode(format!("/call{at}"), program, 0o755)
    });
    let container = with_calls.idle().expect("a container");
    for (at, call) in calls.iter().enumerate() {
        let status = container.exec(format!("/call{at}")).status().expect("a run");
        assert_eq!(status.code(), Some(call.3), "{call:x?}");
    }
}

/// The kernel takes requests of ioctl(2) as 32 bits: a filter that compared 64 would be passed by (CVE-2019-10063).
pub(crate) fn terminal_input_is_refused_in_all_its_spellings() {
    let root = empty();
    for request in [0x5412, 0x541c] {
        for upper in [0, 1 << 32, 0xffff_ffff << 32] {
            let errno =
                call(rooted(&root), Gate::Native, number("ioctl"), [0, upper | request, 0, 0, 0]);
            assert_eq!(errno, EPERM, "{upper:x} {request:x}");
        }
    }
}

/// One cell of the matrix.
struct Cell {
    said: String,
    builder: Builder,
    capabilities: Capabilities,
    profile: Seccomp,
    new_privileges: NewPrivileges,
}

/// A profile that permits all but accounting.
fn profile() -> Profile {
    let json = br#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}]}"#;
    Profile::from_json(json).expect("a profile")
}

fn cells(root: &Rootfs, uids: &[u32]) -> Vec<Cell> {
    let mut cells = Vec::new();
    let profiles =
        || [Seccomp::Default, Seccomp::Unconfined, Filter::build().into(), profile().into()];
    for &uid in uids {
        let add =
            |set: Capabilities, one| if uid == 0 { set.add(one) } else { set.add_ambient(one) };
        let usual = if uid == 0 { Capabilities::default() } else { Capabilities::drop_all() };
        let sets = [Capabilities::drop_all(), usual, add(usual, Capability::SysAdmin)];
        for (capabilities, profile) in
            sets.into_iter().flat_map(|set| profiles().map(|profile| (set, profile)))
        {
            for new_privileges in [NewPrivileges::Forbidden, NewPrivileges::Allowed] {
                let builder = rooted(root)
                    .user(ampoule::User::ids(uid, uid))
                    .capabilities(capabilities)
                    .seccomp(profile.clone())
                    .new_privileges(new_privileges);
                let kind = match profile {
                    Seccomp::Default => "default",
                    Seccomp::Unconfined => "unconfined",
                    Seccomp::Filter(_) => "filter",
                    _ => "profile",
                };
                let said =
                    format!("uid {uid}, {}, {kind}, {new_privileges:?}", capabilities.bounding);
                let profile = profile.clone();
                cells.push(Cell { said, builder, capabilities, profile, new_privileges });
            }
        }
    }
    cells
}

/// Capabilities × profile × user: what the kernel shows of the payload, and of what joins, is what the report says.
#[track_caller]
fn assert_matrix(uids: &[u32], settings: impl Fn(Builder) -> Builder) {
    let root = fixture::rootfs();
    for mut cell in cells(&root, uids) {
        cell.builder = settings(cell.builder);
        let said = &cell.said;
        let plan = cell.builder.clone().command("true").plan();
        let plan = plan.unwrap_or_else(|error| panic!("{said}: {error}"));
        cell.assert_shown(plan.report(), &Look::at(cell.builder.clone()).status());
        let idle = cell.builder.clone().idle().unwrap_or_else(|error| panic!("{said}: {error}"));
        let joined = idle.exec("/bin/sh").args(["-c", Look::script()]).output();
        let joined = joined.unwrap_or_else(|error| panic!("{said}: {error}"));
        let joined = Look::parse(&super::printed(joined)).status();
        cell.assert_shown(idle.report(), &joined);
    }
}

impl Cell {
    #[track_caller]
    fn assert_shown(&self, report: &Report, status: &Status) {
        let own = std::fs::read_to_string("/proc/self/status").expect("a status");
        let own = crate::oracle::payload::status(&own).expect("a status");
        let Self { said, capabilities, profile, new_privileges, .. } = self;
        let filtered = *profile != Seccomp::Unconfined;
        assert_eq!(report.is_in_force(Control::Seccomp), filtered, "{said}\n{report}");
        let filters = own.seccomp_filters.unwrap_or(0) + u32::from(filtered);
        assert_eq!(status.seccomp_filters.unwrap_or(filters), filters, "{said}");
        assert_eq!(status.seccomp, if filters > 0 { 2 } else { 0 }, "{said}");
        let forbidden = report.is_in_force(Control::NoNewPrivileges);
        assert_eq!(forbidden, *new_privileges == NewPrivileges::Forbidden, "{said}");
        assert_eq!(status.no_new_privs, forbidden || own.no_new_privs, "{said}");
        let [bounding, permitted, inheritable, ambient] = [
            capabilities.bounding,
            capabilities.permitted,
            capabilities.inheritable,
            capabilities.ambient,
        ]
        .map(ampoule::CapabilitySet::bits);
        assert_eq!(status.bounding, bounding, "{said}");
        assert_eq!((status.permitted, status.effective), (permitted, permitted), "{said}");
        assert_eq!((status.inheritable, status.ambient), (inheritable, ambient), "{said}");
        let shown = State::InForce(capabilities.bounding.to_string());
        assert_eq!(report.state(Control::Capabilities), Some(&shown), "{said}");
    }
}

pub(crate) fn the_kernel_shows_what_the_report_says() {
    assert_matrix(&[0], |builder| builder);
}

pub(crate) fn the_kernel_shows_what_the_report_says_for_other_users() {
    assert_matrix(&[1, 1000], |builder| builder);
}

/// Without no_new_privs what joins holds a capability until its filter is loaded, here one of the host's.
pub(crate) fn the_kernel_shows_what_the_report_says_without_a_user_namespace() {
    assert_matrix(&[0, 1000], |builder| builder.share(Namespace::User));
}

/// Where somebody in the container could trace it, such a process is refused.
pub(crate) fn what_could_be_traced_with_more_privilege_is_refused() {
    let root = fixture::rootfs();
    let builder = || {
        let shared = rooted(&root).share(Namespace::User);
        shared.new_privileges(NewPrivileges::Allowed)
    };
    let words = ["without no_new_privs", "CAP_SYS_PTRACE"];
    let traces = builder().cap_add(Capability::SysPtrace).idle().expect("a container");
    let error = refused(traces.exec("true").status());
    is_error(&error, ErrorKind::Unsupported, Stage::Launch, &words);
    let idle = builder().idle().expect("a container");
    let tracer = Capabilities::default().add(Capability::SysPtrace);
    let error = refused(idle.exec("true").capabilities(tracer).status());
    is_error(&error, ErrorKind::Unsupported, Stage::Launch, &words);
    assert!(idle.exec("true").status().expect("a run").success());
    // No filter, no privilege.
    let open = builder().seccomp(Seccomp::Unconfined).cap_add(Capability::SysPtrace);
    let open = open.idle().expect("a container");
    assert!(open.exec("true").status().expect("a run").success());
}

/// What a capability is for is permitted with it, and only then.
pub(crate) fn the_default_profile_follows_the_capabilities() {
    let root = empty();
    let unshare = [0x0400_0000, 0, 0, 0, 0];
    let one = |builder| call(builder, Gate::Native, number("unshare"), unshare);
    assert_eq!(one(rooted(&root)), EPERM);
    assert_eq!(one(rooted(&root).cap_add(Capability::SysAdmin)), 0);
    let given = Filter::default_for(Granted::NONE.with("SYS_ADMIN"));
    assert_eq!(one(rooted(&root).seccomp(given)), EPERM, "the capability is missing");
}

/// A filter that refuses what init has to do is told before anything runs.
pub(crate) fn a_filter_that_locks_out_the_exec_is_refused() {
    let root = empty();
    let plan = |builder: Builder| refused(builder.command("/call").plan());
    let error = plan(rooted(&root).seccomp(Filter::compute()));
    is_error(&error, ErrorKind::InvalidSettings, Stage::Plan, &["seccomp", "execve is needed"]);
    let nothing = plan(rooted(&root).seccomp(Filter::new(Action::KillProcess)));
    assert!(nothing.problems().len() >= 5, "{nothing}");
    for call in ampoule::seccomp::CALLS_OF_EXEC {
        let asks = Filter::new(Action::Allow).rule(Rule::new(Action::Notify, [call]));
        let error = plan(rooted(&root).seccomp(asks));
        is_error(&error, ErrorKind::InvalidSettings, Stage::Plan, &[call, "notify"]);
    }
    // The last capability goes behind the load only where it has to.
    let no_capset = || Filter::new(Action::Allow).deny(["capset"]);
    rooted(&root).seccomp(no_capset()).command("/call").plan().expect("a plan");
    let late = rooted(&root).seccomp(no_capset()).new_privileges(NewPrivileges::Allowed);
    is_error(&plan(late), ErrorKind::InvalidSettings, Stage::Plan, &["capset"]);
}

/// A strict filter of one's own lets the payload run, and only what it needs.
pub(crate) fn the_least_filter_is_enough() {
    let root = empty();
    for new_privileges in [NewPrivileges::Forbidden, NewPrivileges::Allowed] {
        let needed = ampoule::seccomp::CALLS_OF_EXEC.into_iter().chain(["capset"]);
        let filter = Filter::new(Action::Errno(77)).allow(needed);
        let builder = rooted(&root).seccomp(filter).new_privileges(new_privileges);
        assert_eq!(call(builder.clone(), Gate::Native, number("getpid"), [0; 5]), 77);
        let killing = Filter::new(Action::KillProcess)
            .allow(ampoule::seccomp::CALLS_OF_EXEC.into_iter().chain(["capset", "statx"]));
        let builder = builder.seccomp(killing);
        let program = one_call(Gate::Native, number("getpid"), [0; 5]);
        let killed = builder.file_with_mode("/call", program, 0o755).command("/call").status();
        assert_eq!(killed.expect("a run").signal(), Some(31), "SIGSYS");
    }
}

/// All processes of a container have the filter but init, which is not the payload's.
pub(crate) fn init_is_not_filtered_and_children_are() {
    let root = fixture::rootfs();
    let script = "sh -c 'grep ^Seccomp: /proc/self/status'; grep ^Seccomp: /proc/1/status";
    assert_eq!(super::print(rooted(&root), script), "Seccomp:\t2\nSeccomp:\t0\n");
    let first = rooted(&root).pid1(ampoule::Pid1::Payload);
    assert_eq!(super::print(first, "grep ^Seccomp: /proc/1/status"), "Seccomp:\t2\n");
}
