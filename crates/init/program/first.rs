//! From launcher to first process: the clone, its id maps, and the hand-over.
//!
//! Kernel objects: the first process and its pidfd, a pipe between the two. Invariant: the first process goes
//! past `AWAIT` only after the host holds its pidfd and the launcher has done all its operations; when the
//! launcher ends early, the pipe's end ends the first process too.

use crate::arch::nr;
use crate::kernel::{self, CloneArgs, EINVAL, EIO, EPIPE};
use crate::machine::Machine;
use crate::share::{Stack, clone_onto};
use crate::wire::{NONE, Record, record};

pub const CLONE_PARENT: u64 = 0x8000;
pub const CLONE_PIDFD: u64 = 0x1000;
pub const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

impl Machine {
    /// Clones the first process; arguments: namespace flags, descriptor of its group or all ones,
    /// whether it shares the launcher's memory.
    pub fn clone_first(&mut self, args: [u64; 6]) -> Result<(), i32> {
        let mut ends = [0_u32; 2];
        kernel::call3(nr::PIPE2, &raw mut ends as u64, kernel::O_CLOEXEC, 0)?;
        let mut pidfd = 0_i32;
        let grouped = args[1] != u64::MAX;
        let clone = CloneArgs {
            flags: args[0] | CLONE_PARENT | CLONE_PIDFD | if grouped { CLONE_INTO_CGROUP } else { 0 },
            pidfd: &raw mut pidfd as u64,
            cgroup: if grouped { args[1] } else { 0 },
            ..CloneArgs::default()
        };
        self.sync = ends;
        let pid = if args[2] == 0 {
            kernel::clone(&clone)?
        } else {
            let stack = Stack::new()?;
            clone_onto(clone, &stack, become_first, stack.hold(self))?
        };
        if pid == 0 {
            self.start_first();
            return Ok(());
        }
        self.first = pid;
        kernel::close(u64::from(ends[0]));
        let mut report = Record::new(record::FIRST, self.step(), 0, 0);
        report.words[0] = pid;
        self.report(&report, Some(pidfd as u64))?;
        kernel::close(pidfd as u64);
        Ok(())
    }

    /// The first process's own beginning.
    fn start_first(&mut self) {
        kernel::close(u64::from(self.sync[1]));
        if !self.owns_pid_namespace() {
            self.open_children();
        }
        self.enter_first();
    }

    /// Lets the first process go on.
    pub fn release(&mut self) -> Result<(), i32> {
        let byte = 1_u8;
        match kernel::write_all(u64::from(self.sync[1]), &raw const byte as u64, 1) {
            // It has died: that is what the host then sees, not this step.
            Err(EPIPE) => kernel::exit(kernel::ABANDONED),
            other => other,
        }
    }

    /// Waits for the launcher.
    pub fn await_release(&mut self) -> Result<(), i32> {
        let mut byte = 0_u8;
        let from = u64::from(self.sync[0]);
        match kernel::call3(nr::READ, from, &raw mut byte as u64, 1)? {
            1 => {
                kernel::close(from);
                Ok(())
            }
            _ => kernel::exit(kernel::ABANDONED),
        }
    }

    /// Writes a file of the first process's procfs directory; arguments: procfs, name, bytes, length.
    pub fn child_file(&self, args: [u64; 6]) -> Result<(), i32> {
        let [proc, name, bytes, len, ..] = args;
        let mut path = Path::default();
        path.push_number(self.first)?;
        path.push(b'/')?;
        path.push_text(name)?;
        let fd = kernel::call(nr::OPENAT, [proc, path.address(), kernel::O_WRONLY | kernel::O_CLOEXEC, 0, 0, 0])?;
        // A map is taken whole or not at all.
        let written = kernel::call3(nr::WRITE, fd, bytes, len);
        kernel::close(fd);
        if written? == len { Ok(()) } else { Err(EIO) }
    }

    /// Runs a program with the first process's id as its first argument; arguments: path, argv, environment.
    pub fn helper(&self, args: [u64; 6]) -> Result<(), i32> {
        let mut pid_text = Path::default();
        pid_text.push_number(self.first)?;
        let slot = args[1].checked_add(8).ok_or(EINVAL)? as *mut u64;
        // SAFETY: the host's encoder makes this vector at least two words long, inside the writable image.
        unsafe { slot.write_unaligned(pid_text.address()) };
        let clone = CloneArgs { exit_signal: kernel::SIGCHLD, ..CloneArgs::default() };
        let child = kernel::clone(&clone)?;
        if child == 0 {
            let error = kernel::call3(nr::EXECVE, args[0], args[1], args[2]).err().unwrap_or(EIO);
            kernel::exit(u64::from(error as u32).clamp(1, 255));
        }
        let mut status = 0_i32;
        kernel::call(nr::WAIT4, [child, &raw mut status as u64, 0, 0, 0, 0])?;
        match status {
            0 => Ok(()),
            ended => self.fail(kernel::EACCES, ended as u32),
        }
    }

    /// Whether this process is the container's first.
    pub fn is_first(&self) -> bool {
        self.first == 0 && self.sync[0] != NONE
    }
}

/// Where a first process that shares the launcher's memory starts, with a machine of its own.
extern "C" fn become_first(machine: *mut Machine) -> ! {
    // SAFETY: the copy that the launcher put on this process's stack; nobody else uses it.
    let machine = unsafe { &mut *machine };
    machine.start_first();
    machine.run()
}

/// A short path built without allocation, NUL at its end.
pub struct Path {
    bytes: [u8; 64],
    len: usize,
}

impl Default for Path {
    fn default() -> Self {
        Self { bytes: [0; 64], len: 0 }
    }
}

impl Path {
    /// Adds a byte; the last one stays NUL.
    pub fn push(&mut self, byte: u8) -> Result<(), i32> {
        if self.len >= 63 {
            return Err(EINVAL);
        }
        *self.bytes.get_mut(self.len).ok_or(EINVAL)? = byte;
        self.len = self.len.wrapping_add(1);
        Ok(())
    }

    /// Adds a number in decimal.
    pub fn push_number(&mut self, number: u64) -> Result<(), i32> {
        if number >= 10 {
            self.push_number(number / 10)?;
        }
        self.push(b'0'.wrapping_add((number % 10) as u8))
    }

    /// Adds the text at an address, up to its NUL.
    pub fn push_text(&mut self, mut at: u64) -> Result<(), i32> {
        loop {
            // SAFETY: texts of the image end with a NUL, and `push` stops after 63 bytes.
            let byte = unsafe { (at as *const u8).read() };
            if byte == 0 {
                return Ok(());
            }
            self.push(byte)?;
            at = at.wrapping_add(1);
        }
    }

    /// Where it stands.
    pub fn address(&self) -> u64 {
        self.bytes.as_ptr() as u64
    }

    /// The bytes without the NUL.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}
