//! Overlays of trees, in each way that a kernel may need to be told of them.
//!
//! Kernel objects: overlays. Invariant: however many layers there are and however long their paths, an option has at
//! most 255 bytes and all of them together less than a page.

use std::ffi::CStr;
use std::path::{Path, PathBuf};

use ampoule_init::steps::{file, mount, process};
use ampoule_init::{Slot, Step};

use super::source::{Hold, Manner};
use super::staging::shown;
use super::{Assembly, set_one};
use crate::error::{Error, ErrorKind, Problem};
use crate::flags::MountFlags;
use crate::identity::Seen;
use crate::kernel::Kernel;
use crate::layers::{LAYERS_MAX, Upper};
use crate::mount::Depth;
use crate::root::{Base, Root};
use crate::situation::{Access, UserNamespace};
use crate::target::text;

/// The longest value of an option.
const OPTION_LIMIT: usize = 255;
/// Up to this many layers are held by descriptors from the plan on; more would use up the host's.
const HELD_MAX: usize = 64;

/// An option with its value; `None` is a flag.
type OverlayOption = (&'static CStr, Option<String>);

/// How lower layers are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Telling {
    /// All names in one option.
    Joined,
    /// One descriptor each.
    Descriptors,
    /// One name each.
    Appended,
    /// All names and options in one page.
    Page,
}

impl Telling {
    /// What is best for layers whose joined names have this length.
    ///
    /// Copies that the launcher made are not taken before they are attached in the first process's namespace.
    fn choose(layers: usize, joined: usize, (access, kernel): (Access, Kernel)) -> Self {
        let takes_detached = access == Access::InNamespace && kernel >= Kernel::DESCRIPTORS;
        match joined {
            _ if layers > 1 && takes_detached => Self::Descriptors,
            ..=OPTION_LIMIT => Self::Joined,
            _ if kernel >= Kernel::APPENDS => Self::Appended,
            _ => Self::Page,
        }
    }
}

impl Assembly<'_> {
    /// An overlay of trees, from the uppermost down.
    pub(super) fn overlay(&mut self, lower: Vec<Slot>, upper: &Upper, flags: MountFlags) -> Slot {
        // A name has a letter and up to four digits, and its separator.
        const NAME: usize = 6;
        let here = (self.situation.access, self.situation.kernel);
        match Telling::choose(lower.len(), lower.len() * NAME, here) {
            Telling::Descriptors => self.overlay_of_descriptors(lower, upper, flags),
            Telling::Joined => {
                let names = self.stage_all(lower);
                let mut options = vec![(c"lowerdir", Some(names.join(":")))];
                options.extend(self.upper_options(upper));
                self.overlay_with(&options, flags)
            }
            Telling::Appended => {
                let names = self.stage_all(lower);
                let append = |name| (c"lowerdir+", Some(name));
                let mut options: Vec<OverlayOption> = names.into_iter().map(append).collect();
                options.extend(self.upper_options(upper));
                self.overlay_with(&options, flags)
            }
            // The text of a page is the plan's, that of a label the launch's.
            Telling::Page if self.situation.mount_label.is_some() => {
                self.problems.push(Problem::new(ErrorKind::LabelUnavailable, "/"));
                self.root
            }
            Telling::Page => {
                let names = self.stage_all(lower);
                let mut options = vec![(c"lowerdir", Some(names.join(":")))];
                options.extend(self.upper_options(upper));
                self.overlay_of_page(options, flags)
            }
        }
    }

    fn stage_all(&mut self, lower: Vec<Slot>) -> Vec<String> {
        lower.into_iter().map(|tree| shown(&self.stage(tree, "l"))).collect()
    }

    /// What is said besides the lower layers.
    fn upper_options(&mut self, upper: &Upper) -> Vec<OverlayOption> {
        let mut options = Vec::new();
        if let Some((upper, work)) = self.stage_upper(upper) {
            options.push((c"upperdir", Some(upper)));
            options.push((c"workdir", Some(work)));
        }
        if self.sync == Sync::Never {
            options.push((c"volatile", None));
        }
        options.extend(self.attribute_options());
        options
    }

    /// The attributes in which overlayfs keeps its own notes, and which of them it may follow.
    fn attribute_options(&self) -> Vec<OverlayOption> {
        match self.situation.user_namespace {
            // Redirects and metadata without data are off then.
            UserNamespace::New => vec![(c"userxattr", None)],
            // Notes in a layer could lead anywhere; and a directory's move would not be a change of a layer.
            UserNamespace::Host => vec![
                (c"redirect_dir", Some("nofollow".to_owned())),
                (c"metacopy", Some("off".to_owned())),
            ],
        }
    }

    /// An overlay whose layers are named relative to the staging directory.
    fn overlay_with(&mut self, options: &[OverlayOption], flags: MountFlags) -> Slot {
        let staging = self.staging();
        self.build.push(process::fchdir(staging.into()));
        self.new_file_system(c"overlay", options, flags.bits())
    }

    /// The lower layers as they are, nowhere attached; upper and work directory by name.
    fn overlay_of_descriptors(
        &mut self,
        lower: Vec<Slot>,
        upper: &Upper,
        flags: MountFlags,
    ) -> Slot {
        let options = self.upper_options(upper);
        let staging = self.staging();
        self.build.push(process::fchdir(staging.into()));
        let context = self.begin(c"overlay");
        let label = self.label_of(c"overlay", context);
        self.build.extend(label);
        for tree in &lower {
            self.build.push(mount::option_fd(context, c"lowerdir+", (*tree).into()));
        }
        for (key, value) in &options {
            self.build.push(match value {
                Some(value) => mount::option(context, key, &text(value)),
                None => mount::flag(context, key),
            });
        }
        let made = self.create(context, flags.bits());
        // Not before: a copy that is nowhere attached goes with its descriptor.
        lower.into_iter().for_each(|tree| self.close(tree));
        made
    }

    /// All options in one page: the older call attaches what it makes, so that it is made in the staging directory.
    fn overlay_of_page(&mut self, options: Vec<OverlayOption>, flags: MountFlags) -> Slot {
        let option = |(key, value): (&CStr, Option<String>)| match value {
            Some(value) => format!("{}={value}", key.to_string_lossy()),
            None => key.to_string_lossy().into_owned(),
        };
        let page = options.into_iter().map(option).collect::<Vec<_>>().join(",");
        let name = self.staging_name("o");
        let staging = self.staging();
        self.build.push(file::mkdir(staging.into(), &name, 0o755));
        self.build.push(process::fchdir(staging.into()));
        self.build.push(mount::mount_with_page(c"overlay", &name, &text(page)));
        let made = self.take();
        self.build.push(mount::open_tree(staging.into(), &name, mount::Depth::One, made));
        let set = flags.bits();
        self.build.push(set_one(made, mount::Attributes { set, ..Default::default() }));
        made
    }

    /// An overlay of one tree and a tmpfs of its own.
    pub(super) fn overlay_in(&mut self, memory: Slot, lower: Slot, flags: MountFlags) -> Slot {
        let lower = self.stage(lower, "l");
        let name = self.staging_name("m");
        let staging = self.staging();
        self.build.push(file::mkdir(staging.into(), &name, 0o755));
        self.build.push(mount::attach_below(memory.into(), staging.into(), &name));
        for child in [c"u", c"w"] {
            self.build.push(file::mkdir(memory.into(), child, 0o755));
        }
        self.close(memory);
        let memory = shown(&name);
        let mut options = vec![
            (c"lowerdir", Some(shown(&lower))),
            (c"upperdir", Some(format!("{memory}/u"))),
            (c"workdir", Some(format!("{memory}/w"))),
        ];
        options.extend(self.attribute_options());
        self.overlay_with(&options, flags)
    }

    /// Makes the steps of an overlay by itself, which stays nowhere attached.
    pub(crate) fn prepare_overlay(mut self, layers: &Layering<'_>) -> Result<Detached, Error> {
        self.sync = layers.sync;
        self.separate();
        self.open.push(process::umask(0));
        self.mount_staging();
        let trees = self.lower_trees(layers.lower);
        let mode = layers.lower.first().map_or(0o755, |uppermost| Self::mode_of(uppermost));
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        let mount = match layers.upper {
            Some((upper, work)) => {
                self.overlay(trees, &Upper::host(upper, Some(work), mode), flags)
            }
            None if trees.len() == 1 => self.overlay_of_one(trees, flags),
            None => self.overlay(trees, &Upper::None, flags),
        };
        self.make_wanted();
        match Error::of(std::mem::take(&mut self.problems)) {
            Some(error) => Err(error),
            None => {
                let steps = self.open.into_iter().chain(self.build).collect();
                Ok(Detached { steps, mount })
            }
        }
    }

    /// Makes the steps of copies of lower layers, their owners mapped, and nothing else.
    pub(crate) fn prepare_trees(
        mut self,
        lower: &[PathBuf],
    ) -> Result<(Vec<Step>, Vec<Slot>), Error> {
        self.separate();
        let trees = self.lower_trees(lower);
        match Error::of(std::mem::take(&mut self.problems)) {
            Some(error) => Err(error),
            None => Ok((self.open, trees)),
        }
    }

    /// A read-only overlay of one layer: the kernel wants two, so that an empty one is below it.
    fn overlay_of_one(&mut self, lower: Vec<Slot>, flags: MountFlags) -> Slot {
        let mut names = self.stage_all(lower);
        let empty = self.staging_name("e");
        let staging = self.staging();
        self.build.push(file::mkdir(staging.into(), &empty, 0o755));
        names.push(shown(&empty));
        let mut options = vec![(c"lowerdir", Some(names.join(":")))];
        options.extend(self.attribute_options());
        self.overlay_with(&options, flags)
    }

    /// Copies of lower directories.
    pub(super) fn lower_trees(&mut self, paths: &[PathBuf]) -> Vec<Slot> {
        if let Some(surplus) = paths.get(LAYERS_MAX) {
            self.problems.push(Problem::new(ErrorKind::TooManyLayers, surplus));
            return Vec::new();
        }
        let hold = if paths.len() > HELD_MAX { Hold::Path } else { Hold::Descriptor };
        let flags = MountFlags::LOCKED_DOWN & !MountFlags::NOSUID;
        let how = Manner { hold, ..Manner::own(Depth::One, flags) };
        let mut trees = Vec::with_capacity(paths.len());
        for path in paths {
            if let Some(seen) = self.note(Seen::directory(path)) {
                trees.push(self.copy(path, seen, how));
            }
        }
        trees
    }

    /// The mode of a directory of the host, for what is laid over it.
    pub(super) fn mode_of(path: &Path) -> u32 {
        Seen::open(path).map_or(0o755, |seen| seen.mode)
    }

    /// Whether the root is an overlay.
    pub(super) fn root_is_overlay(&self) -> bool {
        match (&self.fs.base, &self.fs.root) {
            (Base::Empty | Base::Keep, _) | (_, Root::InPlace) => false,
            (_, Root::Ephemeral { .. } | Root::Persistent(_)) => true,
            (base, Root::ReadOnly) => base.layers().len() > 1 || self.root_lacks_something(),
        }
    }

    /// What a root that is an overlay has as its upper layer.
    pub(super) fn root_upper(&self, mode: u32) -> Upper {
        match &self.fs.root {
            Root::Persistent(upper) => Upper::host(upper, None, mode),
            Root::ReadOnly if !self.root_lacks_something() => Upper::None,
            _ => Upper::Memory { mode },
        }
    }
}

/// The layers of an overlay by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layering<'a> {
    /// From the uppermost down.
    pub(crate) lower: &'a [PathBuf],
    /// The upper directory and the work directory.
    pub(crate) upper: Option<(&'a Path, &'a Path)>,
    pub(crate) sync: Sync,
}

/// The steps of an overlay by itself.
#[derive(Debug)]
pub(crate) struct Detached {
    /// For a process in a new mount namespace.
    pub(crate) steps: Vec<Step>,
    /// The mount.
    pub(crate) mount: Slot,
}

/// When what is written reaches the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sync {
    /// When it is asked for (sync(2)), or later.
    #[default]
    Asked,
    /// Whenever the kernel likes.
    Never,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_layers_are_told() {
        let choose = |layers, access, major, minor| {
            Telling::choose(layers, layers * 6, (access, Kernel::new(major, minor)))
        };
        let (inside, copied) = (Access::InNamespace, Access::Detached);
        assert_eq!(choose(1, inside, 6, 18), Telling::Joined);
        assert_eq!(choose(2, inside, 6, 18), Telling::Descriptors);
        assert_eq!(choose(2, copied, 6, 18), Telling::Joined);
        assert_eq!(choose(42, inside, 6, 14), Telling::Joined);
        assert_eq!(choose(43, inside, 6, 14), Telling::Appended);
        assert_eq!(choose(500, copied, 6, 18), Telling::Appended);
        assert_eq!(choose(500, copied, 6, 7), Telling::Page);
        assert_eq!(choose(500, inside, 5, 14), Telling::Page);
    }
}
