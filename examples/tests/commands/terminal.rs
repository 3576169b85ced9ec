//! What `sandbox --tty` must do in a terminal.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::{command, finish, read_until};

/// A terminal for a program: what the program holds, and what a user would sit at.
pub(crate) fn terminal(rows: u16, columns: u16) -> (File, OwnedFd) {
    let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&user).unwrap();
    unlockpt(&user).unwrap();
    let name = ptsname(&user, Vec::new()).unwrap();
    let program =
        open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    resize(&user, rows, columns);
    (user.into(), program)
}

fn resize(user: &impl std::os::fd::AsFd, rows: u16, columns: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(user, size).unwrap();
}

/// The command has a terminal of its own with the size of ours, typed text and ^C reach it, and ours has its settings
/// again at the end.
pub(crate) fn both_ways() {
    let (mut user, program) = terminal(33, 101);
    let before = tcgetattr(&program).unwrap().local_modes;
    assert!(before.contains(LocalModes::ECHO | LocalModes::ICANON));
    let script = "tty; stty size; read line; echo got $line; trap 'exit 7' INT; echo armed; while :; do sleep 0.05; done";
    let stream = || Stdio::from(program.try_clone().unwrap());
    let child = command("sandbox", &["--tty", "--", "sh", "-c", script])
        .stdin(stream())
        .stdout(stream())
        .spawn()
        .unwrap();
    assert!(read_until(&mut user, "33 101").contains("/dev/pts/0"));
    assert!(!tcgetattr(&program).unwrap().local_modes.contains(LocalModes::ICANON));
    user.write_all(b"typed\r").unwrap();
    read_until(&mut user, "armed");
    user.write_all(b"\x03").unwrap();
    let mut child = child;
    child.stdout = Some(empty());
    assert_eq!(finish(child).code, Some(7));
    assert_eq!(tcgetattr(&program).unwrap().local_modes, before);
}

/// A new size of ours is a new size of the command's.
pub(crate) fn resized() {
    let (mut user, program) = terminal(24, 80);
    let stream = || Stdio::from(program.try_clone().unwrap());
    let script = "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done";
    let mut child = command("sandbox", &["--tty", "--", "sh", "-c", script])
        .stdin(stream())
        .stdout(stream())
        .spawn()
        .unwrap();
    read_until(&mut user, "ready");
    resize(&user, 50, 120);
    // It is not the program's controlling terminal, which alone gets the signal by itself.
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::WINCH).unwrap();
    read_until(&mut user, "50 120");
    child.stdout = Some(empty());
    assert_eq!(finish(child).code, Some(0));
}

/// Without a terminal on our side, the end of a pipe is the end of the input.
pub(crate) fn from_a_pipe() {
    let mut child =
        command("sandbox", &["--tty", "--", "cat"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"piped\n").unwrap();
    let done = finish(child);
    assert_eq!(done.code, Some(0));
    assert_eq!(done.out, "piped\r\npiped\r\n");
}

/// A stream that has ended, in place of one that was given away.
pub(crate) fn empty() -> std::process::ChildStdout {
    let (read, _) = std::io::pipe().unwrap();
    OwnedFd::from(read).into()
}
