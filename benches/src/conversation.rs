//! A child process that answers one JSON line per JSON line.
//!
//! Touches one child process, its pipes and its standard error in a file. Invariant: the child and what it started
//! are gone when the value is dropped; it gets the time to end by itself.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// Longest time for one answer.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a child may take to end after its input is closed: it removes what it made.
const PARTING: Duration = Duration::from_secs(10);

/// A child that is asked and answers.
#[derive(Debug)]
pub struct Conversation {
    child: Child,
    requests: Option<ChildStdin>,
    answers: Receiver<String>,
    errors: PathBuf,
}

impl Conversation {
    /// Starts the child in a process group of its own, its standard error in the file `errors`.
    ///
    /// # Errors
    /// When the file or the child cannot be made.
    pub fn begin(mut command: Command, errors: PathBuf) -> Result<Self, Failure> {
        let log = File::create(&errors).map_err(Failure::file("create", &errors))?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).process_group(0);
        let mut child = command.spawn().map_err(Failure::call("spawn (worker)"))?;
        let requests = child.stdin.take();
        let answers = lines_of(child.stdout.take());
        Ok(Self { child, requests, answers, errors })
    }

    /// Sends a request.
    ///
    /// # Errors
    /// When the child does not read any more.
    pub fn say<Q: Serialize>(&mut self, request: &Q) -> Result<(), Failure> {
        let mut line = serde_json::to_string(request)?;
        line.push('\n');
        let requests = self.requests.as_mut().ok_or(Failure::NoAnswer("its input is closed"))?;
        requests.write_all(line.as_bytes()).map_err(Failure::call("write (request)"))
    }

    /// Waits for the next answer.
    ///
    /// # Errors
    /// [`Failure::NoAnswer`] after two minutes; when the child ended, its last words.
    pub fn hear<A: DeserializeOwned>(&mut self) -> Result<A, Failure> {
        let line = self.answers.recv_timeout(PATIENCE).map_err(|error| match error {
            RecvTimeoutError::Timeout => Failure::NoAnswer("nothing within two minutes"),
            RecvTimeoutError::Disconnected => {
                Failure::reported(self.with_errors("the worker ended"))
            }
        })?;
        Ok(serde_json::from_str(&line)?)
    }

    /// Adds the last two lines that the child or a command of it wrote to standard error.
    pub fn with_errors(&self, said: &str) -> String {
        let text = fs::read(&self.errors).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines[lines.len().saturating_sub(2)..].join(" / ");
        if last.is_empty() { said.to_owned() } else { format!("{said}: {last}") }
    }

    /// Waits until the child ended, but does not reap it: its number stays its own.
    fn wait_for_end(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        let until = Instant::now() + PARTING;
        while Instant::now() < until {
            match waitid(WaitId::Pid(Pid::from_child(&self.child)), options) {
                Ok(None) => thread::sleep(Duration::from_millis(1)),
                Ok(Some(_)) => return true,
                Err(_) => return false,
            }
        }
        false
    }
}

impl Drop for Conversation {
    #[expect(clippy::print_stderr, reason = "a drop has no other way to say what it left behind")]
    fn drop(&mut self) {
        drop(self.requests.take());
        if !self.wait_for_end() {
            eprintln!("worker {} did not end and is killed", self.child.id());
        }
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

/// Reads lines in a thread that ends with the child, so that an answer can be waited for with a limit.
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
