//! What the kernel says about SELinux.
//!
//! Kernel objects: selinuxfs, as mounted at `/sys/fs/selinux`. Invariant: only files of a real selinuxfs are believed.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, fstatfs, openat};
use rustix::io::{Errno, read, write};

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};

/// Where it is mounted.
const PLACE: &str = "/sys/fs/selinux";
/// `SELINUX_MAGIC`.
const MAGIC: u64 = 0xf97c_ff8c;
/// The most that one answer has.
const PAGE: usize = 4096;

/// Whether SELinux is there, and whether it denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The kernel has none, it is switched off, or no policy is loaded.
    Disabled,
    /// What the policy denies is logged and happens all the same.
    Permissive,
    /// What the policy denies does not happen.
    Enforcing,
}

impl State {
    /// The state of this machine. A container mostly sees no selinuxfs, and so no SELinux.
    ///
    /// # Errors
    /// [`ErrorKind::FileSystem`] when something else is mounted at `/sys/fs/selinux`, [`ErrorKind::Denied`].
    pub fn of_this_machine() -> Result<Self> {
        SelinuxFs::open()?.map_or(Ok(Self::Disabled), |selinux| selinux.state())
    }
}

/// The kernel's interface to SELinux.
#[derive(Debug)]
pub struct SelinuxFs(OwnedFd);

impl SelinuxFs {
    /// Opens it; `None` where there is no SELinux.
    ///
    /// # Errors
    /// [`ErrorKind::FileSystem`] when something else is mounted there, [`ErrorKind::Denied`].
    pub fn open() -> Result<Option<Self>> {
        let place = Path::new(PLACE);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = match openat(CWD, place, flags, Mode::empty()) {
            Ok(dir) => dir,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(Error::on("open", place, errno)),
        };
        let kind = fstatfs(&dir).map_err(|errno| Error::on("statfs", place, errno))?.f_type;
        if is(kind, MAGIC) {
            return Ok(Some(Self(dir)));
        }
        // The kernel has the directory for selinuxfs only; in containers it is covered or not mounted.
        match kind {
            kind if SYSTEM.iter().any(|magic| is(kind, *magic)) => Ok(None),
            _ => Err(Error::at(ErrorKind::FileSystem, place)),
        }
    }

    /// Whether it denies. [`State::Disabled`] while no policy is loaded.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`], [`ErrorKind::System`].
    pub fn state(&self) -> Result<State> {
        // Until a policy is loaded everything has the context `kernel`, which is not one.
        let current = crate::attribute::Attribute::Current.of_this_thread_text()?;
        if current.parse::<Context>().is_err() {
            return Ok(State::Disabled);
        }
        let enforce = self.ask("enforce")?;
        Ok(if enforce.trim_ascii() == b"0" { State::Permissive } else { State::Enforcing })
    }

    /// Whether the policy has levels and categories, without which containers are not kept apart by them.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`], [`ErrorKind::System`].
    pub fn has_categories(&self) -> Result<bool> {
        Ok(self.ask("mls")?.trim_ascii() == b"1")
    }

    /// Whether the policy has a context; gives it as the kernel writes it: an alias of a type is its name.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownContext`], [`ErrorKind::Denied`].
    pub fn validate(&self, context: &Context) -> Result<Context> {
        let path = Path::new("context");
        let answer = match self.transaction("context", context.to_string().as_bytes()) {
            Err(Errno::INVAL) => return Err(Error::unknown(context)),
            other => other.map_err(|errno| Error::on("write", path, errno))?,
        };
        parse(path, &answer)
    }

    /// Whether a process in `source` may have this permission of this class on `target` (`access`, selinuxfs).
    ///
    /// Classes and permissions are named as in the policy: `("process", "transition")`.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownContext`] for contexts, a class or a permission that the policy does not have.
    pub fn allows(
        &self,
        source: &Context,
        target: &Context,
        (class, permission): (&str, &str),
    ) -> Result<bool> {
        let unknown = |error: Error| match error.errno() {
            Some(errno) if errno == Errno::NOENT.raw_os_error() => Error::unknown(target),
            _ => error,
        };
        let number = |name: String| self.ask(&name).map(|answer| decimal(&answer)).map_err(unknown);
        let index = number(format!("class/{class}/index"))?;
        let bit = number(format!("class/{class}/perms/{permission}"))?;
        let answer =
            match self.transaction("access", format!("{source} {target} {index}").as_bytes()) {
                Err(Errno::INVAL) => return Err(Error::unknown(target)),
                other => other.map_err(|errno| Error::on("write", Path::new("access"), errno))?,
            };
        let text = String::from_utf8_lossy(&answer);
        let allowed = text.split(' ').next().and_then(|bits| u32::from_str_radix(bits, 16).ok());
        Ok(allowed.unwrap_or(0) & 1_u32.checked_shl(bit.wrapping_sub(1)).unwrap_or(0) != 0)
    }

    /// Writes a question and reads the answer.
    fn transaction(&self, name: &str, question: &[u8]) -> rustix::io::Result<Vec<u8>> {
        let file = openat(&self.0, name, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        write(&file, question)?;
        answer(&file)
    }

    fn ask(&self, name: &str) -> Result<Vec<u8>> {
        openat(&self.0, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .and_then(|file| answer(&file))
            .map_err(|errno| Error::on("read", Path::new(name), errno))
    }
}

/// File systems that stand there where selinuxfs is not mounted: sysfs itself, and what masks it.
const SYSTEM: [u64; 2] = [0x6265_6572, 0x0102_1994];

/// Compares the type of a file system, whose width differs among machines.
pub(crate) fn is(kind: impl TryInto<i64>, magic: u64) -> bool {
    kind.try_into().is_ok_and(|kind| kind.cast_unsigned() & 0xffff_ffff == magic)
}

fn decimal(answer: &[u8]) -> u32 {
    String::from_utf8_lossy(answer).trim().parse().unwrap_or(0)
}

/// One answer, which the kernel gives in one piece.
pub(crate) fn answer(file: impl AsFd) -> rustix::io::Result<Vec<u8>> {
    let mut bytes = vec![0; PAGE];
    let length = read(file, &mut *bytes)?;
    bytes.truncate(length);
    Ok(bytes)
}

/// A context that the kernel wrote, with or without a NUL or newline at its end.
pub(crate) fn parse(from: &Path, bytes: &[u8]) -> Result<Context> {
    text(bytes).parse().map_err(|problem| Error::malformed(from, problem))
}

/// A text that the kernel wrote.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| matches!(byte, 0 | b'\n')).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}
