//! What `/proc/PID` says about a process.
//!
//! Kernel objects: `stat` and `cmdline` below a directory of a checked procfs, read only. Manual:
//! proc(5). Invariant: the directory is opened once, so that all facts are about one process even
//! when its number is used again.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, fstat, fstatfs, open, openat};
use rustix::io::Errno;

use crate::bounded_file::{READ, read_prefix};
use crate::decimal::parse_u32;
use crate::error::{Error, Reason, Result};

/// `PROC_SUPER_MAGIC`.
const PROC_MAGIC: u64 = 0x9fa0;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// So much of a command line is read.
const COMMAND_MAX: usize = 4096;

/// The start of a `stat` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcStat {
    /// The process id.
    pub pid: u32,
    /// The name of the program, at most 15 bytes (kernel threads: 63).
    pub comm: Vec<u8>,
    /// The state, such as `R` or `Z`.
    pub state: u8,
    /// The parent, 0 if it is outside the PID namespace.
    pub ppid: u32,
}

impl ProcStat {
    /// Reads the content of `/proc/PID/stat`. The name may contain anything, parentheses and line
    /// ends too.
    #[must_use]
    pub fn parse(content: &[u8]) -> Option<Self> {
        let start = content.iter().position(|byte| *byte == b'(')?;
        let end = content.iter().rposition(|byte| *byte == b')')?;
        let comm = content.get(start + 1..end)?.to_vec();
        let pid = parse_u32(content.get(..start)?.strip_suffix(b" ")?).ok()?;
        let mut rest = content.get(end + 1..)?.strip_prefix(b" ")?.split(|byte| *byte == b' ');
        let [state] = *rest.next()? else { return None };
        let ppid = parse_u32(rest.next()?).ok()?;
        Some(Self { pid, comm, state, ppid })
    }
}

/// Makes one line of the content of `/proc/PID/cmdline`; empty for a kernel thread or a zombie.
#[must_use]
pub fn parse_cmdline(content: &[u8]) -> String {
    let end = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let content = content.get(..end).unwrap_or_default();
    String::from_utf8_lossy(content).replace('\0', " ")
}

/// `/proc`, known to be a procfs.
pub(crate) struct Proc(OwnedFd);

impl Proc {
    pub(crate) fn open() -> Result<Self> {
        let path = Path::new("/proc");
        let failed = |errno| Error::at("open", path, errno);
        let directory = open(path, DIRECTORY, Mode::empty()).map_err(failed)?;
        let magic = fstatfs(&directory).map_err(|errno| Error::at("fstatfs", path, errno))?.f_type;
        if u64::try_from(magic) != Ok(PROC_MAGIC) {
            return Err(Error::file(path, Reason::NotProcfs));
        }
        Ok(Self(directory))
    }

    /// The ids of all visible processes, rising.
    pub(crate) fn pids(&self) -> Result<Vec<u32>> {
        let failed = |errno| Error::at("readdir", Path::new("/proc"), errno);
        let mut pids = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.0).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            pids.extend(parse_u32(entry.file_name().to_bytes()));
        }
        pids.sort_unstable();
        Ok(pids)
    }

    pub(crate) fn process(&self, pid: u32) -> Result<Process> {
        let directory = openat(&self.0, pid.to_string(), DIRECTORY, Mode::empty());
        directory.map(|directory| Process { pid, directory }).map_err(|e| Error::process(pid, e))
    }
}

/// A process; every access fails with ESRCH once it is gone.
pub(crate) struct Process {
    pub(crate) pid: u32,
    directory: OwnedFd,
}

impl Process {
    pub(crate) fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// The effective user, or 0 if the process may not be dumped.
    pub(crate) fn uid(&self) -> Result<u32> {
        fstat(&self.directory).map(|stat| stat.st_uid).map_err(|errno| self.failed(errno))
    }

    /// The command line, or the name of the program where there is none.
    pub(crate) fn command(&self) -> Result<String> {
        let command = parse_cmdline(&self.read("cmdline", COMMAND_MAX)?);
        if !command.is_empty() {
            return Ok(command);
        }
        let stat = ProcStat::parse(&self.read("stat", COMMAND_MAX)?);
        Ok(stat.map(|stat| String::from_utf8_lossy(&stat.comm).into_owned()).unwrap_or_default())
    }

    pub(crate) fn failed(&self, errno: Errno) -> Error {
        Error::process(self.pid, errno)
    }

    /// The first `max` bytes of a file of this process.
    pub(crate) fn read(&self, name: &str, max: usize) -> Result<Vec<u8>> {
        openat(&self.directory, name, READ, Mode::empty())
            .and_then(|file| read_prefix(file, max))
            .map_err(|errno| self.failed(errno))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_names_with_parentheses() {
        let stat = ProcStat::parse(b"12 (a) R 1 (b\n) S 7 12 12 0 -1\n").unwrap();
        let comm = b"a) R 1 (b\n".to_vec();
        assert_eq!(stat, ProcStat { pid: 12, comm, state: b'S', ppid: 7 });
        for wrong in
            ["", "1", "1 (x", "1 x) R 1", "1 (x) RR 1", "1 (x) R", "1 (x) R -1", "(x) R 1", ")("]
        {
            assert_eq!(ProcStat::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn command_lines_become_one_line() {
        assert_eq!(parse_cmdline(b"sh\0-c\0a b\0"), "sh -c a b");
        assert_eq!(parse_cmdline(b"\0\0"), "");
        assert_eq!(parse_cmdline(b"title\0\0\0\0"), "title");
    }

    #[test]
    fn reads_this_process() {
        let own = Proc::open().unwrap().process(std::process::id()).unwrap();
        let arguments: Vec<String> = std::env::args().collect();
        assert!(own.command().unwrap().starts_with(&arguments.join(" ")));
        assert_eq!(own.uid().unwrap(), rustix::process::geteuid().as_raw());
    }

    #[test]
    fn a_reaped_process_is_gone() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = Proc::open().unwrap().process(child.id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(process.command().unwrap_err().kind(), crate::ErrorKind::ProcessGone);
        let again = Proc::open().unwrap().process(child.id());
        assert_eq!(again.err().unwrap().kind(), crate::ErrorKind::ProcessGone);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(content: Vec<u8>) {
            prop_assert!(!parse_cmdline(&content).contains('\0'));
            prop_assert!(ProcStat::parse(&content).is_none_or(|stat| stat.comm.len() < content.len()));
        }

        #[test]
        fn stats_come_back(pid: u32, comm: Vec<u8>, ppid: u32) {
            let head = format!("{pid} (");
            let content = [head.as_bytes(), &comm, format!(") Z {ppid} 0").as_bytes()].concat();
            let stat = ProcStat { pid, comm, state: b'Z', ppid };
            prop_assert_eq!(ProcStat::parse(&content), Some(stat));
        }
    }
}
