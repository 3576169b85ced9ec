//! The payload's streams, descriptors and terminal.
//!
//! Kernel objects: pipes, memfds, ptys. Invariant: what arrives is exactly what was sent, and no wait has no end.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use ampoule::{Bytes, Container, Outcome, Stdio, WindowSize};

use super::{read_until, shell};

fn view(script: &str) -> ampoule::Command {
    shell(Container::host_view(), script)
}

pub(crate) fn output_has_both_streams_and_an_empty_input() {
    let output = view("cat; echo out; echo err >&2").output().expect("a run");
    assert_eq!(
        (output.stdout.as_slice(), output.stderr.as_slice()),
        (&b"out\n"[..], &b"err\n"[..])
    );
}

pub(crate) fn piped_streams_go_both_ways() {
    let command = view("while read line; do echo got $line; done; echo end >&2");
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut container = command.spawn().expect("a container");
    let mut stdin = container.stdin.take().expect("piped");
    let mut stdout = container.stdout.take().expect("piped");
    for word in ["one", "two"] {
        writeln!(stdin, "{word}").expect("the payload reads");
        assert_eq!(read_until(&mut stdout, "\n"), format!("got {word}\n"));
    }
    drop(stdin);
    let mut errors = String::new();
    container.stderr.take().expect("piped").read_to_string(&mut errors).expect("text");
    assert_eq!(errors, "end\n");
    assert!(container.wait().expect("a status").success());
}

pub(crate) fn wait_closes_the_input() {
    let mut container =
        view("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("a container");
    assert!(container.wait().expect("a status").success());
}

pub(crate) fn large_input_bytes_arrive_whole() {
    let bytes: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let output = view("cat").stdin_bytes(bytes.clone()).output().expect("a run");
    assert!(output.stdout == bytes, "{} of {} bytes", output.stdout.len(), bytes.len());
}

pub(crate) fn input_bytes_cannot_reach_the_host() {
    let script = "printf x >&0 2>/dev/null || :; cat";
    let output = view(script).stdin_bytes("abc").output().expect("a run");
    assert!(output.status.success());
}

pub(crate) fn a_file_is_a_stream() {
    let mut file = tempfile::tempfile().expect("a file");
    let copy = file.try_clone().expect("a second descriptor");
    let status = view("echo to the file").stdout(copy).status().expect("a run");
    assert!(status.success());
    file.rewind().expect("a file");
    let mut text = String::new();
    file.read_to_string(&mut text).expect("text");
    assert_eq!(text, "to the file\n");
}

pub(crate) fn null_is_empty_and_takes_everything() {
    let command = view("cat; echo lost; ls -l /proc/self/fd/0 >&2").stdin(Stdio::null());
    let output = command.stdout(Stdio::null()).stderr(Stdio::piped()).output().expect("a run");
    assert!(output.stdout.is_empty());
    let listing = String::from_utf8(output.stderr).expect("text");
    assert!(listing.trim_end().ends_with("/dev/null"), "{listing}");
}

pub(crate) fn flooded_streams_do_not_lock() {
    let script = "head -c 3000000 /dev/zero & head -c 3000000 /dev/zero >&2; wait";
    let output = view(script).output().expect("a run");
    assert_eq!((output.stdout.len(), output.stderr.len()), (3_000_000, 3_000_000));
}

pub(crate) fn output_max_kills() {
    for script in ["cat /dev/zero", "cat /dev/zero >&2"] {
        let started = Instant::now();
        let output = view(script).output_max(Bytes::kib(100)).output().expect("a run");
        assert_eq!(output.status.outcome(), Outcome::OutputExceeded);
        assert_eq!(output.stdout.len() + output.stderr.len(), 102_400);
        assert!(started.elapsed() < Duration::from_secs(5));
    }
    let exact =
        view("head -c 102400 /dev/zero").output_max(Bytes::kib(100)).output().expect("a run");
    assert!(exact.status.success());
    assert_eq!(exact.stdout.len(), 102_400);
}

pub(crate) fn a_payload_may_close_its_output_early() {
    let started = Instant::now();
    let output = view("echo first; exec >&- 2>&-; sleep 0.3; exit 4").output().expect("a run");
    assert_eq!((output.stdout.as_slice(), output.status.code()), (&b"first\n"[..], Some(4)));
    assert!(started.elapsed() >= Duration::from_millis(300));
}

pub(crate) fn a_grandchild_that_keeps_the_pipe_open_ends_with_the_payload() {
    let started = Instant::now();
    let output = view("setsid sleep 1000 & echo out").output().expect("a run");
    assert_eq!(output.stdout, b"out\n");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

pub(crate) fn descriptors_get_their_numbers() {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(b"from the file").expect("a file");
    file.rewind().expect("a file");
    let script = "cat <&7; echo to nine >&9; ls /proc/$$/fd; :";
    let command =
        view(script).fd(7, file).fd(9, writer).fd(500, File::open("/dev/null").expect("null"));
    let output = command.output().expect("a run");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "from the file0\n1\n2\n500\n7\n9\n");
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("text");
    assert_eq!(text, "to nine\n");
}

pub(crate) fn the_number_of_a_descriptor_may_be_another_ones_source() {
    let files: Vec<File> = (0..20_u8).map(numbered).collect();
    let mut command = view("for n in 3 4 5 6 7 8 9; do eval \"cat <&$n\"; done");
    // In reverse, so that sources and targets overlap in every direction.
    for (number, file) in (3_u16..23).zip(files.into_iter().rev()) {
        command = command.fd(number, file);
    }
    let output = command.output().expect("a run");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "19 18 17 16 15 14 13 ");
}

fn numbered(number: u8) -> File {
    let mut file = tempfile::tempfile().expect("a file");
    write!(file, "{number} ").expect("a file");
    file.rewind().expect("a file");
    file
}

pub(crate) fn a_terminal_of_its_own() {
    let size = WindowSize { rows: 33, columns: 101 };
    let script = "[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && tty && stty size && : > /dev/tty && echo ready; \
                  read line; echo got $line; exit 3";
    let mut container = view(script).tty(size).spawn().expect("a container");
    let mut pty = container.pty.take().expect("a terminal");
    let seen = read_until(&mut pty, "ready\r\n");
    assert_eq!(seen, "/dev/pts/0\r\n33 101\r\nready\r\n");
    pty.write_all(b"typed\n").expect("the payload reads");
    let seen = read_until(&mut pty, "got typed\r\n");
    assert!(seen.starts_with("typed\r\n"), "no echo: {seen:?}");
    assert_eq!(container.wait().expect("a status").code(), Some(3));
    let mut rest = String::new();
    pty.read_to_string(&mut rest).expect("the end of the terminal");
}

pub(crate) fn a_terminal_can_be_resized() {
    let script = "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done";
    let mut container = view(script).tty(WindowSize::default()).spawn().expect("a container");
    let mut pty = container.pty.take().expect("a terminal");
    read_until(&mut pty, "ready\r\n");
    pty.resize(WindowSize { rows: 50, columns: 60 }).expect("a new size");
    read_until(&mut pty, "50 60\r\n");
    assert!(container.wait().expect("a status").success());
}

pub(crate) fn a_terminal_sends_its_signals() {
    // No shell: one that gets SIGINT while it forks may lose it.
    let command = Container::host_view().command("cat").tty(WindowSize::default());
    let mut container = command.spawn().expect("a container");
    let mut pty = container.pty.take().expect("a terminal");
    pty.write_all(b"ready\n").expect("the terminal takes it");
    read_until(&mut pty, "ready\r\nready\r\n");
    pty.write_all(b"\x03").expect("the terminal takes it");
    let status = container.wait_timeout(Duration::from_secs(10)).expect("a status");
    assert_eq!(status.as_ref().and_then(ampoule::ExitStatus::signal), Some(2), "{status:?}");
}

pub(crate) fn the_end_of_a_terminal_ends_the_session() {
    let mut container =
        view("echo ready; cat").tty(WindowSize::default()).spawn().expect("a container");
    let mut pty = container.pty.take().expect("a terminal");
    read_until(&mut pty, "ready\r\n");
    drop(pty);
    let status = container.wait_timeout(Duration::from_secs(5)).expect("a status");
    assert!(status.as_ref().is_some_and(|status| !status.success()), "{status:?}");
}

pub(crate) fn no_other_descriptor_of_the_host_arrives() {
    let kept: Vec<OwnedFd> = (0..50)
        .map(|_| {
            let file = File::open("/dev/null").expect("null");
            // Open across an execve: std would hand it on.
            let fd = rustix::io::dup(&file).expect("a second descriptor");
            rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::empty()).expect("its flags");
            fd
        })
        .collect();
    let output = view("ls /proc/$$/fd; :").output().expect("a run");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n1\n2\n");
    drop(kept);
}
