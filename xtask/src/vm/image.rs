//! The guest's disk: Debian 13 with its SELinux policy, the modules of all kernels, and the
//! scripts that wait for a job.
//!
//! Debian 13, because the policy of Debian 12 knows no containers. Made in two steps, so that a
//! changed script does not mean to install Debian again.

use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::geteuid;

use super::archive::{self, Suite, succeed};
use super::cache::{Cache, Entry, Recipe};
use super::kernel::lines;
use super::namespace;
use crate::error::Error;
use crate::process;

const SUITE: Suite = Suite::Trixie;
/// Documentation only makes the image larger.
const LEFT_OUT: &[&str] = &["doc", "info", "locale", "man"];

/// The disk in the cache: `root.img`, and `glibc` with the version of the guest's C library.
pub(crate) fn get(cache: &Cache, kernels: &[Entry], data: &Path) -> Result<Entry, Error> {
    let base = base(cache, data)?;
    let mut recipe = Recipe::of("image", SUITE.name())
        .and(base.key())
        .and_files(&data.join("guest"))?
        .and_files(&data.join("image"))?;
    for kernel in kernels {
        recipe = recipe.and(kernel.key());
    }
    cache.entry(&recipe, |new| {
        let mut build = namespace::command("sh");
        build.arg(data.join("image/build")).arg(base.path("root.tar")).arg(data).arg(new);
        build.args(kernels.iter().map(|kernel| kernel.path("modules")));
        build.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        succeed(build.env("LC_ALL", "C.UTF-8").stdout(Stdio::null()))
    })
}

/// Debian with the packages of the guest, as a tar file.
fn base(cache: &Cache, data: &Path) -> Result<Entry, Error> {
    let packages = lines(&data.join("packages"))?.join(" ").replace(' ', ",");
    let recipe = Recipe::of("debian", SUITE.name()).and(&packages).and(LEFT_OUT);
    cache.entry(&recipe, |new| {
        let mirror = archive::mirror()?;
        let mut command = bootstrap()?;
        command.arg(format!("--include={packages}"));
        command.args([SUITE.name().as_ref(), new.join("root.tar").as_os_str()]);
        command.arg(SUITE.source(&mirror));
        succeed(&mut command)
    })
}

fn bootstrap() -> Result<Command, Error> {
    // It removes its files on SIGTERM, so it gets that when we end. As root it mounts where it is,
    // otherwise in namespaces of its own.
    let mut command = if geteuid().is_root() {
        let mut command = process::ending_with_us("unshare", "TERM");
        command.args(["--mount", "--propagation", "private", "--", "mmdebstrap", "--mode=root"]);
        command
    } else {
        let mut command = process::ending_with_us("mmdebstrap", "TERM");
        command.arg("--mode=unshare");
        command
    };
    command.args(["--quiet", "--format=tar", "--variant=minbase", "--architectures=amd64"]);
    command.arg("--aptopt=Acquire::Languages \"none\"").arg("--aptopt=Acquire::Retries \"3\"");
    for proxy in proxies()? {
        command.arg(format!("--aptopt={proxy}"));
    }
    for name in LEFT_OUT {
        command.arg(format!("--dpkgopt=path-exclude=/usr/share/{name}/*"));
    }
    command.env("LC_ALL", "C.UTF-8").env("DEBIAN_FRONTEND", "noninteractive");
    // Not in a directory that only its owner may enter: the namespace's root is someone else.
    command.env("TMPDIR", "/tmp");
    Ok(command)
}

/// The machine's proxies for apt, which a new root does not know.
fn proxies() -> Result<Vec<String>, Error> {
    let mut dump = Command::new("apt-config");
    dump.args(["dump", "--no-empty", "--format", "%f \"%v\"%n"]);
    let text = process::stdout(dump.args(["Acquire::http::Proxy", "Acquire::https::Proxy"]))?;
    Ok(text.lines().filter(|line| !line.is_empty()).map(ToOwned::to_owned).collect())
}
