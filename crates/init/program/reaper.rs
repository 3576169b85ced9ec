//! The first process as reaper: forks the payload, reaps everything, forwards signals, keeps the time limit,
//! watches the host, and reports how the payload ended.
//!
//! Kernel objects: a signalfd, the control socket, the host's pidfd. Invariant: it holds no descriptor of the
//! payload's and no capability but `CAP_KILL`, and it ends when the payload or the host ends.

use crate::arch::nr;
use crate::first::Path;
use crate::kernel::{self, CloneArgs, EAGAIN, EPERM, SIGCHLD, SIGKILL};
use crate::machine::Machine;
use crate::share::{Stack, clone_onto};
use crate::wire::{NONE, RECORD_LEN, Record, cause, internal_fd, launch_flag, open, record};

/// Where the reaper keeps its descriptors: 0 control, 1 host, 2 status, 3 the list of its children, 4 signals, 5 procfs,
/// 6 what it keeps for the host.
const CONTROL: u64 = 0;
const HOST: u64 = 1;
const STATUS: u64 = 2;
const CHILDREN: u64 = 3;
const SIGNALS: u64 = 4;
const PROC: u64 = 5;
const KEPT: u64 = 6;
const POLLIN: u32 = 1;

/// `struct pollfd` as fd and events/revents.
#[repr(C)]
#[derive(Clone, Copy)]
struct Poll {
    fd: i32,
    events: u16,
    revents: u16,
}

/// The reaper's state.
struct Reaper<'a> {
    machine: &'a Machine,
    payload: u64,
    deadline: u64,
    cause: u32,
    control: i32,
    host: i32,
}

impl Machine {
    /// Clones the payload's process, which goes on with the program, and stays; an idle container has none. `proc` is
    /// a procfs in which it sees itself; with `shares` the payload's process starts in this memory, not in a copy.
    pub fn reaper(&mut self, proc: u64, shares: u64) -> Result<(), i32> {
        block_child_signal()?;
        if !self.owns_pid_namespace() {
            const PR_SET_CHILD_SUBREAPER: u64 = 36;
            kernel::call3(nr::PRCTL, PR_SET_CHILD_SUBREAPER, 1, 0)?;
        }
        if self.has(launch_flag::IDLE) {
            self.report(&Record::new(record::IDLE, self.step(), 0, 0), None)?;
            self.stay(0, proc)
        }
        self.reaper = kernel::call3(nr::GETPID, 0, 0, 0)?;
        let clone = CloneArgs { exit_signal: SIGCHLD, ..CloneArgs::default() };
        let payload = if shares == 0 {
            kernel::clone(&clone)?
        } else {
            let stack = Stack::new()?;
            clone_onto(clone, &stack, become_payload, stack.hold(self))?
        };
        if payload == 0 {
            return self.die_with_reaper();
        }
        self.stay(payload, proc)
    }

    /// Without a pid namespace of its own, a payload must not outlive a reaper that was killed (prctl(2),
    /// `PR_SET_PDEATHSIG`; the reaper has one thread).
    pub fn die_with_reaper(&self) -> Result<(), i32> {
        const PR_SET_PDEATHSIG: u64 = 1;
        if self.reaper == 0 || self.owns_pid_namespace() {
            return Ok(());
        }
        kernel::call3(nr::PRCTL, PR_SET_PDEATHSIG, SIGKILL, 0)?;
        if kernel::call3(nr::GETPPID, 0, 0, 0)? == self.reaper { Ok(()) } else { kernel::exit(kernel::ABANDONED) }
    }

    /// Opens the list of this process's children while the procfs that it was born with can be seen.
    pub fn open_children(&mut self) {
        let path = c"/proc/thread-self/children".as_ptr() as u64;
        let Ok(low) = kernel::call(nr::OPENAT, [kernel::AT_FDCWD, path, kernel::O_CLOEXEC, 0, 0, 0]) else { return };
        if let Ok(fd) = self.lift(low) {
            self.children = fd;
        }
        kernel::close(low);
    }

    /// A copy past the payload's numbers, and so past the reaper's: the first four from `base` on are always taken.
    fn lift(&self, fd: u64) -> Result<u64, i32> {
        const F_DUPFD_CLOEXEC: u64 = 1030;
        kernel::call3(nr::FCNTL, fd, F_DUPFD_CLOEXEC, u64::from(self.base))
    }

    /// Becomes the reaper.
    fn stay(&self, payload: u64, proc: u64) -> ! {
        let timeout = self.order.timeout;
        let deadline = if timeout == 0 { u64::MAX } else { kernel::now().saturating_add(timeout) };
        // Capabilities first: closing the setup socket tells the host that the reaper is as it should be.
        let (control, host) = match drop_capabilities().and_then(|()| self.keep_descriptors(proc)) {
            Ok(kept) => kept,
            Err(errno) => {
                // Id 0 would be this process's group, the host's.
                if payload != 0 {
                    let _gone = kernel::call3(nr::KILL, payload, SIGKILL, 0);
                }
                self.fail(errno, 0)
            }
        };
        let mut reaper = Reaper { machine: self, payload, deadline, cause: cause::ENDED, control, host };
        loop {
            reaper.turn();
        }
    }

    /// Moves what the reaper needs to the lowest numbers and closes all the rest.
    fn keep_descriptors(&self, proc: u64) -> Result<(i32, i32), i32> {
        let move_to = |from: u64, to: u64| -> Result<(), i32> {
            if from == to { Ok(()) } else { kernel::call3(nr::DUP3, from, to, kernel::O_CLOEXEC).map(drop) }
        };
        let wanted = |index: u32, to: u64| -> Result<bool, i32> {
            if index == NONE {
                return Ok(false);
            }
            move_to(self.launch_fd(index), to).map(|()| true)
        };
        // A step opened it, perhaps at one of the numbers that are filled now.
        let proc = if proc == u64::MAX { None } else { Some(self.lift(proc)?) };
        move_to(self.fd(internal_fd::CONTROL), CONTROL)?;
        let host = wanted(self.order.host, HOST)?;
        let status = wanted(self.order.status, STATUS)?;
        let kept = wanted(self.order.kept, KEPT)?;
        let children = self.children != u64::from(NONE);
        if children {
            move_to(self.children, CHILDREN)?;
        }
        if let Some(proc) = proc {
            move_to(proc, PROC)?;
        }
        let has_proc = (PROC, proc.is_some());
        let unused = [(HOST, host), (STATUS, status), (CHILDREN, children), has_proc, (KEPT, kept)];
        unused.iter().filter(|(_, used)| !used).for_each(|&(fd, _)| kernel::close(fd));
        kernel::call3(nr::CLOSE_RANGE, SIGNALS, SIGNALS, 0)?;
        kernel::call3(nr::CLOSE_RANGE, KEPT + 1, u64::from(u32::MAX), 0)?;
        let child = 1_u64 << (SIGCHLD - 1);
        const NONBLOCK_CLOEXEC: u64 = 0o2_004_000;
        let signals = kernel::call(nr::SIGNALFD4, [u64::MAX, &raw const child as u64, 8, NONBLOCK_CLOEXEC, 0, 0])?;
        if signals != SIGNALS {
            move_to(signals, SIGNALS)?;
            kernel::close(signals);
        }
        Ok((CONTROL as i32, if host { HOST as i32 } else { -1 }))
    }
}

/// Where the payload's process starts, in the reaper's memory until it executes.
extern "C" fn become_payload(machine: *mut Machine) -> ! {
    // SAFETY: the copy that the reaper put on this process's stack; nobody else uses it.
    let machine = unsafe { &mut *machine };
    if let Err(errno) = machine.die_with_reaper() {
        machine.fail(errno, 0)
    }
    machine.run()
}

/// Blocks SIGCHLD before the fork, so that none is missed; the payload's own step unblocks everything.
fn block_child_signal() -> Result<(), i32> {
    let child = 1_u64 << (SIGCHLD - 1);
    kernel::call(nr::RT_SIGPROCMASK, [0, &raw const child as u64, 0, 8, 0, 0]).map(drop)
}

/// Keeps only what signalling another user's payload takes.
fn drop_capabilities() -> Result<(), i32> {
    const VERSION_3: u64 = 0x2008_0522;
    const CAP_KILL: u32 = 1 << 5;
    let header = VERSION_3;
    let mut old = [0_u32; 6];
    // capget is not in the table: asking for CAP_KILL alone is refused if it is not held, then nothing is kept.
    old[0] = CAP_KILL;
    old[1] = CAP_KILL;
    match kernel::call3(nr::CAPSET, &raw const header as u64, &raw const old as u64, 0) {
        Ok(_) => Ok(()),
        Err(_) => {
            let none = [0_u32; 6];
            kernel::call3(nr::CAPSET, &raw const header as u64, &raw const none as u64, 0).map(drop)
        }
    }
}

impl Reaper<'_> {
    /// Waits for one thing to happen and handles it.
    fn turn(&mut self) {
        let event = |fd: i32| Poll { fd, events: POLLIN as u16, revents: 0 };
        let mut polls = [event(self.control), event(self.host), event(SIGNALS as i32)];
        let left = self.deadline.saturating_sub(kernel::now());
        // The kernel writes the time left into it.
        let mut time = [left / 1_000_000_000, left % 1_000_000_000];
        let limit = if self.deadline == u64::MAX { 0 } else { &raw mut time as u64 };
        let ready = kernel::call(nr::PPOLL, [&raw mut polls as u64, 3, limit, 0, 8, 0]);
        if ready == Ok(0) {
            self.end(cause::TIMED_OUT);
        }
        let [control, host, signals] = polls;
        if signals.revents != 0 {
            drain_signals();
            self.reap();
        }
        if host.revents != 0 {
            self.end(cause::HOST_DIED);
        }
        if control.revents != 0 {
            self.request();
        }
    }

    /// Reaps every process that ended; the payload's end is the container's.
    fn reap(&mut self) {
        // What fails for a moment is tried again: nothing else would wake this process up for the payload's end.
        const ECHILD: i32 = 10;
        let mut failures = 0_u32;
        while failures < 100 {
            let mut status = 0_i32;
            const WNOHANG_ALL: u64 = 0x4000_0001;
            match kernel::call(nr::WAIT4, [u64::MAX, &raw mut status as u64, WNOHANG_ALL, 0, 0, 0]) {
                Ok(0) | Err(ECHILD) => return,
                Ok(pid) if pid == self.payload => self.finish(status),
                Ok(_) => {}
                Err(_) => failures = failures.wrapping_add(1),
            }
        }
    }

    /// Kills the payload; its end is then reported with the cause.
    fn end(&mut self, why: u32) {
        self.deadline = u64::MAX;
        self.cause = why;
        self.host = -1;
        if self.payload == 0 {
            self.finish(0);
        }
        let killed = kernel::call3(nr::KILL, self.payload, SIGKILL, 0);
        // A payload that may not be killed (another user's, without CAP_KILL) ends with the pid namespace.
        if killed == Err(EPERM) && self.machine.owns_pid_namespace() {
            self.finish(SIGKILL as i32);
        }
    }

    /// Does what the host asks; a host that only closed its handle leaves the container running.
    fn request(&mut self) {
        let mut bytes = [0_u8; RECORD_LEN];
        const MSG_DONTWAIT: u64 = 0x40;
        let args = [CONTROL, &raw mut bytes as u64, RECORD_LEN as u64, MSG_DONTWAIT, 0, 0];
        let len = match kernel::call(nr::RECVFROM, args) {
            Err(EAGAIN) => return,
            Err(_) | Ok(0) => {
                self.control = -1;
                return;
            }
            Ok(len) => len as usize,
        };
        let Some(request) = bytes.get(..len).and_then(Record::decode) else { return };
        let signal = u64::from(request.aux);
        match request.kind {
            record::SIGNAL if self.payload != 0 => drop(kernel::call3(nr::KILL, self.payload, signal, 0)),
            record::SIGNAL_ALL if self.machine.owns_pid_namespace() => {
                drop(kernel::call3(nr::KILL, u64::MAX, signal, 0));
            }
            record::STOP if self.payload == 0 => self.finish(0),
            record::END => self.end(self.cause),
            record::OPEN => answer_open(request.aux),
            _ => {}
        }
    }

    /// Ends what is left where the kernel does not, reports the status and ends.
    fn finish(&mut self, status: i32) -> ! {
        if !self.machine.owns_pid_namespace() {
            self.end_descendants();
        }
        let mut report = Record::new(record::STATUS, 0, status, self.cause);
        usage(&mut report);
        let _host_gone = kernel::send(CONTROL, &report.encode(), &[]);
        if self.machine.order.status != NONE {
            self.write_status(status);
        }
        kernel::exit(0)
    }

    /// Without a pid namespace: kills the children until none is left (orphans become children, prctl(2)).
    fn end_descendants(&self) {
        loop {
            let killed = kill_children();
            let mut status = 0_i32;
            const WALL: u64 = 0x4000_0000;
            const WALL_NOHANG: u64 = 0x4000_0001;
            // Without a list nothing more can be killed, and waiting could take for ever.
            let options = if killed { WALL } else { WALL_NOHANG };
            match kernel::call(nr::WAIT4, [u64::MAX, &raw mut status as u64, options, 0, 0, 0]) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    /// Writes one line to the status descriptor: `exited N`, `signaled N`, `timed-out` or `host-died`.
    fn write_status(&self, status: i32) {
        let mut line = Path::default();
        let signal = status & 0x7f;
        let (word, number) = match (self.cause, signal) {
            (cause::TIMED_OUT, _) => (c"timed-out", None),
            (cause::HOST_DIED, _) => (c"host-died", None),
            (_, 0) => (c"exited ", Some(status >> 8 & 0xff)),
            (_, signal) => (c"signaled ", Some(signal)),
        };
        let filled = line
            .push_text(word.as_ptr() as u64)
            .and_then(|()| number.map_or(Ok(()), |n| line.push_number(n as u64)))
            .and_then(|()| line.push(b'\n'));
        if filled.is_ok() {
            let _reader_gone = kernel::write_all(STATUS, line.address(), line.bytes().len() as u64);
        }
    }
}

/// Kills every child that procfs lists; an id in the list is not reused before this process reaps it.
fn kill_children() -> bool {
    let mut text = [0_u8; 4096];
    let args = [CHILDREN, &raw mut text as u64, text.len() as u64, 0, 0, 0];
    let read = kernel::call(nr::PREAD64, args).unwrap_or(0) as usize;
    let mut killed = false;
    let mut number = 0_u64;
    for &byte in text.get(..read).unwrap_or(&[]) {
        match byte {
            b'0'..=b'9' => number = number.wrapping_mul(10).wrapping_add(u64::from(byte.wrapping_sub(b'0'))),
            // Only a number that is followed by its blank is whole.
            _ => {
                killed |= number > 1 && kernel::call3(nr::KILL, number, SIGKILL, 0).is_ok();
                number = 0;
            }
        }
    }
    killed
}

/// Opens the root or a namespace of this process and sends it, or says why it cannot.
fn answer_open(what: u32) {
    let path_only = kernel::O_PATH | kernel::O_DIRECTORY | kernel::O_CLOEXEC;
    let opened = match what {
        open::ROOT => kernel::call(nr::OPENAT, [kernel::AT_FDCWD, c"/".as_ptr() as u64, path_only, 0, 0, 0]),
        kind => match open::NAMESPACES.get((kind as usize).wrapping_sub(1)) {
            Some(path) => kernel::call(nr::OPENAT, [PROC, path.as_ptr() as u64, kernel::O_CLOEXEC, 0, 0, 0]),
            None => Err(kernel::EINVAL),
        },
    };
    let _host_gone = match opened {
        Ok(fd) => {
            let sent = kernel::send(CONTROL, &Record::new(record::FD, 0, 0, what).encode(), &[fd]);
            kernel::close(fd);
            sent
        }
        Err(errno) => kernel::send(CONTROL, &Record::new(record::ERROR, 0, errno, what).encode(), &[]),
    };
}

/// Empties the signalfd.
fn drain_signals() {
    let mut info = [0_u64; 16 * 8];
    let _empty = kernel::call3(nr::READ, SIGNALS, &raw mut info as u64, size_of_val(&info) as u64);
}

/// Adds what all reaped processes used (getrusage(2)): the two times in microseconds, then the counters.
fn usage(report: &mut Record) {
    const RUSAGE_CHILDREN: u64 = -1_i64 as u64;
    let mut raw = [0_u64; 18];
    if kernel::call3(nr::GETRUSAGE, RUSAGE_CHILDREN, &raw mut raw as u64, 0).is_err() {
        return;
    }
    let word = |index: usize| raw.get(index).copied().unwrap_or(0);
    let micros = |index: usize| word(index).wrapping_mul(1_000_000).wrapping_add(word(index.wrapping_add(1)));
    report.words[0] = micros(0);
    report.words[1] = micros(2);
    // maxrss to oublock, then the two kinds of switches (the kernel never fills what is between).
    for (to, from) in report.words.iter_mut().skip(2).zip([4, 5, 6, 7, 8, 9, 10, 11, 12, 16, 17]) {
        *to = word(from);
    }
}
