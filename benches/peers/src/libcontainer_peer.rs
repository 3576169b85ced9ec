//! youki's libcontainer as a contender: create, start, wait, delete.
//!
//! Touches what it touches: state files below the stage directory, groups where it makes them.
//! Invariant: the bundle is written once.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use ampoule_benches::bundle::{self, UserNamespace};
use ampoule_benches::contender::{Contender, Sample, Stopwatch};
use ampoule_benches::failure::Failure;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use rustix::process::{Pid, WaitOptions, waitpid};

/// A bundle that is started again and again, under a new id each time.
pub(crate) struct Libcontainer {
    bundle: PathBuf,
    state: PathBuf,
    started: AtomicU64,
}

impl Libcontainer {
    /// Writes the bundle and makes the state directory.
    pub(crate) fn new(stage: &Path) -> Result<Self, Failure> {
        let name = format!("libcontainer-{}", std::process::id());
        let bundle = bundle::write(stage, &name, UserNamespace::Host)?;
        let state = stage.join(format!("state-{name}"));
        std::fs::create_dir_all(&state).map_err(Failure::file("create", &state))?;
        Ok(Self { bundle, state, started: AtomicU64::new(0) })
    }
}

impl Contender for Libcontainer {
    fn spawn(&self) -> Result<Sample, Failure> {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let id = format!("ampoule-bench-{}-{number}", std::process::id());
        let mut watch = Stopwatch::new();
        let mut container = ContainerBuilder::new(id, SyscallType::default())
            .with_root_path(&self.state)
            .map_err(Failure::reported)?
            .as_init(&self.bundle)
            .with_systemd(false)
            .with_detach(true)
            .build()
            .map_err(Failure::reported)?;
        let pid = container.pid().and_then(|pid| Pid::from_raw(pid.as_raw()));
        container.start().map_err(Failure::reported)?;
        let reaped = waitpid(pid, WaitOptions::empty()).map_err(Failure::call("waitpid"))?;
        watch.reaped();
        container.delete(true).map_err(Failure::reported)?;
        let sample = watch.cleaned();
        match reaped.and_then(|(_, status)| status.exit_status()) {
            Some(0) => Ok(sample),
            code => Err(Failure::Payload(code.unwrap_or(-1))),
        }
    }
}
