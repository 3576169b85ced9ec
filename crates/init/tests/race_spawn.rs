//! Many threads start containers while others allocate, lock, panic, fork descriptors and load: nothing hangs, fails or
//! stays.

mod support;

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use support::{State, alone, finish, long_or, null, reaped, run, shell};

#[test]
fn threads_start_while_others_allocate_lock_panic_and_open() {
    alone("threads_start_while_others_allocate_lock_panic_and_open", &["/usr/bin/env"], || {
        null();
        let program = reaped();
        support::warm_up(&program, &shell("exit"));
        quiet_panics();
        let before = State::now();
        let stop = AtomicBool::new(false);
        let rounds = long_or(30, 500);
        thread::scope(|scope| {
            let noises: [fn(); 4] = [allocate, lock, panic_and_catch, open_and_close];
            for noise in noises {
                let stop = &stop;
                let body = move || {
                    while !stop.load(Ordering::Relaxed) {
                        noise();
                    }
                };
                thread::Builder::new()
                    .name("noise".to_owned())
                    .spawn_scoped(scope, body)
                    .expect("a thread");
            }
            let program = &program;
            let spawners: Vec<_> =
                (0..64).map(|number| scope.spawn(move || spawn(program, number, rounds))).collect();
            let results: Vec<_> =
                spawners.into_iter().map(thread::ScopedJoinHandle::join).collect();
            stop.store(true, Ordering::Relaxed);
            assert!(results.iter().all(Result::is_ok), "a launch failed");
        });
        before.is_still("64 threads");
    });
}

/// Starts again and again; each status must be the thread's own.
fn spawn(program: &ampoule_init::Program, number: i32, rounds: usize) {
    for _ in 0..rounds {
        let mut launch = shell(&format!("exit {number}"));
        launch.deadline += std::time::Duration::from_secs(50);
        let started = run(program, &launch);
        assert!(
            support::ends_within(&started.pidfd, std::time::Duration::from_secs(60)),
            "a container hangs"
        );
        assert_eq!(finish(&started).map(|ended| ended.status), Some(number << 8));
    }
}

/// Keeps the noise's panics from being printed.
fn quiet_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if thread::current().name() != Some("noise") {
            usual(info);
        }
    }));
}

fn allocate() {
    let blocks: Vec<Vec<u8>> = (0..200).map(|size| vec![1; size * 97]).collect();
    assert!(blocks.iter().all(|block| block.iter().all(|&byte| byte == 1)));
}

fn lock() {
    static SHARED: Mutex<u64> = Mutex::new(0);
    *SHARED.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    drop(std::env::var_os("PATH"));
}

fn panic_and_catch() {
    let arc = Arc::new(5);
    let caught = std::panic::catch_unwind(|| {
        assert!(*arc == 6, "noise");
    });
    assert!(caught.is_err());
}

fn open_and_close() {
    let files: Vec<File> = (0..20).map(|_| File::open("/dev/null").expect("a file")).collect();
    drop(files);
}
