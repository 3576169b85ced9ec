//! Device rules on v2: a program that the kernel asks before a device node is opened or made.
//!
//! Kernel objects: programs of type `BPF_PROG_TYPE_CGROUP_DEVICE`. Invariant: the program answers as the
//! rules say, for each kind of access apart: the last rule that matches decides, and without one the
//! access is refused.
//!
//! | file | is about |
//! |---|---|
//! | `instruction.rs` | [`Instruction`]: plain data, readable, encoded for the kernel |
//! | `program.rs` | [`Program`]: the compiler |
//! | `bpf.rs` | [`attach`], [`detach`], [`attached`]: the program at a group |

mod bpf;
mod instruction;
mod program;

pub use bpf::{Attached, attach, attached, detach};
pub use instruction::{Instruction, Register};
pub use program::Program;
