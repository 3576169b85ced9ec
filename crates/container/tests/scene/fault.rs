//! One operation of a launch fails, each in turn.
//!
//! Kernel objects: whole launches. Invariant: an injected error comes back as a typed error with that number, the
//! payload has not run, and nothing is left; or the plan tolerates that number at that place, and says so here.

use std::time::{Duration, Instant};

use ampoule::{Builder, Container, Pid1, Plan, Root, WindowSize};

use super::outside::descendants;
use super::{is_long, rooted, shell};
use crate::oracle::fixture::{self, Rootfs};

/// Name and number of the errors.
const ERRORS: [(&str, i32); 8] = [
    ("ENOMEM", 12),
    ("EPERM", 1),
    ("EINTR", 4),
    ("EAGAIN", 11),
    ("ENOSPC", 28),
    ("EMFILE", 24),
    ("ENOSYS", 38),
    ("EIO", 5),
];

/// A launch that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(5);

/// Where a payload that runs leaves its mark.
struct Mark(Rootfs);

impl Mark {
    fn new() -> Self {
        Self(fixture::empty_rootfs().with_dir("mark", 0o777))
    }

    fn plan(&self, builder: Builder) -> Plan {
        let builder = builder.bind_rw_to(self.0.at("mark"), "/mark");
        shell(builder, ": > /mark/ran").plan().expect("a plan")
    }

    /// Whether a payload ran; forgets it.
    fn take(&self) -> bool {
        std::fs::remove_file(self.0.at("mark").join("ran")).is_ok()
    }
}

/// Lets every operation fail; the errors of one operation take turns unless all are wanted.
#[track_caller]
fn sweep(builder: Builder) {
    let mark = Mark::new();
    let plan = mark.plan(builder);
    plan.launch().output().expect("it works without faults");
    assert!(mark.take(), "the payload leaves a mark");
    let mut tolerated = Vec::new();
    for operation in 0..plan.operations() {
        let chosen = (0..ERRORS.len()).filter(|turn| is_long() || (operation + turn) % 4 == 0);
        for (name, errno) in chosen.map(|turn| ERRORS[turn]) {
            let started = Instant::now();
            let fault = u32::try_from(operation).expect("few");
            let outcome = plan.launch().inject_fault(fault, errno.unsigned_abs()).output();
            assert!(started.elapsed() < LIMIT, "operation {operation} hangs with {name}");
            match outcome {
                Err(error) => {
                    assert!(!mark.take(), "{operation} {name}: the payload ran, but {error}");
                    assert!(error.errno() == Some(errno), "{operation} {name}: {error}");
                }
                Ok(_) => {
                    mark.take();
                    tolerated.push(format!("{operation} {name}"));
                }
            }
            assert_eq!(descendants(), 0, "{operation} {name}");
        }
    }
    assert!(tolerated.is_empty(), "went on after {tolerated:?} of\n{plan}");
}

pub(crate) fn a_view_of_the_host() {
    sweep(Container::host_view());
}

pub(crate) fn a_root_file_system() {
    let root = fixture::rootfs();
    sweep(rooted(&root));
}

pub(crate) fn a_read_only_root_with_everything() {
    let root = fixture::rootfs();
    let builder = rooted(&root)
        .root(Root::ReadOnly)
        .hostname("h")
        .domainname("d")
        .sysctl("net.core.somaxconn", "9")
        .time_offsets(ampoule::TimeOffsets {
            boottime: ampoule::TimeOffset::seconds(5),
            ..Default::default()
        })
        .oom_score_adj(900)
        .rlimit("nofile=50".parse().expect("a limit"))
        .file("/new/file", "x")
        .pid1(Pid1::Payload);
    sweep(builder);
}

#[cfg(feature = "landlock")]
pub(crate) fn a_payload_under_landlock() {
    let root = fixture::rootfs();
    let rules = ampoule::Landlock::new().execute("/bin").read_write("/mark").connect_tcp(1);
    sweep(rooted(&root).landlock(rules));
}

pub(crate) fn a_terminal() {
    let plan = shell(Container::host_view(), "exit 0").tty(WindowSize::default()).plan();
    let plan = plan.expect("a plan");
    for operation in 0..plan.operations() {
        let (name, errno) = ERRORS[operation % ERRORS.len()];
        let fault = u32::try_from(operation).expect("few");
        let started = Instant::now();
        let outcome = plan.launch().inject_fault(fault, errno.unsigned_abs()).spawn();
        assert!(started.elapsed() < LIMIT, "operation {operation} hangs with {name}");
        let error = outcome.map(drop).expect_err("the fault is noticed");
        assert_eq!(error.errno(), Some(errno), "{operation} {name}: {error}");
        assert_eq!(descendants(), 0, "{operation} {name}");
    }
}
