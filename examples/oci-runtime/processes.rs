//! Processes in a running container: a further one, and all of them.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};

use ampoule::oci::{process, send_pidfd, write_pid_file};
use ampoule::{Container, ErrorKind, Exec, Kept, StateDirectory, WindowSize};
use ampoule_examples::arguments::{Failure, assignment, print};
use ampoule_examples::foreground::Signals;
use ampoule_examples::verbs::Call;
use serde_json::Value;

use crate::arguments::{container, inherited};
use crate::follow::{self, Terminal};

pub(crate) fn exec(states: &StateDirectory, call: &Call) -> Result<u8, Failure> {
    let kept = container(states, call)?;
    let inherited = inherited(call)?;
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
    if let Some(socket) = call.path("pidfd-socket") {
        send_pidfd(socket, process.pidfd())?;
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
        let (name, value) = assignment(variable)?;
        exec = exec.env(name, value);
    }
    if let Some(directory) = call.path("cwd") {
        exec = exec.current_dir(directory);
    }
    if let Some(user) = call.parsed("user")? {
        exec = exec.user(user);
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
    let ids = container(states, call)?.container()?.processes()?;
    let said = call.option("format").map(OsStr::to_string_lossy);
    let (format, columns) = match &call.words[1..] {
        [option, format] if option == "--format" => (Some(format.to_string_lossy()), &[][..]),
        columns => (said, columns),
    };
    match format.as_deref() {
        Some("json") => print(&format!("{}\n", Value::from_iter(ids))),
        None | Some("table") if columns.is_empty() => {
            let lines = ids.iter().map(|id| format!("{id}\n"));
            print(&std::iter::once("PID\n".to_owned()).chain(lines).collect::<String>())
        }
        None | Some("table") => print(&table(columns, &ids)?),
        Some(other) => Err(format!("--format: {other} is neither table nor json").into()),
    }
}

/// What ps(1) says with these options, of these processes alone.
fn table(options: &[OsString], ids: &BTreeSet<u32>) -> Result<String, Failure> {
    let output = std::process::Command::new("ps").args(options).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let header = text.lines().next().unwrap_or_default();
    let column = header.split_whitespace().position(|name| name == "PID");
    let Some(column) = column.filter(|_| output.status.success()) else {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("ps {options:?} shows no PID: {said}").into());
    };
    let of_it = |line: &&str| {
        let id = line.split_whitespace().nth(column).and_then(|id| id.parse().ok());
        id.is_some_and(|id| ids.contains(&id))
    };
    let lines = std::iter::once(header).chain(text.lines().skip(1).filter(of_it));
    Ok(lines.map(|line| format!("{line}\n")).collect())
}
