//! From the start to the removal, and what is done with a container that runs.
//!
//! Kernel objects: those of the containers; a process of this program for each one with a terminal. Invariant: whoever has
//! a container's terminal lives as long as its program, because that ends with it.

use std::time::Duration;

use ampoule::Force;
use ampoule_examples::arguments::{Failure, assignment, print};
use ampoule_examples::foreground::{Signals, exit_code, signal};
use ampoule_examples::verbs::Call;
use ampoule_examples::{background, terminal};

use crate::container::{Engine, Saved};

pub(crate) fn create(engine: &Engine, call: &Call) -> Result<u8, Failure> {
    print(&format!("{}\n", engine.create(call)?.id)).map(|()| 0)
}

pub(crate) fn run(engine: &Engine, call: &Call) -> Result<u8, Failure> {
    // Before the start, so that no signal is lost.
    let mut signals = Signals::catch()?;
    let saved = engine.create(call)?;
    let in_background = call.has("detach");
    let ended = start(engine, call, &saved).and_then(|_| {
        if in_background {
            return print(&format!("{}\n", saved.id)).map(|()| 0);
        }
        background::follow(saved.log()?, || {
            let kept = engine.running(&saved);
            // It may end meanwhile.
            let hand_on = |signal| kept.iter().for_each(|kept| drop(kept.kill(signal)));
            signals.pending().into_iter().for_each(hand_on);
            kept.is_ok()
        })?;
        status(engine, &saved)
    });
    if call.has("rm") && (ended.is_err() || !in_background) {
        remove(engine, call, &saved)?;
    }
    ended
}

pub(crate) fn start(engine: &Engine, _: &Call, saved: &Saved) -> Result<String, Failure> {
    let _lock = engine.records.lock()?;
    if saved.tty {
        background::launch(|command| {
            command.arg("--root").arg(&engine.root).arg("--store").arg(engine.store.path());
            command.args(["attend", &saved.id])
        })?;
    } else {
        engine.start(saved)?;
    }
    Ok(format!("{}\n", saved.name))
}

/// Starts a container with a terminal, and copies what comes from it to the log until the end.
pub(crate) fn attend(engine: &Engine, _: &Call, saved: &Saved) -> Result<String, Failure> {
    rustix::process::setsid()?;
    let mut kept = engine.start(saved)?;
    background::begun()?;
    if let Some(mut pty) = kept.pty.take() {
        // EIO is its end.
        drop(std::io::copy(&mut pty, &mut saved.log()?));
    }
    Ok(kept.wait().map(|_| String::new())?)
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
    let name = call.parsed("signal")?.unwrap_or_else(|| "KILL".to_owned());
    let number = signal(&name)?;
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
    let _lock = engine.records.lock()?;
    let force = if call.has("force") || call.has("rm") { Force::Yes } else { Force::No };
    if engine.kept(saved)?.is_some() {
        engine.states.delete(&saved.id, force)?;
    }
    saved.umount()?;
    engine.records.forget(saved)?;
    engine.overlay(saved)?.discard()?;
    std::fs::remove_dir_all(&saved.directory)?;
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
