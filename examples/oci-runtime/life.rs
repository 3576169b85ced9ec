//! From the bundle to the end: create, start, run, state, list, kill, delete.

use std::fmt::Write as _;
use std::path::Path;

use ampoule::oci::spec::{Bundle, CgroupsPath, Document};
use ampoule::oci::{Config, send_pidfd, write_pid_file};
use ampoule::{Force, Kept, Placement, RunState, Scope, ScopeName, StateDirectory};
use ampoule_examples::arguments::{Failure, print};
use ampoule_examples::foreground::{Signals, signal};
use ampoule_examples::verbs::Call;
use serde_json::{Value, json};

use crate::arguments::{Globals, Groups, container, id, inherited};
use crate::follow::{self, Terminal};
use crate::log;

pub(crate) fn create(
    globals: &Globals,
    states: &StateDirectory,
    call: &Call,
) -> Result<(), Failure> {
    made(globals, states, call, Terminal::Handed).map(drop)
}

/// The created container; its terminal and its pid are where the engine wants them.
fn made(
    globals: &Globals,
    states: &StateDirectory,
    call: &Call,
    terminal: Terminal,
) -> Result<Kept, Failure> {
    let id = id(call)?;
    let directory = call.path("bundle").unwrap_or(Path::new("."));
    let bundle = match call.path("config").or(globals.config.as_deref()) {
        None => Bundle::load(directory)?,
        Some(file) => Bundle::new(directory, Document::parse(&std::fs::read(file)?)?),
    };
    let inherited = inherited(call)?;
    let mut config = Config::from_bundle(&bundle)?;
    match globals.groups {
        Groups::AsThePath => {}
        Groups::Systemd => in_a_scope(id, &bundle, &mut config)?,
        Groups::Disabled => config = config.without_group()?,
    }
    follow::check(call, config.terminal.is_some(), terminal)?;
    let mut kept = states.create_config(id, config, directory, inherited)?;
    if let Err(error) = hand_over(&mut kept, call) {
        // The first error is the one to tell.
        drop(states.delete_with_hooks(id, Force::Yes));
        return Err(error);
    }
    Ok(kept)
}

/// Where the bundle says no place, the scope is named after the container.
fn in_a_scope(id: &str, bundle: &Bundle, config: &mut Config) -> Result<(), Failure> {
    let linux = bundle.document().spec().linux().as_ref();
    let path = linux.and_then(|linux| linux.cgroups_path().as_ref()).map(|it| it.to_string_lossy());
    match path {
        Some(path) if matches!(path.parse(), Ok(CgroupsPath::Systemd(_))) => Ok(()),
        Some(path) => Err(format!(
            "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got {path:?} instead"
        )
        .into()),
        None => {
            let scope = Scope::default().named(ScopeName::new(format!("ampoule-{id}.scope"))?);
            config.builder = config.builder.clone().cgroup_placement(Placement::Systemd(scope));
            Ok(())
        }
    }
}

fn hand_over(kept: &mut Kept, call: &Call) -> Result<(), Failure> {
    if let Some(socket) = call.path("console-socket") {
        kept.pty.take().map_or(Ok(()), |pty| pty.send(socket))?;
    }
    if let Some(file) = call.path("pid-file") {
        write_pid_file(file, kept.pid().unwrap_or_default())?;
    }
    if let (Some(socket), Some(pidfd)) = (call.path("pidfd-socket"), kept.pidfd()) {
        send_pidfd(socket, pidfd)?;
    }
    Ok(())
}

pub(crate) fn run(globals: &Globals, states: &StateDirectory, call: &Call) -> Result<u8, Failure> {
    let detached = call.has("detach");
    // Before the start, so that no signal is lost.
    let mut signals = Signals::catch()?;
    let terminal = if detached { Terminal::Handed } else { Terminal::Own };
    let mut kept = made(globals, states, call, terminal)?;
    let pty = kept.pty.take();
    let ended = kept.start_with_hooks().map_err(Failure::from).and_then(|warnings| {
        warn(globals, &warnings);
        if detached { Ok(0) } else { follow::container(&kept, &mut signals, pty) }
    });
    if ended.is_err() || !(detached || call.has("keep")) {
        let deleted = states.delete_with_hooks(id(call)?, Force::Yes);
        // The first error is the one to tell.
        let code = ended?;
        warn(globals, &deleted?);
        return Ok(code);
    }
    ended
}

pub(crate) fn start(
    globals: &Globals,
    states: &StateDirectory,
    call: &Call,
) -> Result<(), Failure> {
    let warnings = container(states, call)?.start_with_hooks()?;
    warn(globals, &warnings);
    Ok(())
}

pub(crate) fn delete(
    globals: &Globals,
    states: &StateDirectory,
    call: &Call,
) -> Result<(), Failure> {
    let force = if call.has("force") { Force::Yes } else { Force::No };
    let warnings = states.delete_with_hooks(id(call)?, force)?;
    warn(globals, &warnings);
    Ok(())
}

fn warn(globals: &Globals, warnings: &[ampoule::Error]) {
    warnings.iter().for_each(|warning| log::write(globals, "warning", &log::sentence(warning)));
}

pub(crate) fn state(states: &StateDirectory, call: &Call) -> Result<(), Failure> {
    print(&format!("{:#}\n", described(&container(states, call)?)))
}

/// What engines want to know beyond the specification.
fn described(kept: &Kept) -> Value {
    let mut state = kept.oci_state();
    state["created"] = json!(humantime::format_rfc3339_nanos(kept.created()).to_string());
    state
}

pub(crate) fn list(states: &StateDirectory, call: &Call) -> Result<(), Failure> {
    let listed = states.list()?;
    let kept: Vec<Kept> = listed.into_iter().filter_map(|one| one.container.ok()).collect();
    if call.has("quiet") {
        return print(&kept.iter().map(|kept| format!("{}\n", kept.id())).collect::<String>());
    }
    match call.option("format").map(|format| format.to_string_lossy()).as_deref() {
        Some("json") => print(&format!("{}\n", Value::from_iter(kept.iter().map(described)))),
        None | Some("table") => {
            let mut table = format!("{:20} {:10} {:10} BUNDLE\n", "ID", "PID", "STATUS");
            for kept in &kept {
                let bundle = kept.bundle().unwrap_or(Path::new("")).display();
                let pid = kept.pid().unwrap_or(0);
                writeln!(
                    table,
                    "{:20} {pid:<10} {:10} {bundle}",
                    kept.id(),
                    kept.state().to_string()
                )?;
            }
            print(&table)
        }
        Some(other) => Err(format!("--format: {other} is neither table nor json").into()),
    }
}

pub(crate) fn kill(states: &StateDirectory, call: &Call) -> Result<(), Failure> {
    let named = call.words.get(1).map(|word| word.to_string_lossy());
    let signal = signal(named.as_deref().unwrap_or("TERM"))?;
    let kept = container(states, call)?;
    match call.has("all") && kept.state() != RunState::Stopped {
        true => Ok(kept.container()?.kill_each(signal)?),
        false => Ok(kept.kill(signal)?),
    }
}
