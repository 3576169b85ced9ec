//! From a file to an image: stages in the order in which they are needed, instructions one after the other.
//!
//! Kernel objects: none of its own. Invariant: a stage that the target does not need is not built.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use super::copy::{Archives, Task, excluded};
use super::gather::Origin;
use super::layer::{self, Key};
use super::mounts::{self, Wanted};
use super::owning::Owning;
use super::place::Placement;
use super::stage::Stage;
use super::trouble::{Trouble, call};
use super::variables::Arguments;
use super::workshop::{RunEnd, Scratch};
use super::{Build, BuildEvent, Outcome, run, settings};
use crate::containerfile::{
    self, Containerfile, Copy, Ignore, Instruction, Located, Run, RunMountKind, Word,
};
use crate::error::Result;
use crate::reference::Reference;
use crate::store::{Image, Layer};

/// The form of the cache's keys.
const KEY_VERSION: u32 = 1;

/// An image without layers.
const SCRATCH: &str = "scratch";

/// Builds.
pub(super) fn build(build: &Build<'_>, file: &Containerfile, name: &Reference) -> Result<Image> {
    let mut arguments = Arguments::new(&build.arguments, &build.platform);
    for argument in &file.arguments {
        let declared = arguments.declare_global(argument);
        declared.map_err(|kind| Trouble::from(kind).at(0, "ARG"))?;
    }
    tell_unused(build, file);
    let mut driver = Driver { build, file, arguments, built: BTreeMap::new() };
    let target = driver.target()?;
    let stage = driver.stage(target)?;
    let manifest = stage.put(build.store)?;
    build.store.tag(&manifest, name)?;
    build.store.image(name)
}

/// Says which arguments nobody asks for.
fn tell_unused(build: &Build<'_>, file: &Containerfile) {
    let of_stages = file.stages.iter().flat_map(|stage| &stage.instructions);
    let of_stages = of_stages.filter_map(|located| match &located.instruction {
        Instruction::Arg(arguments) => Some(arguments),
        _ => None,
    });
    let declared: BTreeSet<&str> = of_stages
        .chain([&file.arguments])
        .flatten()
        .map(|argument| argument.name.as_str())
        .collect();
    for name in build.arguments.keys().filter(|name| !declared.contains(name.as_str())) {
        (build.events)(&BuildEvent::UnusedArgument(name));
    }
}

struct Driver<'a> {
    build: &'a Build<'a>,
    file: &'a Containerfile,
    arguments: Arguments,
    built: BTreeMap<usize, Stage>,
}

impl Driver<'_> {
    /// The stage that is wanted.
    fn target(&self) -> Result<usize> {
        match &self.build.target {
            None => Ok(self.file.stages.len().saturating_sub(1)),
            Some(text) => self
                .before(text, self.file.stages.len())
                .ok_or_else(|| Trouble::NoStage(text.clone()).at(0, "FROM")),
        }
    }

    /// A stage before another one, by name or number; the last one of that name.
    fn before(&self, text: &str, stage: usize) -> Option<usize> {
        let name = text.to_ascii_lowercase();
        let named = self.file.stages[..stage].iter().rposition(|s| s.name.as_ref() == Some(&name));
        named.or_else(|| text.parse().ok().filter(|&number| number < stage))
    }

    /// Builds a stage, once.
    fn stage(&mut self, at: usize) -> Result<Stage> {
        if let Some(stage) = self.built.get(&at) {
            return Ok(stage.clone());
        }
        let parsed = &self.file.stages[at];
        let from = format!("FROM {}", parsed.image.as_written());
        let mut stage = self.base(at).map_err(|trouble| trouble.at(parsed.line, &from))?;
        let triggers = std::mem::take(&mut stage.config.config.on_build);
        let triggers = triggers.iter().map(|text| trigger(text)).collect::<Result<Vec<_>, _>>();
        let triggers = triggers.map_err(|trouble| trouble.at(parsed.line, &from))?;
        let instructions: Vec<&Located> = triggers.iter().chain(&parsed.instructions).collect();
        for (number, located) in (1..).zip(&instructions) {
            let Located { line, text, .. } = *located;
            let (line, count) = (*line, instructions.len());
            (self.build.events)(&BuildEvent::Step { line, number, count, text });
            let outcome = self.instruction(at, &mut stage, located);
            let outcome = outcome.map_err(|trouble| trouble.at(line, text))?;
            (self.build.events)(&BuildEvent::Done(outcome));
        }
        self.built.insert(at, stage.clone());
        Ok(stage)
    }

    /// What a stage begins with.
    fn base(&mut self, at: usize) -> Result<Stage, Trouble> {
        let parsed = &self.file.stages[at];
        let image = self.arguments.expand_global(&parsed.image)?;
        let platform = match &parsed.platform {
            Some(word) => self.arguments.expand_global(word)?.parse()?,
            None => self.build.platform.clone(),
        };
        let mut arguments = self.arguments.clone();
        arguments.begin_stage();
        if image == SCRATCH {
            return Ok(Stage::scratch(&platform, arguments));
        }
        if let Some(before) = self.before(&image, at).filter(|_| image.parse::<usize>().is_err()) {
            let mut stage = self.stage(before)?;
            (stage.arguments, stage.cmd_is_own) = (arguments, false);
            return Ok(stage);
        }
        let image = self.image(&image, &platform)?;
        Ok(Stage::of_image(&image, arguments))
    }

    /// An image of the store, unpacked.
    fn image(&self, text: &str, platform: &crate::platform::Platform) -> Result<Image, Trouble> {
        let reference: Reference = text.parse()?;
        let image = (self.build.find)(&reference, platform)?;
        self.build.store.unpack(&image, self.build.unpacker(), &())?;
        Ok(image)
    }

    fn instruction(
        &mut self,
        at: usize,
        stage: &mut Stage,
        located: &Located,
    ) -> Result<Outcome, Trouble> {
        match &located.instruction {
            Instruction::Run(run) => self.run(at, stage, run, &located.text),
            Instruction::Copy(copy) => self.copy(at, stage, (copy, Archives::Kept), &located.text),
            Instruction::Add(copy) => {
                self.copy(at, stage, (copy, Archives::Unpacked), &located.text)
            }
            Instruction::Workdir(path) => self.workdir(stage, path, &located.text),
            other => {
                settings::apply(stage, other)?;
                // An argument of the build is no part of the image.
                if !matches!(other, Instruction::Arg(_)) {
                    stage.note(&self.build.created, &located.text, true);
                }
                Ok(Outcome::Done)
            }
        }
    }

    fn run(
        &mut self,
        at: usize,
        stage: &mut Stage,
        run: &Run,
        text: &str,
    ) -> Result<Outcome, Trouble> {
        let wanted = self.mounts(at, stage, run)?;
        let build = self.build;
        let output = |bytes: &[u8]| (build.events)(&BuildEvent::Output(bytes));
        let mut step = run::step(stage, run, build.network, &output);
        let arguments = stage.arguments.for_cache();
        let mounts = mounts::key(&wanted);
        let more = format!("{:?} {arguments:?} {:?}{mounts}", step.argv, step.network);
        let key = Key { version: KEY_VERSION, before: stage.identity()?, instruction: text, more };
        layer::make(build, stage, &key, |layers, scratch| {
            let mut held = mounts::prepare(build, &wanted, scratch)?;
            step.mounts = std::mem::take(&mut held.mounts);
            match build.workshop.run(layers, scratch, &step)? {
                RunEnd::Exited(0) => Ok(()),
                end => Err(Trouble::Ended { argv: step.argv.clone(), end }),
            }
        })
    }

    /// What a program sees besides the image.
    fn mounts(&mut self, at: usize, stage: &Stage, run: &Run) -> Result<Vec<Wanted>, Trouble> {
        let mut wanted = Vec::new();
        for mount in &run.mounts {
            if let RunMountKind::Bind { from: Some(from), .. } = &mount.kind {
                let layers = self.other(at, &stage.expand(from)?)?;
                wanted.push(mounts::of_layers(self.build, stage, mount, layers)?);
            } else {
                wanted.extend(mounts::expand(self.build, stage, mount)?);
            }
        }
        Ok(wanted)
    }

    /// Sets the working directory, and makes it if it is not there.
    fn workdir(&self, stage: &mut Stage, path: &Word, text: &str) -> Result<Outcome, Trouble> {
        let build = self.build;
        let path = stage.absolute(&stage.expand(path)?);
        stage.config.config.working_dir = Some(path.clone());
        let more = String::new();
        let key = Key { version: KEY_VERSION, before: stage.identity()?, instruction: text, more };
        layer::make(build, stage, &key, |layers, scratch| {
            let mounted = build.workshop.mount(layers, scratch)?;
            let owning = Owning::new(build, mounted.root());
            let place =
                Placement { root: mounted.root(), owner: (0, 0), mode: None, owning: &owning };
            place.directory(path.as_ref(), 0o755)?;
            owning.settle()
        })
    }

    fn copy(
        &mut self,
        at: usize,
        stage: &mut Stage,
        (copy, archives): (&Copy, Archives),
        text: &str,
    ) -> Result<Outcome, Trouble> {
        let task = Task::new(stage, copy, archives)?;
        let exclude = excluded(stage, copy)?;
        let other = match &copy.from {
            Some(word) => Some(self.other(at, &stage.expand(word)?)?),
            None => None,
        };
        let build = self.build;
        let empty = match &other {
            Some(_) => Some(scratch_of(build)?),
            None => None,
        };
        // Mounted as long as it is copied from.
        let mounted = match (&other, &empty) {
            (Some(layers), Some((_, scratch))) => Some(build.workshop.mount(layers, scratch)?),
            _ => None,
        };
        let context = context(build, mounted.is_some())?;
        let nothing = Ignore::default();
        let origin = match (&mounted, &context) {
            (Some(mounted), _) => Some((mounted.root(), &nothing)),
            (None, Some(context)) => Some((context.as_fd(), &build.ignore)),
            (None, None) => None,
        };
        // The caller reads what the caller may read, of layers what their root may.
        let ids = build.diff.ids.as_ref().filter(|_| mounted.is_some());
        let origin = origin.map(|(root, ignore)| Origin { root, ignore, exclude, ids });
        let looked = task.look(build, origin.as_ref())?;
        let more = format!("{task:?} {}", looked.digest);
        let key = Key { version: KEY_VERSION, before: stage.identity()?, instruction: text, more };
        layer::make(build, stage, &key, |layers, scratch| {
            let target = build.workshop.mount(layers, scratch)?;
            task.apply(build, origin.as_ref(), looked, &*target)
        })
    }

    /// The layers of `--from`: a stage before, or an image.
    fn other(&mut self, at: usize, text: &str) -> Result<Vec<Layer>, Trouble> {
        let store = self.build.store;
        match self.before(text, at) {
            Some(stage) => self.stage(stage)?.open_layers(store, &self.build.unpacker().form()),
            None if text.parse::<usize>().is_ok() => Err(Trouble::NoStage(text.to_owned())),
            None => {
                Ok(self.image(text, &self.build.platform)?.layers(&self.build.unpacker().form())?)
            }
        }
    }
}

/// An instruction that an image left for those who build from it.
fn trigger(text: &str) -> Result<Located, Trouble> {
    containerfile::Containerfile::parse_trigger(text).map_err(Trouble::Syntax)
}

/// The directory of the build, unless another origin is there.
pub(super) fn context(build: &Build<'_>, has_other: bool) -> Result<Option<OwnedFd>, Trouble> {
    let Some(path) = build.context.as_ref().filter(|_| !has_other) else { return Ok(None) };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map(Some).map_err(call("open", path))
}

/// Directories for a tree to which nothing is written.
pub(super) fn scratch_of(
    build: &Build<'_>,
) -> Result<(crate::store::ScratchDirectory, Scratch), Trouble> {
    let directory = build.store.scratch()?;
    let scratch = layer::directories(&directory, build.diff.ids.as_ref())?;
    Ok((directory, scratch))
}
