//! Opening what only the other ids may read.
//!
//! Kernel objects: descriptors that a process in the namespace opens and sends. Invariant: what is opened is below the root,
//! no link is followed, and no more descriptors are kept than one process sends.

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::{BorrowedFd, OwnedFd};

use ampoule_init::Draft;
use ampoule_init::steps::{file, launch};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{MappedIds, process};

/// Files that are opened before they are asked for.
pub(crate) const MOST: usize = 63;

/// Names, and opens nothing.
pub(crate) const NAME: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens files below a root as user 0 of the namespace, some of them before they are asked for.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    ids: &'a MappedIds,
    root: BorrowedFd<'a>,
    /// Opened already, by the flags.
    ready: HashMap<OFlags, HashMap<Vec<u8>, OwnedFd>>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(ids: &'a MappedIds, root: BorrowedFd<'a>) -> Self {
        Self { ids, root, ready: HashMap::new() }
    }

    /// Opens a path; the others are likely to be asked for next, with the same flags.
    pub(crate) fn open(
        &mut self,
        path: &[u8],
        others: impl IntoIterator<Item = Vec<u8>>,
        flags: OFlags,
    ) -> Result<OwnedFd, Errno> {
        let ready = self.ready.entry(flags).or_default();
        if let Some(fd) = ready.remove(path) {
            return Ok(fd);
        }
        ready.clear();
        let mut paths = vec![path.to_vec()];
        paths.extend(others.into_iter().take(MOST));
        let mut sent = match self.ask(&paths, flags) {
            // One of the others is gone, or something else: only the first one has to be there.
            Err(_) if paths.len() > 1 => self.ask(paths.get(..1).unwrap_or_default(), flags)?,
            sent => sent?,
        };
        let wanted = sent.remove(&0).ok_or(Errno::MFILE)?;
        let others = sent.into_iter().filter_map(|(at, fd)| Some((paths.get(at)?.clone(), fd)));
        self.ready.entry(flags).or_default().extend(others);
        Ok(wanted)
    }

    /// Whether a file is of this kind, and the caller may not read it as one of many.
    pub(crate) fn wants(&self, path: &[u8], kind: FileType) -> bool {
        let named = self.ready.get(&NAME).and_then(|ready| ready.get(path));
        let stat = match named {
            Some(fd) => fs::fstat(fd),
            None => fs::statat(self.root, path, AtFlags::SYMLINK_NOFOLLOW),
        };
        let all = Mode::ROTH | if kind == FileType::Directory { Mode::XOTH } else { Mode::empty() };
        stat.is_ok_and(|stat| {
            let mode = Mode::from_raw_mode(stat.st_mode);
            FileType::from_raw_mode(stat.st_mode) == kind && !mode.contains(all)
        })
    }

    /// Descriptors by their position.
    fn ask(&self, paths: &[Vec<u8>], flags: OFlags) -> Result<HashMap<usize, OwnedFd>, Errno> {
        let mut draft = Draft::default();
        let root = draft.inherit(rustix::io::fcntl_dupfd_cloexec(self.root, 3)?);
        let opened = draft.slots.take();
        let flags = u64::from(flags.bits());
        let resolve = (ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS).bits();
        let mut steps = Vec::new();
        for (path, number) in paths.iter().zip(0_u32..) {
            let path = if path.is_empty() { b".".as_slice() } else { path };
            let path = CString::new(path).map_err(|_| Errno::INVAL)?;
            steps.push(file::open(root, &path, flags, resolve, opened));
            steps.push(launch::send_fd(number, opened));
            steps.push(file::close(opened));
        }
        let sent = process::run(self.ids, draft, steps).map_err(|failed| failed.errno)?;
        Ok(sent.into_iter().filter_map(|(at, fd)| Some((usize::try_from(at).ok()?, fd))).collect())
    }
}
