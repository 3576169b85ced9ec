//! Clones that share this program's memory instead of copying it.
//!
//! Kernel objects: a process, a stack of its own. Invariant: two processes never use the same [`Machine`]: each
//! clone gets a copy on its own stack. Nobody but init's own processes ever shares this memory, so that what a group does
//! to one of them can only reach the others.

use crate::arch::{self, nr};
use crate::kernel::{self, CloneArgs, EINVAL};
use crate::machine::Machine;

const CLONE_VM: u64 = 0x100;
/// Room for a [`Machine`] and the deepest calls, which hold some paths.
const STACK_LEN: u64 = 104 * 1024;

/// Memory for one clone.
pub struct Stack(u64);

impl Stack {
    /// Maps fresh memory.
    pub fn new() -> Result<Self, i32> {
        const PROT_READ_WRITE: u64 = 3;
        const PRIVATE_ANONYMOUS: u64 = 0x22;
        let fd = u64::from(u32::MAX);
        kernel::call(nr::MMAP, [0, STACK_LEN, PROT_READ_WRITE, PRIVATE_ANONYMOUS, fd, 0]).map(Self)
    }

    /// Puts a copy of the machine at its far end.
    pub fn hold(&self, machine: &Machine) -> *mut Machine {
        let place = self.0 as *mut Machine;
        // SAFETY: fresh, page-aligned memory that is larger than a machine, which is plain data.
        unsafe { core::ptr::copy_nonoverlapping(core::ptr::from_ref(machine), place, 1) };
        place
    }
}

/// Clones onto a stack; the clone starts in `entry` with `machine`, the caller gets its id.
pub fn clone_onto(
    mut args: CloneArgs,
    stack: &Stack,
    entry: extern "C" fn(*mut Machine) -> !,
    machine: *mut Machine,
) -> Result<u64, i32> {
    args.flags |= CLONE_VM;
    args.stack = stack.0;
    args.stack_size = STACK_LEN;
    let address = core::ptr::from_ref(&args) as u64;
    // SAFETY: a stack of its own, which holds the machine and is never unmapped; `entry` never returns.
    let result =
        unsafe { arch::clone_onto(address, size_of::<CloneArgs>() as u64, entry as usize as u64, machine as u64) };
    match result {
        pid @ 1.. => Ok(pid as u64),
        0 => Err(EINVAL),
        error => Err((error as i32).wrapping_neg()),
    }
}
