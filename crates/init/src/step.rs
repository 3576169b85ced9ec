//! A step: one system call, or one small fixed sequence, and one line of `Display`.
//!
//! Steps are plain data. What they mean is decided where they are made (the mechanism crates); the embedded
//! program only does them. Invariant: what a step prints is what it does.

use std::ffi::{CStr, CString};
use std::fmt;

use crate::wire::{self, code};

/// A value that a step saves for later steps, such as a descriptor that it opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot(pub(crate) u16);

/// Hands out the slots of one program.
#[derive(Clone, Debug, Default)]
pub struct Slots(u16);

impl Slots {
    /// A slot that no other step uses.
    #[must_use]
    pub fn take(&mut self) -> Slot {
        let slot = Slot(self.0);
        self.0 = self.0.saturating_add(1);
        slot
    }

    /// How many have been handed out.
    #[must_use]
    pub fn taken(&self) -> u16 {
        self.0
    }
}

/// A descriptor as steps name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fd {
    /// The working directory (`AT_FDCWD`).
    Cwd,
    /// What an earlier step saved.
    Saved(Slot),
    /// A descriptor of the plan, by its position.
    Plan(u16),
    /// A descriptor of the launch, by its position.
    Launch(u16),
    /// The payload's descriptor of this number.
    Payload(u16),
    /// Past the setup socket, the first number that the payload must not inherit.
    AfterSetup,
    /// Past the sockets, the first number that only init itself needs.
    Images,
    /// The number behind that one.
    AfterImage,
}

/// One argument of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Arg {
    /// A number, printed in decimal.
    Number(u64),
    /// A number with the text that is printed for it, such as flags.
    Named(u64, String),
    /// A descriptor.
    Fd(Fd),
    /// A path or another text.
    Text(CString),
    /// Bytes of a structure or a file, with the text that is printed for them.
    Bytes(Vec<u8>, String),
    /// Instructions of a system-call filter, reached through a `struct sock_fprog`, with the text that is printed.
    Filter(Vec<u8>, String),
    /// A vector of texts, ended by a null.
    Texts(Vec<CString>),
    /// A parameter of the launch, by its position, with its name.
    Parameter(u16, &'static str),
}

/// One operation of the embedded program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) code: u16,
    pub(crate) nr: u32,
    pub(crate) args: Vec<Arg>,
    pub(crate) save: Option<Slot>,
    pub(crate) tolerate: i32,
    pub(crate) whole: Whole,
}

/// Whether a call's result must equal its length argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whole {
    Any,
    Required,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    name: &'static str,
    text: Option<String>,
    pub(crate) calls: Vec<Call>,
}

impl Step {
    /// A system call by name and number; the number may not exceed 32 bits.
    #[must_use]
    pub fn call(name: &'static str, number: libc::c_long, args: Vec<Arg>) -> Self {
        let nr = u32::try_from(number).unwrap_or(wire::NONE);
        Self { name, text: None, calls: vec![Call::new(code::CALL, nr, args)] }
    }

    /// An operation of the program itself.
    pub(crate) fn operation(name: &'static str, code: u16, args: Vec<Arg>) -> Self {
        Self { name, text: None, calls: vec![Call::new(code, 0, args)] }
    }

    /// Saves the result of the (last) call.
    #[must_use]
    pub fn save(mut self, slot: Slot) -> Self {
        if let Some(call) = self.calls.last_mut() {
            call.save = Some(slot);
        }
        self
    }

    /// Counts one error of the (last) call as success.
    #[must_use]
    pub fn tolerate(mut self, errno: i32) -> Self {
        if let Some(call) = self.calls.last_mut() {
            call.tolerate = errno;
        }
        self
    }

    /// The (last) call must transfer as many bytes as its third argument says.
    #[must_use]
    pub fn whole(mut self) -> Self {
        if let Some(call) = self.calls.last_mut() {
            call.whole = Whole::Required;
        }
        self
    }

    /// Adds the calls of another step, so that both are one fixed sequence.
    #[must_use]
    pub fn then(mut self, next: Step) -> Self {
        self.calls.extend(next.calls);
        self
    }

    /// Adds an argument to the (last) call.
    pub(crate) fn add_argument(&mut self, arg: Arg) {
        if let Some(call) = self.calls.last_mut() {
            call.args.push(arg);
        }
    }

    /// Replaces name and printed text (for sequences).
    #[must_use]
    pub fn named(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.name = name;
        self.text = Some(text.into());
        self
    }

    /// The name of the system call or sequence.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How many operations it takes.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.calls.len()
    }

    /// Whether it is the operation with this code.
    pub(crate) fn has(&self, code: u16) -> bool {
        self.calls.iter().any(|call| call.code == code)
    }
}

impl Call {
    fn new(code: u16, nr: u32, args: Vec<Arg>) -> Self {
        Self { code, nr, args, save: None, tolerate: 0, whole: Whole::Any }
    }
}

impl From<Fd> for Arg {
    fn from(fd: Fd) -> Self {
        Self::Fd(fd)
    }
}

impl From<Slot> for Fd {
    fn from(slot: Slot) -> Self {
        Self::Saved(slot)
    }
}

impl From<Slot> for Arg {
    fn from(slot: Slot) -> Self {
        Self::Fd(Fd::Saved(slot))
    }
}

impl From<u64> for Arg {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Arg {
    fn from(number: u32) -> Self {
        Self::Number(u64::from(number))
    }
}

impl From<&CStr> for Arg {
    fn from(text: &CStr) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<CString> for Arg {
    fn from(text: CString) -> Self {
        Self::Text(text)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "%{}", self.0)
    }
}

impl fmt::Display for Fd {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cwd => out.write_str("AT_FDCWD"),
            Self::Saved(slot) => slot.fmt(out),
            Self::Plan(index) => write!(out, "plan:{index}"),
            Self::Launch(index) => write!(out, "launch:{index}"),
            Self::Payload(number) => write!(out, "{number}"),
            Self::AfterSetup => out.write_str("first"),
            Self::Images => out.write_str("images"),
            Self::AfterImage => out.write_str("images+1"),
        }
    }
}

impl fmt::Display for Arg {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(out),
            Self::Named(_, text) | Self::Bytes(_, text) | Self::Filter(_, text) => {
                out.write_str(text)
            }
            Self::Fd(fd) => fd.fmt(out),
            Self::Text(text) => write!(out, "{:?}", text.to_string_lossy()),
            Self::Texts(texts) => out
                .debug_list()
                .entries(texts.iter().map(|text| text.to_string_lossy().into_owned()))
                .finish(),
            Self::Parameter(_, name) => write!(out, "{{{name}}}"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}(", self.name)?;
        match (&self.text, self.calls.last()) {
            (Some(text), _) => out.write_str(text)?,
            (None, Some(call)) => {
                for (index, arg) in call.args.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(out, "{comma}{arg}")?;
                }
            }
            (None, None) => {}
        }
        out.write_str(")")?;
        match self.calls.last().and_then(|call| call.save) {
            Some(slot) => write!(out, " = {slot}"),
            None => Ok(()),
        }
    }
}
