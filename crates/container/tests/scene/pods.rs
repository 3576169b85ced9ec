//! Containers that share namespaces.
//!
//! Kernel objects: pods with two containers. Invariant: nothing is left of a pod.

use ampoule::{Container, Pod, Stdio};

use crate::scene::{print, refused, shell};

/// One listens on the loopback device of the pod, the other reaches it; both have its name.
pub(crate) fn share_their_network_and_name() {
    let mut pod = Pod::builder().hostname("shop").create().expect("a pod");
    let script = "busybox hostname; exec busybox nc -l -p 7000 -w 20";
    let first = shell(pod.join(Container::host_view()), script).stdout(Stdio::piped());
    let first = pod.start(first.stdin_bytes("hello\n")).expect("the first");
    let mut said = first.stdout.take().expect("a pipe");
    assert_eq!(crate::scene::read_until(&mut said, "\n"), "shop\n");
    let script = "for i in 1 2 3 4 5 6 7 8 9; do busybox nc -w 5 127.0.0.1 7000 </dev/null && exit; \
        busybox sleep 0.1; done; exit 1";
    assert_eq!(print(pod.join(Container::host_view()), script), "hello\n");
    let alone = refused_outside();
    assert!(!alone.contains("hello"), "{alone}");
    assert_eq!(pod.containers().count(), 1);
}

/// What a container of no pod gets.
fn refused_outside() -> String {
    let script = "busybox nc -w 1 127.0.0.1 7000 </dev/null 2>&1; true";
    print(Container::host_view(), script)
}

/// Shared memory of System V is the pod's.
pub(crate) fn share_their_ipc() {
    let pod = Pod::builder().create().expect("a pod");
    let link = |kind: &str| {
        let script = format!("readlink /proc/self/ns/{kind}");
        let builder = || pod.join(Container::host_view());
        (print(builder(), &script), print(builder(), &script))
    };
    for kind in ["ipc", "net", "uts"] {
        let (one, two) = link(kind);
        assert_eq!(one, two, "{kind}");
        let host = std::fs::read_link(format!("/proc/self/ns/{kind}")).expect("a link");
        assert_ne!(one.trim(), host.to_str().expect("text"), "{kind}");
    }
    let (one, two) = link("pid");
    assert_ne!(one, two);
}

/// What is started last is stopped first.
pub(crate) fn stop_in_order() {
    let mut pod = Pod::builder().create().expect("a pod");
    for code in [3, 4] {
        let script = format!("trap 'exit {code}' TERM; while :; do busybox sleep 0.01; done");
        pod.start(shell(pod.join(Container::host_view()), &script)).expect("a container");
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    let statuses = pod.stop(std::time::Duration::from_secs(5)).expect("statuses");
    assert_eq!(
        statuses.iter().map(ampoule::ExitStatus::code).collect::<Vec<_>>(),
        [Some(3), Some(4)]
    );
    let error = refused(pod.egress_refused());
    assert_eq!(error.kind(), ampoule::ErrorKind::Network);
}
