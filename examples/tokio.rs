//! How do I run sandboxes in a tokio program?
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use ampoule::{Container, Stdio};
use ampoule_examples::arguments::{Failure, only_help};
use tokio::io::{AsyncBufReadExt, BufReader};

const HELP: &str = "\
Reads a sandbox's output line by line, and stops it after the third line.

Usage: tokio
";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let Some(()) = only_help(HELP)? else { return Ok(()) };
    let script = "n=0; while :; do n=$((n + 1)); echo tick $n; sleep 0.1; done";
    let mut sandbox = Container::host_view()
        .command("sh")
        .args(["-c", script])
        .stdout(Stdio::piped())
        .spawn_async()
        .await?;
    let stdout = sandbox.stdout.take().ok_or("standard output is piped")?;
    let mut lines = BufReader::new(stdout).lines();
    for _ in 0..3 {
        println!("{}", lines.next_line().await?.unwrap_or_default());
    }
    println!("{}", sandbox.stop(Duration::from_secs(1)).await?);

    // A dropped future leaves no process: this one is cancelled by the time limit.
    let sleep = Container::host_view().command("sleep").arg("60").status_async();
    let cancelled = tokio::time::timeout(Duration::from_millis(200), sleep).await;
    println!("cancelled: {}", cancelled.is_err());
    Ok(())
}
