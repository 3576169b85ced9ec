//! The default profile and the presets: what they refuse, what they allow, and that they are whole.

mod sample;

use std::collections::BTreeMap;
use std::process::Command;

use ampoule_seccomp::default::{Access, DETAILS, GROUPS};
use ampoule_seccomp::{Action, Arch, CALLS_OF_EXEC, Filter, Granted, Host, Profile, syscall};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, socket};

const AFNOSUPPORT: Action = Action::Errno(97);
const EPERM: Action = Action::NOT_PERMITTED;
const ENOSYS: Action = Action::NOT_IMPLEMENTED;

fn answer(filter: &Filter, arch: Arch, name: &str, args: [u64; 2]) -> Action {
    let number = syscall::number(arch, name).unwrap_or_else(|| panic!("{arch} has no {name}"));
    let call = sample::call(arch, number, [args[0], args[1], 0, 0, 0, 0]);
    let decided = filter.decide(&call);
    assert_eq!(filter.compile().expect("a valid filter").program().run(&call).action, decided);
    decided
}

/// The machine's own entry and the one with 32 bits.
fn covered() -> Vec<Arch> {
    Filter::default_profile().archs
}

#[test]
fn every_known_call_is_in_one_group() {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for group in GROUPS {
        assert!(!group.reason.is_empty());
        for call in group.calls {
            assert!(syscall::is_known(call), "{call} in {:?}", group.name);
            groups.entry(call).or_default().push(group.name);
        }
    }
    for arch in Arch::ALL {
        for (_, call) in syscall::calls(arch) {
            assert_eq!(groups.get(call).map_or(0, Vec::len), 1, "{call}: {:?}", groups.get(call));
        }
    }
    let conditional = GROUPS.iter().filter(|group| group.access == Access::Conditional);
    for call in conditional.flat_map(|group| group.calls) {
        let detail = DETAILS.iter().find(|detail| detail.calls.contains(call));
        assert!(detail.is_some_and(|detail| !detail.reason.is_empty()), "{call}");
    }
}

#[test]
fn the_kernel_surface_of_published_attacks_is_closed() {
    let filter = Filter::default_profile();
    let closed = [
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
        "userfaultfd",
        "keyctl",
        "add_key",
        "request_key",
        "bpf",
        "perf_event_open",
        "fsopen",
        "fsconfig",
        "fsmount",
        "fspick",
        "open_tree",
        "move_mount",
        "mount_setattr",
        "mount",
        "umount2",
        "pivot_root",
        "setns",
        "init_module",
        "finit_module",
        "kexec_load",
        "open_by_handle_at",
        "quotactl",
        "reboot",
        "swapon",
        "acct",
        "settimeofday",
        "chroot",
        "syslog",
    ];
    for arch in covered() {
        for name in closed {
            assert_eq!(answer(&filter, arch, name, [0; 2]), EPERM, "{arch} {name}");
        }
        assert_eq!(answer(&filter, arch, "clone3", [0; 2]), ENOSYS);
    }
}

#[test]
fn new_namespaces_are_closed_whatever_else_is_asked_for() {
    let filter = Filter::default_profile();
    for arch in covered() {
        for bit in [
            0x2_0000,
            0x200_0000,
            0x400_0000,
            0x800_0000,
            0x1000_0000,
            0x2000_0000,
            0x4000_0000_u64,
        ] {
            for other in [0, 17, 0x100, 0x3d_0f00] {
                assert_eq!(
                    answer(&filter, arch, "clone", [bit | other, 0]),
                    EPERM,
                    "{bit:x} {other:x}"
                );
                assert_eq!(
                    answer(&filter, arch, "unshare", [bit | other, 0]),
                    EPERM,
                    "{bit:x} {other:x}"
                );
            }
        }
        assert_eq!(answer(&filter, arch, "unshare", [0x80, 0]), EPERM, "CLONE_NEWTIME");
        assert_eq!(answer(&filter, arch, "clone", [0x3d_0f00, 0]), Action::Allow, "a thread");
        assert_eq!(answer(&filter, arch, "clone", [17, 0]), Action::Allow, "a process");
        assert_eq!(answer(&filter, arch, "unshare", [0x400, 0]), Action::Allow, "CLONE_FILES");
    }
}

#[test]
fn families_of_sockets_are_few_and_upper_halves_hide_none() {
    let filter = Filter::default_profile();
    for arch in covered() {
        for high in [0, 0xffff_ffff_0000_0000] {
            let family = |family: u64| answer(&filter, arch, "socket", [family | high, 1]);
            for open in [1, 2, 10, 16] {
                assert_eq!(family(open), Action::Allow, "{open}");
            }
            // AF_ALG, AF_VSOCK, AF_PACKET, AF_CAN, AF_TIPC, and one that does not exist.
            for closed in [38, 40, 17, 29, 30, 0xffff_ffff] {
                assert_eq!(family(closed), AFNOSUPPORT, "{closed}");
            }
        }
    }
    if covered().contains(&Arch::X86) {
        for call in 0..=20 {
            assert_eq!(answer(&filter, Arch::X86, "socketcall", [call, 0]), ENOSYS);
        }
    }
    let raw = Filter::default_for(Granted::NONE.with("CAP_NET_RAW"));
    assert_eq!(answer(&raw, Arch::native(), "socket", [17, 3]), Action::Allow);
}

#[test]
fn nothing_types_into_a_terminal() {
    let filter = Filter::default_profile();
    for arch in covered() {
        for high in [0, 1 << 32, 0xffff_ffff_0000_0000_u64] {
            for request in [0x5412, 0x541c] {
                assert_eq!(
                    answer(&filter, arch, "ioctl", [0, request | high]),
                    EPERM,
                    "{request:x}"
                );
            }
            assert_eq!(answer(&filter, arch, "ioctl", [0, 0x5401 | high]), Action::Allow);
        }
        for (persona, action) in
            [(0, Action::Allow), (0xffff_ffff, Action::Allow), (0x4_0000, EPERM)]
        {
            assert_eq!(answer(&filter, arch, "personality", [persona, 0]), action);
        }
    }
}

#[test]
fn x32_does_not_exist() {
    let filter = Filter::default_profile().compile().unwrap();
    for (number, name) in syscall::calls(Arch::X32) {
        let run = filter.program().run(&sample::call(Arch::X32, number, [0; 6]));
        assert_eq!(run.action, ENOSYS, "{name}");
    }
}

#[test]
fn capabilities_open_their_groups_and_no_other() {
    let closed = Filter::default_profile();
    for group in GROUPS {
        let Access::Granted(capabilities, action) = group.access else { continue };
        for capability in capabilities {
            let open = Filter::default_for(Granted::NONE.with(capability));
            for call in group.calls {
                let Some(arch) =
                    covered().into_iter().find(|arch| syscall::number(*arch, call).is_some())
                else {
                    continue;
                };
                assert_eq!(answer(&open, arch, call, [0; 2]), Action::Allow, "{call} {capability}");
                assert_eq!(answer(&closed, arch, call, [0; 2]), action, "{call}");
            }
            assert_eq!(answer(&open, Arch::native(), "io_uring_setup", [0; 2]), EPERM);
        }
    }
    let admin = Filter::default_for(Granted::from_bits(u64::MAX));
    assert_eq!(answer(&admin, Arch::native(), "clone", [0x7e02_0000, 0]), Action::Allow);
    assert_eq!(answer(&admin, Arch::native(), "unshare", [0x7e02_0000, 0]), Action::Allow);
    assert_eq!(answer(&admin, Arch::native(), "ioctl", [0, 0x5412]), EPERM);
}

#[test]
fn presets_are_narrower() {
    let native = |filter: &Filter, name, first| answer(filter, Arch::native(), name, [first, 0]);
    let compute = Filter::compute();
    for name in ["execve", "execveat", "connect", "bind", "listen", "accept4", "ptrace"] {
        assert_eq!(native(&compute, name, 2), EPERM, "{name}");
    }
    assert_eq!(native(&compute, "socket", 2), EPERM);
    assert_eq!(native(&compute, "socketpair", 1), Action::Allow);
    assert_eq!(native(&compute, "mmap", 0), Action::Allow);
    let names: Vec<_> = compute
        .validate_for_exec()
        .unwrap_err()
        .problems()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(names, ["execve is needed to execute the program, and the answer is EPERM"]);
    let client = Filter::network_client();
    assert_eq!(native(&client, "listen", 2), EPERM);
    assert_eq!(native(&client, "connect", 2), Action::Allow);
    assert_eq!(native(&client, "socket", 2), Action::Allow);
    let build = Filter::build();
    assert_eq!(native(&build, "socket", 2), AFNOSUPPORT);
    assert_eq!(native(&build, "socket", 1), Action::Allow);
    for filter in [client, build, Filter::default_profile()] {
        filter.validate_for_exec().unwrap();
        for name in CALLS_OF_EXEC {
            assert_eq!(native(&filter, name, 0), Action::Allow, "{name}");
        }
    }
}

#[test]
fn the_default_profile_can_be_written_for_other_engines() {
    let filter = Filter::default_profile().foreign(Action::KillProcess);
    let text = filter.to_oci_json().unwrap();
    let read = Profile::from_json(text.as_bytes()).unwrap().resolve(&Host::this()).unwrap();
    assert_eq!(read.filter, filter);
}

/// In a thread of its own; its children have the filter, too.
#[test]
fn real_programs_run_and_attacks_fail() {
    let filter = Filter::default_profile().compile().unwrap();
    let confined = std::thread::spawn(move || {
        filter.apply_to_this_thread().unwrap();
        // clone3 does not exist: glibc then uses clone.
        std::thread::spawn(|| ()).join().unwrap();
        let script =
            "set -e; ls / | sort | head -1 >/dev/null; (sleep 0; true) & wait; echo $((6 * 7))";
        let output = Command::new("sh").args(["-c", script]).output().unwrap();
        assert_eq!(output.stdout, b"42\n", "{output:?}");
        for flag in ["--user", "--mount", "--net"] {
            let output = Command::new("unshare").args([flag, "true"]).output().unwrap();
            assert!(!output.status.success(), "{flag}");
        }
        for family in [38, 40, 17] {
            let made = socket(AddressFamily::from_raw(family), SocketType::SEQPACKET, None);
            assert_eq!(made.err(), Some(Errno::AFNOSUPPORT), "{family}");
        }
        socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        socket(AddressFamily::INET, SocketType::DGRAM, None).unwrap();
        assert_eq!(rustix::process::chroot("/").err(), Some(Errno::PERM));
    });
    confined.join().unwrap();
}
