//! How do I run a server in one container, reach it from another, and publish its port on the host?
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example shows what it does")]

use std::process::ExitCode;

use ampoule::{Container, Network};
use ampoule_examples::arguments::{Failure, print};
use ampoule_examples::http;

const HELP: &str = "\
Serves a page in a container; another container fetches it over a bridge, and the host through a published port.

Usage: web-server [PORT]        PORT of the host's loopback address, 8080 by default; needs root
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["-h" | "--help"] => print(HELP),
        // What the containers run is this program.
        ["serve", port] => port
            .parse()
            .map_err(Failure::from)
            .and_then(|port| http::serve(port, "hello from a container\n")),
        ["fetch", from] => http::fetch(*from).and_then(|page| print(&page)),
        [] => show("8080"),
        [port] => show(port),
        _ => Err("more than a port (see --help)".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("web-server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn show(port: &str) -> Result<(), Failure> {
    let own = std::env::current_exe()?;
    let container =
        Container::host_view().bind_to(own, "/web-server").network(Network::bridge("web-server")?);
    let server = container
        .clone()
        .publish(format!("127.0.0.1:{port}:80").parse()?)
        .command("/web-server")
        .args(["serve", "80"])
        .spawn()?;
    let address = *server.addresses().first().ok_or("no address")?;
    println!("a container serves at {address}:80, published at 127.0.0.1:{port}");
    let fetched = container
        .host_entry(address, "server.example")
        .command("/web-server")
        .args(["fetch", "server.example:80"])
        .output()?;
    print!("another container gets: {}", String::from_utf8_lossy(&fetched.stdout));
    print!("the host gets: {}", http::fetch(format!("127.0.0.1:{port}"))?);
    // Dropping the server takes its address, its port and, with the last container, the bridge away.
    Ok(())
}
