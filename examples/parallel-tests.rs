//! How does a test runner plan once, and launch many times from many threads?
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use ampoule::{Bytes, Container, Plan};
use ampoule_examples::arguments::{Failure, only_help};

const HELP: &str = "\
Runs two hundred tests, each in a sandbox of its own, from as many threads as there are processors.

Usage: parallel-tests
";

const TESTS: usize = 200;

fn main() -> Result<(), Failure> {
    let Some(()) = only_help(HELP)? else { return Ok(()) };
    // Every tenth test fails; every test believes that it is alone with /tmp/lock.
    let script = r#"set -C; : > /tmp/lock && [ $((${1} % 10)) -ne 9 ]"#;
    let plan = Container::host_view()
        .tmpfs("/tmp", Bytes::mib(64))
        .command("sh")
        .args(["-c", script])
        .plan()?;
    let threads = thread::available_parallelism()?.get();
    let begun = Instant::now();
    let (next, passed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let workers: Vec<_> =
            (0..threads).map(|_| scope.spawn(|| work(&plan, script, &next, &passed))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or(Ok(())))
    })?;
    let passed = passed.into_inner();
    let took = begun.elapsed();
    let rate = TESTS as u128 * 1000 / took.as_millis().max(1);
    println!(
        "{passed} of {TESTS} passed, {threads} threads, {took:.1?}: {rate} sandboxes a second"
    );
    Ok(())
}

/// Takes tests until none is left.
fn work(
    plan: &Plan,
    script: &str,
    next: &AtomicUsize,
    passed: &AtomicUsize,
) -> Result<(), ampoule::Error> {
    loop {
        let test = next.fetch_add(1, Ordering::Relaxed);
        if test >= TESTS {
            return Ok(());
        }
        let out = plan.launch().args(["-c", script, "test", &test.to_string()]).output()?;
        passed.fetch_add(usize::from(out.status.success()), Ordering::Relaxed);
    }
}
