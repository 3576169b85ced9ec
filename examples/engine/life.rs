//! From the start to the removal, and what is done with a container that runs.
//!
//! Kernel objects: those of the containers; a process of this program for each one with a terminal. Invariant: whoever has
//! a container's terminal lives as long as its program, because that ends with it.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use ampoule::Force;
use ampoule_examples::arguments::{Failure, assignment, print};
use ampoule_examples::foreground::{FAILED, Signals, exit_code, signal};
use ampoule_examples::terminal;
use ampoule_examples::verbs::Call;
use rustix::stdio::{dup2_stderr, dup2_stdout};

use crate::container::{Engine, Saved};
use crate::show;

/// The verb of the one who attends a container with a terminal, and what it says once that runs.
pub(crate) const ATTEND: &str = "attend";
const STARTED: &str = "started\n";

pub(crate) fn create(engine: &Engine, call: &Call) -> Result<u8, Failure> {
    let saved = engine.create(call)?;
    print(&format!("{}\n", saved.id)).map(|()| 0)
}

pub(crate) fn run(engine: &Engine, call: &Call) -> Result<u8, Failure> {
    // Before the start, so that no signal is lost.
    let mut signals = Signals::catch()?;
    let saved = engine.create(call)?;
    let in_background = call.has("detach");
    let ended = launch(engine, &saved).and_then(|()| {
        if in_background {
            return print(&format!("{}\n", saved.id)).map(|()| 0);
        }
        show::follow(engine, &saved, |kept| {
            // It may end meanwhile.
            signals.pending().into_iter().for_each(|signal| drop(kept.kill(signal)));
        })?;
        status(engine, &saved)
    });
    if call.has("rm") && (ended.is_err() || !in_background) {
        engine.remove(&saved, Force::Yes)?;
    }
    ended
}

pub(crate) fn start(engine: &Engine, _: &Call, saved: &Saved) -> Result<String, Failure> {
    launch(engine, saved)?;
    Ok(format!("{}\n", saved.name))
}

/// The exit code of another process of this program, which has said what was wrong.
#[derive(Debug)]
pub(crate) struct Ended(pub(crate) u8);

impl std::error::Error for Ended {}

impl std::fmt::Display for Ended {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "exit code {}", self.0)
    }
}

fn launch(engine: &Engine, saved: &Saved) -> Result<(), Failure> {
    let _lock = engine.records.lock()?;
    if !saved.tty {
        return engine.start(saved).map(drop);
    }
    let mut attending = Command::new(std::env::current_exe()?);
    attending.arg("--root").arg(&engine.root).arg("--store").arg(engine.store.path());
    attending.args([ATTEND, &saved.id]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = attending.spawn()?;
    let mut said = String::new();
    child.stdout.take().map_or(Ok(0), |mut out| out.read_to_string(&mut said))?;
    if said == STARTED {
        return Ok(());
    }
    let code = child.wait()?.code().and_then(|code| u8::try_from(code).ok());
    Err(Box::new(Ended(code.unwrap_or(FAILED))))
}

/// Starts a container with a terminal, and copies what comes from it to the log until the end.
pub(crate) fn attend(engine: &Engine, _: &Call, saved: &Saved) -> Result<String, Failure> {
    rustix::process::setsid()?;
    let mut kept = engine.start(saved)?;
    let null = File::open("/dev/null")?;
    std::io::stdout().write_all(STARTED.as_bytes())?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    if let Some(mut pty) = kept.pty.take() {
        // EIO is its end.
        drop(std::io::copy(&mut pty, &mut saved.log()?));
    }
    kept.wait()?;
    Ok(String::new())
}

pub(crate) fn exec(engine: &Engine, call: &Call) -> Result<u8, Failure> {
    let mut signals = Signals::catch()?;
    let [container, program, words @ ..] = call.words.as_slice() else {
        return Err("exec: of what?".into());
    };
    let kept = engine.running(&engine.records.find(container)?)?;
    let mut exec = kept.container()?.exec(program).args(words);
    for pair in call.all("env") {
        let (name, value) = assignment(pair)?;
        exec = exec.env(name, value);
    }
    exec = match (call.has("tty"), call.has("interactive")) {
        (true, _) => exec.tty(terminal::window_size()),
        (false, true) => exec,
        (false, false) => exec.stdin(ampoule::Stdio::null()),
    };
    Ok(exit_code(&terminal::run(&mut exec.spawn()?, &mut signals, None)?))
}

pub(crate) fn stop(engine: &Engine, call: &Call, saved: &Saved) -> Result<String, Failure> {
    let limit = Duration::from_secs(call.parsed("time")?.unwrap_or(10));
    if let Ok(kept) = engine.running(saved) {
        kept.stop(limit)?;
    }
    Ok(format!("{}\n", saved.name))
}

pub(crate) fn kill(engine: &Engine, call: &Call, saved: &Saved) -> Result<String, Failure> {
    let name = call.option("signal").map(|name| name.to_string_lossy());
    let number = signal(name.as_deref().unwrap_or("KILL"))?;
    engine.running(saved)?.kill(number)?;
    Ok(format!("{}\n", saved.name))
}

pub(crate) fn wait(engine: &Engine, _: &Call, saved: &Saved) -> Result<String, Failure> {
    Ok(format!("{}\n", status(engine, saved)?))
}

fn status(engine: &Engine, saved: &Saved) -> Result<u8, Failure> {
    let kept = engine.kept(saved)?.ok_or_else(|| format!("{}: never started", saved.name))?;
    Ok(exit_code(&kept.wait()?))
}

pub(crate) fn remove(engine: &Engine, call: &Call, saved: &Saved) -> Result<String, Failure> {
    engine.remove(saved, if call.has("force") { Force::Yes } else { Force::No })?;
    Ok(format!("{}\n", saved.name))
}

/// Shows the files of a container: those of one that runs through its own root.
pub(crate) fn mount(engine: &Engine, _: &Call, saved: &Saved) -> Result<String, Failure> {
    let _lock = engine.records.lock()?;
    if let Ok(kept) = engine.running(saved) {
        return Ok(format!("/proc/{}/root\n", kept.pid().unwrap_or_default()));
    }
    saved.umount()?;
    let mut mounted = engine.overlay(saved)?.mount()?;
    mounted.mount_at(saved.merged())?;
    mounted.leave();
    Ok(format!("{}\n", saved.merged().display()))
}
