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
use crate::step::{Arg, Call, Fd, Slot, Slots, Step, Whole};
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
    /// Why a descriptor could not be kept; told by [`Program::seal`].
    failed: Option<Error>,
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

    /// Hands a descriptor to the program; it gets a number above the standard streams, so that a host that closed one
    /// of these never hands it to a payload as a stream.
    pub fn inherit(&mut self, fd: OwnedFd) -> Fd {
        match crate::above_stdio(fd) {
            Ok(fd) => self.fds.push(fd),
            Err(error) => self.failed = Some(error),
        }
        Fd::Plan(u16::try_from(self.fds.len().saturating_sub(1)).unwrap_or(u16::MAX))
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
    /// How many reports its steps make.
    reports: usize,
    /// What the latest launch executed, kept for the next one.
    executable: Mutex<Option<Arc<Embedded>>>,
}

impl Program {
    /// Encodes and seals a draft.
    ///
    /// # Errors
    /// [`ErrorKind::ProgramTooLarge`] past 65 535 steps, 1 024 slots, or 4 GiB; [`ErrorKind::FileSizeLimit`];
    /// [`ErrorKind::Host`] when the memfd cannot be made.
    pub fn seal(mut draft: Draft) -> Result<Self, Error> {
        if let Some(error) = draft.failed.take() {
            return Err(error);
        }
        let image = encode(&draft)?.store("ampoule-program", Sealing::Sealed)?;
        let Draft { launcher, first, fds, .. } = draft;
        let calls = launcher.iter().chain(&first).flat_map(|step| &step.calls);
        let reports = calls.filter(|call| matches!(call.code, code::SEND_FD | code::MARK)).count();
        Ok(Self { image, fds, launcher, first, reports, executable: Mutex::default() })
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

    /// How many reports its steps make.
    pub(crate) fn reports(&self) -> usize {
        self.reports
    }

    /// Whether it waits for the host on its way.
    pub(crate) fn has_gate(&self) -> bool {
        self.first.iter().any(|step| step.has(code::GATE))
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
        return Err(Error::new(ErrorKind::ProgramTooLarge, "more than 1 024 slots"));
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

/// Refuses what an operation cannot hold.
fn check(call: &Call) -> Result<(), Error> {
    let refuse = |what| Err(Error::new(ErrorKind::ProgramTooLarge, what));
    let past_the_end = |slot: &Slot| usize::from(slot.0) >= wire::SLOTS;
    let used = call.args.iter().filter_map(|arg| match arg {
        Arg::Fd(Fd::Saved(slot)) => Some(slot),
        _ => None,
    });
    if call.args.len() > ARGS {
        return refuse("more than six arguments");
    }
    if call.nr == NONE {
        return refuse("the number of a system call");
    }
    if used.chain(&call.save).any(past_the_end) {
        return refuse("more than 1 024 slots");
    }
    Ok(())
}

/// Turns a call into an operation, its data into the image.
fn lower(call: &Call, step: u16, image: &mut Image) -> Result<Op, Error> {
    let mut args = [0; ARGS];
    let mut kinds = 0;
    check(call)?;
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
        Arg::Filter(bytes, _) => (kind::DATA, u64::from(image.add_filter(bytes)?)),
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
        Fd::Images => (kind::INTERNAL_FD, u64::from(internal_fd::PROGRAM)),
        Fd::AfterImage => (kind::INTERNAL_FD, u64::from(internal_fd::LAUNCH)),
    }
}

impl Draft {
    /// Whether the first process is cloned by one of the launcher's steps.
    #[must_use]
    pub fn clones_first(&self) -> bool {
        self.launcher.iter().any(|step| step.has(code::FIRST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::{file, launch, process};

    fn refused(draft: Draft) -> Error {
        Program::seal(draft).unwrap_err()
    }

    #[test]
    fn an_image_is_what_the_steps_say() {
        let mut draft = Draft::default();
        let slot = draft.slots.take();
        draft.launcher(launch::clone_first(1, "flag", None));
        draft.first(file::open(Fd::Cwd, c"/etc", 0, 0, slot).tolerate(libc::ENOENT));
        draft.first(process::fchdir(slot.into()).whole());
        let Image { bytes, .. } = encode(&draft).unwrap();
        let header = ProgramHeader::decode(&bytes).unwrap();
        assert_eq!((header.ops, header.child, header.plan_fds), (3, 1, 0));
        let open = Op::decode(&bytes, 1).unwrap();
        assert_eq!((open.code, open.step, open.save), (code::CALL, 1, 0));
        assert_eq!(open.tolerate, libc::ENOENT.unsigned_abs());
        assert_eq!([0, 1, 2, 3].map(|index| open.kind(index)), [0, kind::DATA, kind::DATA, 0]);
        assert_eq!(open.args[0], AT_FDCWD);
        let path = usize::try_from(open.args[1]).unwrap();
        assert_eq!(bytes.get(path..path + 5), Some(b"/etc\0".as_slice()));
        let fchdir = Op::decode(&bytes, 2).unwrap();
        assert_eq!((fchdir.kind(0), fchdir.args[0], fchdir.flags), (kind::SLOT, 0, op_flag::WHOLE));
        assert_eq!(Op::decode(&bytes, 3).map(|op| op.code), None, "nothing but data follows");
    }

    #[test]
    fn more_than_1024_slots_are_refused() {
        let mut draft = Draft::default();
        for _ in 0..1024 {
            let _slot = draft.slots.take();
        }
        assert!(encode(&draft).is_ok());
        let _slot = draft.slots.take();
        assert_eq!(refused(draft).kind(), ErrorKind::ProgramTooLarge);
    }

    #[test]
    fn seven_arguments_are_refused() {
        let mut draft = Draft::default();
        let args = |count: usize| vec![Arg::Number(0); count];
        draft.first(Step::call("six", 1, args(6)));
        assert!(encode(&draft).is_ok());
        draft.first(Step::call("seven", 1, args(7)));
        assert_eq!(refused(draft).kind(), ErrorKind::ProgramTooLarge);
    }

    #[test]
    fn more_steps_than_an_operation_can_name_are_refused() {
        let mut draft = Draft::default();
        draft.first_all(std::iter::repeat_n(process::setsid(), 65_536));
        assert!(encode(&draft).is_ok());
        draft.first(process::setsid());
        assert_eq!(refused(draft).kind(), ErrorKind::ProgramTooLarge);
    }

    #[test]
    fn a_slot_of_another_draft_is_refused() {
        let mut other = Draft::default();
        let slots: Vec<_> = (0..1030).map(|_| other.slots.take()).collect();
        let mut draft = Draft::default();
        draft.first(process::fchdir(slots[1029].into()));
        assert_eq!(refused(draft).kind(), ErrorKind::ProgramTooLarge);
    }

    #[test]
    fn a_call_without_number_is_refused() {
        let mut draft = Draft::default();
        draft.first(Step::call("negative", -1, Vec::new()));
        assert_eq!(refused(draft).kind(), ErrorKind::ProgramTooLarge);
    }
}
