//! The command line of `cargo xtask vm`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;

use super::guest::{AppArmor, Init};
use super::job::{Job, LABEL, Mode};
use super::kernel::Version;
use super::machine::SLOTS;
use super::qemu::{Access, Share};
use crate::error::Error;

pub(crate) const HELP: &str = "
cargo xtask vm [OPTIONS] [--] COMMAND [ARGUMENT...]
cargo xtask vm [OPTIONS] --test NAME... [-- LIBTEST OPTIONS]

Runs a command in a virtual machine: Debian 13 with pure cgroup v2 and every controller, emulated
by software, so that it works in virtual machines too. Its output is passed on, and its exit
status is ours; 124 after a time-out, 125 if the machine ended without a status. The command has
no standard input.

The guest sees the workspace at its own path and target/debug at /t, both read-only:
  cargo xtask vm -- /t/deps/root_host-0123456789abcdef --test-threads 1
  cargo xtask vm --kernel 6.1 --test root_host -- --test-threads 1
  cargo xtask vm --systemd --user tester -- systemd-run --user --scope true

The first use downloads Debian's packages and boots; QEMU, kernels, disk and the state of each
kind of machine are cached in $XDG_CACHE_HOME/ampoule/vm (~/.cache/ampoule/vm), and what was used
from the cache is printed. What nobody used for 14 days is removed.

  --kernel VERSION    6.12 or 6.1, Debian's; default 6.12
  --systemd           systemd is process 1; else a script, which leaves the command in the root
                      group with all controllers enabled
  --user NAME         as this user; `tester` (uid 1000) has subordinate ids. With --systemd in a
                      delegated scope of its session, else in a delegated group
  --selinux MODE      enforcing, permissive or off; default off
  --apparmor          with AppArmor, without a profile; not together with --selinux
  --domain CONTEXT    what the command runs as under SELinux; default unconfined_t
  --share HOST:GUEST[:rw][,context=LABEL]
                      a further directory of the host; read-only unless rw; up to 6
  --dir DIR           the command's working directory; default /
  --env NAME=VALUE    a variable
  --memory MIB        default 1024
  --swap MIB          default 0
  --cpus N            default 2
  --show WHAT[,WHAT]  after the command, on standard error: avc, dmesg, journal
  --timeout SECONDS   default 600
  --test NAME         builds the integration tests of this name and runs them, each in a machine
                      as the options say (repeatable)
";

/// A job, and the tests to build for it.
pub(crate) struct Options {
    pub(crate) job: Job,
    pub(crate) tests: Vec<String>,
}

impl Options {
    pub(crate) fn parse(mut args: lexopt::Parser) -> Result<Self, Error> {
        let mut options = Self { job: Job::new(Version::USUAL, Vec::new()), tests: Vec::new() };
        let job = &mut options.job;
        while let Some(arg) = args.next()? {
            match arg {
                Long("kernel") => job.guest.kernel = version(&args.value()?.string()?)?,
                Long("systemd") => job.guest.init = Init::Systemd,
                Long("user") => job.user = Some(args.value()?.string()?),
                Long("selinux") => {
                    let mode = Mode::of_name(&args.value()?.string()?);
                    job.set_mode(mode.ok_or(Error::absent("such mode of SELinux"))?);
                }
                Long("apparmor") => job.guest.apparmor = AppArmor::On,
                Long("domain") => job.domain = args.value()?.string()?,
                Long("share") => job.shares.push(share(&args.value()?.string()?)?),
                Long("dir") => job.directory = PathBuf::from(args.value()?),
                Long("env") => {
                    let variable = args.value()?.string()?;
                    let (name, value) =
                        variable.split_once('=').ok_or(Error::absent("= in --env"))?;
                    job.env(name, value);
                }
                Long("memory") => job.guest.memory_mib = args.value()?.parse()?,
                Long("swap") => job.guest.swap_mib = args.value()?.parse()?,
                Long("cpus") => job.guest.cpus = args.value()?.parse()?,
                Long("show") => job.show = args.value()?.string()?,
                Long("timeout") => job.limit = Duration::from_secs(args.value()?.parse()?),
                Long("test") => options.tests.push(args.value()?.string()?),
                Value(word) => {
                    job.arguments.push(word);
                    job.arguments.extend(args.raw_args()?);
                }
                _ => return Err(arg.unexpected().into()),
            }
        }
        options.checked()
    }

    fn checked(self) -> Result<Self, Error> {
        let nothing: &[OsString] = &[];
        if self.tests.is_empty() && self.job.arguments == nothing {
            return Err(Error::absent("command (see --help)"));
        }
        // Two slots are the workspace's.
        if self.job.shares.len() > SLOTS - 2 {
            return Err(Error::absent("room for so many shares"));
        }
        Ok(self)
    }
}

fn version(name: &str) -> Result<Version, Error> {
    let found = Version::ALL.into_iter().find(|version| version.name() == name);
    found.ok_or(Error::absent("such kernel (6.12 and 6.1)"))
}

/// Reads `HOST:GUEST[:rw][,context=LABEL]`.
fn share(text: &str) -> Result<Share, Error> {
    let (paths, context) = text.split_once(",context=").unwrap_or((text, LABEL));
    let (paths, access) = match paths.strip_suffix(":rw") {
        Some(paths) => (paths, Access::Writable),
        None => (paths, Access::ReadOnly),
    };
    let (host, guest) = paths.split_once(':').ok_or(Error::absent(": in --share"))?;
    let host = std::path::absolute(host).map_err(|e| Error::io("find", host.as_ref(), e))?;
    if !host.is_dir() {
        return Err(Error::absent("such directory for --share"));
    }
    Ok(Share { host, guest: guest.into(), access, context: context.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, Error> {
        Options::parse(lexopt::Parser::from_args(line.split(' ')))
    }

    #[test]
    fn what_follows_the_command_is_the_commands() {
        let options = parse("--kernel 6.1 --systemd -- sh -c --systemd").expect("good");
        assert_eq!(options.job.arguments, ["sh", "-c", "--systemd"]);
        assert_eq!(options.job.guest.kernel, Version::V6_1);
        assert!(parse("--kernel 5.10 -- true").is_err());
        assert!(parse("--systemd").is_err());
    }

    #[test]
    fn a_share_has_a_mode_and_a_label() {
        let plain = share("/tmp:/a").expect("good");
        assert_eq!((plain.access, plain.context.as_str()), (Access::ReadOnly, LABEL));
        let full = share("/tmp:/b:rw,context=u:r:t:s0:c1,c2").expect("good");
        assert_eq!((full.access, full.guest), (Access::Writable, "/b".into()));
        assert_eq!(full.context, "u:r:t:s0:c1,c2");
        assert!(share("/tmp").is_err());
    }
}
