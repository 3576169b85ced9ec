//! The floor: a start made of nothing but raw system calls, in a child that shares the host's memory.
//!
//! Touches whatever its recipe touches, in the calling process and in one child per start.
//! Invariant: between clone and exec the child writes only its own stack and its run's memory, and takes no
//! lock; the host returns only after the child is reaped.
#![expect(
    unsafe_code,
    reason = "raw clone3 with CLONE_VM: the floor is what no safe wrapper can offer"
)]

use std::arch::asm;
use std::cell::RefCell;
use std::ffi::c_long;
use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU64, AtomicUsize};

use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use crate::contender::{Contender, Sample, Stopwatch};
use crate::failure::Failure;
use crate::floor_recipe::{
    Argument, GID_MAP_PATH, MOST_CALLS, OWN_NAME, Recipe, SCRATCH, Stage, UID_MAP_PATH,
};

/// Bytes of the child's stack.
const STACK: usize = 64 * 1024;
/// Bytes of a C `int`.
const WORD: usize = 4;

/// A recipe, ready to run from any thread.
#[derive(Debug)]
pub struct Floor {
    recipe: Recipe,
    runs: AtomicU64,
}

impl Floor {
    /// Takes a recipe whose last call of the child is an exec.
    pub fn new(recipe: Recipe) -> Self {
        Self { recipe, runs: AtomicU64::new(0) }
    }
}

impl Contender for Floor {
    fn spawn(&self) -> Result<Sample, Failure> {
        thread_local! {
            static CHILD_STACK: RefCell<Vec<u128>> = RefCell::new(vec![0; STACK / 16]);
        }
        CHILD_STACK.with_borrow_mut(|stack| {
            let run = Run::new(&self.recipe);
            let number = self.runs.fetch_add(1, Relaxed);
            let mut watch = Stopwatch::new();
            run.write(OWN_NAME, &format!("floor-{}-{number}", std::process::id()));
            let outcome = run.host(Stage::Before).and_then(|()| run.child(stack));
            watch.reaped();
            let after = run.host(Stage::After);
            // What failed first is the one to tell.
            outcome.and(after).map(|()| watch.cleaned())
        })
    }
}

/// One start. Host and child share it, so everything in it is atomic.
struct Run<'a> {
    recipe: &'a Recipe,
    results: [AtomicI64; MOST_CALLS],
    /// One more than the index of the first call that failed; 0 for none.
    failed: AtomicUsize,
    /// Written by the kernel and by the host; in words, because the out-parameters are `int`s.
    scratch: [AtomicI32; SCRATCH / WORD],
}

impl<'a> Run<'a> {
    fn new(recipe: &'a Recipe) -> Self {
        Self {
            recipe,
            // A call that was not made has returned no descriptor.
            results: [const { AtomicI64::new(-1) }; MOST_CALLS],
            failed: AtomicUsize::new(0),
            scratch: [const { AtomicI32::new(0) }; SCRATCH / WORD],
        }
    }

    /// Makes the host's calls of one stage.
    fn host(&self, stage: Stage) -> Result<(), Failure> {
        self.perform(stage);
        self.failure()
    }

    /// Clones the child, makes the host's calls meanwhile, and reaps it.
    fn child(&self, stack: &mut [u128]) -> Result<(), Failure> {
        let mut raw: RawFd = -1;
        let pid = clone_into(&raw mut raw, stack, self).map_err(Failure::call("clone3"))?;
        // SAFETY: clone3 has just put a fresh descriptor there, which nobody else owns.
        let pidfd = unsafe { OwnedFd::from_raw_fd(raw) };
        self.write_map_paths(pid);
        let meanwhile = self.host(Stage::Meanwhile);
        if meanwhile.is_err() {
            pidfd_send_signal(&pidfd, Signal::KILL).map_err(Failure::call("pidfd_send_signal"))?;
        }
        let status = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
        let status = status.map_err(Failure::call("waitid"))?;
        meanwhile.and_then(|()| self.failure())?;
        match status.and_then(|status| status.exit_status()) {
            Some(0) => Ok(()),
            code => Err(Failure::Payload(code.unwrap_or(-1))),
        }
    }

    /// Puts the paths of the child's id maps where the recipe expects them.
    fn write_map_paths(&self, pid: i64) {
        for (place, name) in [(UID_MAP_PATH, "uid_map"), (GID_MAP_PATH, "gid_map")] {
            self.write(place, &format!("/proc/{pid}/{name}"));
        }
    }

    /// Writes a text into the scratch, which is zero behind it.
    fn write(&self, place: u16, text: &str) {
        let words = self.scratch.iter().skip(usize::from(place) / WORD);
        for (word, chunk) in words.zip(text.as_bytes().chunks(WORD)) {
            let mut bytes = [0; WORD];
            bytes[..chunk.len()].copy_from_slice(chunk);
            word.store(i32::from_ne_bytes(bytes), Relaxed);
        }
    }

    /// The first call that failed, in either process.
    fn failure(&self) -> Result<(), Failure> {
        let Some(index) = self.failed.load(Relaxed).checked_sub(1) else { return Ok(()) };
        let errno = self.results.get(index).map_or(0, |result| -result.load(Relaxed));
        let source = io::Error::from_raw_os_error(i32::try_from(errno).unwrap_or(0));
        Err(Failure::Call { call: self.recipe.name(index), source })
    }

    /// Makes all calls of a stage, up to the first that fails.
    fn perform(&self, stage: Stage) {
        for (index, call) in self.recipe.calls(stage) {
            let registers = call.arguments.map(|argument| self.register(argument));
            // SAFETY: the recipe's addresses point into what it or this run owns, which both outlive the call.
            let result = unsafe { system_call(call.number, registers) };
            if let Some(place) = self.results.get(index) {
                place.store(result, Relaxed);
            }
            if result < 0 {
                self.failed.store(index + 1, Relaxed);
                return;
            }
        }
    }

    /// The register value of an argument.
    fn register(&self, argument: Argument) -> u64 {
        let word = |place: u16| self.scratch.get(usize::from(place) / WORD);
        match argument {
            Argument::Value(value) => value,
            Argument::Result(index) => {
                self.results.get(index).map_or(0, |result| result.load(Relaxed).cast_unsigned())
            }
            Argument::Scratch(place) => {
                word(place).map_or(0, |word| word.as_ptr().expose_provenance() as u64)
            }
            Argument::Int(place) => {
                word(place).map_or(0, |word| i64::from(word.load(Relaxed)).cast_unsigned())
            }
        }
    }
}

/// What the child runs, on its own stack.
extern "C" fn child_main(run: *const Run<'_>) -> ! {
    // SAFETY: the host keeps the run alive until it has reaped this process.
    let run = unsafe { &*run };
    run.perform(Stage::Child);
    loop {
        // SAFETY: ends this process; only reached when a call failed.
        unsafe { system_call(libc::SYS_exit_group, [125, 0, 0, 0, 0, 0]) };
    }
}

/// clone3 with the recipe's flags; the child starts in [`child_main`].
fn clone_into(pidfd: *mut RawFd, stack: &mut [u128], run: &Run<'_>) -> io::Result<i64> {
    // SAFETY: all-zero is a valid clone_args.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = run.recipe.flags();
    arguments.pidfd = pidfd.expose_provenance() as u64;
    arguments.exit_signal = u64::from(libc::SIGCHLD.unsigned_abs());
    arguments.cgroup = run.recipe.group().map_or(0, |group| run.register(group));
    arguments.stack = stack.as_mut_ptr().expose_provenance() as u64;
    arguments.stack_size = size_of_val(stack) as u64;
    // SAFETY: the stack and the run outlive the child, which `Run::child` reaps.
    let result = unsafe { clone3(&arguments, ptr::from_ref(run)) };
    if result < 0 {
        return Err(io::Error::from_raw_os_error(i32::try_from(-result).unwrap_or(0)));
    }
    Ok(result)
}

/// The system call clone3; in the child, calls [`child_main`].
///
/// # Safety
/// Stack and run must stay valid until the child has execed or ended.
#[cfg(target_arch = "x86_64")]
unsafe fn clone3(arguments: &libc::clone_args, run: *const Run<'_>) -> i64 {
    let result;
    // SAFETY: the child never returns from the block; the host sees an ordinary system call.
    unsafe {
        asm!(
            "syscall", "test rax, rax", "jnz 2f", "xor ebp, ebp", "mov rdi, r13", "call r12", "ud2", "2:",
            inlateout("rax") libc::SYS_clone3 => result,
            in("rdi") ptr::from_ref(arguments), in("rsi") size_of::<libc::clone_args>(),
            in("r12") child_main as *const (), in("r13") run,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    result
}

/// The system call clone3; in the child, calls [`child_main`].
///
/// # Safety
/// Stack and run must stay valid until the child has execed or ended.
#[cfg(target_arch = "aarch64")]
unsafe fn clone3(arguments: &libc::clone_args, run: *const Run<'_>) -> i64 {
    let result;
    // SAFETY: the child never returns from the block; the host sees an ordinary system call.
    unsafe {
        asm!(
            "svc 0", "cbnz x0, 2f", "mov x29, xzr", "mov x0, x21", "blr x20", "brk 1", "2:",
            in("x8") libc::SYS_clone3,
            inlateout("x0") ptr::from_ref(arguments) => result, in("x1") size_of::<libc::clone_args>(),
            in("x20") child_main as *const (), in("x21") run,
        );
    }
    result
}

/// Any system call, without errno (which the child would share with the host).
///
/// # Safety
/// As the call demands.
#[cfg(target_arch = "x86_64")]
unsafe fn system_call(number: c_long, [a, b, c, d, e, f]: [u64; 6]) -> i64 {
    let result;
    // SAFETY: the kernel's calling convention; memory is not marked as untouched.
    unsafe {
        asm!(
            "syscall", inlateout("rax") number => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _, options(nostack),
        );
    }
    result
}

/// Any system call, without errno (which the child would share with the host).
///
/// # Safety
/// As the call demands.
#[cfg(target_arch = "aarch64")]
unsafe fn system_call(number: c_long, [a, b, c, d, e, f]: [u64; 6]) -> i64 {
    let result;
    // SAFETY: the kernel's calling convention; memory is not marked as untouched.
    unsafe {
        asm!(
            "svc 0", in("x8") number, inlateout("x0") a.cast_signed() => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f, options(nostack),
        );
    }
    result
}
