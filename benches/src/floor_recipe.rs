//! A list of raw system calls as data, with the strings they point to. Touches no kernel object.
//!
//! Invariant: every address in a call points into memory that its recipe owns, or into the run's scratch.

use std::ffi::{CString, c_char, c_int, c_long, c_uint};
use std::os::fd::{AsRawFd, OwnedFd};

/// Bytes of scratch that each run has for out-parameters and paths with a pid in them.
pub const SCRATCH: usize = 512;
/// Where the runner writes `/proc/PID/uid_map` after the clone.
pub const UID_MAP_PATH: u16 = 256;
/// Where the runner writes `/proc/PID/gid_map` after the clone.
pub const GID_MAP_PATH: u16 = 320;
/// Where the runner writes a name that no other run has at that time, such as for a group.
pub const OWN_NAME: u16 = 384;
/// Most calls that a recipe may have.
pub const MOST_CALLS: usize = 256;

/// Who makes a call, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// The host, before the clone.
    Before,
    /// The child, until its exec.
    Child,
    /// The host, while the child runs.
    Meanwhile,
    /// The host, after it has reaped the child.
    After,
}

/// One argument of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Argument {
    /// This register value.
    Value(u64),
    /// What the call of this index returned.
    Result(usize),
    /// The address of this place in the scratch, in bytes, a multiple of 4.
    Scratch(u16),
    /// The `int` that stands at this place in the scratch.
    Int(u16),
}

/// The null pointer, or zero.
pub const NONE: Argument = Argument::Value(0);

/// AT_FDCWD as an argument.
pub fn at_cwd() -> Argument {
    int(libc::AT_FDCWD)
}

/// A C `int` as an argument.
pub fn int(value: c_int) -> Argument {
    Argument::Value(i64::from(value).cast_unsigned())
}

/// A C `unsigned int` as an argument.
pub fn unsigned(value: c_uint) -> Argument {
    Argument::Value(u64::from(value))
}

/// One system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its name, for messages.
    pub name: &'static str,
    /// Its number.
    pub number: c_long,
    /// Its arguments; what is missing is zero.
    pub arguments: [Argument; 6],
}

/// A whole start: what the host and the child call, in order.
#[derive(Debug, Default)]
pub struct Recipe {
    flags: u64,
    group: Option<Argument>,
    calls: Vec<(Stage, Call)>,
    strings: Vec<CString>,
    words: Vec<Box<[u64]>>,
    bytes: Vec<Box<[u8]>>,
    descriptors: Vec<OwnedFd>,
}

impl Recipe {
    /// An empty recipe whose clone3 gets these flags.
    pub fn new(flags: u64) -> Self {
        Self { flags, ..Self::default() }
    }

    /// The flags of clone3.
    pub fn flags(&self) -> u64 {
        self.flags
    }

    /// Gives clone3 more flags.
    pub fn add_flags(&mut self, flags: u64) {
        self.flags |= flags;
    }

    /// Has clone3 make the child in the v2 group whose directory this earlier call opened (CLONE_INTO_CGROUP).
    pub fn clone_into(&mut self, directory: Argument) {
        // The flag is bit 33.
        self.flags |= 1 << 33;
        self.group = Some(directory);
    }

    /// The directory of [`Recipe::clone_into`].
    pub fn group(&self) -> Option<Argument> {
        self.group
    }

    /// Adds a call; its result can be an argument of any call that runs later.
    ///
    /// # Panics
    /// With more than [`MOST_CALLS`] calls or six arguments.
    pub fn call(
        &mut self,
        stage: Stage,
        (name, number): (&'static str, c_long),
        given: &[Argument],
    ) -> Argument {
        let index = self.calls.len();
        assert!(index < MOST_CALLS && given.len() <= 6, "recipe too long at {name}");
        let mut arguments = [NONE; 6];
        arguments[..given.len()].copy_from_slice(given);
        self.calls.push((stage, Call { name, number, arguments }));
        Argument::Result(index)
    }

    /// The calls of one stage with their indices, in order.
    pub fn calls(&self, stage: Stage) -> impl Iterator<Item = (usize, &Call)> {
        let numbered = self.calls.iter().enumerate();
        numbered.filter(move |(_, (s, _))| *s == stage).map(|(index, (_, call))| (index, call))
    }

    /// The name of the call of this index.
    pub fn name(&self, index: usize) -> &'static str {
        self.calls.get(index).map_or("no call", |(_, call)| call.name)
    }

    /// The address of a C string.
    ///
    /// # Panics
    /// With a NUL in `text`: the recipes are written by hand.
    pub fn text(&mut self, text: impl Into<Vec<u8>>) -> Argument {
        let Ok(string) = CString::new(text) else { panic!("NUL in a recipe") };
        let address = string.as_ptr();
        self.strings.push(string);
        Argument::Value(address_of(address))
    }

    /// The address of a null-terminated array of C strings.
    pub fn vector(&mut self, texts: &[&str]) -> Argument {
        let mut words: Vec<u64> = texts.iter().map(|text| value(self.text(*text))).collect();
        words.push(0);
        self.words(words)
    }

    /// The number of a descriptor, which stays open as long as the recipe.
    pub fn descriptor(&mut self, descriptor: OwnedFd) -> Argument {
        let number = int(descriptor.as_raw_fd());
        self.descriptors.push(descriptor);
        number
    }

    /// The address of words, such as a struct with a pointer.
    pub fn words(&mut self, words: impl Into<Box<[u64]>>) -> Argument {
        let words = words.into();
        let address = words.as_ptr();
        self.words.push(words);
        Argument::Value(address_of(address))
    }

    /// The address of plain bytes, such as a struct.
    pub fn bytes(&mut self, bytes: impl Into<Box<[u8]>>) -> Argument {
        let bytes = bytes.into();
        let address = bytes.as_ptr();
        self.bytes.push(bytes);
        Argument::Value(address_of(address))
    }
}

/// The register value of an address. `*const c_char` and the like have no provenance to keep here: only
/// the kernel follows them.
fn address_of<T>(pointer: *const T) -> u64 {
    pointer.cast::<c_char>().expose_provenance() as u64
}

/// The register value of an argument that is known beforehand.
pub(crate) fn value(argument: Argument) -> u64 {
    match argument {
        Argument::Value(value) => value,
        Argument::Result(_) | Argument::Scratch(_) | Argument::Int(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::{Argument, Recipe, Stage, int};

    #[test]
    fn results_are_numbered_over_all_stages() {
        let mut recipe = Recipe::new(0);
        let first = recipe.call(Stage::Before, ("getpid", libc::SYS_getpid), &[]);
        let second = recipe.call(Stage::Child, ("close", libc::SYS_close), &[first]);
        assert_eq!((first, second), (Argument::Result(0), Argument::Result(1)));
        assert_eq!(recipe.calls(Stage::Child).map(|(i, c)| (i, c.name)).next(), Some((1, "close")));
        assert_eq!(int(-100), Argument::Value((-100_i64).cast_unsigned()));
    }
}
