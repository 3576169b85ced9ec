//! The embedded program as an executable file without a name.
//!
//! Kernel objects: one sealed memfd, kept as long as a [`crate::Program`] uses it (`F_SEAL_EXEC` and `MFD_EXEC`
//! since Linux 6.3); where memfds may not be executed, an unlinked temporary file. Invariant: what is
//! executed has exactly the bytes that were built, the mode and the owner that it was made with.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::fs::{
    MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags, fchmod, fcntl_add_seals, fstat,
    fstatvfs, memfd_create, open,
};
use rustix::io::Errno;

use crate::above_stdio;
use crate::error::{Error, ErrorKind};
use crate::image::write_all;

/// The program's bytes; empty where documentation is built.
pub(crate) const BYTES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));

/// Mode of the executable: nobody writes it, everybody may execute it.
const MODE: u32 = 0o555;

/// The one that is in use, if any.
static SHARED: Mutex<Weak<Embedded>> = Mutex::new(Weak::new());

/// The executable.
#[derive(Debug)]
pub(crate) struct Embedded {
    file: OwnedFd,
    made: State,
}

/// What every change of an inode moves; the time of change cannot be set by anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    mode: u32,
    uid: u32,
    changed: (i64, u64),
}

impl State {
    fn of(file: &OwnedFd) -> Result<Self, Error> {
        let stat = fstat(file).map_err(|errno| Error::host("fstat of init", errno))?;
        let changed = (stat.st_ctime, stat.st_ctime_nsec);
        Ok(Self { mode: stat.st_mode & 0o7777, uid: stat.st_uid, changed })
    }
}

impl Embedded {
    /// The shared executable; made anew when there is none, or when a payload changed its mode or owner.
    pub(crate) fn shared() -> Result<Arc<Self>, Error> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(current) = shared.upgrade().filter(|current| current.is_intact()) {
            return Ok(current);
        }
        let new = Arc::new(Self::new()?);
        *shared = Arc::downgrade(&new);
        Ok(new)
    }

    /// Another executable in place of one that could not be executed.
    pub(crate) fn replaced(spoilt: &Arc<Self>) -> Result<Arc<Self>, Error> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.upgrade().is_some_and(|current| Arc::ptr_eq(&current, spoilt)) {
            *shared = Weak::new();
        }
        drop(shared);
        Self::shared()
    }

    fn new() -> Result<Self, Error> {
        let file = match executable_memfd() {
            Err(error) if error.kind() == ErrorKind::MemfdForbidden => temporary_file(error)?,
            other => other?,
        };
        let made = State::of(&file)?;
        Ok(Self { file, made })
    }

    /// Whether nobody changed it: a payload of the same user can change mode and owner through `/proc/1/exe` where the
    /// kernel has no `F_SEAL_EXEC`, and of the fallback file also the content.
    pub(crate) fn is_intact(&self) -> bool {
        State::of(&self.file).is_ok_and(|state| state == self.made)
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Writes the program to a memfd and seals it.
fn executable_memfd() -> Result<OwnedFd, Error> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let made = match memfd_create("ampoule-init", flags | MemfdFlags::EXEC) {
        Err(Errno::INVAL) => memfd_create("ampoule-init", flags),
        other => other,
    };
    let fd = match made {
        Ok(fd) => above_stdio(fd)?,
        // vm.memfd_noexec = 2 (Documentation/userspace-api/mfd_noexec.rst)
        Err(errno @ (Errno::ACCESS | Errno::PERM)) => {
            return Err(Error::new(ErrorKind::MemfdForbidden, "vm.memfd_noexec")
                .with_errno(errno.raw_os_error()));
        }
        Err(errno) => return Err(Error::host("memfd_create", errno)),
    };
    write_all(&fd, BYTES, "init")?;
    fchmod(&fd, Mode::from_raw_mode(MODE)).map_err(|errno| Error::host("fchmod of init", errno))?;
    seal(&fd)?;
    Ok(fd)
}

/// Seals content, and the executable bits where the kernel can.
fn seal(fd: &OwnedFd) -> Result<(), Error> {
    let content = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    let exec = SealFlags::from_bits_retain(0x20);
    let sealed = match fcntl_add_seals(fd, content | exec) {
        Err(Errno::INVAL) => fcntl_add_seals(fd, content),
        other => other,
    };
    sealed.map_err(|errno| Error::host("fcntl(F_ADD_SEALS)", errno))
}

/// The fallback: a file without a name, written and opened again for reading.
fn temporary_file(forbidden: Error) -> Result<OwnedFd, Error> {
    crate::image::check_size_limit(BYTES.len(), "init")?;
    let runtime = std::env::var_os("XDG_RUNTIME_DIR");
    let candidates =
        [Some(Path::new("/dev/shm")), runtime.as_deref().map(Path::new), Some(Path::new("/tmp"))];
    candidates.into_iter().flatten().find_map(temporary_file_in).ok_or(forbidden)
}

/// Tries one directory; a noexec one, or one without `O_TMPFILE`, is passed over.
fn temporary_file_in(directory: &Path) -> Option<OwnedFd> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let writer = above_stdio(open(directory, flags, Mode::from_raw_mode(MODE)).ok()?).ok()?;
    let noexec = fstatvfs(&writer).ok()?.f_flag.contains(StatVfsMountFlags::NOEXEC);
    if noexec {
        return None;
    }
    write_all(&writer, BYTES, "init").ok()?;
    fchmod(&writer, Mode::from_raw_mode(MODE)).ok()?;
    let link = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let reader = open(link, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    above_stdio(reader).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_small_and_static() {
        assert!((1000..=64 * 1024).contains(&BYTES.len()), "{} bytes", BYTES.len());
        assert_eq!(&BYTES[..4], b"\x7fELF");
        // Neither an interpreter (PT_INTERP, 3) nor dynamic linking (PT_DYNAMIC, 2) among the program headers.
        let word = |at: usize| u16::from_le_bytes([BYTES[at], BYTES[at + 1]]);
        let (size, count) = (usize::from(word(54)), usize::from(word(56)));
        let kinds: Vec<u16> = (0..count).map(|index| word(64 + index * size)).collect();
        assert!(kinds.contains(&1) && !kinds.contains(&2) && !kinds.contains(&3), "{kinds:?}");
        // The stack is not executable (PT_GNU_STACK), and nothing is both writable and executable.
        let flags = |index: usize| word(64 + index * size + 4);
        assert!(
            (0..count).all(|index| flags(index) & 3 != 3),
            "a segment can be written and executed"
        );
    }

    #[test]
    fn the_shared_executable_is_replaced_when_it_was_changed() {
        let first = Embedded::shared().unwrap();
        assert!(first.is_intact());
        assert!(Arc::ptr_eq(&first, &Embedded::shared().unwrap()));
        fchmod(&first.file, Mode::from_raw_mode(0o155)).unwrap();
        assert!(!first.is_intact());
        let second = Embedded::shared().unwrap();
        assert!(!Arc::ptr_eq(&first, &second) && second.is_intact());
        let third = Embedded::replaced(&second).unwrap();
        assert!(!Arc::ptr_eq(&second, &third));
        assert!(
            Arc::ptr_eq(&third, &Embedded::replaced(&second).unwrap()),
            "one replacement for all"
        );
    }

    #[test]
    fn the_content_is_sealed() {
        let embedded = Embedded::new().unwrap();
        let seals = rustix::fs::fcntl_get_seals(&embedded.file).unwrap();
        assert!(
            seals
                .contains(SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)
        );
        assert!(rustix::io::write(&embedded.file, b"x").is_err());
    }
}
