//! Debian's archive: packages of a suite, fetched with apt in a state of its own, so that the
//! machine's sources and packages stay as they are. Works without root.
//!
//! On Debian the mirror is the one that the machine uses, elsewhere Debian's own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::Error;
use crate::process;

const DEBIANS_OWN: &str = "http://deb.debian.org/debian";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A release of Debian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Suite {
    /// Debian 12, whose kernel is 6.1.
    Bookworm,
    /// Debian 13, whose kernel is 6.12.
    Trixie,
}

impl Suite {
    /// Its code name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }

    /// Its line of a sources.list(5), for the given mirror.
    pub(crate) fn source(self, mirror: &str) -> String {
        format!("deb [signed-by={KEYRING}] {mirror} {} main", self.name())
    }
}

/// The mirror to use.
pub(crate) fn mirror() -> Result<String, Error> {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    if !release.lines().any(|line| line == "ID=debian") {
        return Ok(DEBIANS_OWN.to_owned());
    }
    let mut apt = Command::new("apt-get");
    let format = "$(ORIGIN) $(LABEL) $(COMPONENT) $(SITE)";
    let targets = process::stdout(apt.args(["indextargets", "--format", format]))?;
    Ok(main_site(&targets).unwrap_or(DEBIANS_OWN).to_owned())
}

/// The first site that has Debian's main archive. The label of the security archive differs.
fn main_site(targets: &str) -> Option<&str> {
    let sites = targets.lines().filter_map(|line| line.strip_prefix("Debian Debian main "));
    sites.map(|site| site.trim().trim_end_matches('/')).find(|site| site.starts_with("http"))
}

/// The packages of one suite.
pub(crate) struct Archive {
    /// apt's state, beside the packages that were fetched.
    dir: PathBuf,
}

impl Archive {
    /// Fetches the suite's lists into a new directory `dir`.
    pub(crate) fn open(suite: Suite, dir: &Path) -> Result<Self, Error> {
        for sub in ["lists/partial", "cache/archives/partial"] {
            let sub = dir.join(sub);
            std::fs::create_dir_all(&sub).map_err(|e| Error::io("make", &sub, e))?;
        }
        let mirror = mirror()?;
        let sources = dir.join("sources.list");
        std::fs::write(&sources, suite.source(&mirror) + "\n")
            .map_err(|e| Error::io("write", &sources, e))?;
        let archive = Self { dir: dir.to_owned() };
        // A list that cannot be had is a warning to apt unless told otherwise.
        let mut update = archive.apt("apt-get");
        update.args(["update", "--error-on=any"]);
        let status = process::status(update.stdout(Stdio::null()))?;
        if status.success() { Ok(archive) } else { Err(Error::unreachable(&mirror, suite.name())) }
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = process::dying_with_us(program);
        let own = |name: &str, path: &str| format!("Dir::{name}={}", self.dir.join(path).display());
        for option in [
            own("Etc::SourceList", "sources.list"),
            own("State::Lists", "lists"),
            own("Cache", "cache"),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            "Dir::Etc::Preferences=/dev/null".to_owned(),
            "Dir::Etc::PreferencesParts=/dev/null".to_owned(),
            // Nothing counts as installed, so that dependencies are fetched as well.
            "Dir::State::status=/dev/null".to_owned(),
            "Debug::NoLocking=1".to_owned(),
            "APT::Architecture=amd64".to_owned(),
            "APT::Architectures=amd64".to_owned(),
            "APT::Install-Recommends=0".to_owned(),
            // The user `_apt` may not enter the cache of an account.
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::Retries=3".to_owned(),
        ] {
            command.arg("--option").arg(option);
        }
        command.args(["--quiet", "--quiet"]);
        command
    }

    /// Unpacks packages with all they depend on into `root`; nothing of theirs is run.
    pub(crate) fn unpack_closure(&self, packages: &[&str], root: &Path) -> Result<(), Error> {
        let mut install = self.apt("apt-get");
        install.args(["--yes", "--download-only", "install"]).args(packages);
        succeed(install.stdout(Stdio::null()))?;
        self.unpack_fetched(&self.dir.join("cache/archives"), root)
    }

    /// Unpacks packages alone into `root`.
    pub(crate) fn unpack(&self, packages: &[&str], root: &Path) -> Result<(), Error> {
        let fetched = self.dir.join("fetched");
        std::fs::create_dir_all(&fetched).map_err(|e| Error::io("make", &fetched, e))?;
        let mut download = self.apt("apt-get");
        download.arg("download").args(packages).current_dir(&fetched);
        succeed(download.stdout(Stdio::null()))?;
        self.unpack_fetched(&fetched, root)
    }

    fn unpack_fetched(&self, dir: &Path, root: &Path) -> Result<(), Error> {
        for entry in std::fs::read_dir(dir).map_err(|e| Error::io("list", dir, e))? {
            let path = entry.map_err(|e| Error::io("list", dir, e))?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                succeed(Command::new("dpkg-deb").arg("--extract").arg(&path).arg(root))?;
            }
        }
        Ok(())
    }

    /// The first package that a package depends on and whose name begins with `prefix`.
    pub(crate) fn dependency(&self, package: &str, prefix: &str) -> Result<String, Error> {
        let text = process::stdout(self.apt("apt-cache").args(["depends", package]))?;
        let names = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        let found = names.into_iter().find(|name| name.starts_with(prefix));
        found.map(ToOwned::to_owned).ok_or(Error::absent("kernel in Debian's archive"))
    }
}

/// Runs a command that has to succeed.
pub(super) fn succeed(command: &mut Command) -> Result<(), Error> {
    let status = process::status(command.stdin(Stdio::null()))?;
    if status.success() { Ok(()) } else { Err(Error::exit(command, status)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_mirror_is_not_the_one_for_security() {
        let targets = "Google x main http://a/\nDebian Debian-Security main http://s/debian-security/\n\
                       Debian Debian contrib http://c/\nDebian Debian main http://m/debian/\n";
        assert_eq!(main_site(targets), Some("http://m/debian"));
        assert_eq!(main_site("Debian Debian main file:/srv/"), None);
    }
}
