//! Every problem of a filter is found, and told.

use ampoule_seccomp::bpf::Data;
use ampoule_seccomp::{
    Action, Arch, CALLS_OF_EXEC, Cache, ErrorKind, Filter, Flags, Problem, Rule, arg, syscall,
};

fn problems(filter: &Filter) -> Vec<Problem> {
    let error = filter.compile().expect_err("an invalid filter");
    assert_eq!(error.kind(), ErrorKind::InvalidFilter);
    error.problems().to_vec()
}

#[test]
fn all_problems_come_together() {
    let filter = Filter::new(Action::Errno(4096))
        .archs([Arch::X86_64, Arch::Arm])
        .flags(Flags::WAIT_KILLABLE_RECV)
        .rule(Rule::new(Action::Allow, ["raed"]).when(arg(6).eq(0)))
        .rule(Rule::new(Action::Allow, ["read"]).when(arg(0).lt(0)).when(arg(1).masked_eq(1, 2)))
        .rule(Rule::new(Action::Allow, ["write"]).on(Arch::X32))
        .rule(Rule::new::<&str>(Action::Allow, []));
    let problems = problems(&filter);
    assert!(problems.contains(&Problem::ErrnoOutOfRange { number: 4096 }));
    assert!(
        problems.contains(&Problem::MixedArchitectures { one: Arch::X86_64, other: Arch::Arm })
    );
    assert!(problems.contains(&Problem::NothingNotifies));
    assert!(problems.contains(&Problem::UnknownCall { rule: 0, name: "raed".into() }));
    assert!(problems.contains(&Problem::NoSuchArgument { rule: 0, arg: 6 }));
    assert!(problems.contains(&Problem::NeverHolds { rule: 1, condition: arg(0).lt(0) }));
    assert!(problems.contains(&Problem::NeverHolds { rule: 1, condition: arg(1).masked_eq(1, 2) }));
    assert!(problems.contains(&Problem::NotCovered { rule: 2, arch: Arch::X32 }));
    assert!(problems.contains(&Problem::NoCall { rule: 3 }));
    assert_eq!(problems.len(), 9, "{problems:?}");
}

#[test]
fn the_sentence_names_each_problem() {
    let error = Filter::new(Action::Allow).archs([]).deny(["x\u{1b}"]).compile().unwrap_err();
    let said = error.to_string();
    let expected =
        "seccomp filter: no architecture is covered; rule 0: no system call is called \"x\\u{1b}\"";
    assert_eq!(said, expected);
    assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn long_names_are_cut() {
    let error = Filter::new(Action::Allow).deny(["a".repeat(70_000)]).compile().unwrap_err();
    assert!(error.to_string().len() < 200);
}

#[test]
fn a_rule_without_effect_is_a_conflict() {
    let filter = Filter::new(Action::NOT_PERMITTED)
        .allow(["socket", "read"])
        .rule(Rule::new(Action::Trap, ["socket"]).when(arg(0).eq(16)));
    let conflict = Problem::Conflict {
        name: "socket".into(),
        rule: 1,
        action: Action::Trap,
        earlier: 0,
        other: Action::Allow,
    };
    assert_eq!(problems(&filter), [conflict]);
    // The same conditions in another order cover each other, too.
    let (a, b) = (arg(0).eq(1), arg(1).ne(2));
    let filter = Filter::new(Action::NOT_PERMITTED)
        .rule(Rule::new(Action::Allow, ["socket"]).when(a).when(b))
        .rule(Rule::new(Action::Log, ["socket"]).when(b).when(a));
    assert!(matches!(problems(&filter)[..], [Problem::Conflict { rule: 1, earlier: 0, .. }]));
}

#[test]
fn the_special_case_may_come_before_the_general_one() {
    let filter = Filter::new(Action::NOT_PERMITTED)
        .rule(Rule::new(Action::Trap, ["socket"]).when(arg(0).eq(16)))
        .allow(["socket", "read", "read"])
        .allow(["read"]);
    filter.compile().unwrap();
    // A rule for one entry does not cover another one.
    let filter = Filter::new(Action::NOT_PERMITTED)
        .archs([Arch::X86_64, Arch::X86])
        .rule(Rule::new(Action::Trap, ["socket"]).on(Arch::X86))
        .allow(["socket"]);
    filter.compile().unwrap();
}

#[test]
fn more_than_a_filter_can_hold_is_refused_at_once() {
    let mut filter = Filter::new(Action::Allow);
    filter.rules = vec![Rule::new(Action::Log, ["read"]); 5000];
    assert_eq!(problems(&filter), [Problem::TooManyRules { rules: 5000 }]);
    let mut rule = Rule::new(Action::Log, ["read"]);
    rule.conditions = vec![arg(0).eq(1); 5000];
    let filter = Filter::new(Action::Allow).rule(rule);
    assert_eq!(problems(&filter), [Problem::TooManyConditions { conditions: 5000 }]);
}

#[test]
fn a_filter_that_locks_out_the_exec_says_so() {
    let filter = Filter::new(Action::NOT_PERMITTED).allow([
        "read",
        "sendmsg",
        "exit_group",
        "prctl",
        "getppid",
    ]);
    let error = filter.compile().unwrap().check_exec().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LocksOutExec);
    let exec = Problem::LocksOut { name: "execve", action: Action::NOT_PERMITTED };
    assert_eq!(error.problems(), [exec]);
    assert!(ampoule_seccomp::prepared::load(&filter.compile().unwrap()).is_err());
    let open = filter.clone().rule(Rule::new(Action::Allow, ["execve"]).when(arg(2).ne(0)));
    open.validate_for_exec().unwrap();
    let traced = filter.rule(Rule::new(Action::Trace(1), ["execve"]));
    assert!(traced.validate_for_exec().is_err());
    let other = if Arch::native() == Arch::X86_64 { Arch::X86 } else { Arch::Arm };
    let none = Filter::new(Action::Allow).archs([other]).validate_for_exec().unwrap_err();
    assert_eq!(none.problems().len(), CALLS_OF_EXEC.len() + 1, "and statx, which kills");
    Filter::new(Action::Allow).validate_for_exec().unwrap();
}

#[test]
fn the_step_prints_what_it_does() {
    let filter = Filter::new(Action::Allow)
        .flags(Flags::LOG | Flags::TSYNC)
        .deny(["reboot"])
        .compile()
        .unwrap();
    let step = ampoule_seccomp::prepared::load(&filter).unwrap();
    let count = filter.program().instructions().len();
    let text = format!("seccomp(SECCOMP_SET_MODE_FILTER, LOG, {count} instructions)");
    assert_eq!(step.to_string(), text);
    let mut slots = ampoule_init::Slots::default();
    let slot = slots.take();
    let error = ampoule_seccomp::prepared::load_with_listener(&filter, slot).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Listener);
    let filter =
        Filter::new(Action::Allow).rule(Rule::new(Action::Notify, ["mkdir"])).compile().unwrap();
    assert_eq!(ampoule_seccomp::prepared::load(&filter).unwrap_err().kind(), ErrorKind::Listener);
    let step = ampoule_seccomp::prepared::load_with_listener(&filter, slot).unwrap();
    let text = step.to_string();
    assert!(text.starts_with("seccomp(SECCOMP_SET_MODE_FILTER, NEW_LISTENER, "), "{text}");
    assert!(text.ends_with(" = %0"), "{text}");
}

#[test]
fn a_cached_filter_is_shared_and_the_oldest_makes_room() {
    let cache = Cache::new(2);
    let filter = |number| Filter::new(Action::Errno(number)).allow(["read"]);
    let first = cache.compile(&filter(1)).unwrap();
    let again = cache.compile(&filter(1)).unwrap();
    assert!(std::ptr::eq(first.program(), again.program()));
    assert!(cache.compile(&Filter::new(Action::Allow).archs([])).is_err());
    assert_eq!(cache.len(), 1);
    for number in 2..5 {
        cache.compile(&filter(number)).unwrap();
        assert!(cache.len() <= 2);
    }
    let anew = cache.compile(&filter(1)).unwrap();
    assert!(!std::ptr::eq(first.program(), anew.program()));
    assert_eq!(first, anew);
}

#[test]
fn calls_that_notify_leave_the_rules_before() {
    let filter = Filter::default_profile().notify(["mkdir", "mkdirat"]).notify(["mkdir"]);
    filter.validate().expect("no rule without effect");
    let says = |name: &str| {
        let number = syscall::number(Arch::native(), name).expect("a call");
        let arch = Arch::native().audit();
        filter.decide(&Data { number, arch, instruction_pointer: 0, args: [0; 6] })
    };
    let said = ["mkdirat", "openat", "setns"].map(says);
    assert_eq!(said, [Action::Notify, Action::Allow, Action::NOT_PERMITTED]);
    let conditional =
        Filter::new(Action::Allow).rule(Rule::new(Action::Notify, ["execve"]).when(arg(0).eq(7)));
    let error = conditional.validate_for_exec().expect_err("nobody would answer");
    assert_eq!(error.kind(), ErrorKind::LocksOutExec);
}

#[test]
fn a_filter_is_plain_data() {
    let filter = Filter::new(Action::NOT_PERMITTED).flags(Flags::LOG).rule(
        Rule::new(Action::Trace(7), ["socket"]).when(arg(0).masked_eq(0xff, 1)).on(Arch::native()),
    );
    let text = serde_json::to_string(&filter).unwrap();
    let again: Filter = serde_json::from_str(&text).unwrap();
    assert_eq!(filter, again, "{text}");
}

#[test]
fn tables_know_names_and_numbers() {
    assert_eq!(syscall::number(Arch::X86_64, "read"), Some(0));
    assert_eq!(syscall::number(Arch::X32, "ioctl"), Some(0x4000_0000 | 514));
    assert_eq!(syscall::number(Arch::X32, "uselib"), None);
    assert_eq!(syscall::number(Arch::X86, "socketcall"), Some(102));
    assert_eq!(syscall::number(Arch::Aarch64, "socketcall"), None);
    assert_eq!(syscall::number(Arch::X86, "break"), Some(17));
    assert_eq!(syscall::number(Arch::Aarch64, "newfstatat"), Some(79));
    assert_eq!(syscall::number(Arch::Arm, "set_tls"), Some(0xf_0005));
    for arch in Arch::ALL {
        assert!(syscall::calls(arch).all(|(_, name)| !name.contains('#')));
        // The last one, which the crate's own iterator leaves out.
        assert!(syscall::number(arch, "file_setattr").is_some(), "{arch}");
        assert!(syscall::calls(arch).len() > 300, "{arch}");
        for (number, name) in syscall::calls(arch) {
            assert_eq!(syscall::number(arch, name), Some(number), "{arch} {name}");
            assert_eq!(syscall::name(arch, number), Some(name), "{arch} {number}");
            assert!(!syscall::is_newer(arch, number));
            assert_eq!(Arch::of(arch.audit(), number), Some(arch), "{arch} {name}");
        }
    }
}
