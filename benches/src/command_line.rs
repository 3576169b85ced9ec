//! Contenders that are command lines: `std::process::Command` itself, bubblewrap, crun and runc.
//!
//! Touches one child process per start. Invariant: a start is the whole command line, from posix_spawn to
//! its end, so reaped and cleaned are one moment.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::bundle::{self, UserNamespace};
use crate::contender::{Contender, Sample, Stopwatch};
use crate::failure::Failure;
use crate::rootfs::rootfs_of;

/// A command line that ends with status 0 when the payload did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    program: OsString,
    arguments: Vec<OsString>,
}

impl Contender for CommandLine {
    fn spawn(&self) -> Result<Sample, Failure> {
        let watch = Stopwatch::new();
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null());
        let status = command.status().map_err(Failure::call("posix_spawn"))?;
        let sample = watch.cleaned();
        if status.success() { Ok(sample) } else { Err(Failure::Ended(status)) }
    }
}

/// `true` without any isolation, for scale.
pub fn plain(stage: &Path) -> CommandLine {
    CommandLine { program: rootfs_of(stage).join("bin/true").into(), arguments: Vec::new() }
}

/// bubblewrap with everything unshared; it maps one id only and has its own process 1.
pub fn bubblewrap(stage: &Path) -> CommandLine {
    let mut arguments: Vec<OsString> = ["--unshare-all", "--unshare-user"].map(Into::into).into();
    arguments.extend(["--hostname", "ampoule", "--bind"].map(Into::into));
    arguments.push(rootfs_of(stage).into());
    let rest = "/ --proc /proc --dev /dev --mqueue /dev/mqueue --cap-drop ALL --new-session";
    arguments.extend(rest.split(' ').map(Into::into));
    arguments.extend(["--clearenv", "/bin/true"].map(Into::into));
    CommandLine { program: "bwrap".into(), arguments }
}

/// `crun run` or `runc run` of a bundle.
///
/// # Errors
/// When the bundle cannot be written.
pub fn runtime(program: &str, stage: &Path) -> Result<CommandLine, Failure> {
    let bundle = bundle::write(stage, program, UserNamespace::New)?;
    let state = stage.join(format!("state-{program}"));
    fs::create_dir_all(&state).map_err(Failure::file("create", &state))?;
    let id = format!("ampoule-bench-{}", std::process::id());
    let arguments =
        ["--root".into(), state.into(), "run".into(), "--bundle".into(), bundle.into(), id.into()];
    Ok(CommandLine { program: program.into(), arguments: arguments.into() })
}
