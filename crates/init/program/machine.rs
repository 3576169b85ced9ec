//! Loads the two images and runs operations in order.
//!
//! Kernel objects: two private mappings of the memfds, the setup socket. Invariant: an argument is a number, an
//! address inside an image, or a value that an earlier operation saved; nothing else is ever passed to a call.

use crate::arch::nr;
use crate::kernel::{self, EINVAL, EIO};
use crate::wire::{
    self, LaunchHeader, NONE, Op, ProgramHeader, Record, code, fault, internal_fd, kind, launch_flag, op_flag,
    record,
};

/// A mapped image: private, writable for relocation.
#[derive(Clone, Copy)]
pub struct Image {
    base: u64,
    len: usize,
}

impl Image {
    /// Maps the file behind a descriptor.
    pub fn map(fd: u64) -> Option<Self> {
        const PROT_READ_WRITE: u64 = 3;
        const MAP_PRIVATE: u64 = 2;
        const SEEK_END: u64 = 2;
        let len = kernel::call3(nr::LSEEK, fd, 0, SEEK_END).ok()?;
        let base = kernel::call(nr::MMAP, [0, len, PROT_READ_WRITE, MAP_PRIVATE, fd, 0]).ok()?;
        Some(Self { base, len: len as usize })
    }

    /// The bytes.
    pub fn bytes(&self) -> &'static [u8] {
        // SAFETY: the mapping has this length and is never unmapped.
        unsafe { core::slice::from_raw_parts(self.base as *const u8, self.len) }
    }

    /// The address of an offset, if it is inside.
    pub fn address(&self, offset: u64) -> Result<u64, i32> {
        if offset < self.len as u64 { Ok(self.base.wrapping_add(offset)) } else { Err(EINVAL) }
    }

    /// Adds the image's address to the words that the table names.
    pub fn relocate(&self, table: u32, count: u32) -> Option<()> {
        for index in 0..count as usize {
            let at = wire::u32_at(self.bytes(), (table as usize).checked_add(index.checked_mul(4)?)?)? as usize;
            let value = wire::u64_at(self.bytes(), at)?.wrapping_add(self.base);
            let word = self.base.checked_add(at as u64)? as *mut u64;
            // SAFETY: `u64_at` checked that the eight bytes are inside; the mapping is writable and private.
            unsafe { word.write_unaligned(value) };
        }
        Some(())
    }
}

/// Gives SIGCHLD its default: where the host ignores it, exec keeps that, and children would vanish unseen.
fn expect_children() -> Option<()> {
    let default = [0_u64; 4];
    kernel::call(nr::RT_SIGACTION, [kernel::SIGCHLD, &raw const default as u64, 0, 8, 0, 0]).ok().map(drop)
}

/// The state of a running program.
pub struct Machine {
    pub program: Image,
    pub header: ProgramHeader,
    pub launch: Image,
    pub order: LaunchHeader,
    pub base: u32,
    pub slots: [u64; wire::SLOTS],
    /// Both ends of the pipe between launcher and first process.
    pub sync: [u32; 2],
    /// The first process, as the launcher sees it.
    pub first: u64,
    /// Where procfs lists the first process's children, if the reaper must end them itself.
    pub children: u64,
    /// The process that forked this one, if this is the payload's process below a reaper.
    pub reaper: u64,
    /// Where the program stands.
    next: u32,
    step: u16,
}

impl Machine {
    /// Maps and checks both images.
    pub fn load(base: u32) -> Option<Self> {
        const CLOSE_RANGE_CLOEXEC: u64 = 4;
        kernel::call3(nr::CLOSE_RANGE, u64::from(base), u64::from(u32::MAX), CLOSE_RANGE_CLOEXEC).ok()?;
        expect_children()?;
        const PR_SET_NAME: u64 = 15;
        kernel::call3(nr::PRCTL, PR_SET_NAME, c"ampoule-init".as_ptr() as u64, 0).ok()?;
        let fd = |index: u32| u64::from(base.wrapping_add(index));
        let program = Image::map(fd(internal_fd::PROGRAM))?;
        let header = ProgramHeader::decode(program.bytes())?;
        let launch = Image::map(fd(internal_fd::LAUNCH))?;
        let order = LaunchHeader::decode(launch.bytes())?;
        program.relocate(header.relocs, header.reloc_count)?;
        launch.relocate(order.relocs, order.reloc_count)?;
        let slots = [0; wire::SLOTS];
        let (sync, children) = ([NONE; 2], u64::from(NONE));
        Some(Self { program, header, launch, order, base, slots, sync, first: 0, children, reaper: 0, next: 0, step: 0 })
    }

    /// Runs to the end of the launcher's part, or of the program in the first process.
    pub fn run(&mut self) -> ! {
        while let Some(op) = self.fetch() {
            self.step = op.step;
            if let Err(errno) = self.faulty(&op).and_then(|()| self.execute(&op)) {
                self.fail(errno, 0);
            }
        }
        kernel::exit(0)
    }

    /// The next operation of the part that this process runs.
    fn fetch(&mut self) -> Option<Op> {
        let in_first = self.first == 0 && self.sync[0] != NONE;
        let end = if in_first { self.header.ops } else { self.header.child };
        if self.next >= end {
            return None;
        }
        let op = Op::decode(self.program.bytes(), self.next)?;
        self.next = self.next.wrapping_add(1);
        Some(op)
    }

    /// Goes on at the first process's part.
    pub fn enter_first(&mut self) {
        self.next = self.header.child;
    }

    /// Injects the fault that the launch asks for here.
    fn faulty(&self, _op: &Op) -> Result<(), i32> {
        if self.order.fault_op != self.next.wrapping_sub(1) {
            return Ok(());
        }
        match self.order.fault {
            fault::EXIT => kernel::exit(kernel::REPORTED),
            fault::HANG => {
                crate::sockets::wait_for_hangup(self.fd(internal_fd::SETUP));
                Ok(())
            }
            errno => Err(errno as i32),
        }
    }

    /// Does one operation.
    fn execute(&mut self, op: &Op) -> Result<(), i32> {
        let args = self.arguments(op)?;
        let result = match op.code {
            code::CALL => self.system_call(op, args),
            code::FIRST => self.clone_first(args).map(|()| 0),
            code::RELAY => self.relay(args[0]).map(|()| 0),
            code::CHILD_FILE => self.child_file(args).map(|()| 0),
            code::HELPER => self.helper(args).map(|()| 0),
            code::RELEASE => self.release().map(|()| 0),
            code::AWAIT => self.await_release().map(|()| 0),
            code::GATE => self.await_host().map(|()| 0),
            code::TARGET => self.target(args),
            code::VERIFY => crate::compose::verify(args).map(|()| 0),
            code::VERIFY_DEVICE => crate::compose::verify_device(args).map(|()| 0),
            code::WRITE => crate::compose::write(args).map(|()| 0),
            code::REAPER => self.reaper(args[0], args[1]).map(|()| 0),
            code::EXEC => self.exec(),
            code::HOLD => self.hold(args[0] as u32).map(|()| 0),
            code::MARK => self.mark(args[0]).map(|()| 0),
            code::SEND_FD => self.send_fd(args).map(|()| 0),
            code::SIGNALS => crate::compose::reset_signals().map(|()| 0),
            code::ID_MAP => crate::compose::id_map(args),
            code::LANDLOCK_PATH => crate::compose::landlock_path(args),
            code::LABEL => crate::compose::label(args).map(|()| 0),
            code::CHDIR => crate::compose::change_directory(args[0]).map(|()| 0),
            _ => Err(EINVAL),
        };
        let value = match result {
            Err(errno) if op.tolerate != 0 && errno as u32 == op.tolerate => 0,
            other => other?,
        };
        if op.save != NONE {
            *self.slots.get_mut(op.save as usize).ok_or(EINVAL)? = value;
        }
        Ok(())
    }

    fn system_call(&self, op: &Op, args: [u64; 6]) -> Result<u64, i32> {
        let value = kernel::call(u64::from(op.nr), args)?;
        if op.flags & op_flag::WHOLE != 0 && value != args[2] {
            return Err(EIO);
        }
        Ok(value)
    }

    /// The values of an operation's arguments.
    fn arguments(&self, op: &Op) -> Result<[u64; 6], i32> {
        let mut values = [0; 6];
        for (index, value) in values.iter_mut().enumerate() {
            let arg = op.args.get(index).copied().unwrap_or(0);
            *value = match op.kind(index) {
                kind::IMMEDIATE => arg,
                kind::DATA => self.program.address(arg)?,
                kind::SLOT => *self.slots.get(arg as usize).ok_or(EINVAL)?,
                kind::PLAN_FD => self.fd(internal_fd::COUNT.wrapping_add(arg as u32)),
                kind::LAUNCH_FD => self.launch_fd(arg as u32),
                kind::PARAM => self.parameter(arg as u32)?,
                kind::INTERNAL_FD => self.fd(arg as u32),
                _ => return Err(EINVAL),
            };
        }
        Ok(values)
    }

    /// The number of an internal descriptor.
    pub fn fd(&self, index: u32) -> u64 {
        u64::from(self.base.wrapping_add(index))
    }

    /// The number of a launch descriptor.
    pub fn launch_fd(&self, index: u32) -> u64 {
        self.fd(internal_fd::COUNT.wrapping_add(self.header.plan_fds).wrapping_add(index))
    }

    pub fn parameter(&self, index: u32) -> Result<u64, i32> {
        if index >= self.order.param_count {
            return Err(EINVAL);
        }
        let at = (self.order.params as usize).checked_add((index as usize).wrapping_mul(8)).ok_or(EINVAL)?;
        wire::u64_at(self.launch.bytes(), at).ok_or(EINVAL)
    }

    /// Whether the launch has this flag.
    pub fn has(&self, flag: u32) -> bool {
        self.order.flags & flag != 0
    }

    /// Reports to the host.
    pub fn report(&self, record: &Record, fd: Option<u64>) -> Result<(), i32> {
        kernel::send(self.fd(internal_fd::SETUP), &record.encode(), fd.as_slice())
    }

    fn mark(&self, stage: u64) -> Result<(), i32> {
        if !self.has(launch_flag::TIMINGS) {
            return Ok(());
        }
        let mut record = Record::new(record::MARK, u32::from(self.step), 0, stage as u32);
        record.words[0] = kernel::now();
        self.report(&record, None)
    }

    fn send_fd(&self, args: [u64; 6]) -> Result<(), i32> {
        self.report(&Record::new(record::FD, u32::from(self.step), 0, args[0] as u32), Some(args[1]))
    }

    /// The step that is being run.
    pub fn step(&self) -> u32 {
        u32::from(self.step)
    }

    /// Reports a failure of the present step and ends.
    pub fn fail(&self, errno: i32, aux: u32) -> ! {
        let _host_gone = self.report(&Record::new(record::ERROR, self.step(), errno, aux), None);
        kernel::exit(kernel::REPORTED)
    }
}
