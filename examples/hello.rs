//! How do I run one program isolated, and see how it ended?
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use ampoule::Container;

fn main() -> Result<(), ampoule::Error> {
    let status = Container::host_view()
        .hostname("ampoule")
        .command("sh")
        .args(["-c", "echo process $$ on $(hostname); id; ls -A /home /root 2>&1; exit 3"])
        .status()?;
    println!("the sandbox {status}");
    Ok(())
}
