//! `cargo xtask vm`: a command in a virtual machine, under software emulation.
//!
//! What boots is made of Debian's packages and kept in a cache ([`cache`]); the first use of a kind
//! of machine boots it and saves its state, later ones resume that. Nothing needs root.

mod archive;
mod bzimage;
mod cache;
mod cpio;
mod glibc;
mod guest;
mod image;
mod job;
mod kernel;
mod machine;
mod namespace;
mod options;
mod qemu;
mod run;
mod saved;
mod scratch;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::workspace::{self, Artifact};
use crate::{Verdict, packages};
pub(crate) use archive::{Suite, mirror};
use cache::{Cache, Entry};
pub(crate) use glibc::Glibc;
pub(crate) use job::Job;
pub(crate) use kernel::Version;
use machine::Firmware;
pub(crate) use options::HELP;
use options::Options;
use qemu::{Access, Qemu, Share};
pub(crate) use run::{End, Stream};

/// Where the guest sees the programs that cargo built.
const PROGRAMS: &str = "/t";

/// Runs the verb; its exit status is the command's.
pub(crate) fn run(args: lexopt::Parser) -> Result<Verdict, Error> {
    let Options { mut job, tests } = Options::parse(args)?;
    let missing = packages::ensure(&["vm"])?;
    if !missing.is_empty() {
        eprintln!("missing: {}", packages::install_command(&missing));
        return Err(Error::absent("way to build a virtual machine"));
    }
    let programs = if tests.is_empty() { Vec::new() } else { build(&tests)? };
    let bed = Bed::get()?;
    if tests.is_empty() {
        job.shares.splice(..0, workspace_shares()?);
        return run_here(&bed, &job);
    }
    let options = std::mem::take(&mut job.arguments);
    let mut verdict = Verdict::Passed;
    for program in &programs {
        let mut job = job.clone();
        bed.set_program(&mut job, program, &options)?;
        let this = run_here(&bed, &job)?;
        verdict = if verdict == Verdict::Passed { this } else { verdict };
    }
    Ok(verdict)
}

fn build(tests: &[String]) -> Result<Vec<Artifact>, Error> {
    let mut command = workspace::cargo("test");
    command.args(["--no-run", "--workspace"]).args(workspace::features());
    for name in tests {
        command.args(["--test", name]);
    }
    let mut programs = workspace::build(&mut command)?;
    programs.retain(|program| program.is_test);
    Ok(programs)
}

/// Runs a job with our own standard output and error.
fn run_here(bed: &Bed, job: &Job) -> Result<Verdict, Error> {
    let mut failed = None;
    let end = bed.run(job, &mut |stream, bytes| {
        let written = match stream {
            Stream::Out => {
                std::io::stdout().write_all(bytes).and_then(|()| std::io::stdout().flush())
            }
            Stream::Err => std::io::stderr().write_all(bytes),
        };
        failed = failed.take().or(written.err());
    })?;
    if let Some(source) = failed {
        return Err(Error::io("write to", Path::new("standard output"), source));
    }
    Ok(match end {
        End::Exited(0) => Verdict::Passed,
        End::Exited(status) => Verdict::Exited(status),
        End::TimedOut => {
            eprintln!("xtask: killed after {} s", job.limit.as_secs());
            Verdict::Exited(124)
        }
        End::Died(words) => {
            eprint!("xtask: the virtual machine ended without a status\n{words}");
            Verdict::Exited(125)
        }
    })
}

/// Everything that machines boot from.
pub(crate) struct Bed {
    cache: Cache,
    qemu: Qemu,
    kernels: Vec<Entry>,
    image: Entry,
}

impl Bed {
    /// Takes it from the cache, and builds what is not there. Says both on standard error.
    pub(crate) fn get() -> Result<Self, Error> {
        let data = workspace::root().join("xtask/vm");
        let cache = Cache::open()?;
        let qemu = Qemu::get(&cache)?;
        let kernels = Version::ALL.into_iter().map(|version| kernel::get(&cache, version, &data));
        let kernels = kernels.collect::<Result<Vec<_>, _>>()?;
        let image = image::get(&cache, &kernels, &data)?;
        Ok(Self { cache, qemu, kernels, image })
    }

    /// Runs a job, and hands its output to `output` as it arrives.
    pub(crate) fn run(
        &self,
        job: &Job,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<End, Error> {
        let kernel = Version::ALL.into_iter().zip(&self.kernels);
        let kernel = kernel.into_iter().find(|(version, _)| *version == job.guest.kernel);
        let (_, kernel) = kernel.ok_or(Error::absent("such kernel"))?;
        let (vmlinux, initrd) = (kernel.path("vmlinux"), kernel.path("initrd"));
        let firmware = Firmware { qemu: &self.qemu, vmlinux: &vmlinux, initrd: &initrd };
        let image = self.image.path("root.img");
        let made_of = [self.qemu.key(), kernel.key(), self.image.key()];
        let state = saved::get(&self.cache, &firmware, &job.guest, &image, &made_of)?;
        run::run(&firmware, &state, job, output)
    }

    /// Makes a test program the command of `job`, with `options` of libtest.
    pub(crate) fn set_program(
        &self,
        job: &mut Job,
        program: &Artifact,
        options: &[OsString],
    ) -> Result<(), Error> {
        self.check_library(&program.executable)?;
        let absent = Error::absent("directory of a test program");
        let dir = program.executable.parent().ok_or(absent)?;
        let name = program.executable.file_name().unwrap_or_default();
        job.arguments = vec![Path::new(PROGRAMS).join("deps").join(name).into()];
        job.arguments.extend_from_slice(options);
        job.shares.splice(..0, workspace_shares()?);
        job.shares[1].host = dir.parent().unwrap_or(dir).to_owned();
        job.directory.clone_from(&program.package_dir);
        job.env("CARGO_MANIFEST_DIR", &program.package_dir);
        Ok(())
    }

    /// A program of a host with a newer C library cannot start in the guest.
    fn check_library(&self, program: &Path) -> Result<(), Error> {
        let list = self.image.path("glibc");
        let has = std::fs::read_to_string(&list).map_err(|e| Error::io("read", &list, e))?;
        let bytes = std::fs::read(program).map_err(|e| Error::io("read", program, e))?;
        let has = Glibc::parse(&has).ok_or(Error::absent("version of the guest's C library"))?;
        match Glibc::needed_by(&bytes) {
            Some(needed) if needed > has => Err(Error::glibc(program, needed, has)),
            _ => Ok(()),
        }
    }
}

/// The sources at their own path, and what cargo built at [`PROGRAMS`]; both read-only.
fn workspace_shares() -> Result<[Share; 2], Error> {
    let root = workspace::root();
    let built = workspace::target_dir()?.join("debug");
    std::fs::create_dir_all(&built).map_err(|e| Error::io("make", &built, e))?;
    let share = |host: PathBuf, guest: PathBuf| Share {
        host,
        guest,
        access: Access::ReadOnly,
        context: job::LABEL.to_owned(),
    };
    Ok([share(root.clone(), root), share(built, PROGRAMS.into())])
}
