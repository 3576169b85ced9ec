//! A program: steps made ready to run, sealed, and shared by any number of launches.
//!
//! Kernel objects: one sealed memfd, the plan's descriptors. Invariant: the image is exactly what the steps
//! print; it never changes after [`Program::seal`].

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use crate::embedded::Embedded;
use crate::error::{Error, ErrorKind};
use crate::image::{Image, Sealing};
use crate::step::{Arg, Call, Fd, Slots, Step, Whole};
use crate::wire::{
    self, ARGS, NONE, OP_LEN, Op, PROGRAM_HEADER_LEN, ProgramHeader, code, internal_fd, kind,
    op_flag,
};

/// Steps and descriptors of a program in the making.
#[derive(Debug, Default)]
pub struct Draft {
    /// Hands out slots.
    pub slots: Slots,
    launcher: Vec<Step>,
    first: Vec<Step>,
    fds: Vec<OwnedFd>,
}

impl Draft {
    /// Adds a step of the launcher, which runs in the host's namespaces.
    pub fn launcher(&mut self, step: Step) {
        self.launcher.push(step);
    }

    /// Adds a step of the container's first process.
    pub fn first(&mut self, step: Step) {
        self.first.push(step);
    }

    /// Adds steps of the container's first process.
    pub fn first_all(&mut self, steps: impl IntoIterator<Item = Step>) {
        self.first.extend(steps);
    }

    /// Hands a descriptor to the program.
    pub fn inherit(&mut self, fd: OwnedFd) -> Fd {
        self.fds.push(fd);
        Fd::Plan(u16::try_from(self.fds.len() - 1).unwrap_or(u16::MAX))
    }

    /// The steps so far, in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.launcher.iter().chain(&self.first)
    }
}

/// A sealed program.
#[derive(Debug)]
pub struct Program {
    image: OwnedFd,
    fds: Vec<OwnedFd>,
    launcher: Vec<Step>,
    first: Vec<Step>,
    /// What the latest launch executed, kept for the next one.
    executable: Mutex<Option<Arc<Embedded>>>,
}

impl Program {
    /// Encodes and seals a draft.
    ///
    /// # Errors
    /// [`ErrorKind::ProgramTooLarge`] past 65 535 steps, 512 slots, or 4 GiB; [`ErrorKind::FileSizeLimit`];
    /// [`ErrorKind::Host`] when the memfd cannot be made.
    pub fn seal(draft: Draft) -> Result<Self, Error> {
        let image = encode(&draft)?.store("ampoule-program", Sealing::Sealed)?;
        let Draft { launcher, first, fds, .. } = draft;
        Ok(Self { image, fds, launcher, first, executable: Mutex::default() })
    }

    /// The steps in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.launcher.iter().chain(&self.first)
    }

    /// The step with this position.
    #[must_use]
    pub fn step(&self, index: usize) -> Option<&Step> {
        self.steps().nth(index)
    }

    /// How many operations there are; each can fail on its own.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.steps().map(Step::operations).sum()
    }

    /// Keeps the shared executable alive between launches.
    pub(crate) fn keep(&self, executable: &Arc<Embedded>) {
        let mut kept = self.executable.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some(Arc::clone(executable));
    }

    pub(crate) fn image(&self) -> BorrowedFd<'_> {
        self.image.as_fd()
    }

    pub(crate) fn fds(&self) -> &[OwnedFd] {
        &self.fds
    }
}

impl fmt::Display for Program {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.steps().enumerate() {
            let place = if number < self.launcher.len() { "launcher" } else { "first" };
            writeln!(out, "{number:3} {place:<8} {step}")?;
        }
        Ok(())
    }
}

/// Writes the image of a draft.
pub(crate) fn encode(draft: &Draft) -> Result<Image, Error> {
    if usize::from(draft.slots.taken()) > wire::SLOTS {
        return Err(Error::new(ErrorKind::ProgramTooLarge, "more than 512 slots"));
    }
    let too_many = |_| Error::new(ErrorKind::ProgramTooLarge, "too many steps or descriptors");
    let child: usize = draft.launcher.iter().map(Step::operations).sum();
    let ops: usize = draft.steps().map(Step::operations).sum();
    let mut image = Image::with_head(PROGRAM_HEADER_LEN + ops * OP_LEN);
    let mut at = PROGRAM_HEADER_LEN;
    for (index, step) in draft.steps().enumerate() {
        let index = u16::try_from(index).map_err(too_many)?;
        for call in &step.calls {
            let op = lower(call, index, &mut image)?;
            image.put(at, &op.encode());
            at += OP_LEN;
        }
    }
    let (relocs, reloc_count) = image.add_relocations()?;
    let header = ProgramHeader {
        len: image.len()?,
        ops: u32::try_from(ops).map_err(too_many)?,
        child: u32::try_from(child).map_err(too_many)?,
        relocs,
        reloc_count,
        plan_fds: u32::from(u16::try_from(draft.fds.len()).map_err(too_many)?),
    };
    image.put(0, &header.encode());
    Ok(image)
}

/// Turns a call into an operation, its data into the image.
fn lower(call: &Call, step: u16, image: &mut Image) -> Result<Op, Error> {
    let mut args = [0; ARGS];
    let mut kinds = 0;
    if call.args.len() > ARGS {
        return Err(Error::new(ErrorKind::ProgramTooLarge, "more than six arguments"));
    }
    for (index, (arg, value)) in call.args.iter().zip(&mut args).enumerate() {
        let (kind, number) = argument(arg, image)?;
        kinds |= kind << (4 * index);
        *value = number;
    }
    Ok(Op {
        code: call.code,
        step,
        flags: if call.whole == Whole::Required { op_flag::WHOLE } else { 0 },
        save: call.save.map_or(NONE, |slot| u32::from(slot.0)),
        nr: call.nr,
        tolerate: call.tolerate.unsigned_abs(),
        kinds,
        args,
    })
}

/// Kind and value of an argument.
fn argument(arg: &Arg, image: &mut Image) -> Result<(u32, u64), Error> {
    Ok(match arg {
        Arg::Number(number) | Arg::Named(number, _) => (kind::IMMEDIATE, *number),
        Arg::Fd(fd) => descriptor(*fd),
        Arg::Text(text) => (kind::DATA, u64::from(image.add_text(text)?)),
        // An empty structure still needs an address inside the image.
        Arg::Bytes(bytes, _) if bytes.is_empty() => (kind::DATA, u64::from(image.add(&[0])?)),
        Arg::Bytes(bytes, _) => (kind::DATA, u64::from(image.add(bytes)?)),
        Arg::Texts(texts) => (kind::DATA, u64::from(image.add_texts(texts)?)),
        Arg::Parameter(index, _) => (kind::PARAM, u64::from(*index)),
    })
}

/// The working directory as an argument.
const AT_FDCWD: u64 = (-100_i64).cast_unsigned();

/// Kind and value of a descriptor.
fn descriptor(fd: Fd) -> (u32, u64) {
    match fd {
        Fd::Cwd => (kind::IMMEDIATE, AT_FDCWD),
        Fd::Saved(slot) => (kind::SLOT, u64::from(slot.0)),
        Fd::Plan(index) => (kind::PLAN_FD, u64::from(index)),
        Fd::Launch(index) => (kind::LAUNCH_FD, u64::from(index)),
        Fd::Payload(number) => (kind::IMMEDIATE, u64::from(number)),
        Fd::AfterSetup => (kind::INTERNAL_FD, u64::from(internal_fd::CONTROL)),
    }
}

impl Draft {
    /// Whether the first process is cloned by one of the launcher's steps.
    #[must_use]
    pub fn clones_first(&self) -> bool {
        self.launcher.iter().any(|step| step.has(code::FIRST))
    }
}
