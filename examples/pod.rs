//! How do I let several containers share one network, one host name and a limit?
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example shows what it does")]

use std::process::ExitCode;
use std::time::Duration;

use ampoule::{Container, Pod};
use ampoule_examples::arguments::{Failure, print};
use ampoule_examples::http;

const HELP: &str = "\
Starts a server and a client in one pod: they reach each other at 127.0.0.1, and nobody else does.

Usage: pod        works without root
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["-h" | "--help"] => print(HELP),
        // What the containers run is this program.
        ["serve"] => http::serve(80, "hello from the same pod\n"),
        ["fetch"] => http::fetch("127.0.0.1:80").and_then(|page| print(&page)),
        [] => show(),
        _ => Err("there are no options (see --help)".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pod: {error}");
            ExitCode::FAILURE
        }
    }
}

fn show() -> Result<(), Failure> {
    let container = Container::host_view().bind_to(std::env::current_exe()?, "/pod");
    let mut pod = Pod::builder().hostname("shop").create()?;
    let server = pod.join(container.clone()).command("/pod").arg("serve");
    pod.start(server)?;
    let fetched = pod.join(container.clone()).command("/pod").arg("fetch").output()?;
    print!("a client in the pod gets: {}", String::from_utf8_lossy(&fetched.stdout));
    let name = pod.join(container).command("uname").arg("-n").output()?;
    print!("its host name is {}", String::from_utf8_lossy(&name.stdout));
    for (index, status) in pod.stop(Duration::from_millis(200))?.iter().enumerate() {
        println!("container {index} {status}");
    }
    Ok(())
}
