//! A filter for all threads at once. Alone in its program, as it confines all of that.

use std::sync::mpsc::channel;

use ampoule_seccomp::{Action, ErrorKind, Filter, Rule};
use rustix::io::Errno;

#[test]
fn all_threads_are_confined_at_once_and_one_with_its_own_filter_is_told() {
    let refuse = |name: &'static str, error| {
        Filter::new(Action::Allow).rule(Rule::new(Action::Errno(error), [name])).compile().unwrap()
    };
    let (ask, asked) = channel::<()>();
    let (answer, answers) = channel();
    let slack = rustix::thread::current_timer_slack;
    let worker = std::thread::spawn(move || {
        while asked.recv().is_ok() {
            answer.send(rustix::process::getpriority_user(rustix::process::Uid::ROOT)).unwrap();
        }
    });
    ask.send(()).unwrap();
    answers.recv().unwrap().unwrap();
    refuse("getpriority", 97).apply_to_this_process().unwrap();
    ask.send(()).unwrap();
    assert_eq!(answers.recv().unwrap(), Err(Errno::AFNOSUPPORT));
    // A thread with a filter of its own stands in the way.
    let (go, gone) = channel::<()>();
    let (ready, is_ready) = channel();
    let own = std::thread::spawn(move || {
        refuse("getpriority", 1).apply_to_this_thread().unwrap();
        ready.send(()).unwrap();
        gone.recv().unwrap();
    });
    is_ready.recv().unwrap();
    let error = refuse("prctl", 19).apply_to_this_process().unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::OtherThread, Some(3)));
    assert!(error.hint().is_some() && error.to_string().contains("another thread"));
    slack().unwrap();
    go.send(()).unwrap();
    own.join().unwrap();
    drop(ask);
    worker.join().unwrap();
}
