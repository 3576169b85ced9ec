//! The launcher goes on as another process.
//!
//! Kernel objects: a second launcher, born in a group of cgroup v2 (`CLONE_INTO_CGROUP`), and a pipe between the two.
//! Invariant: the second one does nothing before the host holds its pidfd; when the first one ends early, the pipe's
//! end ends it too.

use crate::arch::nr;
use crate::first::{CLONE_INTO_CGROUP, CLONE_PARENT, CLONE_PIDFD};
use crate::kernel::{self, CloneArgs, EPIPE};
use crate::machine::Machine;
use crate::share::{Stack, clone_onto};
use crate::wire::{NONE, Record, record};

impl Machine {
    /// Clones the second launcher into a group, hands it over to the host, and ends.
    pub fn relay(&mut self, group: u64) -> Result<(), i32> {
        let mut ends = [0_u32; 2];
        kernel::call3(nr::PIPE2, &raw mut ends as u64, kernel::O_CLOEXEC, 0)?;
        let mut pidfd = 0_i32;
        let clone = CloneArgs {
            flags: CLONE_PARENT | CLONE_PIDFD | CLONE_INTO_CGROUP,
            pidfd: &raw mut pidfd as u64,
            cgroup: group,
            ..CloneArgs::default()
        };
        let stack = Stack::new()?;
        self.sync = ends;
        let pid = clone_onto(clone, &stack, become_relay, stack.hold(self));
        // A failure is the launcher's own.
        self.sync = [NONE; 2];
        let mut report = Record::new(record::RELAY, self.step(), 0, 0);
        report.words[0] = pid?;
        self.report(&report, Some(pidfd as u64))?;
        let byte = 1_u8;
        kernel::close(u64::from(ends[0]));
        match kernel::write_all(u64::from(ends[1]), &raw const byte as u64, 1) {
            // It has died: the host sees that.
            Ok(()) | Err(EPIPE) => kernel::exit(0),
            Err(errno) => Err(errno),
        }
    }

    /// The second launcher's own beginning.
    fn start_relay(&mut self) {
        let [from, to] = self.sync.map(u64::from);
        self.sync = [NONE; 2];
        kernel::close(to);
        let mut byte = 0_u8;
        if kernel::call3(nr::READ, from, &raw mut byte as u64, 1) != Ok(1) {
            kernel::exit(kernel::ABANDONED)
        }
        kernel::close(from);
    }
}

/// Where the second launcher starts, with a machine of its own.
extern "C" fn become_relay(machine: *mut Machine) -> ! {
    // SAFETY: the copy that the first launcher put on this process's stack; nobody else uses it.
    let machine = unsafe { &mut *machine };
    machine.start_relay();
    machine.run()
}
