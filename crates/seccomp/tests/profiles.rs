//! Profiles of OCI, Docker and Podman.

mod sample;

use ampoule_seccomp::{
    Action, Arch, ErrorKind, Filter, Granted, Host, Ignored, Kernel, Problem, Profile, Rule, arg,
    syscall,
};
use proptest::prelude::*;

/// In the form of the profile files of engines.
const ENGINE: &str = r#"{
    "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "defaultErrno": "ENOSYS",
    "archMap": [
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
        {"architecture": "SCMP_ARCH_S390X", "subArchitectures": null}
    ],
    "syscalls": [
        {"names": ["read", "s390_sthyi", "brand_new"], "action": "SCMP_ACT_ALLOW", "args": null, "comment": "c"},
        {"name": "write", "action": "SCMP_ACT_ALLOW", "includes": {}, "excludes": {}},
        {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390x"]},
            "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
        {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
        {"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64", "x32"]}},
        {"names": ["set_tls"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm", "arm64"]}},
        {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [
            {"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]}
    ]
}"#;

fn host() -> Host {
    Host::this().arch(Arch::X86_64).kernel(Kernel { major: 6, minor: 1 })
}

fn engine(host: &Host) -> ampoule_seccomp::Resolved {
    Profile::from_json(ENGINE.as_bytes()).expect("a profile").resolve(host).expect("a filter")
}

fn answer(filter: &Filter, arch: Arch, name: &str, first: u64) -> Action {
    let number = syscall::number(arch, name).expect("a known call");
    filter.decide(&sample::call(arch, number, [first, 0, 0, 0, 0, 0]))
}

#[test]
fn a_profile_is_resolved_for_a_machine_and_capabilities() {
    let plain = engine(&host()).filter;
    let with = engine(&host().granted(Granted::NONE.with("CAP_SYS_ADMIN"))).filter;
    assert_eq!(plain.archs, [Arch::X86_64, Arch::X32, Arch::X86]);
    let x86_64 = |filter: &Filter, name, first| answer(filter, Arch::X86_64, name, first);
    assert_eq!(x86_64(&plain, "mount", 0), Action::NOT_PERMITTED);
    assert_eq!(x86_64(&with, "mount", 0), Action::Allow);
    assert_eq!(x86_64(&plain, "clone", 0x11), Action::Allow);
    assert_eq!(x86_64(&plain, "clone", 0x1000_0000), Action::NOT_IMPLEMENTED);
    assert_eq!(x86_64(&with, "clone", 0), Action::NOT_IMPLEMENTED);
    assert_eq!(x86_64(&plain, "write", 0), Action::Allow);
    assert_eq!(x86_64(&plain, "arch_prctl", 0), Action::Allow);
    assert_eq!(x86_64(&plain, "ptrace", 0), Action::Allow);
    assert_eq!(answer(&plain, Arch::X86, "read", 0), Action::Allow);
    let old = engine(&host().kernel(Kernel { major: 4, minor: 7 })).filter;
    assert_eq!(x86_64(&old, "ptrace", 0), Action::NOT_IMPLEMENTED);
    let arm = engine(&host().arch(Arch::Aarch64)).filter;
    assert_eq!(arm.archs, [Arch::Aarch64, Arch::Arm]);
    assert_eq!(answer(&arm, Arch::Arm, "set_tls", 0), Action::Allow);
    assert_eq!(answer(&plain, Arch::X86_64, "ioctl", 0), Action::NOT_IMPLEMENTED);
}

#[test]
fn two_conditions_on_one_argument_are_alternatives() {
    let filter = engine(&host()).filter;
    for (value, action) in [(0, Action::Allow), (8, Action::Allow), (9, Action::NOT_IMPLEMENTED)] {
        assert_eq!(answer(&filter, Arch::X86_64, "personality", value), action);
    }
}

#[test]
fn what_has_no_effect_is_told() {
    let resolved = engine(&host());
    let expected = [
        Ignored::UnknownCall { entry: 0, name: "brand_new".into() },
        Ignored::ForeignCall { entry: 0, name: "s390_sthyi".into() },
    ];
    assert_eq!(resolved.ignored, expected);
    assert_eq!(expected[0].to_string(), "entry 0: no system call is called \"brand_new\"");
    let text = br#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_ARM", "SCMP_ARCH_MIPS"],
        "listenerPath": "/run/l", "listenerMetadata": "m", "flags": ["SECCOMP_FILTER_FLAG_LOG"]}"#;
    let resolved = Profile::from_json(text).unwrap().resolve(&host()).unwrap();
    let names: Vec<_> = resolved.ignored.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["SCMP_ARCH_ARM is another machine", "SCMP_ARCH_MIPS is another machine"]);
    assert_eq!(resolved.listener_path.as_deref(), Some("/run/l"));
    assert_eq!(resolved.filter.flags, ampoule_seccomp::Flags::LOG);
}

#[test]
fn an_entry_without_effect_is_told_and_left_out() {
    let text = br#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["s390_sthyi"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["setns", "read"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["setns", "reboot"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22},
        {"names": ["setns"], "action": "SCMP_ACT_TRAP"}]}"#;
    let resolved = Profile::from_json(text).unwrap().resolve(&host()).unwrap();
    let said: Vec<_> = resolved.ignored.iter().map(ToString::to_string).collect();
    let expected = [
        "entry 0: s390_sthyi is a system call of other machines",
        "entry 2: EINVAL for setns has no effect: entry 1 says allow",
        "entry 3: trap for setns has no effect: entry 1 says allow",
    ];
    assert_eq!(said, expected);
    assert_eq!(answer(&resolved.filter, Arch::X86_64, "setns", 0), Action::Allow);
    assert_eq!(answer(&resolved.filter, Arch::X86_64, "reboot", 0), Action::Errno(22));
}

#[test]
fn every_unknown_name_is_told_at_once() {
    let text =
        br#"{"defaultAction": "SCMP_ACT_NO", "architectures": ["SCMP_ARCH_Z80"], "flags": ["F"],
        "archMap": [{"architecture": "A", "subArchitectures": ["B"]}],
        "syscalls": [{"names": [], "action": "ACT", "errnoRet": 70000,
            "args": [{"index": 7, "value": 1, "op": "OP"}],
            "includes": {"caps": ["CAP_X"], "arches": ["z80"], "minKernel": "four"}}]}"#;
    let error = Profile::from_json(text).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidFilter);
    let said: Vec<_> = error.problems().iter().map(ToString::to_string).collect();
    let expected = [
        "action \"SCMP_ACT_NO\" is not known",
        "architecture \"SCMP_ARCH_Z80\" is not known",
        "architecture \"B\" is not known",
        "architecture \"A\" is not known",
        "flag \"F\" is not known",
        "rule 0: action \"ACT\" is not known",
        "error number 70000 is above 4095",
        "rule 0 names no system call",
        "rule 0: there is no argument 7",
        "rule 0: operator \"OP\" is not known",
        "rule 0: capability \"CAP_X\" is not known",
        "architecture \"z80\" is not known",
        "rule 0: \"four\" is not a kernel's version",
    ];
    assert_eq!(said, expected);
}

#[test]
fn what_is_no_profile_is_malformed() {
    let deep = format!("{{\"defaultAction\": {}", "[".repeat(100_000));
    let long = " ".repeat((4 << 20) + 1);
    let texts = [
        "",
        "{}",
        "[]",
        "{\"defaultAction\": 1}",
        &deep,
        &long,
        r#"{"defaultAction": "a", "defaultAction": "b"}"#,
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "action": "b", "errnoRet": -1}]}"#,
    ];
    for text in texts {
        let error = Profile::from_json(text.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
        assert!(error.to_string().starts_with("seccomp profile: "), "{error}");
    }
}

#[test]
fn what_the_format_cannot_say_is_an_error() {
    let filter = Filter::new(Action::NOT_PERMITTED)
        .archs([Arch::X86_64, Arch::X86])
        .foreign(Action::Trap)
        .newer(Action::Trap)
        .rule(Rule::new(Action::Allow, ["read"]).on(Arch::X86))
        .rule(Rule::new(Action::Allow, ["write"]).when(arg(0).gt(1)).when(arg(0).lt(5)));
    let error = filter.to_oci_json().unwrap_err();
    let every =
        error.problems().iter().all(|problem| matches!(problem, Problem::Inexpressible { .. }));
    assert!(every && error.problems().len() == 4, "{error}");
}

#[test]
fn kernels_are_read_as_uname_writes_them() {
    let read = |text: &str| text.parse::<Kernel>().ok().map(|kernel| (kernel.major, kernel.minor));
    assert_eq!(read("5.14.0-70.el9_0.x86_64"), Some((5, 14)));
    assert_eq!(read("6.18-rc1"), Some((6, 18)));
    assert_eq!(read("4.8"), Some((4, 8)));
    for text in ["", "5", "5.", ".5", "5.x", "-5.1", "5.+1", "99999999999.1"] {
        assert_eq!(read(text), None, "{text}");
    }
    assert!(Granted::from_bits(1 << 21).has("sys_admin"));
    assert!(!Granted::NONE.with("CAP_WHAT").has("CAP_SYS_ADMIN"));
    assert!(!Granted::from_bits(u64::MAX).has("é"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_written_filter_reads_back(filter in sample::filter()) {
        let filter = filter.foreign(Action::KillProcess);
        let Ok(text) = filter.to_oci_json() else { return Ok(()) };
        let host = Host::this().arch(filter.archs[0]);
        let resolved = Profile::from_json(text.as_bytes()).unwrap().resolve(&host).unwrap();
        prop_assert!(resolved.ignored.is_empty());
        let mut archs = filter.archs.clone();
        archs.sort_unstable();
        prop_assert_eq!(resolved.filter, filter.archs(archs));
    }
}
