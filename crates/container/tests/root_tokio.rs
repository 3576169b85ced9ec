//! Containers as futures.
//!
//! Kernel objects: as without them, and one reactor. Invariant: a future that is dropped leaves no process, and no
//! thread stays.

mod oracle;
mod scene;

use std::time::{Duration, Instant};

use ampoule::seccomp::Filter;
use ampoule::{AsyncListener, Bytes, Command, Container, ErrorKind, Event, Outcome, Stdio};
use oracle::{tier, unchanged};
use scene::outside::descendants;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Runs a future; the runtime with all its threads is gone before the host is looked at again.
fn block_on<T: std::fmt::Debug>(future: impl Future<Output = T>) -> T {
    tier::root();
    // With tokio's feature `process`, which another crate may have asked for, the first one leaves a pair of sockets.
    drop(runtime());
    unchanged(|| {
        let runtime = runtime();
        let result = runtime.block_on(future);
        runtime.shutdown_timeout(Duration::from_secs(10));
        assert_eq!(descendants(), 0);
        result
    })
}

fn view(script: &str) -> Command {
    scene::shell(Container::host_view(), script)
}

#[test]
fn output() {
    block_on(async {
        let output =
            view("cat; echo out; echo err >&2; exit 3").stdin_bytes("in ").output_async().await;
        let output = output.expect("a run");
        assert_eq!(
            (output.stdout.as_slice(), output.stderr.as_slice()),
            (&b"in out\n"[..], &b"err\n"[..])
        );
        assert_eq!(output.status.code(), Some(3));
        let flood = "head -c 3000000 /dev/zero & head -c 3000000 /dev/zero >&2; wait";
        let output = view(flood).output_async().await.expect("a run");
        assert_eq!((output.stdout.len(), output.stderr.len()), (3_000_000, 3_000_000));
        let most = view("cat /dev/zero").output_max(Bytes::kib(10)).output_async().await;
        assert_eq!(most.expect("a run").status.outcome(), Outcome::OutputExceeded);
    });
}

#[test]
fn streams() {
    block_on(async {
        let command = view("while read line; do echo got $line; done; exit 4");
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut container = command.spawn_async().await.expect("a container");
        let mut stdin = container.stdin.take().expect("piped");
        let mut stdout = container.stdout.take().expect("piped");
        stdin.write_all(b"one\ntwo\n").await.expect("it reads");
        drop(stdin);
        let mut text = String::new();
        stdout.read_to_string(&mut text).await.expect("text");
        assert_eq!(text, "got one\ngot two\n");
        assert_eq!(container.wait().await.expect("a status").code(), Some(4));
        assert_eq!(container.wait().await.expect("again").code(), Some(4));
    });
}

#[test]
fn waiting_can_be_cancelled_and_taken_up_again() {
    block_on(async {
        let mut container = view("sleep 0.3; exit 5").spawn_async().await.expect("a container");
        for _ in 0..3 {
            let early = tokio::time::timeout(Duration::from_millis(20), container.wait()).await;
            assert!(early.is_err());
        }
        assert_eq!(container.wait().await.expect("a status").code(), Some(5));
    });
}

#[test]
fn stop_and_time_limit() {
    block_on(async {
        let mut deaf = view("trap '' TERM; while :; do sleep 0.02; done")
            .spawn_async()
            .await
            .expect("a container");
        tokio::time::sleep(Duration::from_millis(50)).await;
        let status = deaf.stop(Duration::from_millis(100)).await.expect("a status");
        assert_eq!(status.signal(), Some(9));
        let started = Instant::now();
        let limited = view("sleep 100").timeout(Duration::from_millis(100)).output_async().await;
        assert_eq!(limited.expect("a run").status.outcome(), Outcome::TimedOut);
        assert!(started.elapsed() < Duration::from_secs(3));
        let builder = Container::host_view().pid1(ampoule::Pid1::Payload);
        let limited = scene::shell(builder, "sleep 100").timeout(Duration::from_millis(100));
        let status = limited.status_async().await.expect("a run");
        assert_eq!(status.outcome(), Outcome::TimedOut);
    });
}

#[test]
fn dropping_kills() {
    block_on(async {
        let container =
            view("setsid sleep 1000 & sleep 1000").spawn_async().await.expect("a container");
        assert!(descendants() >= 2);
        drop(container);
        assert_eq!(descendants(), 0);
        // Cancelled at any moment of the start.
        for millis in 0..10 {
            let start = view("sleep 1000").spawn_async();
            drop(tokio::time::timeout(Duration::from_millis(millis), start).await);
        }
        let output =
            tokio::time::timeout(Duration::from_millis(100), view("sleep 1000").output_async());
        assert!(output.await.is_err());
        let deadline = Instant::now() + Duration::from_secs(5);
        while descendants() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

#[test]
fn errors() {
    block_on(async {
        let error = Container::host_view().command("/nowhere").spawn_async().await.map(drop);
        assert_eq!(scene::refused(error).kind(), ErrorKind::ProgramNotFound);
        let error = Container::host_view().command("a\0").output_async().await;
        assert_eq!(scene::refused(error).kind(), ErrorKind::InvalidSettings);
    });
}

/// Those that wait for a start are the runtime's own, as many as it may have.
#[test]
fn containers_have_no_thread_of_their_own() {
    tier::root();
    drop(runtime());
    unchanged(|| {
        let mut limited = Builder::new_multi_thread();
        let limited = limited.worker_threads(2).max_blocking_threads(2).enable_all().build();
        let runtime = limited.expect("a runtime");
        let threads = || std::fs::read_dir("/proc/self/task").expect("procfs").count();
        let before = threads();
        runtime.block_on(async {
            let plan = view("read go; exit 7").plan().expect("a plan");
            let (mut inputs, mut ends) = (Vec::new(), Vec::new());
            for _ in 0..100 {
                let launch = plan.launch().stdin(Stdio::piped()).stdout(Stdio::null());
                let mut container = launch.spawn_async().await.expect("a container");
                inputs.push(container.stdin.take().expect("piped"));
                ends.push(tokio::spawn(async move { container.wait().await }));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert!(threads() <= before + 2, "{} threads, before {before}", threads());
            assert!(ends.iter().all(|end| !end.is_finished()));
            drop(inputs);
            for end in ends {
                let status = end.await.expect("no panic").expect("a status");
                assert_eq!(status.code(), Some(7));
            }
        });
        runtime.shutdown_timeout(Duration::from_secs(10));
        assert_eq!(descendants(), 0);
    });
}

#[test]
fn two_hundred_at_once() {
    block_on(async {
        let plan = view("sleep 0.2; printf %s $WORD").plan().expect("a plan");
        let one = |number: i32| {
            let launch = plan.launch().env("WORD", number.to_string());
            tokio::spawn(async move { (number, launch.output_async().await) })
        };
        for task in (0..200).map(one).collect::<Vec<_>>() {
            let (number, output) = task.await.expect("no panic");
            assert_eq!(output.expect("a run").stdout, number.to_string().into_bytes());
        }
    });
}

#[test]
fn events() {
    block_on(async {
        let builder = Container::host_view().memory_max(Bytes::mib(16));
        let eat = "read go; x=0123456789; while :; do x=$x$x; done";
        let command = scene::shell(builder, eat).stdin(Stdio::piped()).stderr(Stdio::null());
        let mut container = command.spawn_async().await.expect("a container");
        let mut events = container.events().expect("events");
        let quiet = tokio::time::timeout(Duration::from_millis(50), events.next()).await;
        assert!(quiet.is_err(), "{quiet:?}");
        // Its input ends, and it begins; the events go on after the end until the group is gone.
        let reader = tokio::spawn(async move {
            let mut seen = Vec::new();
            while let Some(event) = events.next().await.expect("an event") {
                seen.push(event);
            }
            seen
        });
        let status = container.wait().await.expect("a status");
        assert_eq!(status.outcome(), Outcome::OutOfMemory);
        let seen = tokio::time::timeout(Duration::from_secs(10), reader).await;
        let seen = seen.expect("an end").expect("a task");
        assert!(seen.iter().any(|event| matches!(event, Event::Oom { .. })), "{seen:?}");
        assert_eq!(seen.last(), Some(&Event::Removed));
    });
}

/// Calls that the host decides, beside everything else that a task does.
#[test]
fn a_listener() {
    block_on(async {
        let filter = Filter::default_profile().notify(["mkdir", "mkdirat"]);
        let script = "sleep 0.1; mkdir /nowhere/a && sleep 0.1; mkdir /nowhere/b || echo refused";
        let command = scene::shell(Container::host_view().seccomp(filter), script);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut container = command.spawn_async().await.expect("a container");
        let mut listener = container.listener.take().expect("a listener");
        // A future that is dropped has taken nothing.
        let none = tokio::time::timeout(Duration::from_millis(5), listener.next()).await;
        assert!(none.is_err(), "{none:?}");
        let first = listener.next().await.expect("a listener").expect("a call");
        listener.listener().answer(&first, 0).expect("an answer");
        let second = listener.next().await.expect("a listener").expect("a call");
        listener.listener().refuse(&second, 13).expect("an answer");
        assert_eq!(listener.next().await.expect("a listener"), None, "nobody is left");
        let mut said = String::new();
        let mut stdout = container.stdout.take().expect("a pipe");
        stdout.read_to_string(&mut said).await.expect("text");
        assert_eq!(said, "refused\n");
        assert!(container.wait().await.expect("a status").success());
        // Without notification there is none.
        let plain = view("true").spawn_async().await.expect("a container");
        assert!(plain.listener.is_none());
    });
}

/// That of a process that joined, too.
#[test]
fn a_listener_of_what_joins() {
    block_on(async {
        let filter = Filter::default_profile().notify(["mkdir", "mkdirat"]);
        let idle = Container::host_view().seccomp(filter).idle().expect("a container");
        let exec = idle.exec("mkdir").arg("/nowhere/a").stdin(Stdio::null());
        let mut process = exec.spawn().expect("a process");
        let listener = process.listener.take().expect("a listener");
        let mut listener = AsyncListener::new(listener).expect("a reactor");
        let call = listener.next().await.expect("a listener").expect("a call");
        listener.listener().answer(&call, 0).expect("an answer");
        assert_eq!(listener.next().await.expect("a listener"), None, "nobody is left");
        assert!(process.wait().expect("a status").success());
    });
}
