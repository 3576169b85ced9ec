//! `cargo xtask runtime`: builds the example `oci-runtime` as it is to be installed.
//!
//! Nothing that an OCI runtime does not need is in it (no registries, no zstd), and nothing is left to the dynamic loader:
//! an engine starts it for every step in a container's life. Writes below `target` alone.

use std::env;
use std::path::PathBuf;

use crate::error::Error;
use crate::workspace::{cargo, host_triple, target_dir};
use crate::{Verdict, process};

pub(crate) const HELP: &str = "
cargo xtask runtime

Builds the example oci-runtime, small and static, and prints its path and its size.
";

/// Linked as a whole, at a fixed address: there is nothing to find and nothing to relocate when it starts.
const FLAGS: [&str; 3] =
    ["-Ctarget-feature=+crt-static", "-Crelocation-model=static", "-Clink-arg=-Wl,-O2"];

/// Runs the verb.
pub(crate) fn run(mut args: lexopt::Parser) -> Result<Verdict, Error> {
    if let Some(word) = args.next()? {
        return Err(word.unexpected().into());
    }
    let program = build()?;
    let metadata = program.metadata().map_err(|error| Error::io("stat", &program, error))?;
    let length = metadata.len();
    println!("{} ({} KiB)", program.display(), length.div_ceil(1024));
    Ok(Verdict::Passed)
}

/// Builds it and tells where it is.
pub(crate) fn build() -> Result<PathBuf, Error> {
    let triple = host_triple()?;
    let mut build = cargo("build");
    // With a target named, the flags are not for build scripts and macros, which must be dynamic.
    build.args(["--quiet", "--profile", "runtime", "--target", &triple]);
    let mut flags = FLAGS.map(str::to_owned).to_vec();
    // Where the crates lie here is of no use in its messages, and takes room.
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    let sources = home.map(|home| home.join("registry/src"));
    flags.extend(sources.map(|sources| format!("--remap-path-prefix={}=", sources.display())));
    build.arg("--config").arg(format!("target.{triple}.rustflags={flags:?}"));
    build.args(["--package", "ampoule-examples", "--example", "oci-runtime"]);
    build.args(["--no-default-features", "--features", "systemd"]);
    let status = process::status(&mut build)?;
    if !status.success() {
        return Err(Error::exit(&build, status));
    }
    Ok(target_dir()?.join(triple).join("runtime/examples/oci-runtime"))
}
