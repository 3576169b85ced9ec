//! A process in the foreground: signals go to it, its terminal is this program's, and its exit code becomes this one's.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread::JoinHandle;

use ampoule::{Kept, Process, Pty, WindowSize};
use ampoule_examples::arguments::Failure;
use ampoule_examples::foreground::{Signals, Window, exit_code};
use ampoule_examples::terminal::{Raw, window_size};
use ampoule_examples::verbs::Call;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::stdio::stdin;
use rustix::termios::{Winsize, isatty, tcsetwinsize};

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
    let screen = pty.map(Screen::show).transpose()?;
    if let Some(pidfd) = kept.pidfd() {
        until_end(pidfd, signals, screen.as_ref(), |signal| kept.kill(signal))?;
    }
    let status = kept.wait()?;
    screen.into_iter().for_each(Screen::close);
    Ok(exit_code(&status))
}

pub(crate) fn process(mut process: Process, signals: &mut Signals) -> Result<u8, Failure> {
    let screen = process.pty.take().map(Screen::show).transpose()?;
    until_end(process.pidfd(), signals, screen.as_ref(), |signal| process.kill(signal))?;
    let status = process.wait()?;
    screen.into_iter().for_each(Screen::close);
    Ok(exit_code(&status))
}

fn until_end(
    pidfd: BorrowedFd<'_>,
    signals: &mut Signals,
    screen: Option<&Screen>,
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
        let (others, window) = signals.taken();
        if let (Some(screen), Window::Resized) = (screen, window) {
            screen.fit()?;
        }
        // It may end meanwhile.
        others.into_iter().for_each(|signal| drop(kill(signal)));
    }
}

/// This program's terminal, as the payload's: its settings come back when this is dropped.
struct Screen {
    size: OwnedFd,
    output: JoinHandle<()>,
    _raw: Raw,
}

impl Screen {
    /// Copies both ways from here on.
    fn show(pty: Pty) -> Result<Self, Failure> {
        let size = pty.as_fd().try_clone_to_owned()?;
        let mut toward = std::fs::File::from(pty.as_fd().try_clone_to_owned()?);
        let raw = Raw::enter()?;
        // It ends with this program.
        std::thread::spawn(move || drop(std::io::copy(&mut std::io::stdin(), &mut toward)));
        let screen = Self { size, output: std::thread::spawn(move || copy_out(pty)), _raw: raw };
        if isatty(stdin()) {
            screen.fit()?;
        }
        Ok(screen)
    }

    /// Gives the payload's the size of this program's.
    fn fit(&self) -> Result<(), Failure> {
        let WindowSize { rows, columns } = window_size();
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(tcsetwinsize(&self.size, size)?)
    }

    /// Waits for the end of the payload's output.
    fn close(self) {
        drop(self.output.join());
    }
}

fn copy_out(mut pty: Pty) {
    let (mut chunk, mut out) = ([0; 16 * 1024], std::io::stdout());
    while let Ok(length @ 1..) = pty.read(&mut chunk) {
        if out.write_all(&chunk[..length]).and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}
