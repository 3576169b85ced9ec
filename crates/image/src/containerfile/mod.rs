//! `Containerfile` and `Dockerfile`: the text, parsed into stages of instructions.
//!
//! Kernel objects: none. Invariant: a file that parses can be built, as far as that shows in its text; every problem is
//! found in one go and names its line.
//!
//! Variables are not replaced here, because what they hold depends on the instructions before: see [`Word::expand`].
//!
//! ```
//! use ampoule_image::containerfile::{Containerfile, Instruction};
//!
//! let file = Containerfile::parse("FROM scratch AS base\nENV GREETING=hello\nCMD [\"/greet\"]")?;
//! let stage = &file.stages[0];
//! assert_eq!(stage.name.as_deref(), Some("base"));
//! assert!(matches!(stage.instructions[0].instruction, Instruction::Env(_)));
//! # Ok::<(), Vec<ampoule_image::containerfile::Problem>>(())
//! ```

mod expand;
mod ignore;
mod instruction;
mod lines;
mod options;
mod parse;
mod parse_copy;
mod parse_health;
mod parse_mount;
mod pattern;
mod problem;
mod run_mount;
mod words;

pub use expand::{Document, Word};
pub use ignore::Ignore;
pub use instruction::{
    Argument, Copy, CopySource, HealthTimes, Healthcheck, Instruction, Invocation, Run, RunCommand,
    RunNetwork,
};
pub(crate) use pattern::{Pattern, Separator};
pub use problem::{Problem, ProblemKind};
pub use run_mount::{MountAccess, Need, RunMount, RunMountKind, Sharing};

use lines::Line;

/// A parsed build file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Containerfile {
    /// Variables that stand before the first FROM and can be used in the FROMs.
    pub arguments: Vec<Argument>,
    /// The stages in order; the last one is the image.
    pub stages: Vec<Stage>,
}

/// What stands after one FROM.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stage {
    /// The line of its FROM, the first line being 1.
    pub line: usize,
    /// What it begins with: `scratch`, a stage before it, or an image.
    pub image: Word,
    /// The platform of that image.
    pub platform: Option<Word>,
    /// Its name, in lower case.
    pub name: Option<String>,
    /// Its instructions in order.
    pub instructions: Vec<Located>,
}

/// An instruction and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Located {
    /// The line where it begins, the first being 1.
    pub line: usize,
    /// The instruction.
    pub instruction: Instruction,
    /// As it was written, in one line: what a history shows.
    pub text: String,
}

impl Containerfile {
    /// Parses a file's text.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of lines.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let lines::Lines { escape, lines } = lines::split(text)?;
        let mut reader = Reader { escape, file: Self::empty(), problems: Vec::new() };
        for line in &lines {
            if let Err(kind) = reader.take(line) {
                reader.problems.push(Problem::new(line.number, kind));
            }
        }
        if reader.file.stages.is_empty() && reader.problems.is_empty() {
            reader.problems.push(Problem::new(0, ProblemKind::NoStage));
        }
        if reader.problems.is_empty() { Ok(reader.file) } else { Err(reader.problems) }
    }

    /// Parses a file's bytes.
    ///
    /// # Errors
    /// As [`Containerfile::parse`]; [`ProblemKind::NotText`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Vec<Problem>> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = &bytes[..error.valid_up_to()];
            let line = before.split(|&byte| byte == b'\n').count();
            vec![Problem::new(line, ProblemKind::NotText)]
        })?;
        Self::parse(text)
    }

    /// Parses one instruction of an image's `OnBuild` list.
    ///
    /// # Errors
    /// What is wrong with it; the line is 1.
    pub fn parse_trigger(text: &str) -> Result<Located, Vec<Problem>> {
        let lines::Lines { escape, lines } = lines::split(text)?;
        let [line] = &lines[..] else {
            let kind = ProblemKind::Arguments { instruction: "ONBUILD", wanted: "one instruction" };
            return Err(vec![Problem::new(1, kind)]);
        };
        located(line, escape).map_err(|kind| vec![Problem::new(line.number, kind)])
    }

    fn empty() -> Self {
        Self { arguments: Vec::new(), stages: Vec::new() }
    }
}

/// What has been read so far.
struct Reader {
    escape: char,
    file: Containerfile,
    problems: Vec<Problem>,
}

impl Reader {
    fn take(&mut self, line: &Line) -> Result<(), ProblemKind> {
        if line.name.eq_ignore_ascii_case("FROM") {
            let stage = parse::from(line, self.escape)?;
            let taken =
                |name: &String| self.file.stages.iter().any(|s| s.name.as_ref() == Some(name));
            if let Some(name) = stage.name.clone().filter(taken) {
                // It stays, so that what follows is read as part of a stage.
                self.problems.push(Problem::new(line.number, ProblemKind::DuplicateStage(name)));
            }
            self.file.stages.push(stage);
            return Ok(());
        }
        let located = located(line, self.escape)?;
        match (self.file.stages.last_mut(), located) {
            (Some(stage), located) => stage.instructions.push(located),
            (None, Located { instruction: Instruction::Arg(arguments), .. }) => {
                self.file.arguments.extend(arguments);
            }
            (None, located) => return Err(ProblemKind::BeforeFrom(located.instruction.name())),
        }
        Ok(())
    }
}

fn located(line: &Line, escape: char) -> Result<Located, ProblemKind> {
    let instruction = parse::instruction(line, escape)?;
    let text = format!("{} {}", line.name.to_ascii_uppercase(), line.rest);
    Ok(Located { line: line.number, instruction, text })
}

#[cfg(test)]
mod mount_tests;
#[cfg(test)]
mod tests;
