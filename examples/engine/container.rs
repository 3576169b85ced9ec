//! A container as it is written down: a directory with its layer, its log and what it is made of.
//!
//! Kernel objects: the directory `containers/ID` with `container.json`, `config.json`, `rootfs`, `upper`, `upper.work` and
//! `log`; while it runs or until it is removed, what the library keeps of it. Invariant: `container.json` is written last,
//! so that a container that can be found is whole.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::path::PathBuf;
use std::time::SystemTime;

use ampoule::image::{Image, Store};
use ampoule::oci::Config;
use ampoule::oci::spec::Bundle;
use ampoule::{
    Builder, Command, Container, Details, ErrorKind, Force, Kept, OwnGroup, Root, RunState,
    StateDirectory, WindowSize,
};
use ampoule_examples::arguments::Failure;
use ampoule_examples::images::{open_image, open_store, overlay, unpacked};
use ampoule_overlay::Overlay;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use serde::{Deserialize, Serialize};

use crate::arguments::Call;
use crate::settings::{new_id, settings};

/// Where everything is.
pub(crate) struct Engine {
    pub(crate) root: PathBuf,
    pub(crate) store: Store,
    pub(crate) states: StateDirectory,
}

/// A container, whether or not it runs.
#[derive(Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) created: SystemTime,
    /// What runs: the program and its arguments, as they are shown.
    pub(crate) args: Vec<OsString>,
    /// Words in place of the image's own.
    words: Vec<OsString>,
    pub(crate) terminal: Terminal,
    builder: Builder,
    /// Settings that config.json has no words for.
    pub(crate) unsaid: Vec<String>,
    #[serde(skip)]
    pub(crate) directory: PathBuf,
}

/// Whether the program has a terminal.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Terminal {
    None,
    Own,
}

pub(crate) fn is_up(state: RunState) -> bool {
    matches!(state, RunState::Running | RunState::Paused)
}

impl Engine {
    pub(crate) fn open(call: &Call) -> Result<Self, Failure> {
        let store = open_store(call.store.as_deref())?;
        let beside = || store.path().with_file_name("engine");
        let root = call.root.clone().unwrap_or_else(beside);
        fs::create_dir_all(root.join("containers"))?;
        let states = StateDirectory::open(root.join("run"))?;
        // What was being started when an engine was killed.
        states.reconcile()?;
        Ok(Self { root, store, states })
    }

    /// Nobody else makes, starts or removes containers while it is held.
    pub(crate) fn lock(&self) -> Result<File, Failure> {
        let directory = File::open(&self.root)?;
        rustix::io::retry_on_intr(|| flock(&directory, FlockOperation::LockExclusive))?;
        Ok(directory)
    }

    /// All containers, the newest first.
    pub(crate) fn all(&self) -> Result<Vec<Saved>, Failure> {
        let mut all = Vec::new();
        for entry in fs::read_dir(self.root.join("containers"))? {
            let directory = entry?.path();
            // Without the file it is being made or removed.
            if let Ok(text) = fs::read(directory.join("container.json")) {
                all.push(Saved { directory, ..serde_json::from_slice(&text)? });
            }
        }
        all.sort_by_key(|saved| std::cmp::Reverse(saved.created));
        Ok(all)
    }

    /// The container that a word means: a name, an id, or the beginning of one.
    pub(crate) fn find(&self, word: &str) -> Result<Saved, Failure> {
        let (named, mut begun): (Vec<_>, Vec<_>) =
            self.all()?.into_iter().partition(|saved| saved.name == word);
        begun.retain(|saved| saved.id.starts_with(word) && !word.is_empty());
        match (named.into_iter().next(), begun.pop()) {
            (Some(saved), _) => Ok(saved),
            (None, Some(saved)) if begun.is_empty() => Ok(saved),
            (None, Some(_)) => Err(format!("{word}: more than one id begins so").into()),
            (None, None) => Err(format!("{word}: there is no such container").into()),
        }
    }

    /// Makes a container of an image: a directory, and nothing that the kernel knows of.
    pub(crate) fn create(&self, call: &Call) -> Result<Saved, Failure> {
        let _lock = self.lock()?;
        let image = open_image(&self.store, &call.first()?)?;
        let id = new_id()?;
        let name = call.option("name").unwrap_or_else(|| id[..12].to_owned());
        if self.all()?.iter().any(|saved| saved.name == name) {
            return Err(format!("{name}: a container has this name already").into());
        }
        let directory = self.root.join("containers").join(&id);
        let builder = Container::from_image(&image)
            .root(Root::Persistent(directory.join("upper")))
            .own_group(OwnGroup::Always)
            .hostname(&id[..12]);
        let mut saved = Saved {
            id,
            name,
            image: image.reference().to_string(),
            created: SystemTime::now(),
            args: Vec::new(),
            words: call.rest().cloned().collect(),
            terminal: if call.has("tty") { Terminal::Own } else { Terminal::None },
            builder: settings(builder, call)?,
            unsaid: Vec::new(),
            directory,
        };
        fs::create_dir_all(saved.merged())?;
        if let Err(error) = saved.save() {
            fs::remove_dir_all(&saved.directory)?;
            return Err(error);
        }
        Ok(saved)
    }

    /// What the library keeps of a container; none before its first start.
    pub(crate) fn kept(&self, saved: &Saved) -> Result<Option<Kept>, Failure> {
        match self.states.get(&saved.id) {
            Ok(kept) => Ok(Some(kept)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The same, of one that must run.
    pub(crate) fn running(&self, saved: &Saved) -> Result<Kept, Failure> {
        let kept = self.kept(saved)?.filter(|kept| is_up(kept.state()));
        kept.ok_or_else(|| format!("{}: the container does not run", saved.name).into())
    }

    /// Starts its program, again if it has ended.
    pub(crate) fn start(&self, saved: &Saved) -> Result<Kept, Failure> {
        match self.kept(saved)? {
            Some(kept) if is_up(kept.state()) => return Ok(kept),
            Some(_) => self.states.delete(&saved.id, Force::No)?,
            None => {}
        }
        saved.umount()?;
        let mut kept =
            self.states.create(&saved.id, saved.command_with_log()?, Details::default())?;
        kept.start()?;
        Ok(kept)
    }

    pub(crate) fn remove(&self, saved: &Saved, force: Force) -> Result<(), Failure> {
        if self.kept(saved)?.is_some() {
            self.states.delete(&saved.id, force)?;
        }
        saved.umount()?;
        fs::remove_file(saved.directory.join("container.json"))?;
        self.overlay(saved)?.discard()?;
        Ok(fs::remove_dir_all(&saved.directory)?)
    }

    pub(crate) fn image(&self, saved: &Saved) -> Result<Image, Failure> {
        Ok(self.store.image(&saved.image.parse()?)?)
    }

    /// The image's layers and the container's own.
    pub(crate) fn overlay(&self, saved: &Saved) -> Result<Overlay, Failure> {
        let layers = unpacked(&self.image(saved)?, &())?;
        Ok(overlay(&layers, &self.store)?.upper(saved.directory.join("upper")))
    }
}

impl Saved {
    /// Writes it down, if it can be started.
    fn save(&mut self) -> Result<(), Failure> {
        drop(self.command().plan()?);
        let config = Config::from(&self.command());
        let written = config.to_document()?;
        (self.args, self.unsaid) = (config.args, written.unsaid);
        Bundle::new(&self.directory, written.document).save()?;
        Ok(fs::write(self.directory.join("container.json"), serde_json::to_vec_pretty(self)?)?)
    }

    fn command(&self) -> Command {
        let command = match self.words.as_slice() {
            [] => self.builder.clone().default_command(),
            words => self.builder.clone().default_command_with(words),
        };
        match self.terminal {
            Terminal::Own => command.tty(WindowSize::default()),
            Terminal::None => command,
        }
    }

    /// Its output goes to the log, without anybody in between; that of a terminal is copied by who attends it.
    fn command_with_log(&self) -> Result<Command, Failure> {
        Ok(match self.terminal {
            Terminal::Own => self.command(),
            Terminal::None => {
                let (out, null) = (self.log()?, File::open("/dev/null")?);
                self.command().stdin(null).stderr(out.try_clone()?).stdout(out)
            }
        })
    }

    pub(crate) fn log(&self) -> Result<File, Failure> {
        let path = self.directory.join("log");
        Ok(OpenOptions::new().read(true).append(true).create(true).open(path)?)
    }

    /// Where [`Engine::overlay`] is shown on the host.
    pub(crate) fn merged(&self) -> PathBuf {
        self.directory.join("rootfs")
    }

    /// Takes its files away from the host, if they are shown there.
    pub(crate) fn umount(&self) -> Result<(), Failure> {
        match unmount(self.merged(), UnmountFlags::NOFOLLOW) {
            // It is no mount; the second is what an ordinary user is told, who cannot have made one.
            Ok(()) | Err(Errno::INVAL | Errno::PERM) => Ok(()),
            Err(errno) => Err(format!("{}: {errno}", self.merged().display()).into()),
        }
    }
}
