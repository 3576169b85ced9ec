//! A free range of host ids for the automatic id map of a container started by root.
//!
//! Kernel objects: `/etc/subuid`, `/etc/subgid`, `/etc/passwd`, `/etc/group`, `/proc/*/uid_map` and
//! `gid_map`, read only; one abstract unix socket (unix(7)) as the reservation. No file is written,
//! so nothing stays behind however the host ends. The reservation is seen by programs of the same
//! network namespace; a container that runs already is found by its map.
//!
//! Invariant: while a [`Reservation`] lives, no other one has the same ids.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::bounded_file::{errno_of, read_host};
use crate::decimal::parse_u32;
use crate::error::{Error, Result};
use crate::id_map::{IdMap, IdRange, overlap};
use crate::passwd;
use crate::sub_id::{self, SubIds};

/// Ids per range.
pub const RANGE: u32 = 65_536;

/// The first block that is given out: ids from 524288 on.
const FIRST_BLOCK: u32 = 8;

/// The block after the last one: ids below 1879048192.
const END_BLOCK: u32 = 28_672;

/// How many reservations of others are met before giving up.
const TRIES_MAX: u32 = 64;

/// A map of more ids than this is a view of nearly everything, not a range of somebody's own.
const OWN_MAX: u32 = 1 << 30;

/// A map file has at most 340 lines, each of three numbers.
const MAP_FILE_MAX: usize = 340 * 40;

/// 65536 user and group ids that nobody else uses; keep it as long as the container lives.
#[derive(Debug)]
pub struct Reservation {
    first: u32,
    /// Close-on-exec; the kernel frees the name when it is closed.
    _socket: OwnedFd,
}

impl Reservation {
    /// Finds and reserves a free range.
    ///
    /// # Errors
    /// [`IdRangesExhausted`](crate::ErrorKind::IdRangesExhausted) when there is none, or when the
    /// caller's own user namespace does not have these ids; or a failed system call.
    pub fn acquire() -> Result<Self> {
        let mut used = UsedIds::default();
        let mut tried = 0;
        for block in blocks_from(random_block()) {
            if used.takes(block) {
                continue;
            }
            tried += 1;
            if tried > TRIES_MAX {
                break;
            }
            let Some(socket) = bind(block)? else { continue };
            // Only now: a range may belong to a container whose starter, and with it the
            // reservation, has ended. From here on nobody else can take the block.
            used = UsedIds::recent()?;
            if used.is_free(block) {
                given_out(block);
                return Ok(Self { first: block * RANGE, _socket: socket });
            }
        }
        Err(Error::id_ranges_exhausted(tried))
    }

    /// The first host id.
    #[must_use]
    pub fn first(&self) -> u32 {
        self.first
    }

    /// The map of a container: ids 0 to 65535 inside stand for the reserved ones.
    #[must_use]
    pub fn id_map(&self) -> IdMap {
        IdMap::range(0, self.first, RANGE)
    }
}

/// Every block once, from `start` on and around.
fn blocks_from(start: u32) -> impl Iterator<Item = u32> {
    (start..END_BLOCK).chain(FIRST_BLOCK..start)
}

/// Different programs start at different blocks, so that they seldom meet.
fn random_block() -> u32 {
    let random = RandomState::new().build_hasher().finish();
    let blocks = u64::from(END_BLOCK - FIRST_BLOCK);
    u32::try_from(random % blocks).map_or(FIRST_BLOCK, |offset| FIRST_BLOCK + offset)
}

/// Binds the name of a block; `None` when somebody else has it.
fn bind(block: u32) -> Result<Option<OwnedFd>> {
    let failed = |errno| Error::system("bind", errno);
    let name = format!("ampoule-ids-{block}");
    let address = SocketAddrUnix::new_abstract_name(name.as_bytes()).map_err(failed)?;
    let flags = SocketFlags::CLOEXEC;
    // A stream socket that does not listen: nobody can send anything to it.
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .map_err(|errno| Error::system("socket", errno))?;
    // Above the standard streams: a program that closed one of these must not hand this one out in its place.
    let socket = rustix::io::fcntl_dupfd_cloexec(&socket, 3)
        .map_err(|errno| Error::system("fcntl(F_DUPFD)", errno))?;
    match rustix::net::bind(&socket, &address) {
        Ok(()) => Ok(Some(socket)),
        Err(Errno::ADDRINUSE) => Ok(None),
        Err(errno) => Err(failed(errno)),
    }
}

/// How long a look at all processes counts. A range that another program reserved, gave to a container and left
/// behind by ending, all since then, would be missed.
const RECENT: Duration = Duration::from_secs(1);

/// The last look, and what this process gave out since.
static LAST: Mutex<Option<(Instant, UsedIds)>> = Mutex::new(None);

/// Notes a block that this process gave out: its container may outlive the reservation.
fn given_out(block: u32) {
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, used)) = last.as_mut() {
        used.taken.push((block * RANGE, RANGE));
    }
}

/// The host ids that somebody has already, as ranges of (first, count).
#[derive(Clone, Debug, Default, PartialEq)]
struct UsedIds {
    taken: Vec<(u32, u32)>,
    /// The ids that exist in the caller's own user namespace.
    ours: [Vec<IdRange>; 2],
}

impl UsedIds {
    /// What a look not long ago found.
    fn recent() -> Result<Self> {
        let is_recent = |(at, _): &&(Instant, Self)| at.elapsed() < RECENT;
        let recent = |last: &Option<(Instant, Self)>| {
            last.as_ref().filter(is_recent).map(|(_, used)| used.clone())
        };
        // Not held while looking: threads that plan at once do not wait for each other.
        if let Some(used) = recent(&LAST.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(used);
        }
        let begun = Instant::now();
        let used = Self::scan()?;
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        if recent(&last).is_none() {
            *last = Some((begun, used.clone()));
        }
        Ok(used)
    }

    fn scan() -> Result<Self> {
        let read = |path: &str, max| read_host(Path::new(path), max);
        let mut used = Self::default();
        used.add_sub_ids(&read("/etc/subuid", sub_id::FILE_MAX)?);
        used.add_sub_ids(&read("/etc/subgid", sub_id::FILE_MAX)?);
        let passwd = read("/etc/passwd", passwd::FILE_MAX)?;
        used.taken.extend(passwd::users(&passwd).map(|user| (user.uid, 1)));
        let group = read("/etc/group", passwd::FILE_MAX)?;
        used.taken.extend(passwd::groups(&group).map(|group| (group.gid, 1)));
        used.ours = [
            parse_map(&read("/proc/self/uid_map", MAP_FILE_MAX)?),
            parse_map(&read("/proc/self/gid_map", MAP_FILE_MAX)?),
        ];
        used.add_processes()?;
        Ok(used)
    }

    fn add_sub_ids(&mut self, content: &[u8]) {
        self.taken.extend(SubIds::parse(content).ranges.iter().map(|ids| (ids.first, ids.count)));
    }

    /// Adds the maps of all user namespaces that have a process. A process that ended meanwhile is
    /// left out.
    fn add_processes(&mut self) -> Result<()> {
        let proc = Path::new("/proc");
        let failed = |error: &_| Error::at("readdir", proc, errno_of(error));
        let mut seen = BTreeSet::new();
        for entry in std::fs::read_dir(proc).map_err(|error| failed(&error))? {
            let entry = entry.map_err(|error| failed(&error))?;
            let process = entry.path();
            if parse_u32(entry.file_name().as_encoded_bytes()).is_err() {
                continue;
            }
            // Without the right to see the namespace, its maps are read for every process.
            let known = rustix::fs::stat(process.join("ns/user"))
                .is_ok_and(|stat| !seen.insert((stat.st_dev, stat.st_ino)));
            if !known {
                self.add_maps(&process);
            }
        }
        Ok(())
    }

    fn add_maps(&mut self, process: &Path) {
        for file in ["uid_map", "gid_map"] {
            let content = read_host(&process.join(file), MAP_FILE_MAX);
            self.add_map(&content.unwrap_or_default());
        }
    }

    fn add_map(&mut self, content: &[u8]) {
        for range in parse_map(content) {
            let ids = (range.outside, range.count);
            if range.count <= OWN_MAX {
                self.taken.push(ids);
            }
        }
    }

    fn takes(&self, block: u32) -> bool {
        self.taken.iter().any(|taken| overlap(*taken, (block * RANGE, RANGE)))
    }

    fn is_free(&self, block: u32) -> bool {
        let covered = self.ours.iter().all(|map| covers(map, (block * RANGE, RANGE)));
        covered && !self.takes(block)
    }
}

/// Whether one line of `map` has all of `ids` inside.
fn covers(map: &[IdRange], ids: (u32, u32)) -> bool {
    map.iter().any(|range| {
        ids.0
            .checked_sub(range.inside)
            .is_some_and(|skipped| u64::from(skipped) + u64::from(ids.1) <= u64::from(range.count))
    })
}

/// Reads `/proc/PID/uid_map`; lines that are not three numbers are left out.
pub(crate) fn parse_map(content: &[u8]) -> Vec<IdRange> {
    content.split(|byte| *byte == b'\n').filter_map(parse_map_line).collect()
}

fn parse_map_line(line: &[u8]) -> Option<IdRange> {
    let mut numbers = line.split(|byte| *byte == b' ').filter(|field| !field.is_empty());
    let mut number = || parse_u32(numbers.next()?).ok();
    Some(IdRange::new(number()?, number()?, number()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: &[u8] = b"         0          0 4294967295\n";

    fn used(maps: &[u8]) -> UsedIds {
        let mut used = UsedIds { taken: vec![], ours: [parse_map(ALL), parse_map(ALL)] };
        used.add_map(maps);
        used
    }

    #[test]
    fn reads_the_kernels_columns() {
        assert_eq!(parse_map(ALL), [IdRange::new(0, 0, u32::MAX)]);
        assert_eq!(
            parse_map(b"0 5 1\nx\n1 2\n\n  7 8  9"),
            [IdRange::new(0, 5, 1), IdRange::new(7, 8, 9)]
        );
    }

    #[test]
    fn taken_ids_are_not_given_out() {
        let used = used(b"0 655361 1\n0 0 4294967295\n0 786431 2\n");
        assert!(used.is_free(9));
        assert!(!used.is_free(10), "one id in the block");
        assert!(!used.is_free(11) && !used.is_free(12), "two ids around a border");
        assert!(used.is_free(13));
    }

    #[test]
    fn ids_that_we_do_not_have_are_not_given_out() {
        let small = parse_map(b"0 100000 65536\n");
        let used = UsedIds { taken: vec![], ours: [parse_map(ALL), small] };
        assert!(!(FIRST_BLOCK..END_BLOCK).any(|block| used.is_free(block)));
    }

    #[test]
    fn all_blocks_are_visited_once() {
        for start in [FIRST_BLOCK, 1000, END_BLOCK - 1] {
            let blocks: BTreeSet<u32> = blocks_from(start).collect();
            assert_eq!(blocks, (FIRST_BLOCK..END_BLOCK).collect());
            assert_eq!(blocks_from(start).count(), blocks.len());
        }
        assert!((FIRST_BLOCK..END_BLOCK).contains(&random_block()));
    }

    #[test]
    fn a_name_is_bound_once_and_freed_by_closing() {
        let block = random_block();
        let socket = bind(block).unwrap().unwrap();
        let flags = rustix::io::fcntl_getfd(&socket).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        assert!(bind(block).unwrap().is_none());
        drop(socket);
        assert!(bind(block).unwrap().is_some());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(content: Vec<u8>) {
            parse_map(&content);
        }

        #[test]
        fn free_blocks_touch_no_taken_id(first: u32, count in 0..=OWN_MAX, block in FIRST_BLOCK..END_BLOCK) {
            let used = used(format!("0 {first} {count}").as_bytes());
            let ids = u64::from(block * RANGE)..u64::from(block * RANGE + RANGE);
            let taken = u64::from(first)..u64::from(first) + u64::from(count);
            let apart = taken.is_empty() || taken.end <= ids.start || ids.end <= taken.start;
            prop_assert_eq!(used.is_free(block), apart);
        }
    }
}
