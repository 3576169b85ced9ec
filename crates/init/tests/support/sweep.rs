//! Programs with one operation of nearly every kind, for the fault tests.

use std::fs::File;
use std::io::PipeWriter;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use ampoule_init::steps::{file, launch as l, mount, process as p};
use ampoule_init::{Arg, Draft, Fault, Launch, Parameter, PidNamespace, Program, Step};
use rustix::fs::{major, minor};

use super::{comm_and_state, shell, text, tree};

/// How the processes of a launch hang together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A reaper in a new pid namespace.
    Reaper,
    /// The same, born with the launcher's memory.
    Sharing,
    /// A reaper in the host's pid namespace.
    ReaperInHosts,
    /// The payload is the first process of a new pid namespace.
    Direct,
}

pub(crate) const SHAPES: [Shape; 4] =
    [Shape::Reaper, Shape::Sharing, Shape::ReaperInHosts, Shape::Direct];

/// Who runs an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The launcher, before there is a first process.
    Launcher,
    /// The launcher, beside the first process.
    LauncherBesideFirst,
    /// The first process.
    First,
    /// The payload's process, below the reaper.
    Payload,
}

impl Shape {
    fn flags(self) -> u64 {
        let common =
            libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC | libc::CLONE_NEWNET;
        let pid = if self == Self::ReaperInHosts { 0 } else { libc::CLONE_NEWPID };
        u64::from((common | pid).unsigned_abs())
    }

    /// The program.
    pub(crate) fn program(self) -> Program {
        let mut draft = Draft::default();
        let proc = draft.inherit(OwnedFd::from(File::open("/proc").expect("procfs")));
        draft.launcher(l::mark(1, "launcher"));
        let clone = if self == Self::Sharing { l::clone_first_sharing } else { l::clone_first };
        draft.launcher(clone(self.flags(), "flags", None));
        draft.launcher(l::child_file(proc, c"oom_score_adj", b"100"));
        draft.launcher(l::run_map_helper(c"/bin/true", &[]));
        draft.launcher(l::release());
        draft.first_all([l::wait_for_release(), l::mark(2, "first"), p::sethostname(b"sweep")]);
        mounts(&mut draft);
        files(&mut draft);
        let socket = draft.slots.take();
        draft.first_all([p::interface_up(c"lo", socket), p::no_new_privs(), p::undumpable()]);
        if self != Self::Direct {
            draft.first(l::become_reaper(None));
        }
        draft.first_all([
            p::setsid(),
            p::umask(0o22),
            p::drop_bounding(0, "CAP_CHOWN"),
            l::change_directory(0),
        ]);
        draft.first_all([l::reset_signals(), l::close_others(), l::exec()]);
        Program::seal(draft).expect("a small program")
    }

    /// A launch that writes to the marker if its payload runs.
    pub(crate) fn launch(self, marker: &PipeWriter) -> Launch<'_> {
        let mut launch = shell("echo PAYLOAD-RAN >&3");
        launch.parameters = vec![Parameter::Text(text("/"))];
        launch.payload_fds.push((3, marker.as_fd()));
        launch.timings = ampoule_init::Timings::On;
        launch.pid_namespace = match self {
            Self::Reaper | Self::Sharing => PidNamespace::New,
            Self::ReaperInHosts | Self::Direct => PidNamespace::Other,
        };
        launch
    }

    /// Which process runs each operation.
    pub(crate) fn stages(self, program: &Program) -> Vec<(usize, Stage)> {
        let mut stage = Stage::Launcher;
        let mut stages = Vec::new();
        for (index, step) in program.steps().enumerate() {
            if step.name() == "wait_for_release" {
                stage = Stage::First;
            }
            stages.extend(std::iter::repeat_n((index, stage), step.operations()));
            stage = match step.name() {
                "clone3" => Stage::LauncherBesideFirst,
                "become_reaper" => Stage::Payload,
                _ => stage,
            };
        }
        stages
    }
}

/// A fault at this operation.
pub(crate) fn fault(operation: usize, outcome: u32) -> Option<Fault> {
    Some(Fault { operation: u32::try_from(operation).expect("a small program"), outcome })
}

fn mounts(draft: &mut Draft) {
    let (context, mounted) = (draft.slots.take(), draft.slots.take());
    let args = vec![
        c"none".into(),
        c"/".into(),
        0_u64.into(),
        (libc::MS_REC | libc::MS_PRIVATE).into(),
        0_u64.into(),
    ];
    draft.first_all([
        Step::call("mount", libc::SYS_mount, args),
        mount::fsopen(c"tmpfs", context),
        mount::option(context, c"size", c"65536"),
        mount::create(context),
        mount::fsmount(context, 0, mounted),
        file::close(context),
        l::send_fd(7, mounted),
        file::write_new(mounted.into(), c"file", 0o644, b"text"),
        file::chmod(mounted.into(), c"file", 0o600),
    ]);
    let target = draft.slots.take();
    draft.first_all([
        mount::target(mounted.into(), c"a/b/c", libc::S_IFDIR | 0o755, target),
        file::close(target),
    ]);
}

fn files(draft: &mut Draft) {
    let found = std::fs::metadata("/etc/passwd").expect("a file");
    let device = file::device_number(major(found.dev()), minor(found.dev()));
    let identity = file::Identity { device, inode: found.ino() };
    let (slot, null) = (draft.slots.take(), draft.slots.take());
    let read_only = u64::from(libc::O_RDONLY.unsigned_abs());
    draft.first_all([
        file::open(ampoule_init::Fd::Cwd, c"/etc/passwd", read_only, 0, slot),
        file::verify(slot.into(), identity),
        file::close(slot),
        file::open(ampoule_init::Fd::Cwd, c"/dev/null", read_only, 0, null),
        file::verify_device(null.into(), 1, 3),
        Step::call("getpid", libc::SYS_getpid, Vec::<Arg>::new()),
    ]);
}

/// The processes of init below a process that wait for something to happen (ppoll(2)): those that hang, and reapers.
pub(crate) fn waiting_below(host: u32) -> Vec<u32> {
    let below = tree(host).into_iter().skip(1);
    below
        .filter(|&pid| {
            comm_and_state(pid).is_some_and(|(comm, _)| comm == "ampoule-init") && in_ppoll(pid)
        })
        .collect()
}

fn in_ppoll(pid: u32) -> bool {
    let call = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    call.split(' ').next().and_then(|number| number.parse().ok()) == Some(libc::SYS_ppoll)
}
