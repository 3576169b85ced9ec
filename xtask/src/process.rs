//! Running other programs: for their status, for their output, or watched with a deadline.
//!
//! Touches processes and process groups. Invariant: a watched program's whole process group is
//! gone when [`Watched::run`] returns.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

use crate::error::Error;

/// How long a process may take to disappear after the program that started it has ended.
const SETTLE: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(20);

/// Runs a command with our own stdio.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus, Error> {
    command.status().map_err(|source| Error::start(command, source))
}

/// Runs a command that has to succeed, and returns its standard output.
pub(crate) fn stdout(command: &mut Command) -> Result<String, Error> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| Error::start(command, source))?;
    if !output.status.success() {
        return Err(Error::exit(command, output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Finds a program in `PATH` or in the system directories that an ordinary `PATH` lacks, or a library.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let libraries = [format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH), "/usr/lib64".into()];
    std::env::split_paths(&path)
        .chain(system)
        .chain(libraries.map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|candidate| candidate.is_file())
}

/// `command` behind `setpriv --pdeathsig KILL` where there is such a program, so that
/// an interrupted xtask leaves no test running in its own process group.
pub(crate) fn dying_with_us(program: impl Into<OsString>) -> Command {
    ending_with_us(program, "KILL")
}

/// As [`dying_with_us`], with a signal on which the program can tidy up.
pub(crate) fn ending_with_us(program: impl Into<OsString>, signal: &str) -> Command {
    match find("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", signal, "--"]).arg(program.into());
            command
        }
        None => Command::new(program.into()),
    }
}

/// What became of a watched program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It ended by itself.
    Exited(ExitStatus),
    /// It did not end in time and was killed with its group.
    TimedOut,
    /// It ended, but left a process in its group or holding its output; these were killed.
    LeftProcesses(ExitStatus),
}

impl End {
    /// Whether the program ended by itself, with success, leaving nothing.
    pub(crate) fn is_clean(self) -> bool {
        matches!(self, Self::Exited(status) if status.success())
    }
}

/// A program that runs in a process group of its own under a deadline.
pub(crate) struct Watched {
    child: Child,
    group: Option<Pid>,
    lines: Receiver<String>,
    deadline: Instant,
}

impl Watched {
    /// Starts `command`, hands each line of its two output streams to `each_line`, in the order
    /// in which they were written, and waits for its end.
    pub(crate) fn run(
        command: &mut Command,
        limit: Duration,
        each_line: &mut dyn FnMut(&str),
    ) -> Result<End, Error> {
        let failed = |source| Error::start(command, source);
        let (out, to_us) = std::io::pipe().map_err(failed)?;
        let also_to_us = to_us.try_clone().map_err(failed)?;
        command.process_group(0).stdin(Stdio::null()).stdout(to_us).stderr(also_to_us);
        let child = command.spawn();
        // The command must not hold the writing end, or the output never ends.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = child.map_err(|source| Error::start(command, source))?;
        let lines = read_lines(out);
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let deadline = Instant::now() + limit;
        let mut watched = Self { child, group, lines, deadline };
        let end = watched.watch(each_line).map_err(|source| Error::start(command, source))?;
        Ok(end)
    }

    fn watch(&mut self, each_line: &mut dyn FnMut(&str)) -> std::io::Result<End> {
        let mut open = true;
        loop {
            open = open && self.forward(each_line);
            if let Some(status) = self.child.try_wait()? {
                return Ok(self.settle(status, open, each_line));
            }
            if Instant::now() >= self.deadline {
                self.kill_group();
                self.child.wait()?;
                return Ok(End::TimedOut);
            }
            if !open {
                std::thread::sleep(TICK);
            }
        }
    }

    /// Hands on what has arrived; `false` once the output is closed.
    fn forward(&self, each_line: &mut dyn FnMut(&str)) -> bool {
        loop {
            match self.lines.recv_timeout(TICK) {
                Ok(line) => each_line(&line),
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
            if Instant::now() >= self.deadline {
                return true;
            }
        }
    }

    fn settle(&self, status: ExitStatus, open: bool, each_line: &mut dyn FnMut(&str)) -> End {
        let until = Instant::now() + SETTLE;
        let mut open = open;
        while Instant::now() < until {
            open = open && self.forward(each_line);
            if !open && !self.group_is_there() {
                return End::Exited(status);
            }
            std::thread::sleep(TICK);
        }
        self.kill_group();
        End::LeftProcesses(status)
    }

    fn group_is_there(&self) -> bool {
        let any = |group| test_kill_process_group(group).is_ok() && has_living_member(group);
        self.group.is_some_and(any)
    }

    fn kill_group(&self) {
        if let Some(group) = self.group
            && let Err(errno) = kill_process_group(group, Signal::KILL)
            && errno != rustix::io::Errno::SRCH
        {
            eprintln!("xtask: kill process group {group:?}: {errno}");
        }
    }
}

/// Whether a process of the group is more than a zombie that its new parent has not reaped yet.
fn has_living_member(group: Pid) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else { return true };
    let stats = processes.filter_map(|entry| {
        let path = entry.ok()?.path().join("stat");
        std::fs::read_to_string(path).ok()
    });
    stats.into_iter().any(|stat| {
        // proc_pid_stat(5): pid (name) state ppid pgrp …; the name may hold spaces and brackets.
        let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let mut fields = after_name.split(' ');
        let alive = fields.next().is_some_and(|state| state != "Z" && state != "X");
        alive && fields.nth(1) == Some(group.as_raw_nonzero().to_string().as_str())
    })
}

fn read_lines(out: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut out = BufReader::new(out);
        let mut line = Vec::new();
        while out.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
            if sender.send(text).is_err() {
                return;
            }
            line.clear();
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> (End, Vec<String>) {
        let mut lines = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let end = Watched::run(&mut command, limit, &mut |line| lines.push(line.to_owned()));
        (end.expect("sh starts"), lines)
    }

    #[test]
    fn every_line_arrives() {
        let (end, lines) = shell("echo a; printf b; exit 0", Duration::from_secs(20));
        assert!(end.is_clean());
        assert_eq!(lines, ["a", "b"]);
    }

    #[test]
    fn a_failure_is_not_clean() {
        assert!(!shell("exit 3", Duration::from_secs(20)).0.is_clean());
    }

    #[test]
    fn a_hung_program_is_killed_with_its_group() {
        let begin = Instant::now();
        let (end, _) = shell("sleep 1000 & sleep 1000", Duration::from_millis(300));
        assert_eq!(end, End::TimedOut);
        assert!(begin.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_process_left_behind_is_noticed() {
        let (end, _) = shell("sleep 1000 & exit 0", Duration::from_secs(20));
        assert!(matches!(end, End::LeftProcesses(_)));
    }
}
