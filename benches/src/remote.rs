//! The harness's side of a worker: starts it, asks it, ends it.
//!
//! Touches one child process, its pipes and its standard error in a file. Invariant: the worker and what it
//! started are gone when its value is dropped.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::failure::Failure;
use crate::host_size::Measured;
use crate::lineup::{Program, Row};
use crate::machine;
use crate::protocol::{Answer, Request};
use crate::worker::Assignment;

/// Longest time for one answer.
const PATIENCE: Duration = Duration::from_secs(120);
/// MiB that must stay free beside a worker's ballast.
const HEADROOM_MIB: u64 = 1024;
/// The mount that makes a cgroup v1 machine a hybrid one.
const UNIFIED: &str = "/sys/fs/cgroup/unified";
/// Runs the worker where that mount is gone, in a mount namespace of its own.
const WITHOUT_UNIFIED: &str = "umount /sys/fs/cgroup/unified && exec \"$0\" \"$@\"";

/// The programs that workers are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// This binary.
    pub bench: PathBuf,
    /// The binary of `benches/peers`, or why there is none.
    pub peers: Result<PathBuf, String>,
}

/// A worker that is ready.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    requests: Option<ChildStdin>,
    answers: Receiver<String>,
    errors: PathBuf,
    host: Measured,
}

impl Worker {
    /// Starts the worker of a row and waits until it is ready.
    ///
    /// # Errors
    /// When there is no memory or program for it, or what the worker itself reports.
    pub fn start(row: &Row, programs: &Programs, stage: &Path) -> Result<Self, Failure> {
        check_memory(row)?;
        let errors = stage.join(format!("errors-{}", row.to_string().replace([' ', '/'], "-")));
        let log = File::create(&errors).map_err(Failure::file("create", &errors))?;
        let mut command = command(row, programs, stage)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).process_group(0);
        let mut child = command.spawn().map_err(Failure::call("spawn (worker)"))?;
        let requests = child.stdin.take();
        let answers = lines_of(child.stdout.take());
        let host = Measured { rss_mib: 0, threads: 0, files: 0 };
        let mut worker = Self { child, requests, answers, errors, host };
        match worker.answer()? {
            Answer::Ready { host } => worker.host = host,
            _ => return Err(Failure::NoAnswer("it did not say that it is ready")),
        }
        Ok(worker)
    }

    /// How big the worker is.
    pub fn host(&self) -> Measured {
        self.host
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// What the worker reports, with the last lines of its standard error.
    pub fn ask(&mut self, request: &Request) -> Result<Answer, Failure> {
        let mut line = serde_json::to_string(request)?;
        line.push('\n');
        let requests = self.requests.as_mut().ok_or(Failure::NoAnswer("its input is closed"))?;
        requests.write_all(line.as_bytes()).map_err(Failure::call("write (request)"))?;
        self.answer()
    }

    /// The next answer; a failure becomes an error.
    fn answer(&mut self) -> Result<Answer, Failure> {
        let line = self.answers.recv_timeout(PATIENCE).map_err(|error| match error {
            RecvTimeoutError::Timeout => Failure::NoAnswer("nothing within two minutes"),
            RecvTimeoutError::Disconnected => self.ended(),
        })?;
        match serde_json::from_str(&line)? {
            Answer::Failed(said) => Err(Failure::reported(self.with_errors(&said))),
            answer => Ok(answer),
        }
    }

    /// The worker is gone: what it said last.
    fn ended(&self) -> Failure {
        Failure::reported(self.with_errors("the worker ended"))
    }

    /// Adds the last two lines that the worker or a command of it wrote to standard error.
    fn with_errors(&self, said: &str) -> String {
        let text = fs::read(&self.errors).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines[lines.len().saturating_sub(2)..].join(" / ");
        if last.is_empty() { said.to_owned() } else { format!("{said}: {last}") }
    }
}

impl Drop for Worker {
    #[expect(clippy::print_stderr, reason = "a drop has no other way to say what it left behind")]
    fn drop(&mut self) {
        drop(self.requests.take());
        let group = Pid::from_child(&self.child);
        if let Err(errno) = kill_process_group(group, Signal::KILL)
            && errno != rustix::io::Errno::SRCH
        {
            eprintln!("worker {} left behind: {errno}", self.child.id());
        }
        if let Err(error) = self.child.wait() {
            eprintln!("worker {} not reaped: {error}", self.child.id());
        }
    }
}

/// Whether the machine has memory for the row's ballast.
fn check_memory(row: &Row) -> Result<(), Failure> {
    let resident = u64::try_from(row.size.resident_mib).unwrap_or(u64::MAX);
    let needed = resident.saturating_add(HEADROOM_MIB);
    let available = machine::available_mib();
    if resident > 0 && available < needed {
        return Err(Failure::Memory { needed, available });
    }
    Ok(())
}

/// The command line of a row's worker.
fn command(row: &Row, programs: &Programs, stage: &Path) -> Result<Command, Failure> {
    let peers = || programs.peers.as_ref().map_err(Failure::reported);
    let program = if row.program == Program::Peers { peers()? } else { &programs.bench };
    let hybrid = Path::new(UNIFIED).join("cgroup.procs").exists();
    let mut command = if row.program == Program::BenchWithoutUnified && hybrid {
        let mut shell = Command::new("unshare");
        shell.args(["-m", "sh", "-c", WITHOUT_UNIFIED]).arg(program);
        shell
    } else {
        Command::new(program)
    };
    let assignment = Assignment {
        contender: row.contender.into(),
        configuration: row.configuration,
        stage: stage.to_owned(),
        size: row.size,
    };
    command.args(assignment.to_arguments());
    Ok(command)
}

/// Reads lines in a thread that ends with the worker, so that an answer can be waited for with a limit.
fn lines_of(output: Option<ChildStdout>) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    if let Some(output) = output {
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
    }
    receiver
}
