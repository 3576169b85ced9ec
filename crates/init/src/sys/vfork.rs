//! Starts the embedded program as posix_spawn(3) would: the child shares this process's memory until it
//! executes, and the calling thread waits for that.
//!
//! Kernel objects: one process and its pidfd. Invariant: between the clone and the exec the child makes plain
//! system calls on prepared numbers only: no allocation, no lock, no library call, no change of credentials,
//! namespaces or groups. It has its own copy of the descriptor table, so that nothing it does to
//! descriptors is seen here.
#![expect(
    unsafe_code,
    reason = "clone3 with shared memory; the only place where a child runs our code in the host's memory"
)]

#[cfg(target_arch = "aarch64")]
#[path = "../../program/arch_aarch64.rs"]
#[allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "shared with the embedded program, which uses all of it"
)]
mod arch;
#[cfg(target_arch = "x86_64")]
#[path = "../../program/arch_x86_64.rs"]
#[allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "shared with the embedded program, which uses all of it"
)]
mod arch;

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

const CLONE_VM: u64 = 0x100;
const CLONE_PIDFD: u64 = 0x1000;
const CLONE_VFORK: u64 = 0x4000;
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const AT_EMPTY_PATH: u64 = 0x1000;
const F_DUPFD_CLOEXEC: u64 = 1030;
const STACK_LEN: usize = 16 * 1024;

/// One descriptor for the child: where it is and the number that it gets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    from: RawFd,
    to: RawFd,
}

impl Place {
    /// `from` becomes number `to`.
    pub(crate) fn new(from: BorrowedFd<'_>, to: RawFd) -> Self {
        Self { from: from.as_raw_fd(), to }
    }
}

/// What the child works on, prepared before the clone.
struct Order {
    places: *mut Place,
    place_count: usize,
    gaps: *const (RawFd, RawFd),
    gap_count: usize,
    limit: RawFd,
    program: RawFd,
    argv: *const *const libc::c_char,
    envp: *const *const libc::c_char,
    error: i32,
}

/// `struct clone_args` up to `cgroup`.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    tids: [u64; 2],
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    rest: [u64; 4],
}

/// A process just started.
#[derive(Debug)]
pub(crate) struct Spawned {
    /// Its id, to recognise it in a list; never used to act on it.
    pub(crate) pid: u32,
    /// Its pidfd.
    pub(crate) pidfd: OwnedFd,
}

/// Starts `program` with descriptors at their places and all others closed.
///
/// # Errors
/// What clone3(2), dup3(2) or execveat(2) answered.
pub(crate) fn spawn(
    program: BorrowedFd<'_>,
    argument: &CStr,
    places: &[Place],
) -> io::Result<Spawned> {
    // The child notes in it where it lifted each to.
    let mut places = places.to_vec();
    let limit = places.iter().map(|place| place.to).max().unwrap_or(2).saturating_add(1);
    let gaps = gaps(&places, limit);
    let argv = [c"ampoule-init".as_ptr(), argument.as_ptr(), std::ptr::null()];
    let envp = [std::ptr::null()];
    let mut order = Order {
        places: places.as_mut_ptr(),
        place_count: places.len(),
        gaps: gaps.as_ptr(),
        gap_count: gaps.len(),
        limit,
        program: program.as_raw_fd(),
        argv: argv.as_ptr(),
        envp: envp.as_ptr(),
        error: 0,
    };
    let mut stack = Box::<[MaybeUninit<u8>]>::new_uninit_slice(STACK_LEN);
    let mut pidfd: RawFd = -1;
    let args = CloneArgs {
        flags: CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
        pidfd: &raw mut pidfd as u64,
        stack: (stack.as_mut_ptr() as u64).next_multiple_of(16),
        stack_size: (STACK_LEN - 16) as u64,
        ..CloneArgs::default()
    };
    let result = with_signals_blocked(|| clone(&args, &mut order));
    drop(stack);
    finish(result, pidfd, order.error)
}

/// Turns what the clone and the child left into a result.
fn finish(result: i64, pidfd: RawFd, child_error: i32) -> io::Result<Spawned> {
    if result < 0 {
        let errno = i32::try_from(-result).unwrap_or(libc::EIO);
        return Err(io::Error::from_raw_os_error(errno));
    }
    // SAFETY: the clone succeeded, so that the kernel stored a new descriptor of ours there.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    if child_error == 0 {
        return Ok(Spawned { pid: u32::try_from(result).unwrap_or(0), pidfd });
    }
    crate::process::reap(&pidfd)?;
    Err(io::Error::from_raw_os_error(child_error))
}

/// The ranges of numbers below the limit that no place fills.
fn gaps(places: &[Place], limit: RawFd) -> Vec<(RawFd, RawFd)> {
    let mut filled: Vec<RawFd> = places.iter().map(|place| place.to).collect();
    filled.sort_unstable();
    let mut gaps = Vec::new();
    let mut next = 0;
    for number in filled.into_iter().chain([limit]) {
        if number > next {
            gaps.push((next, number - 1));
        }
        next = number + 1;
    }
    gaps
}

/// Runs with every signal blocked in this thread, so that no handler of the host runs in the child.
fn with_signals_blocked<T>(body: impl FnOnce() -> T) -> T {
    let all = u64::MAX;
    let mut old = 0_u64;
    set_mask(&raw const all, &raw mut old);
    let result = body();
    set_mask(&raw const old, std::ptr::null_mut());
    result
}

/// Sets the thread's mask by the bare call: glibc's wrapper leaves its own two signals open.
fn set_mask(new: *const u64, old: *mut u64) {
    const SIG_SETMASK: u64 = 2;
    let args = [SIG_SETMASK, new as u64, old as u64, 8, 0, 0];
    // SAFETY: both point to eight bytes or are null; with these arguments the call cannot fail.
    unsafe { arch::syscall(arch::nr::RT_SIGPROCMASK, args) };
}

/// Clones; the child never returns.
fn clone(args: &CloneArgs, order: &mut Order) -> i64 {
    let entry: extern "C" fn(*mut Order) -> ! = child;
    let (args, order) = (std::ptr::from_ref(args) as u64, std::ptr::from_mut(order) as u64);
    // SAFETY: the child starts on its own stack and calls `child`, which never returns; the parent is
    // suspended until the child has executed or ended, so that what `order` points to outlives its use.
    unsafe { arch::clone_onto(args, size_of::<CloneArgs>() as u64, entry as usize as u64, order) }
}

/// The child: places the descriptors and executes the program.
extern "C" fn child(order: *mut Order) -> ! {
    // SAFETY: the parent is suspended and keeps the order alive; nobody else uses it.
    let order = unsafe { &mut *order };
    let error = place_and_exec(order);
    // SAFETY: a plain store to the parent's memory, then the end of this process.
    unsafe { std::ptr::write_volatile(&raw mut order.error, error) };
    loop {
        // SAFETY: ends this process.
        unsafe { arch::syscall(arch::nr::EXIT_GROUP, [127, 0, 0, 0, 0, 0]) };
    }
}

/// A call in the child: a result or a positive errno.
fn call(nr: u64, args: [u64; 6]) -> Result<i64, i32> {
    // SAFETY: only the descriptor calls and the exec below, on numbers and memory prepared by the parent.
    let result = unsafe { arch::syscall(nr, args) };
    if result < 0 { Err(i32::try_from(-result).unwrap_or(libc::EIO)) } else { Ok(result) }
}

/// Returns only with an errno.
fn place_and_exec(order: &mut Order) -> i32 {
    match place(order) {
        Err(errno) => errno,
        Ok(program) => {
            let nothing = c"".as_ptr() as u64;
            let args =
                [fd(program), nothing, order.argv as u64, order.envp as u64, AT_EMPTY_PATH, 0];
            call(libc::SYS_execveat.cast_unsigned(), args).err().unwrap_or(libc::EIO)
        }
    }
}

/// A descriptor as an argument.
fn fd(number: RawFd) -> u64 {
    i64::from(number).cast_unsigned()
}

/// Lifts everything above the limit that stands below it, then puts each at its number and closes the rest.
fn place(order: &Order) -> Result<RawFd, i32> {
    // SAFETY: the parent's vectors with these lengths, alive while it is suspended.
    let places = unsafe { std::slice::from_raw_parts_mut(order.places, order.place_count) };
    // SAFETY: as above.
    let gaps = unsafe { std::slice::from_raw_parts(order.gaps, order.gap_count) };
    let program = lift(order.program, order.limit)?;
    for place in places.iter_mut() {
        place.from = lift(place.from, order.limit)?;
    }
    for place in places.iter() {
        call(arch::nr::DUP3, [fd(place.from), fd(place.to), 0, 0, 0, 0]).map_err(past_the_limit)?;
    }
    for &(first, last) in gaps {
        call(arch::nr::CLOSE_RANGE, [fd(first), fd(last), 0, 0, 0, 0])?;
    }
    const CLOSE_RANGE_CLOEXEC: u64 = 4;
    call(
        arch::nr::CLOSE_RANGE,
        [fd(order.limit), u64::from(u32::MAX), CLOSE_RANGE_CLOEXEC, 0, 0, 0],
    )?;
    Ok(program)
}

/// A duplicate at or above `limit`, or the descriptor itself if it is there already.
fn lift(number: RawFd, limit: RawFd) -> Result<RawFd, i32> {
    if number >= limit {
        return Ok(number);
    }
    let args = [fd(number), F_DUPFD_CLOEXEC, fd(limit), 0, 0, 0];
    let raised = call(arch::nr::FCNTL, args).map_err(past_the_limit)?;
    RawFd::try_from(raised).map_err(|_| libc::EMFILE)
}

/// dup3(2) and fcntl(2) have their own words for a number at or above `RLIMIT_NOFILE`.
fn past_the_limit(errno: i32) -> i32 {
    if errno == libc::EINVAL || errno == libc::EBADF { libc::EMFILE } else { errno }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps_of(numbers: &[RawFd], limit: RawFd) -> Vec<(RawFd, RawFd)> {
        let places: Vec<Place> = numbers.iter().map(|&to| Place { from: 0, to }).collect();
        gaps(&places, limit)
    }

    #[test]
    fn gaps_are_what_no_place_fills() {
        assert_eq!(gaps_of(&[], 3), [(0, 2)]);
        assert_eq!(gaps_of(&[0, 1, 2], 3), []);
        assert_eq!(gaps_of(&[2, 0, 7, 3], 8), [(1, 1), (4, 6)]);
        assert_eq!(gaps_of(&[5, 5], 6), [(0, 4)]);
        assert_eq!(gaps_of(&[1], 1_000_000), [(0, 0), (2, 999_999)]);
    }

    #[test]
    fn a_program_that_cannot_be_executed_is_an_error_without_child() {
        use std::os::fd::AsFd;
        let null = std::fs::File::open("/dev/null").unwrap();
        let error = spawn(null.as_fd(), c"0", &[]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EACCES));
        let error =
            spawn(null.as_fd(), c"0", &[Place::new(null.as_fd(), 0x3fff_ff00)]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    }
}
