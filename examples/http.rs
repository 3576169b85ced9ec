//! As much of HTTP as two examples need: one page is served, and fetched.
//!
//! Kernel objects: TCP sockets. Invariant: a request is answered without being understood.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use crate::arguments::Failure;

/// How long a server may take until it serves.
const LIMIT: Duration = Duration::from_secs(10);

/// Serves `page` to everybody until it is ended.
///
/// # Errors
/// The port cannot be bound.
pub fn serve(port: u16, page: &str) -> Result<(), Failure> {
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    for stream in listener.incoming() {
        // One who leaves is no reason to end.
        let _left = answer(stream?, page).is_err();
    }
    Ok(())
}

fn answer(mut stream: TcpStream, page: &str) -> std::io::Result<()> {
    let mut request = [0; 4096];
    let _length = stream.read(&mut request)?;
    write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{page}", page.len())
}

/// What is served there; waits until somebody does.
///
/// # Errors
/// Nobody serves there within ten seconds.
pub fn fetch(from: impl ToSocketAddrs) -> Result<String, Failure> {
    let deadline = Instant::now() + LIMIT;
    let mut stream = loop {
        match TcpStream::connect(&from) {
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
            Ok(stream) => break stream,
        }
    };
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, page) = answer.split_once("\r\n\r\n").ok_or("no HTTP")?;
    Ok(page.to_owned())
}
