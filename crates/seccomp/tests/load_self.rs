//! The kernel takes the programs and answers as they say. Each test confines threads of this program only.

use std::io;

use ampoule_seccomp::{Action, ErrorKind, Filter, Flags, Rule, arg};
use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

fn look() -> Result<(), Errno> {
    accessat(CWD, "/", Access::EXISTS, AtFlags::empty())
}

fn status(field: &str) -> String {
    let text = std::fs::read_to_string("/proc/thread-self/status").expect("procfs");
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.map(|value| value.trim().to_owned()).expect("the field")
}

fn in_thread<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(run).join().expect("no panic"))
}

#[test]
fn a_thread_is_confined_and_the_others_are_not() {
    let names = ["faccessat", "faccessat2", "access"];
    let filter =
        Filter::new(Action::Allow).rule(Rule::new(Action::Errno(95), names)).flags(Flags::LOG);
    let compiled = filter.compile().unwrap();
    let seen = in_thread(|| {
        look().unwrap();
        compiled.apply_to_this_thread().unwrap();
        (look(), status("Seccomp"), status("NoNewPrivs"))
    });
    assert_eq!(seen, (Err(Errno::OPNOTSUPP), "2".into(), "1".into()));
    look().unwrap();
}

#[test]
fn arguments_decide() {
    let named = |action, condition| Rule::new(action, ["prctl"]).when(condition);
    // PR_GET_TIMERSLACK, and PR_GET_NAME with its upper half set, which the kernel ignores.
    let filter = Filter::new(Action::Allow)
        .rule(named(Action::Errno(19), arg(0).int_eq(30)))
        .rule(named(Action::Errno(11), arg(0).gt(0x1_0000_0000)));
    let compiled = filter.compile().unwrap();
    let answer = in_thread(|| {
        compiled.apply_to_this_thread().unwrap();
        rustix::thread::current_timer_slack()
    });
    assert_eq!(answer, Err(Errno::NODEV));
}

#[test]
fn the_kernel_takes_what_the_compiler_makes() {
    let mut filter = Filter::new(Action::Allow).newer(Action::Errno(38));
    for value in 0..400_u64 {
        let rule = Rule::new(Action::Errno(1), ["lookup_dcookie"]).when(arg(0).eq(value << 20 | 5));
        filter = filter.rule(rule.when(arg(1).masked_eq(0xff00, 0x100)));
    }
    let compiled = filter.compile().unwrap();
    assert!(compiled.program().instructions().len() > 2000);
    in_thread(|| compiled.apply_to_this_thread()).unwrap();
}

#[test]
fn a_filter_that_notifies_needs_its_listener_taken() {
    let filter =
        Filter::new(Action::Allow).rule(Rule::new(Action::Notify, ["mkdir"])).compile().unwrap();
    let error = in_thread(|| filter.apply_to_this_thread()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Listener);
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidInput);
    assert_eq!(status("Seccomp"), "0");
    let listener = in_thread(|| filter.apply_with_listener()).unwrap();
    assert!(rustix::io::fcntl_getfd(&listener).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
}
