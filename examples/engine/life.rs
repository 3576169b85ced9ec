//! From the start to the removal, and what is done with a container that runs.
//!
//! Kernel objects: those of the containers; a process of this program for each one with a terminal. Invariant: whoever has
//! a container's terminal lives as long as its program, because that ends with it.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use ampoule::Force;
use ampoule_examples::arguments::{Failure, print};
use ampoule_examples::foreground::{FAILED, Signals, exit_code, signal};
use ampoule_examples::terminal;
use rustix::stdio::{dup2_stderr, dup2_stdout};

use crate::arguments::Call;
use crate::container::{Engine, Saved, Terminal};
use crate::settings::variable;
use crate::show;

/// What the one who attends a container says once it runs.
const STARTED: &str = "started\n";

pub(crate) fn create(engine: &Engine, call: &Call) -> Result<u8, Failure> {
    let saved = engine.create(call)?;
    print(&format!("{}\n", saved.id))?;
    Ok(0)
}

pub(crate) fn run(engine: &Engine, call: &Call) -> Result<u8, Failure> {
    // Before the start, so that no signal is lost.
    let mut signals = Signals::catch()?;
    let saved = engine.create(call)?;
    let started = start_one(engine, &saved);
    if started.is_ok() && call.has("detach") {
        print(&format!("{}\n", saved.id))?;
        return Ok(0);
    }
    let ended = started.and_then(|()| {
        show::follow(engine, &saved, |kept| {
            // It may end meanwhile.
            signals.pending().into_iter().for_each(|signal| drop(kept.kill(signal)));
        })?;
        wait_one(engine, &saved)
    });
    if call.has("rm") {
        let _lock = engine.lock()?;
        engine.remove(&saved, Force::Yes)?;
    }
    ended
}

pub(crate) fn start(engine: &Engine, call: &Call) -> Result<u8, Failure> {
    if call.has("attend") {
        return attend(engine, &engine.find(&call.first()?)?);
    }
    each(engine, call, |saved| {
        start_one(engine, saved)?;
        Ok(format!("{}\n", saved.name))
    })
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

fn start_one(engine: &Engine, saved: &Saved) -> Result<(), Failure> {
    let _lock = engine.lock()?;
    if saved.terminal == Terminal::None {
        return engine.start(saved).map(drop);
    }
    let mut attending = Command::new(std::env::current_exe()?);
    attending.arg("--root").arg(&engine.root).arg("--store").arg(engine.store.path());
    attending.args(["start", "--attend", &saved.id]);
    let mut child = attending.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut said = String::new();
    child.stdout.take().map_or(Ok(0), |mut out| out.read_to_string(&mut said))?;
    if said == STARTED {
        return Ok(());
    }
    let code = child.wait()?.code().and_then(|code| u8::try_from(code).ok());
    Err(Box::new(Ended(code.unwrap_or(FAILED))))
}

/// Starts a container with a terminal, and copies what comes from it to the log until the end.
fn attend(engine: &Engine, saved: &Saved) -> Result<u8, Failure> {
    rustix::process::setsid()?;
    let mut kept = engine.start(saved)?;
    let pty = kept.pty.take();
    let mut log = saved.log()?;
    std::io::stdout().write_all(STARTED.as_bytes())?;
    let null = std::fs::File::open("/dev/null")?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    if let Some(mut pty) = pty {
        // EIO is its end.
        drop(std::io::copy(&mut pty, &mut log));
    }
    kept.wait()?;
    Ok(0)
}

pub(crate) fn exec(engine: &Engine, call: &Call) -> Result<u8, Failure> {
    let mut signals = Signals::catch()?;
    let kept = engine.running(&engine.find(&call.first()?)?)?;
    let mut words = call.rest();
    let program = words.next().ok_or("exec: of what?")?;
    let mut exec = kept.container()?.exec(program).args(words);
    for pair in call.all("env") {
        let (name, value) = variable(pair)?;
        exec = exec.env(name, value);
    }
    if let Some(user) = call.option("user") {
        exec = exec.user(user.parse()?);
    }
    if let Some(directory) = call.option("workdir") {
        exec = exec.current_dir(directory);
    }
    exec = match (call.has("tty"), call.has("interactive")) {
        (true, _) => exec.tty(terminal::window_size()),
        (false, true) => exec,
        (false, false) => exec.stdin(ampoule::Stdio::null()),
    };
    Ok(exit_code(&terminal::run(&mut exec.spawn()?, &mut signals, None)?))
}

pub(crate) fn stop(engine: &Engine, call: &Call) -> Result<u8, Failure> {
    let seconds = call.option("time").map_or(Ok(10), |text| text.parse())?;
    each(engine, call, |saved| {
        if let Ok(kept) = engine.running(saved) {
            kept.stop(Duration::from_secs(seconds))?;
        }
        Ok(format!("{}\n", saved.name))
    })
}

pub(crate) fn kill(engine: &Engine, call: &Call) -> Result<u8, Failure> {
    let number = signal(call.option("signal").as_deref().unwrap_or("KILL"))?;
    each(engine, call, |saved| {
        engine.running(saved)?.kill(number)?;
        Ok(format!("{}\n", saved.name))
    })
}

pub(crate) fn wait(engine: &Engine, call: &Call) -> Result<u8, Failure> {
    each(engine, call, |saved| Ok(format!("{}\n", wait_one(engine, saved)?)))
}

fn wait_one(engine: &Engine, saved: &Saved) -> Result<u8, Failure> {
    let kept = engine.kept(saved)?.ok_or_else(|| format!("{}: never started", saved.name))?;
    Ok(exit_code(&kept.wait()?))
}

pub(crate) fn remove(engine: &Engine, call: &Call) -> Result<u8, Failure> {
    let force = if call.has("force") { Force::Yes } else { Force::No };
    let _lock = engine.lock()?;
    each(engine, call, |saved| {
        engine.remove(saved, force)?;
        Ok(format!("{}\n", saved.name))
    })
}

/// Shows the files of a container: those of one that runs through its own root.
pub(crate) fn mount(engine: &Engine, call: &Call) -> Result<u8, Failure> {
    let _lock = engine.lock()?;
    each(engine, call, |saved| {
        if let Ok(kept) = engine.running(saved) {
            return Ok(format!("/proc/{}/root\n", kept.pid().unwrap_or_default()));
        }
        saved.umount()?;
        let mut mounted = engine.overlay(saved)?.mount()?;
        mounted.mount_at(saved.merged())?;
        mounted.leave();
        Ok(format!("{}\n", saved.merged().display()))
    })
}

pub(crate) fn umount(engine: &Engine, call: &Call) -> Result<u8, Failure> {
    let _lock = engine.lock()?;
    each(engine, call, |saved| {
        saved.umount()?;
        Ok(format!("{}\n", saved.name))
    })
}

/// Does it with every container of the command line, and prints what it gives.
fn each(
    engine: &Engine,
    call: &Call,
    mut done: impl FnMut(&Saved) -> Result<String, Failure>,
) -> Result<u8, Failure> {
    call.first()?;
    for word in &call.words {
        print(&done(&engine.find(&word.to_string_lossy())?)?)?;
    }
    Ok(0)
}
