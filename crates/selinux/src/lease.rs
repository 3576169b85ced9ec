//! Which pairs are in use: each container has one that no other has.
//!
//! Kernel objects: a directory with a file for each pair in use, locked (flock(2)). Invariant: a pair is in use exactly
//! as long as somebody has the lock of its file, so that the pairs of a killed process are free without anybody's help.
//! Who is given a pair holds the lock of the file that has the pair's name at that moment, not of one that was removed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FlockOperation, Mode, OFlags, flock, fstat, mkdirat, openat, statat,
    unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::categories::Categories;
use crate::error::{Error, ErrorKind, Result};
use crate::pair::Pair;

/// How often a pair is drawn before all are tried in turn.
const DRAWS: u32 = 64;

/// The pairs of categories of one directory.
///
/// All that share a directory never get the same pair. That is one for the machine where root starts containers;
/// ordinary users have one each, and are kept apart by their ids.
#[derive(Debug)]
pub struct Pairs {
    dir: OwnedFd,
    path: PathBuf,
    /// How many categories there are.
    categories: u16,
}

/// A pair in use; free again when this and all copies of its descriptor are closed.
///
/// A process that was given the descriptor (and executes) keeps the pair in use after this process.
#[derive(Debug)]
pub struct Lease {
    pair: Pair,
    lock: OwnedFd,
    dir: OwnedFd,
    on_drop: OnDrop,
}

/// What the end of a [`Lease`] does to its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnDrop {
    Remove,
    Leave,
}

impl Pairs {
    /// The pairs of this directory, which is made (mode 0700) if it is missing; its parent must be there.
    ///
    /// # Errors
    /// [`ErrorKind::InsecureDirectory`] where others may write to it or it belongs to another user, who could take
    /// names away; [`ErrorKind::Denied`], [`ErrorKind::System`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let on = |operation| move |path: &Path, errno| Error::on(operation, path, errno);
        match mkdirat(CWD, &path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(on("mkdir")(&path, errno)),
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir =
            openat(CWD, &path, flags, Mode::empty()).map_err(|errno| on("open")(&path, errno))?;
        let found = fstat(&dir).map_err(|errno| on("stat")(&path, errno))?;
        if found.st_uid != geteuid().as_raw() || found.st_mode & 0o022 != 0 {
            return Err(Error::at(ErrorKind::InsecureDirectory, path));
        }
        Ok(Self { dir, path, categories: Categories::MAX + 1 })
    }

    /// Uses the categories below this number only, for policies with less than 1024; at least 2.
    #[must_use]
    pub fn categories(self, number: u16) -> Self {
        Self { categories: number.clamp(2, Categories::MAX + 1), ..self }
    }

    /// A pair that nobody has. Any two pairs differ in at least one category each.
    ///
    /// # Errors
    /// [`ErrorKind::PairsExhausted`]; [`ErrorKind::System`], such as too many open files.
    pub fn allocate(&self) -> Result<Lease> {
        let start = self.draw()?;
        let mut drawn = start;
        for _ in 0..DRAWS {
            if let Some(lease) =
                self.take(self.pair(drawn), FlockOperation::NonBlockingLockExclusive)?
            {
                return Ok(lease);
            }
            drawn = self.draw()?;
        }
        for number in (start..self.count()).chain(0..start) {
            if let Some(lease) =
                self.take(self.pair(number), FlockOperation::NonBlockingLockExclusive)?
            {
                return Ok(lease);
            }
        }
        Err(Error::exhausted(self.count()))
    }

    /// A pair that was chosen by somebody; others may share it in the same way, but it is not allocated any more.
    ///
    /// # Errors
    /// [`ErrorKind::PairInUse`] if it was allocated; [`ErrorKind::System`].
    pub fn share(&self, pair: Pair) -> Result<Lease> {
        let lease = self.take(pair, FlockOperation::NonBlockingLockShared)?;
        lease.ok_or_else(|| Error::in_use(pair))
    }

    /// The pairs in use, in no order. What a killed process left is removed meanwhile.
    ///
    /// # Errors
    /// [`ErrorKind::System`].
    pub fn in_use(&self) -> Result<Vec<Pair>> {
        let on = |errno| Error::on("read", &self.path, errno);
        let mut pairs = Vec::new();
        for entry in Dir::read_from(&self.dir).map_err(on)? {
            let name = entry.map_err(on)?.file_name().to_string_lossy().into_owned();
            let Ok(pair) = name.parse::<Pair>() else { continue };
            if self.take(pair, FlockOperation::NonBlockingLockExclusive)?.is_none() {
                pairs.push(pair);
            }
        }
        Ok(pairs)
    }

    /// Takes the lock of a pair; `None` if somebody else has it.
    fn take(&self, pair: Pair, how: FlockOperation) -> Result<Option<Lease>> {
        let name = pair.to_string();
        let on =
            |operation| move |errno| Error::on(operation, &self.path.join(pair.to_string()), errno);
        loop {
            let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let lock =
                openat(&self.dir, &name, flags, Mode::RUSR | Mode::WUSR).map_err(on("open"))?;
            match flock(&lock, how) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(errno) => return Err(on("flock")(errno)),
            }
            // The last owner may have removed it between the open and the lock: then this lock is worth nothing.
            if has_name(&self.dir, &name, &lock) {
                let dir = self.dir.try_clone().map_err(|_| on("dup")(Errno::MFILE))?;
                return Ok(Some(Lease { pair, lock, dir, on_drop: OnDrop::Remove }));
            }
        }
    }

    fn count(&self) -> u32 {
        let categories = u32::from(self.categories);
        categories * (categories - 1) / 2
    }

    /// The pair with this number: those with the higher category 1 first, then 2, and so on.
    fn pair(&self, number: u32) -> Pair {
        let mut high = 1;
        let mut left = number % self.count();
        while left >= high {
            left -= high;
            high += 1;
        }
        let category = |number: u32| u16::try_from(number).unwrap_or(Categories::MAX);
        // Both are below the number of categories, and `left < high`.
        Pair::new(category(left), category(high)).unwrap_or(FIRST)
    }

    fn draw(&self) -> Result<u32> {
        let mut bytes = [0_u8; 8];
        getrandom(&mut bytes, GetRandomFlags::empty())
            .map_err(|errno| Error::call("getrandom", errno))?;
        let number = u64::from_ne_bytes(bytes) % u64::from(self.count());
        Ok(u32::try_from(number).unwrap_or(0))
    }
}

const FIRST: Pair = Pair::trusted(0, 1);

impl Lease {
    /// The pair.
    #[must_use]
    pub fn pair(&self) -> Pair {
        self.pair
    }

    /// Lets go of the pair without removing its file: other processes with the descriptor go on having it.
    pub fn leave(mut self) {
        self.on_drop = OnDrop::Leave;
    }
}

/// What is locked.
impl AsFd for Lease {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.lock.as_fd()
    }
}

impl Drop for Lease {
    /// Removes the file, unless somebody else has the pair, too.
    fn drop(&mut self) {
        if self.on_drop == OnDrop::Leave {
            return;
        }
        let name = self.pair.to_string();
        let alone = flock(&self.lock, FlockOperation::NonBlockingLockExclusive).is_ok();
        if alone && has_name(&self.dir, &name, &self.lock) {
            // A name that stays costs nothing else: it is not locked.
            unlinkat(&self.dir, &name, AtFlags::empty()).ok();
        }
    }
}

/// Whether an open file is the one that has the name now.
fn has_name(dir: &OwnedFd, name: &str, file: &OwnedFd) -> bool {
    let (Ok(named), Ok(open)) = (statat(dir, name, AtFlags::SYMLINK_NOFOLLOW), fstat(file)) else {
        return false;
    };
    (named.st_dev, named.st_ino) == (open.st_dev, open.st_ino)
}
