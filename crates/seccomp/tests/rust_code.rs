//! Filters as the code that makes them.
//!
//! Kernel objects: none. Invariant: the code is compiled here, so that it is held against the compiler and its filter.

use ampoule_seccomp::{Action, Arch, Filter, Flags, Rule, arg};

/// The expression as a filter, and as its text without blanks.
macro_rules! both {
    ($code:expr) => {
        ($code, without_blanks(stringify!($code)))
    };
}

fn without_blanks(code: &str) -> String {
    let text: String = code.chars().filter(|letter| !letter.is_whitespace()).collect();
    // Commas behind a last element.
    text.replace(",]", "]").replace(",)", ")")
}

#[test]
fn the_code_makes_the_filter() {
    let simple = both!(Filter::new(Action::NOT_PERMITTED).allow(["read", "write"]));
    let family = both!(
        Filter::new(Action::NOT_IMPLEMENTED)
            .archs([Arch::X86_64, Arch::X86])
            .foreign(Action::NOT_PERMITTED)
            .newer(Action::KillThread)
            .flags(Flags::LOG | Flags::SPEC_ALLOW)
            .allow(["getpid"])
            .rule(Rule::new(Action::Errno(13), ["socket", "socketpair"]).when(arg(0).int_eq(0x1)))
            .rule(
                Rule::new(Action::Trace(7), ["ioctl"])
                    .when(arg(1).masked_eq(0xff, 0x1))
                    .when(arg(5).ge(0xffffffffffffffff))
                    .on(Arch::X86)
            )
            .rule(Rule::new(Action::Allow, ["kill"]).when(arg(0).ne(0x0)).when(arg(1).lt(0x20)))
    );
    let bounds = both!(
        Filter::new(Action::Allow)
            .rule(Rule::new(Action::Notify, ["kill"]).when(arg(0).le(0x1)).when(arg(2).eq(0x5)))
            .rule(Rule::new(Action::Log, ["tkill"]).when(arg(0).gt(0x1)))
    );
    for (filter, code) in [simple, family, bounds] {
        assert_eq!(without_blanks(&filter.to_rust().to_string()), code);
    }
}

#[test]
fn lines_are_short_and_every_name_is_there() {
    let filter = Filter::default_profile();
    let code = filter.to_rust().to_string();
    assert!(code.lines().all(|line| line.len() <= 100), "{code}");
    let names: usize = filter.rules.iter().map(|rule| rule.calls.len()).sum();
    assert_eq!(code.matches('"').count(), 2 * names);
}
