//! A workshop for builds that run nothing.
//!
//! Kernel objects: the upper directory. Invariant: nothing is mounted.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use ampoule_image::Layer;
use ampoule_image::build::{Foreign, Mounted, RunEnd, RunStep, Scratch, Workshop};

/// Adds files to nothing: the tree is the upper directory itself.
pub(crate) struct Bare;

struct Tree(File);

impl Workshop for Bare {
    fn mount<'a>(
        &'a self,
        _: &'a [Layer],
        scratch: &'a Scratch,
    ) -> Result<Box<dyn Mounted + 'a>, Foreign> {
        Ok(Box::new(Tree(File::open(scratch.upper())?)))
    }

    fn run(&self, _: &[Layer], _: &Scratch, _: &RunStep<'_>) -> Result<RunEnd, Foreign> {
        Err("nothing runs here".into())
    }
}

impl Mounted for Tree {
    fn root(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    fn owner(&self, text: &str) -> Result<(u32, u32), Foreign> {
        Err(format!("there is no {text}").into())
    }
}
