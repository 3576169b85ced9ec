//! A filter made ready to load.
//!
//! Kernel objects: none until it is loaded. Invariant: it holds the program of a valid filter; clones share it.

use std::sync::Arc;

use crate::bpf::Program;
use crate::compile;
use crate::error::{Error, Result};
use crate::filter::{Filter, Flags};
use crate::problem::Problem;

/// A filter made ready to load: a program, and how it is loaded. Cheap to clone and to share between threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled(Arc<Inner>);

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    program: Program,
    flags: Flags,
    notifies: bool,
    /// Why no program can be executed with it.
    lockout: Vec<Problem>,
}

impl Filter {
    /// Checks it and translates it into a program.
    ///
    /// # Errors
    /// [`InvalidFilter`](crate::ErrorKind::InvalidFilter) with every problem;
    /// [`TooLarge`](crate::ErrorKind::TooLarge) when it takes more than 4096 instructions.
    pub fn compile(&self) -> Result<Compiled> {
        self.validate()?;
        Ok(Compiled::new(self, compile::program(self)?))
    }
}

impl Compiled {
    pub(crate) fn new(filter: &Filter, program: Program) -> Self {
        Self(Arc::new(Inner {
            program,
            flags: filter.flags,
            notifies: filter.notifies(),
            lockout: filter.lockouts(),
        }))
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.0.program
    }

    /// How it is loaded.
    #[must_use]
    pub fn flags(&self) -> Flags {
        self.0.flags
    }

    /// Whether its load makes a listener.
    #[must_use]
    pub fn notifies(&self) -> bool {
        self.0.notifies
    }

    /// Checks that a program can be executed with it loaded.
    ///
    /// # Errors
    /// [`LocksOutExec`](crate::ErrorKind::LocksOutExec), see [`Filter::validate_for_exec`].
    pub fn check_exec(&self) -> Result<()> {
        if self.0.lockout.is_empty() {
            return Ok(());
        }
        Err(Error::problems_of(self.0.lockout.clone()))
    }
}
