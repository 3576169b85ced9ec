//! A registry that misbehaves as a test says: one thread, one answer after the other.
//!
//! Kernel objects: a listening socket on the loopback. Invariant: the thread ends with the value.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    /// Method and target, such as `GET /v2/`.
    pub line: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// What was read of the body.
    pub body: Vec<u8>,
}

impl Heard {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What is answered.
#[derive(Clone, Debug)]
#[allow(dead_code, reason = "not every file of tests needs every answer")]
pub(crate) enum Reply {
    /// Status with headers, and a body with its length.
    Answer(&'static str, Vec<(&'static str, String)>, Vec<u8>),
    /// A body that is cut off after that many bytes.
    Cut(Vec<(&'static str, String)>, Vec<u8>, usize),
    /// A body of which nothing comes after that many bytes, until the client goes.
    Stall(Vec<u8>, usize),
    /// A part of a body, `206 Partial Content`.
    Part(String, Vec<u8>),
    /// The connection ends after that many bytes of the request's body were read; the rest is not.
    Hangup(u64),
    /// Nothing comes until the client goes.
    Silence,
    /// Bytes that are no HTTP.
    Raw(Vec<u8>),
}

type Script = dyn Fn(&Heard, usize) -> Reply + Send + Sync;

/// A registry on the loopback.
pub(crate) struct Fake {
    pub address: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    /// Answers as the script says, which is told how many requests came before.
    pub(crate) fn new(script: impl Fn(&Heard, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let heard = Arc::<Mutex<Vec<Heard>>>::default();
        let log = Arc::clone(&heard);
        let script: Arc<Script> = Arc::new(script);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("a connection");
                if !serve(stream, &log, script.as_ref()) {
                    return;
                }
            }
        });
        Self { address, heard, thread: Some(thread) }
    }

    /// What came so far.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().expect("the log").clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Ok(mut last) = TcpStream::connect(&self.address) {
            drop(last.write_all(b"QUIT / HTTP/1.1\r\n\r\n"));
        }
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// One request for each connection; false after the last.
fn serve(stream: TcpStream, log: &Mutex<Vec<Heard>>, script: &Script) -> bool {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let Some(mut heard) = read(&mut reader) else { return true };
    if heard.line.starts_with("QUIT") {
        return false;
    }
    let before = log.lock().expect("the log").len();
    let reply = script(&heard, before);
    let length = heard.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let length = if let Reply::Hangup(at) = reply { length.min(at) } else { length };
    // A client that has gone is part of some tests.
    drop(reader.take(length).read_to_end(&mut heard.body));
    log.lock().expect("the log").push(heard);
    answer(stream, reply);
    true
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Heard> {
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|&count| count > 0)?;
    let line = first.rsplit_once(' ').map_or(first.clone(), |(line, _)| line.to_owned());
    let mut heard = Heard { line, ..Heard::default() };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        heard.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Some(heard)
}

fn answer(mut stream: TcpStream, reply: Reply) {
    let head = |status: &str, headers: &[(&str, String)], length: usize| {
        let lines: String = headers.iter().map(|(k, v)| format!("{k}: {v}\r\n")).collect();
        format!("HTTP/1.1 {status}\r\n{lines}Content-Length: {length}\r\nConnection: close\r\n\r\n")
    };
    // A client that has gone is part of some tests.
    let written = match reply {
        Reply::Answer(status, headers, body) => {
            let head = head(status, &headers, body.len());
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body))
        }
        Reply::Cut(headers, body, at) => {
            let head = head("200 OK", &headers, body.len());
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body[..at]))
        }
        Reply::Stall(body, at) => {
            let head = head("200 OK", &[], body.len());
            let sent =
                stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body[..at]));
            sent.and_then(|()| stream.read(&mut [0; 1]).map(drop))
        }
        Reply::Part(range, body) => {
            let head = head("206 Partial Content", &[("Content-Range", range)], body.len());
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body))
        }
        Reply::Silence => stream.read(&mut [0; 1]).map(drop),
        Reply::Hangup(_) => Ok(()),
        Reply::Raw(bytes) => stream.write_all(&bytes),
    };
    drop(written);
    drop(stream.shutdown(Shutdown::Both));
}
