//! The program answers every call as the filter does.

mod sample;

use ampoule_seccomp::bpf::{INSTRUCTIONS_MAX, Program};
use ampoule_seccomp::{Action, Arch, ErrorKind, Filter, Rule, arg, syscall};
use proptest::prelude::*;
use sample::call;

/// Compares on every number of every entry, with these arguments.
fn same_for_all_numbers(filter: &Filter, args: [u64; 6]) -> Result<(), TestCaseError> {
    let compiled = filter.compile().expect("a valid filter");
    for arch in Arch::ALL {
        for number in sample::numbers(arch) {
            let call = call(arch, number, args);
            let run = compiled.program().run(&call);
            prop_assert_eq!(run.action, filter.decide(&call), "{} {} {:?}", arch, number, args);
        }
    }
    Ok(())
}

/// Compares on the calls that the filter names, with all arguments that may matter.
fn same_for_all_arguments(filter: &Filter) -> Result<(), TestCaseError> {
    let compiled = filter.compile().expect("a valid filter");
    let values = sample::interesting(filter);
    let names: std::collections::BTreeSet<_> =
        filter.rules.iter().flat_map(|rule| &rule.calls).collect();
    for (arch, name) in
        filter.archs.iter().flat_map(|arch| names.iter().map(move |name| (arch, name)))
    {
        let Some(number) = syscall::number(*arch, name) else { continue };
        for (step, &first) in values.iter().enumerate() {
            for &second in &values {
                let third = values[(step * 7) % values.len()];
                let call = call(*arch, number, [first, second, third, 0, 0, 0]);
                let run = compiled.program().run(&call);
                prop_assert_eq!(
                    run.action,
                    filter.decide(&call),
                    "{} {} {:?}",
                    arch,
                    name,
                    call.args
                );
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_number_is_answered_alike(filter in sample::filter(), args: [u64; 6]) {
        same_for_all_numbers(&filter, args)?;
    }

    #[test]
    fn every_argument_is_answered_alike(filter in sample::filter()) {
        same_for_all_arguments(&filter)?;
    }
}

#[test]
fn far_jumps_reach_their_targets() {
    // Every second call has a list of its own, so that the tree is far longer than a jump.
    let values = (0..40_u64).map(|value| value * 3);
    let names = [
        "read",
        "open",
        "stat",
        "lstat",
        "lseek",
        "mprotect",
        "ioctl",
        "readv",
        "access",
        "sched_yield",
    ];
    let mut filter = Filter::new(Action::NOT_PERMITTED);
    for (index, name) in (0_u16..).zip(names) {
        for value in values.clone() {
            let action = if value % 2 == 0 { Action::Allow } else { Action::Errno(100 + index) };
            let rule = Rule::new(action, [name]).when(arg(0).eq(value)).when(arg(1).gt(value));
            filter = filter.rule(rule);
        }
    }
    let compiled = filter.compile().unwrap();
    assert!(compiled.program().instructions().len() > 1000);
    for number in 0..30 {
        for value in 0..130 {
            for second in [0, value, value + 1, u64::MAX] {
                let call = call(Arch::native(), number, [value, second, 0, 0, 0, 0]);
                let answer = compiled.program().run(&call).action;
                assert_eq!(answer, filter.decide(&call), "{number} {value} {second}");
            }
        }
    }
}

#[test]
fn more_than_4096_instructions_are_a_typed_error() {
    let mut filter = Filter::new(Action::NOT_PERMITTED);
    for value in 0..3000 {
        filter = filter.rule(Rule::new(Action::Allow, ["read"]).when(arg(0).eq(value * value)));
    }
    // Values in one word share the test of the other one, so that these fit …
    assert!(filter.compile().unwrap().program().instructions().len() <= INSTRUCTIONS_MAX);
    for value in 0..1000 {
        let wide = arg(1).masked_eq(!1, value << 33);
        filter = filter.rule(Rule::new(Action::Allow, ["read"]).when(wide));
    }
    let error = filter.compile().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.hint().is_some());
    assert!(error.to_string().contains("instructions, and the kernel takes 4096"), "{error}");
}

#[test]
fn a_long_list_needs_no_deep_stack() {
    let mut filter = Filter::new(Action::Allow);
    for value in 0..4000 {
        filter = filter.rule(Rule::new(Action::KillThread, ["read"]).when(arg(3).eq(value)));
    }
    let thread = std::thread::Builder::new().stack_size(256 << 10);
    let compiled = thread.spawn(move || filter.compile()).unwrap().join().unwrap();
    let program = compiled.unwrap();
    let call = call(Arch::native(), 0, [0, 0, 0, 3999, 0, 0]);
    assert_eq!(program.program().run(&call).action, Action::KillThread);
}

#[test]
fn neighbours_with_the_same_answer_are_one() {
    let all: Vec<_> = syscall::calls(Arch::native()).map(|(_, name)| name).collect();
    let gap = Filter::new(Action::Allow).archs([Arch::Aarch64]).deny(["reboot"]).compile().unwrap();
    assert_eq!(gap.program().instructions().len(), 7, "{:?}", gap.program());
    let every = Filter::new(Action::Allow).newer(Action::Allow).allow(all).compile().unwrap();
    assert!(every.program().instructions().len() <= 7, "{:?}", every.program());
}

#[test]
fn newer_calls_do_not_exist() {
    let filter = Filter::new(Action::NOT_PERMITTED).archs([Arch::X86_64, Arch::X32, Arch::X86]);
    let compiled = filter.compile().unwrap();
    let answer = |arch, number| compiled.program().run(&call(arch, number, [0; 6])).action;
    for arch in [Arch::X86_64, Arch::X32, Arch::X86] {
        let highest = syscall::highest(arch);
        assert_eq!(answer(arch, highest), Action::NOT_PERMITTED, "{arch}");
        assert_eq!(answer(arch, highest + 1), Action::NOT_IMPLEMENTED, "{arch}");
    }
    // x32 has calls behind the room for newer ones.
    assert_eq!(answer(Arch::X32, 0x4000_0000 | 520), Action::NOT_PERMITTED);
    assert_eq!(answer(Arch::X32, 0x4000_0000 | 548), Action::NOT_IMPLEMENTED);
    // A filter that permits by default goes on doing so.
    let open = Filter::new(Action::Allow).compile().unwrap();
    let newer = call(Arch::native(), 100_000, [0; 6]);
    assert_eq!(open.program().run(&newer).action, Action::Allow);
}

#[test]
fn entries_that_are_not_covered_are_foreign() {
    let filter = Filter::new(Action::Allow).archs([Arch::X86_64]).foreign(Action::Trap);
    let program = filter.compile().unwrap();
    let answer = |arch, number| program.program().run(&call(arch, number, [0; 6])).action;
    assert_eq!(answer(Arch::X86_64, 1), Action::Allow);
    assert_eq!(answer(Arch::X86, 1), Action::Trap);
    assert_eq!(answer(Arch::X32, 0x4000_0001), Action::Trap);
    // What a tracer sets to skip a call is not x32.
    assert_eq!(answer(Arch::X86_64, u32::MAX), Action::Allow);
    assert_eq!(answer(Arch::Aarch64, 1), Action::Trap);
}

#[test]
fn a_program_is_checked_as_the_kernel_does() {
    use ampoule_seccomp::bpf::{Defect, Instruction};
    let one = |code, jt, k| Instruction { code, jt, jf: 0, k };
    let done = one(6, 0, 0x7fff_0000);
    assert_eq!(Program::check(Vec::new()), Err(Defect::Length(0)));
    assert_eq!(Program::check(vec![done; 4097]), Err(Defect::Length(4097)));
    assert_eq!(Program::check(vec![one(0x20, 0, 64), done]), Err(Defect::Load(0)));
    assert_eq!(Program::check(vec![one(0x20, 0, 3), done]), Err(Defect::Load(0)));
    assert_eq!(Program::check(vec![one(0x15, 1, 0), done]), Err(Defect::Jump(0)));
    assert_eq!(Program::check(vec![one(5, 0, u32::MAX), done]), Err(Defect::Jump(0)));
    assert_eq!(Program::check(vec![one(0x99, 0, 0), done]), Err(Defect::Unknown(0)));
    assert_eq!(Program::check(vec![done, one(0x20, 0, 0)]), Err(Defect::End));
    assert!(Program::check(vec![one(0x15, 0, 0), done]).is_ok());
}
