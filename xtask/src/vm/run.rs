//! Running a job in a guest that resumes where its state was saved.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::cache::Entry;
use super::job::Job;
use super::machine::{Begin, Firmware, Machine};
use super::saved;
use super::scratch::Scratch;
use crate::error::Error;

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The command ended with this status; 128 and the number for a signal.
    Exited(u8),
    /// It took too long, and the machine was ended.
    TimedOut,
    /// The machine ended without a status; its last lines.
    Died(String),
}

/// A stream of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

enum Event {
    Output(Stream, Vec<u8>),
    Exit(u8),
    /// One of the three streams ended.
    Closed,
}

/// Resumes the guest, runs the job, and hands its output to `output` as it arrives.
pub(super) fn run(
    firmware: &Firmware<'_>,
    state: &Entry,
    job: &Job,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> Result<End, Error> {
    let scratch = Scratch::make()?;
    for (name, content) in job.files() {
        let path = scratch.path("job").join(name);
        std::fs::write(&path, content).map_err(|e| Error::io("write", &path, e))?;
    }
    let seed = scratch.path("job").join("seed");
    std::fs::write(&seed, random()?).map_err(|e| Error::io("write", &seed, e))?;
    let (disk, memory) = (state.path(saved::DISK), state.path(saved::MEMORY));
    let begin = Begin::Resume { disk: &disk, memory: &memory };
    let mut machine = Machine::start(firmware, &job.guest, begin, &job.shares, scratch)?;
    let (events, readers) = listen(&machine)?;
    machine.say("go")?;
    let end = watch(&mut machine, &events, job.limit, output);
    machine.end().map_err(|e| Error::io("end", Path::new("qemu"), e))?;
    // All that the guest wrote before its end is in the sockets.
    for reader in readers {
        if reader.join().is_err() {
            return Err(Error::absent("end of a stream of the virtual machine"));
        }
    }
    for event in events.try_iter() {
        if let Event::Output(stream, bytes) = event {
            output(stream, &bytes);
        }
    }
    Ok(end)
}

fn random() -> Result<[u8; 64], Error> {
    let path = Path::new("/dev/urandom");
    let mut bytes = [0; 64];
    let mut file = std::fs::File::open(path).map_err(|e| Error::io("open", path, e))?;
    file.read_exact(&mut bytes).map_err(|e| Error::io("read", path, e))?;
    Ok(bytes)
}

fn watch(
    machine: &mut Machine,
    events: &Receiver<Event>,
    limit: Duration,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> End {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match events.recv_timeout(left) {
            Ok(Event::Output(stream, bytes)) => output(stream, &bytes),
            Ok(Event::Exit(status)) => return End::Exited(status),
            Ok(Event::Closed) | Err(RecvTimeoutError::Disconnected) => {
                return End::Died(machine.scratch.last_words());
            }
            Err(RecvTimeoutError::Timeout) => return End::TimedOut,
        }
    }
}

type Readers = Vec<JoinHandle<()>>;

fn listen(machine: &Machine) -> Result<(Receiver<Event>, Readers), Error> {
    let failed = |e| Error::io("open", Path::new("socket of the virtual machine"), e);
    let (sender, events) = channel();
    let mut readers = Vec::new();
    for (stream, socket) in [(Stream::Out, &machine.out), (Stream::Err, &machine.err)] {
        let (socket, sender) = (socket.try_clone().map_err(failed)?, sender.clone());
        readers.push(std::thread::spawn(move || forward(stream, socket, &sender)));
    }
    let control = machine.control.try_clone().map_err(failed)?;
    readers.push(std::thread::spawn(move || report(control, &sender)));
    Ok((events, readers))
}

/// Hands on output until the stream ends or nobody listens.
fn forward(stream: Stream, mut socket: UnixStream, sender: &Sender<Event>) {
    let mut buffer = [0; 65536];
    loop {
        let event = match socket.read(&mut buffer) {
            Ok(0) | Err(_) => Event::Closed,
            Ok(length) => Event::Output(stream, buffer[..length].to_vec()),
        };
        let last = matches!(event, Event::Closed);
        if sender.send(event).is_err() || last {
            return;
        }
    }
}

/// Reads `exit STATUS` from the guest.
fn report(control: UnixStream, sender: &Sender<Event>) {
    let statuses = BufReader::new(control).lines().map_while(Result::ok);
    let mut statuses = statuses.filter_map(|line| line.trim().strip_prefix("exit ")?.parse().ok());
    let event = statuses.next().map_or(Event::Closed, Event::Exit);
    // Nobody listens any more when the job took too long.
    drop(sender.send(event));
}
