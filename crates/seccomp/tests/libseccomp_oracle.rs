//! libseccomp's program and ours answer every call alike, and the kernel loads both.

mod sample;

use std::collections::BTreeSet;

use ampoule_seccomp::{
    Action, Arch, Compiled, Filter, Granted, Inexpressible, Problem, Rule, arg, syscall,
};
use proptest::prelude::*;

/// The filter without the calls that libseccomp does not know.
fn known_to_both(mut filter: Filter) -> (Filter, usize) {
    let Err(error) = filter.compile_with_libseccomp() else { return (filter, 0) };
    let unknown: BTreeSet<_> = error
        .problems()
        .iter()
        .filter_map(|problem| match problem {
            Problem::UnknownToLibseccomp { name, .. } => Some(*name),
            _ => None,
        })
        .collect();
    for rule in &mut filter.rules {
        rule.calls.retain(|call| !unknown.contains(&**call));
    }
    filter.rules.retain(|rule| !rule.calls.is_empty());
    (filter, unknown.len())
}

/// Every number but what a tracer sets to skip a call, where x32 is covered alone: the kernel runs no filter then, and
/// libseccomp takes it for x32's own.
fn numbers(filter: &Filter, arch: Arch) -> Vec<u32> {
    let mut numbers = sample::numbers(arch);
    numbers.retain(|number| *number != u32::MAX || filter.archs != [Arch::X32]);
    numbers
}

/// Compares on every number of every entry, and on the filter's own calls with all arguments that may matter.
fn same(filter: &Filter, ours: &Compiled, theirs: &Compiled) -> Result<usize, TestCaseError> {
    let values = sample::interesting(filter);
    let named: BTreeSet<_> = filter
        .rules
        .iter()
        .filter(|rule| !rule.conditions.is_empty())
        .flat_map(|rule| &rule.calls)
        .collect();
    let mut compared = 0;
    for arch in Arch::ALL {
        let special: BTreeSet<_> =
            named.iter().filter_map(|name| syscall::number(arch, name)).collect();
        for number in numbers(filter, arch) {
            let all = [0, u64::MAX];
            let values = if special.contains(&number) { &values[..] } else { &all[..] };
            for (step, &first) in values.iter().enumerate() {
                for &second in values {
                    let third = values[(step * 5) % values.len()];
                    let call = sample::call(arch, number, [first, second, third, 0, 0, 0]);
                    let (one, other) = (ours.program().run(&call), theirs.program().run(&call));
                    prop_assert_eq!(
                        one.action,
                        other.action,
                        "{} {} {:?}",
                        arch,
                        number,
                        call.args
                    );
                    compared += 1;
                }
            }
        }
    }
    Ok(compared)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_global_rejects: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn random_filters(filter in sample::filter()) {
        let (filter, _) = known_to_both(filter);
        let theirs = match filter.compile_with_libseccomp() {
            Ok(theirs) => theirs,
            Err(error) => {
                // What it cannot express is told, and nothing else fails.
                let told = |problem: &Problem| matches!(problem, Problem::Inexpressible { .. });
                prop_assert!(!error.problems().is_empty() && error.problems().iter().all(told), "{}", error);
                return Err(TestCaseError::reject("libseccomp cannot express it"));
            }
        };
        same(&filter, &filter.compile().unwrap(), &theirs)?;
    }
}

#[test]
fn the_default_profile_and_the_presets() {
    let all = Granted::from_bits(u64::MAX);
    let filters = [
        Filter::default_profile(),
        Filter::default_for(all),
        Filter::default_for(Granted::NONE.with("CAP_NET_RAW")),
        Filter::compute(),
        Filter::network_client(),
        Filter::build(),
        Filter::default_profile().archs(Arch::native().family().iter().copied()),
    ];
    for filter in filters {
        let (filter, unknown) = known_to_both(filter);
        // libseccomp 2.5.4 ends at Linux 5.17.
        assert!(unknown < 40, "{unknown}");
        let (ours, theirs) = (filter.compile().unwrap(), filter.compile_with_libseccomp().unwrap());
        let compared = same(&filter, &ours, &theirs).unwrap();
        assert!(compared > 5000, "{compared}");
        for compiled in [ours, theirs] {
            std::thread::spawn(move || compiled.apply_to_this_thread()).join().unwrap().unwrap();
        }
    }
}

#[test]
fn names_and_numbers_are_the_same() {
    // Through programs: each call allowed alone is allowed by both and nothing else is.
    for arch in Arch::ALL {
        let names: Vec<_> = syscall::calls(arch).map(|(_, name)| name).collect();
        for some in names.chunks(40) {
            let filter = Filter::new(Action::Trap).archs([arch]).newer(Action::Trap);
            let filter = filter.allow(["socketcall", "ipc"]).allow(some.iter().copied());
            let (filter, unknown) = known_to_both(filter);
            assert!(unknown <= 40);
            let theirs = filter.compile_with_libseccomp().unwrap();
            let ours = filter.compile().unwrap();
            for number in numbers(&filter, arch) {
                let call = sample::call(arch, number, [0; 6]);
                assert_eq!(
                    ours.program().run(&call).action,
                    theirs.program().run(&call).action,
                    "{arch} {number}"
                );
            }
        }
    }
}

#[test]
fn what_libseccomp_cannot_express_is_told() {
    let native = || Filter::new(Action::NOT_PERMITTED);
    let overlap = native()
        .rule(Rule::new(Action::Trap, ["read"]).when(arg(0).gt(5)))
        .rule(Rule::new(Action::Allow, ["read"]).when(arg(1).lt(5)));
    let twice =
        native().rule(Rule::new(Action::Allow, ["read"]).when(arg(0).gt(5)).when(arg(0).lt(9)));
    let multiplexed = native().archs([Arch::X86]).allow(["socket"]);
    let width =
        native().archs([Arch::X32]).rule(Rule::new(Action::Allow, ["read"]).when(arg(0).eq(5)));
    let cases = [
        (overlap, Inexpressible::Overlap),
        (twice, Inexpressible::SameArgument),
        (multiplexed, Inexpressible::Multiplexed),
        (width, Inexpressible::Width),
    ];
    for (filter, expected) in cases {
        filter.compile().unwrap();
        let error = filter.compile_with_libseccomp().unwrap_err();
        let told = |problem: &Problem| matches!(problem, Problem::Inexpressible { what, .. } if *what == expected);
        assert!(error.problems().iter().any(told), "{error}");
    }
}
