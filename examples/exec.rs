//! How does an agent run many commands in one sandbox?
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::{Duration, Instant};

use ampoule::{Container, Stdio};
use ampoule_examples::arguments::{Failure, only_help};

const HELP: &str = "\
Starts a sandbox without a program and runs commands in it, one after the other and side by side.

Usage: exec
";

fn main() -> Result<(), Failure> {
    let Some(()) = only_help(HELP)? else { return Ok(()) };
    let mut sandbox = Container::host_view().idle()?;

    // What one command leaves in the sandbox, the next one finds.
    let script = "echo three lines > /tmp/notes; seq 2 >> /tmp/notes";
    println!("write: {}", sandbox.exec("sh").args(["-c", script]).status()?);
    let begun = Instant::now();
    let counted = sandbox.exec("wc").args(["-l", "/tmp/notes"]).output()?;
    print!("count: {}", String::from_utf8_lossy(&counted.stdout));
    println!("after {:.1} ms", begun.elapsed().as_secs_f64() * 1000.0);

    // Each has its own directory, environment and time limit.
    let pwd = sandbox.exec("sh").args(["-c", "echo $GREETING from $PWD"]);
    let pwd = pwd.current_dir("/tmp").env("GREETING", "hello").output()?;
    print!("{}", String::from_utf8_lossy(&pwd.stdout));
    let endless = sandbox.exec("sleep").arg("1000").timeout(Duration::from_millis(50));
    println!("endless: {}", endless.status()?);
    match sandbox.exec("no-such-program").status() {
        Ok(status) => println!("{status}"),
        Err(error) => println!("error: {error}"),
    }

    // Dropping its handle ends a process; the sandbox's end ends all of them.
    let server = sandbox.exec("sleep").arg("1000").stdin(Stdio::null()).spawn()?;
    println!("a process stays, here {}", server.pid());
    println!("sandbox: {}", sandbox.stop(Duration::from_secs(1))?);
    Ok(())
}
