//! How do I decide system calls of a container from outside, such as who may make which directory?
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::path::{Path, PathBuf};

use ampoule::Container;
use ampoule::seccomp::Filter;
use ampoule::seccomp::notify::{Listener, Received, Request};
use ampoule_examples::arguments::{Failure, only_help};

const HELP: &str = "\
Runs a shell in a container that can write nowhere: its mkdirs are made by this program, in a directory of its own,
for names below /served only.

Usage: notify
";

const SCRIPT: &str = "mkdir /served/one /served/two; mkdir /served/one; mkdir /etc/three /served/../four; ls /served";

const PATH_MAX: usize = 4096;
const EPERM: u16 = 1;

fn main() -> Result<(), Failure> {
    let Some(()) = only_help(HELP)? else { return Ok(()) };
    let own = Served::new()?;
    let filter = Filter::default_profile().notify(["mkdir", "mkdirat"]);
    let builder = Container::host_view().seccomp(filter).bind_to(&own.0, "/served");
    let mut container = builder.command("sh").args(["-c", SCRIPT]).spawn()?;
    let listener = container.listener.take().ok_or("the filter asks nobody")?;
    while let Received::Request(request) = listener.receive(None)? {
        match serve(&listener, &request, &own.0) {
            // The caller was killed, or interrupted by a signal.
            Err(error) if error.kind() == ampoule::seccomp::ErrorKind::CallerGone => {}
            other => other?,
        }
    }
    println!("{}", container.wait()?);
    Ok(())
}

/// Answers one call. The path is copied once, and what is done is done on the copy: the caller may change its memory.
fn serve(listener: &Listener, request: &Request, directory: &Path) -> ampoule::seccomp::Result<()> {
    let [first, second, ..] = request.call.args;
    let address = if request.name() == Some("mkdirat") { second } else { first };
    let path = listener.read_text(request, address, PATH_MAX)?;
    let path = path.to_string_lossy();
    // One plain name: nothing that could lead out of the directory.
    let name = path.strip_prefix("/served/").filter(|name| !name.contains('/') && *name != "..");
    let Some(name) = name else {
        println!("host: {path} is refused");
        return listener.refuse(request, EPERM);
    };
    match std::fs::create_dir(directory.join(name)) {
        Ok(()) => {
            println!("host: {path} is made");
            listener.answer(request, 0)
        }
        Err(error) => {
            println!("host: {path}: {error}");
            let errno = error.raw_os_error().and_then(|errno| u16::try_from(errno).ok());
            listener.refuse(request, errno.unwrap_or(EPERM))
        }
    }
}

/// A directory of this run, removed at its end.
struct Served(PathBuf);

impl Served {
    fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("ampoule-notify.{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
