//! Processes in a running container: a further one, and all of them.

use std::ffi::OsString;

use ampoule::oci::{Inherited, process, write_pid_file};
use ampoule::{Container, ErrorKind, Exec, Kept, StateDirectory, WindowSize};
use ampoule_examples::arguments::{Failure, print};
use ampoule_examples::foreground::Signals;
use serde_json::Value;

use crate::arguments::Call;
use crate::follow::{self, Terminal};

pub(crate) fn exec(states: &StateDirectory, call: &Call) -> Result<u8, Failure> {
    let kept = call.container(states)?;
    let inherited = Inherited::collect(call.preserved()?)?;
    let mut signals = Signals::catch()?;
    let (exec, has_terminal) = order(&kept, call)?;
    let detached = call.has("detach");
    let terminal = if detached { Terminal::Handed } else { Terminal::Own };
    follow::check(call, has_terminal, terminal)?;
    let mut process = inherited.pass_to(exec).spawn()?;
    kept.send_listener(&mut process)?;
    if let Some(socket) = call.path("console-socket") {
        process.pty.take().map_or(Ok(()), |pty| pty.send(socket))?;
    }
    if let Some(file) = call.path("pid-file") {
        write_pid_file(file, process.pid())?;
    }
    if detached {
        process.detach();
        return Ok(0);
    }
    follow::process(process, &mut signals)
}

/// The process, and whether it has a terminal.
fn order<'a>(kept: &'a Kept, call: &Call) -> Result<(Exec<'a>, bool), Failure> {
    let container = running(kept)?;
    if let Some(file) = call.path("process") {
        let json = std::fs::read(file)?;
        let said: Value = serde_json::from_slice(&json)?;
        return Ok((process(container, &json)?, said["terminal"] == true));
    }
    let mut words = call.words.iter().skip(1);
    let program = words.next().ok_or("no command given (see --help)")?;
    let mut exec = container.exec(program).args(words);
    for variable in call.all("env") {
        let variable = variable.to_str().ok_or("--env is not UTF-8")?;
        let (name, value) = variable.split_once('=').ok_or("--env needs NAME=VALUE")?;
        exec = exec.env(name, value);
    }
    if let Some(directory) = call.path("cwd") {
        exec = exec.current_dir(directory);
    }
    if let Some(user) = call.option("user").map(OsString::from) {
        exec = exec.user(user.to_string_lossy().parse()?);
    }
    let has_terminal = call.has("tty");
    Ok((if has_terminal { exec.tty(WindowSize::default()) } else { exec }, has_terminal))
}

/// The container, in the words of engines if nothing can be started in it.
fn running(kept: &Kept) -> Result<&Container, Failure> {
    let container = kept.container().map_err(|error| match error.kind() {
        ErrorKind::WrongState => "cannot exec in a stopped container".into(),
        _ => Failure::from(error),
    })?;
    // Whoever joins what is frozen waits until it goes on.
    let state = container.group().and_then(|group| group.freeze_state().ok());
    match state.is_some_and(|state| state.is_frozen().unwrap_or(false)) {
        true => Err("cannot exec in a paused container".into()),
        false => Ok(container),
    }
}

pub(crate) fn ps(states: &StateDirectory, call: &Call) -> Result<(), Failure> {
    let ids = call.container(states)?.container()?.processes()?;
    match call.option("format").map(|format| format.to_string_lossy()).as_deref() {
        Some("json") => print(&format!("{}\n", Value::from_iter(ids))),
        None | Some("table") => {
            let lines = ids.iter().map(|id| format!("{id}\n"));
            print(&std::iter::once("PID\n".to_owned()).chain(lines).collect::<String>())
        }
        Some(other) => Err(format!("--format: {other} is neither table nor json").into()),
    }
}
