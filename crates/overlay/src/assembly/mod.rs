//! Steps in the making: groups, slots, and the order inside the first process.
//!
//! Kernel objects: none yet. Invariant: a slot that is used again is only ever written by the `build` group, whose
//! steps run in the order in which they are made here; what `launcher` and `open` save is never overwritten.

mod covers;
mod dev;
mod enter;
mod files;
mod groups;
mod labels;
mod mounts;
mod nodes;
mod root;
mod source;
pub(crate) mod stack;
mod staging;

use std::ffi::CStr;
use std::path::{Path, PathBuf};

use ampoule_init::steps::{file, mount, process};
use ampoule_init::{Draft, Fd, Slot, Step};

use crate::error::{Error, Problem};
use crate::file_system::FileSystem;
use crate::mountinfo::{Hierarchy, MountTable};
use crate::prepared::{Prepared, Substitution};
use crate::propagation::Propagation;
use crate::situation::Situation;
use crate::target::text;
use crate::view::View;
use stack::Sync;

/// Steps in the making.
pub(crate) struct Assembly<'a> {
    fs: &'a FileSystem,
    situation: &'a Situation,
    draft: &'a mut Draft,
    host: MountTable,
    view: View<'a>,
    launcher: Vec<Step>,
    open: Vec<Step>,
    build: Vec<Step>,
    enter: Vec<Step>,
    seal: Vec<Step>,
    problems: Vec<Problem>,
    substitutions: Vec<Substitution>,
    /// Directories of the host to be made, with their modes.
    wanted: Vec<(PathBuf, u32)>,
    /// Slots of `build` that are free again.
    free: Vec<Slot>,
    /// The one slot that `open` uses again and again.
    opened: Slot,
    umask: Slot,
    root: Slot,
    staging: Option<Slot>,
    /// How many names the staging directory has handed out.
    names: usize,
    proc: Option<Slot>,
    dev_null: Option<Slot>,
    devpts: Option<Slot>,
    /// What the tmpfs of the control groups is to show.
    hierarchies: Vec<Hierarchy>,
    /// Where the host has those of which the container's own group is shown.
    own_groups: Vec<PathBuf>,
    console: Option<Slot>,
    /// Mounts that are written to before they become read-only.
    read_only_last: Vec<Slot>,
    /// The root's upper directory, where it is in memory.
    upper: Option<Slot>,
    /// A file that is written to later.
    open_file: Option<Slot>,
    sync: Sync,
    /// The second slot of what is opened part by part.
    relay: Option<Slot>,
}

impl<'a> Assembly<'a> {
    /// Starts with nothing.
    pub(crate) fn new(fs: &'a FileSystem, situation: &'a Situation, draft: &'a mut Draft) -> Self {
        let mut problems = fs.problems();
        let host = MountTable::read().unwrap_or_else(|problem| {
            problems.push(problem);
            MountTable::default()
        });
        let [opened, umask, root] = [(); 3].map(|()| draft.slots.take());
        let steps = Vec::new;
        Self {
            fs,
            situation,
            draft,
            host,
            view: View::new(fs, situation.user_namespace),
            launcher: steps(),
            open: steps(),
            build: steps(),
            enter: steps(),
            seal: steps(),
            problems,
            substitutions: Vec::new(),
            wanted: Vec::new(),
            free: Vec::new(),
            opened,
            umask,
            root,
            staging: None,
            names: 0,
            proc: None,
            dev_null: None,
            devpts: None,
            hierarchies: Vec::new(),
            own_groups: Vec::new(),
            console: None,
            read_only_last: Vec::new(),
            upper: None,
            open_file: None,
            sync: Sync::default(),
            relay: None,
        }
    }

    /// Makes all steps.
    pub(crate) fn prepare(mut self) -> Result<Prepared, Error> {
        // Before any mount, so that none spreads to the host.
        self.separate();
        // Modes below are meant as they stand.
        self.open.push(process::umask(0).save(self.umask));
        self.make_root_movable();
        // Before the root: both are stacked on the old root, and the root comes last.
        self.make_staging();
        self.make_root();
        // Before any mount in the root, so that none of them can receive them.
        self.write_root_files();
        for index in 0..self.fs.mounts.len() {
            self.mount(index);
        }
        self.make_nodes();
        self.bind_files();
        self.make_directories();
        self.make_console();
        self.make_read_only();
        // Last: they cover what is there.
        self.protect();
        self.mask();
        self.enter();
        self.make_wanted();
        match Error::of(std::mem::take(&mut self.problems)) {
            Some(error) => Err(error),
            None => Ok(self.prepared()),
        }
    }

    fn prepared(self) -> Prepared {
        Prepared {
            launcher: self.launcher,
            open: self.open,
            build: self.build,
            enter: self.enter,
            seal: self.seal,
            root: self.root,
            proc: self.proc,
            dev_null: self.dev_null,
            devpts: self.devpts,
            console: self.console,
            upper: self.upper,
            open_file: self.open_file,
            hierarchies: self.own_groups,
            substitutions: self.substitutions,
        }
    }

    /// Cuts the new mount namespace off from the host's.
    fn separate(&mut self) {
        let receives = |wanted| matches!(wanted, Propagation::Slave | Propagation::Shared);
        let wanted = self.fs.mounts.iter().filter_map(|mount| mount.propagation);
        let slave = wanted.chain([self.fs.propagation]).any(receives);
        let propagation = if slave { Propagation::Slave } else { Propagation::Private };
        let attributes =
            mount::Attributes { propagation: propagation.bits(), ..Default::default() };
        let everything = mount::Depth::Recursive;
        self.open.push(mount::set_attributes(Fd::Cwd, c"/", everything, attributes));
    }

    /// A slot for `build`.
    fn take(&mut self) -> Slot {
        self.free.pop().unwrap_or_else(|| self.draft.slots.take())
    }

    /// Closes a descriptor in `build`; its slot may be used again.
    fn close(&mut self, slot: Slot) {
        self.build.push(file::close(slot));
        self.free.push(slot);
    }

    /// Keeps a result, or notes its problem.
    fn note<T>(&mut self, result: Result<T, Problem>) -> Option<T> {
        result.map_err(|problem| self.problems.push(problem)).ok()
    }

    /// Makes a file system in `build`; a value of `None` is a flag.
    fn new_file_system(
        &mut self,
        kind: &CStr,
        options: &[(&CStr, Option<String>)],
        attributes: u64,
    ) -> Slot {
        self.new_file_system_with(kind, options, &[], attributes)
    }

    /// As [`Self::new_file_system`], and after these options others, each in one text.
    fn new_file_system_with(
        &mut self,
        kind: &CStr,
        options: &[(&CStr, Option<String>)],
        data: &[String],
        attributes: u64,
    ) -> Slot {
        let context = self.begin(kind);
        // Unless it has a context of its own.
        if !data.iter().any(|option| option.starts_with("context=")) {
            let label = self.label_of(kind, context);
            self.build.extend(label);
        }
        for (key, value) in options {
            self.build.push(match value {
                Some(value) => mount::option(context, key, &text(value)),
                None => mount::flag(context, key),
            });
        }
        for option in data {
            self.build.push(match option.split_once('=') {
                Some((key, value)) => mount::option(context, &text(key), &text(value)),
                None => mount::flag(context, &text(option.as_str())),
            });
        }
        self.create(context, attributes)
    }

    /// Starts a file system in `build`.
    fn begin(&mut self, kind: &CStr) -> Slot {
        let context = self.take();
        self.build.push(mount::fsopen(kind, context));
        context
    }

    /// Makes a file system that has all its options.
    fn create(&mut self, context: Slot, attributes: u64) -> Slot {
        self.build.push(mount::create(context));
        let made = self.take();
        self.build.push(mount::fsmount(context, attributes, made));
        self.close(context);
        made
    }

    /// Changes the attributes of one mount in `build`.
    fn change(&mut self, made: Slot, attributes: mount::Attributes) {
        if attributes != mount::Attributes::default() {
            self.build.push(set_one(made, attributes));
        }
    }

    /// Opens in `build` a path that must be there below a directory, staying inside it.
    fn open_inside(&mut self, dir: Slot, path: &Path) -> Slot {
        let slot = self.take();
        self.build.push(file::open(dir.into(), &text(path), O_PATH, IN_ROOT, slot));
        slot
    }
}

/// A step that changes one mount.
fn set_one(made: Slot, attributes: mount::Attributes) -> Step {
    mount::set_attributes(made.into(), c"", mount::Depth::One, attributes)
}

/// `O_PATH`.
const O_PATH: u64 = rustix::fs::OFlags::PATH.bits() as u64;
/// `O_RDONLY | O_DIRECTORY | O_NOFOLLOW`.
const DIRECTORY: u64 =
    rustix::fs::OFlags::DIRECTORY.union(rustix::fs::OFlags::NOFOLLOW).bits() as u64;
/// `RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS`.
const IN_ROOT: u64 = 0x12;
/// `RESOLVE_NO_MAGICLINKS`.
const NO_MAGICLINKS: u64 = 0x2;
const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;
