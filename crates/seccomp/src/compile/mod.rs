//! From a filter to a program: intervals of system-call numbers, a decision graph, instructions.
//!
//! Kernel objects: none. Invariant: the program answers every call as [`Filter::decide`] does.

mod assemble;
mod graph;
mod interval;

use crate::bpf::{INSTRUCTIONS_MAX, Program};
use crate::error::{Error, Result};
use crate::filter::Filter;

/// Translates a filter that was validated.
pub(crate) fn program(filter: &Filter) -> Result<Program> {
    let mut graph = graph::Graph::default();
    let root = interval::root(filter, &mut graph);
    let instructions = assemble::assemble(&graph, root);
    let length = instructions.len();
    Program::check(instructions).map_err(|_| Error::too_large(length.max(INSTRUCTIONS_MAX + 1)))
}
