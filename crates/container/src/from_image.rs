//! Containers from images: the layers of a store as the root, the image's configuration as defaults.
//!
//! Kernel objects: shared locks on the layers, held by the plan. Invariant: of an image's configuration nothing counts but
//! the command line, environment, user, working directory, stop signal and volumes; all of it can be chosen otherwise, and
//! what cannot be understood is an error of the plan.

use std::ffi::OsString;
use std::fmt;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use ampoule_image::config::Execution;
use ampoule_image::diff::{Diff, TreeRoot};
use ampoule_image::store::{Form, Hides, Unpacker};
use ampoule_image::unpack::{Ownership, Whiteouts};
use ampoule_image::{Digest, Image, Layer, NewImage, Store};
use ampoule_ns::{IdMapping, User};
use ampoule_overlay::{CopyUp, Mount, MountFlags, MountKind};
use serde::{Deserialize, Serialize};

use crate::builder::Builder;
use crate::command::Command;
use crate::container::Container;
use crate::error::{Error, ErrorKind, Problem, Stage};
use crate::host::Privilege;
use crate::owners::{self, owner_ranges};

/// What a builder knows of its image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FromImage {
    store: PathBuf,
    /// How they were unpacked.
    form: Form,
    /// Digests of the uncompressed layers, the lowest first.
    layers: Vec<Digest>,
    entrypoint: Vec<String>,
    cmd: Vec<String>,
    pub(crate) working_dir: Option<PathBuf>,
    /// What cannot be understood: which setting, and why.
    problems: Vec<(ImageSetting, String)>,
}

/// A part of an image's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum ImageSetting {
    Env,
    User,
    WorkingDir,
    StopSignal,
    Volume,
}

impl ImageSetting {
    fn name(self) -> &'static str {
        match self {
            Self::Env => "image: Env",
            Self::User => "image: User",
            Self::WorkingDir => "image: WorkingDir",
            Self::StopSignal => "image: StopSignal",
            Self::Volume => "image: Volumes",
        }
    }
}

impl Container {
    /// The root file system of an image, whose layers were unpacked as suits the store ([`Store::suited`],
    /// [`Store::unpack`]); what the payload writes is thrown
    /// away at the end unless [`Builder::root`] says otherwise.
    ///
    /// Environment, user, working directory, stop signal and volumes are the image's where nothing else is chosen, and
    /// [`Builder::default_command`] runs its program. A volume is an empty file system in memory over what the image has
    /// there, until another mount is put there.
    ///
    /// Of a store with ids ([`Owners`](crate::Owners)) the container has the same ids, so that its files belong to whom the
    /// image says.
    ///
    /// ```no_run
    /// use ampoule::Container;
    /// use ampoule::image::{Pull, Reference, Store, source::Layout};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = Store::open("/var/lib/app/images")?;
    /// let name: Reference = "localhost/web:1".parse()?;
    /// let source = Layout::archive("/srv/web.tar", None)?;
    /// let image = store.pull(&source, &name, &Pull::new().unpack(&store.suited()))?;
    /// let status = Container::from_image(&image).default_command().status()?;
    /// println!("{status}");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn from_image(image: &Image) -> Builder {
        let store = image.store();
        let builder = Self::from_image_in(image, &store.suited().form());
        match store.ids() {
            Some(ids) => builder.id_mapping(IdMapping::Explicit(owners::id_map(ids))),
            None => builder,
        }
    }

    /// As [`Container::from_image`], with layers that were unpacked in another form than the one that suits the store
    /// ([`Unpacker::form`]), and with the usual ids.
    #[must_use]
    pub fn from_image_in(image: &Image, form: &Form) -> Builder {
        let store = image.store();
        let layers = image.config().rootfs.diff_ids.clone();
        let mut builder = Builder::from_layers(paths(image, form));
        let config = &image.config().config;
        let mut from = FromImage {
            store: store.path().to_owned(),
            form: form.clone(),
            layers,
            entrypoint: config.entrypoint.clone().unwrap_or_default(),
            cmd: config.cmd.clone().unwrap_or_default(),
            working_dir: None,
            problems: Vec::new(),
        };
        builder = from.take(config, builder);
        builder.image = Some(from);
        builder
    }
}

/// The directories of an image's layers, the uppermost first.
fn paths(image: &Image, form: &Form) -> Vec<PathBuf> {
    let layers: Vec<(PathBuf, Hides)> = match image.layers(form) {
        Ok(layers) => layers.iter().map(|layer| (layer.path().to_owned(), layer.hides())).collect(),
        // The plan says what is missing.
        Err(_) => {
            let ids = image.config().rootfs.diff_ids.iter();
            ids.map(|id| (image.store().layer_path(id, form), Hides::Whiteouts)).collect()
        }
    };
    let mut paths = Vec::new();
    for (path, hides) in layers.into_iter().rev() {
        paths.push(path);
        if hides == Hides::Everything {
            break;
        }
    }
    paths
}

impl FromImage {
    /// Takes over what counts of a configuration.
    fn take(&mut self, config: &Execution, mut builder: Builder) -> Builder {
        for pair in &config.env {
            match pair.split_once('=') {
                Some((name, value)) if !name.is_empty() => builder = builder.env(name, value),
                _ => self.refuse(ImageSetting::Env, format!("{pair:?} has no name or no value")),
            }
        }
        if let Some(user) = config.user.as_deref().filter(|user| !user.is_empty()) {
            match user.parse::<User>() {
                Ok(user) => builder = builder.user(user),
                Err(error) => self.refuse(ImageSetting::User, error.to_string()),
            }
        }
        if let Some(path) = config.working_dir.as_deref().filter(|path| !path.is_empty()) {
            match Path::new(path).is_absolute() {
                true => self.working_dir = Some(path.into()),
                false => self.refuse(ImageSetting::WorkingDir, format!("{path:?} is relative")),
            }
        }
        if let Some(text) = config.stop_signal.as_deref().filter(|text| !text.is_empty()) {
            match signal(text) {
                Some(number) => builder = builder.stop_signal(number),
                None => self.refuse(ImageSetting::StopSignal, format!("{text:?} is no signal")),
            }
        }
        for path in &config.volumes {
            match Path::new(path).is_absolute() {
                true => builder = builder.mount(volume(path)),
                false => self.refuse(ImageSetting::Volume, format!("{path:?} is relative")),
            }
        }
        builder
    }

    fn refuse(&mut self, setting: ImageSetting, reason: String) {
        self.problems.push((setting, reason));
    }

    /// What cannot be understood.
    pub(crate) fn problems(&self) -> impl Iterator<Item = Problem> + '_ {
        self.problems.iter().map(|(setting, reason)| Problem::new(setting.name(), reason.clone()))
    }

    /// Holds the layers, so that nobody removes them.
    pub(crate) fn hold(&self) -> Result<Vec<Layer>, Error> {
        let failed = |error: ampoule_image::Error| {
            let made = Error::new(ErrorKind::Image, Stage::Plan).about(error.to_string());
            made.caused_by(error)
        };
        let store = Store::open(&self.store).map_err(failed)?;
        let layer = |id: &Digest| match store.layer(id, &self.form) {
            Ok(Some(layer)) => Ok(layer),
            Ok(None) => {
                let reason =
                    format!("the layer {id} is not unpacked in {}", store.path().display());
                Err(Error::new(ErrorKind::Image, Stage::Plan).about(reason))
            }
            Err(error) => Err(failed(error)),
        };
        self.layers.iter().map(layer).collect()
    }
}

impl Container {
    /// Makes an image of what the payload changed in the root ([`Container::changes`]), on top of another one of the same
    /// store: usually the one that the container came from. Best after its end; of a container that runs, files that
    /// change meanwhile are an error.
    ///
    /// # Errors
    /// [`ErrorKind::NoLayers`] where [`Container::overlay`] has none or nothing can be written, the errors of
    /// [`Container::changes`], and [`ErrorKind::Image`] with that of [`Store::commit`].
    pub fn commit(&self, store: &Store, new: &NewImage<'_>) -> Result<Image, Error> {
        let no_layers = || Error::new(ErrorKind::NoLayers, Stage::Running);
        let layers = self.overlay().ok_or_else(no_layers)?;
        let upper = layers.upper_fd()?.ok_or_else(no_layers)?;
        let changes = self.changes()?;
        let relative = |path: PathBuf| path.strip_prefix("/").map(Path::to_owned).unwrap_or(path);
        let mut diff = Diff::suited();
        // A layer that does not say it would have the usual root, whatever the ones below say.
        diff.root = match changes.iter().any(|change| change.path == Path::new("/")) {
            true => TreeRoot::Written,
            false => TreeRoot::Unusual,
        };
        diff.selected = Some(changes.into_iter().map(|change| relative(change.path)).collect());
        let settings = &self.plan.settings;
        diff.whiteouts = match settings.enters_user_namespace() {
            true => Whiteouts::User,
            false => Whiteouts::Trusted,
        };
        // A directory of the host is mapped for a container of root, so that what is in it has the ids of the layers.
        let is_mapped = settings.privilege == Privilege::Full && layers.upper().is_some();
        if let Some((map, _)) = settings.identity.maps.as_ref().filter(|_| !is_mapped) {
            // What the container's own mount wrote has the ids of its user namespace.
            diff.ownership = Ownership::Real;
            diff.uid_map = owner_ranges(&map.uid);
            diff.gid_map = owner_ranges(&map.gid);
            diff.ids = match settings.privilege {
                Privilege::Full => None,
                Privilege::None => owners::ids_of(settings)?,
            };
        }
        store.commit(new, upper.as_fd(), &diff).map_err(|error| {
            Error::new(ErrorKind::Image, Stage::Running).about(error.to_string()).caused_by(error)
        })
    }
}

/// Why [`Builder::default_command`] has no program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unnamed {
    NoImage,
    ByImage,
}

impl Unnamed {
    /// What can be done about it.
    pub(crate) fn hint(self) -> &'static str {
        match self {
            Self::NoImage => "Container::from_image takes one, command() names a program",
            Self::ByImage => "name one with command() or default_command_with()",
        }
    }
}

impl fmt::Display for Unnamed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::NoImage => "the container is not from an image",
            Self::ByImage => "the image names no command: it has neither Entrypoint nor Cmd",
        })
    }
}

impl Builder {
    /// The image's own program: its entrypoint and its default arguments.
    ///
    /// An error of the plan where there is no image, or the image has neither.
    #[must_use]
    pub fn default_command(self) -> Command {
        let (entrypoint, cmd) = match &self.image {
            Some(image) => (image.entrypoint.clone(), image.cmd.clone()),
            None => Default::default(),
        };
        self.words(entrypoint.into_iter().chain(cmd).map(OsString::from))
    }

    /// The image's entrypoint with these arguments in place of its default ones; without an entrypoint the first of them
    /// is the program.
    #[must_use]
    pub fn default_command_with(
        self,
        args: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Command {
        let entrypoint = self.image.as_ref().map(|image| image.entrypoint.clone());
        let entrypoint = entrypoint.unwrap_or_default().into_iter().map(OsString::from);
        self.words(entrypoint.chain(args.into_iter().map(Into::into)))
    }

    fn words(self, words: impl Iterator<Item = OsString>) -> Command {
        let mut words = words;
        if let Some(program) = words.next() {
            return self.command(program).args(words);
        }
        let unnamed = if self.image.is_some() { Unnamed::ByImage } else { Unnamed::NoImage };
        // The plan tells it.
        let mut command = self.command("");
        command.unnamed = Some(unnamed);
        command
    }
}

/// What stands at a volume until somebody mounts something there.
fn volume(path: &str) -> Mount {
    let kind =
        MountKind::Tmpfs { size: Builder::EPHEMERAL_SIZE.get(), mode: 0o755, copy_up: CopyUp::Yes };
    Mount::new(path, kind, MountFlags::NOSUID | MountFlags::NODEV)
}

/// A signal by name or number (signal(7)).
fn signal(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<u8>() {
        return (1..=64).contains(&number).then_some(i32::from(number));
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let from = |base: i32, sign: i32, rest: &str| {
        let offset: u8 = if rest.is_empty() { 0 } else { rest.get(1..)?.parse().ok()? };
        Some(base + sign * i32::from(offset)).filter(|number| (34..=64).contains(number))
    };
    // Real-time signals as C libraries number them: the first two are theirs.
    if let Some(rest) = name.strip_prefix("RTMIN") {
        return from(34, 1, rest);
    }
    if let Some(rest) = name.strip_prefix("RTMAX") {
        return from(64, -1, rest);
    }
    let known = SIGNALS.iter().zip(1..).find(|(known, _)| **known == name);
    known.map(|(_, number)| number)
}

/// Names by number, the first being 1; the same on x86-64 and aarch64.
const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_names_or_numbers() {
        for (text, number) in [
            ("SIGTERM", 15),
            ("term", 15),
            ("9", 9),
            ("SIGRTMIN+3", 37),
            ("RTMAX", 64),
            ("SIGSYS", 31),
        ] {
            assert_eq!(signal(text), Some(number), "{text}");
        }
        for text in ["", "0", "65", "SIG", "SIGRTMIN+31", "SIGRTMAX+x", "-1", "TERMINATE"] {
            assert_eq!(signal(text), None, "{text}");
        }
    }

    #[test]
    fn a_configuration_is_taken_or_refused() {
        let mut config = Execution::default();
        config.env = ["A=1".to_owned(), "B".to_owned(), "=x".to_owned()].into();
        config.user = Some("1000000000000".to_owned());
        config.working_dir = Some("srv".to_owned());
        config.stop_signal = Some("SIGNONE".to_owned());
        config.volumes = ["data".to_owned(), "/data".to_owned()].into();
        let mut from = FromImage {
            store: PathBuf::new(),
            form: ampoule_image::unpack::Unpack::default().form(),
            layers: Vec::new(),
            entrypoint: Vec::new(),
            cmd: Vec::new(),
            working_dir: None,
            problems: Vec::new(),
        };
        let builder = from.take(&config, Builder::from_layers(Vec::new()));
        assert_eq!(builder.env, [("A".into(), "1".into())]);
        assert_eq!(builder.mounts.len(), 1);
        let refused: Vec<&str> = from.problems.iter().map(|(setting, _)| setting.name()).collect();
        assert_eq!(
            refused,
            [
                "image: Env",
                "image: Env",
                "image: User",
                "image: WorkingDir",
                "image: StopSignal",
                "image: Volumes"
            ]
        );
    }
}
