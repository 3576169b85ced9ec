//! A process in the foreground: signals go to it, its terminal is this program's, and its exit code becomes this one's.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use ampoule::{Kept, Process, Pty};
use ampoule_examples::arguments::Failure;
use ampoule_examples::foreground::{Signals, exit_code};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::arguments::Call;

/// Who has the payload's terminal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terminal {
    /// This program, or whoever listens at the console socket.
    Own,
    /// Whoever listens at the console socket: this program ends.
    Handed,
}

/// Whether the console socket and the terminal go together.
pub(crate) fn check(call: &Call, wanted: bool, terminal: Terminal) -> Result<(), Failure> {
    match (wanted, call.has("console-socket")) {
        (true, false) if terminal == Terminal::Handed => {
            Err("cannot allocate tty if runtime will detach without setting console socket".into())
        }
        (false, true) => Err("cannot use console socket if runtime will not allocate tty".into()),
        _ => Ok(()),
    }
}

pub(crate) fn container(
    kept: &Kept,
    signals: &mut Signals,
    pty: Option<Pty>,
) -> Result<u8, Failure> {
    let output = pty.map(relay).transpose()?;
    if let Some(pidfd) = kept.pidfd() {
        until_end(pidfd, signals, |signal| kept.kill(signal))?;
    }
    let status = kept.wait()?;
    output.map(std::thread::JoinHandle::join);
    Ok(exit_code(&status))
}

pub(crate) fn process(mut process: Process, signals: &mut Signals) -> Result<u8, Failure> {
    let output = process.pty.take().map(relay).transpose()?;
    until_end(process.pidfd(), signals, |signal| process.kill(signal))?;
    let status = process.wait()?;
    output.map(std::thread::JoinHandle::join);
    Ok(exit_code(&status))
}

fn until_end(
    pidfd: BorrowedFd<'_>,
    signals: &mut Signals,
    kill: impl Fn(i32) -> Result<(), ampoule::Error>,
) -> Result<(), Failure> {
    loop {
        let fd = signals.fd();
        let mut polls = [PollFd::new(&fd, PollFlags::IN), PollFd::new(&pidfd, PollFlags::IN)];
        match poll(&mut polls, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ended = !polls[1].revents().is_empty();
        drop(fd);
        if ended {
            return Ok(());
        }
        // It may end meanwhile.
        signals.pending().into_iter().for_each(|signal| drop(kill(signal)));
    }
}

/// Copies between the payload's terminal and this program's streams; the thread ends with the payload's output.
fn relay(pty: Pty) -> Result<std::thread::JoinHandle<()>, Failure> {
    let mut toward = std::fs::File::from(pty.as_fd().try_clone_to_owned()?);
    // It ends with this program.
    std::thread::spawn(move || drop(std::io::copy(&mut std::io::stdin(), &mut toward)));
    Ok(std::thread::spawn(move || copy_out(pty)))
}

fn copy_out(mut pty: Pty) {
    let (mut chunk, mut out) = ([0; 16 * 1024], std::io::stdout());
    while let Ok(length @ 1..) = pty.read(&mut chunk) {
        if out.write_all(&chunk[..length]).and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}
