//! A filter as people read it.

use ampoule_seccomp::{Action, Arch, Filter, Flags, Rule, arg};

#[test]
fn a_filter_is_explained() {
    let filter = Filter::new(Action::NOT_PERMITTED)
        .archs([Arch::X86_64, Arch::X86])
        .flags(Flags::LOG)
        .rule(Rule::new(Action::Errno(97), ["socket"]).when(arg(0).eq(16)).when(arg(2).ne(9)))
        .rule(Rule::new(Action::Allow, ["socket"]).when(arg(0).lt(3)))
        .rule(Rule::new(Action::Allow, ["socket"]).when(arg(0).masked_eq(0xffff_ffff, 10)))
        .rule(Rule::new(Action::NOT_IMPLEMENTED, ["socketcall", "clone3"]))
        .allow(["read", "write"]);
    let expected = "\
default: EPERM
newer calls: ENOSYS
entries: x86_64, x86; others: kill process
flags: LOG
x86_64:
  ENOSYS (1):
    clone3
  allow (2):
    read write
  socket: EAFNOSUPPORT if arg0 == 16 and arg2 != 9; allow if arg0 < 3 or int arg0 == 10; else EPERM
x86:
  ENOSYS (2):
    clone3 socketcall
  allow (2):
    read write
  socket: EAFNOSUPPORT if arg0 == 16 and arg2 != 9; allow if arg0 < 3 or int arg0 == 10; else EPERM
";
    assert_eq!(filter.explain().to_string(), expected);
}

#[test]
fn lines_are_short() {
    let text = Filter::default_profile().explain().to_string();
    assert!(text.lines().all(|line| line.len() <= 100), "{text}");
    assert!(text.contains("  clone: allow if arg0 & 0x7e020000 == 0; else EPERM\n"), "{text}");
}
