//! A container as it is written down: a directory with its layer, its log and what it is made of.
//!
//! Kernel objects: the directory `containers/ID` with `container.json`, `config.json`, `rootfs`, `upper`, `upper.work` and
//! `log`; while it runs or until it is removed, what the library keeps of it. Invariant: `container.json` is written last,
//! so that a container that can be found is whole.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use ampoule::image::Store;
use ampoule::oci::Config;
use ampoule::oci::spec::Bundle;
use ampoule::{
    Builder, Bytes, Command, Container, Details, ErrorKind, Force, IdMapped, Kept, MountKind,
    OwnGroup, Root, RunState, StateDirectory, WindowSize,
};
use ampoule_examples::arguments::Failure;
use ampoule_examples::images::{open_image, open_store, overlay, unpacked};
use ampoule_examples::records::{Named, Records};
use ampoule_examples::verbs::Call;
use ampoule_examples::volume::{Access, Volume};
use ampoule_overlay::Overlay;
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use serde::{Deserialize, Serialize};

/// Where everything is.
pub(crate) struct Engine {
    pub(crate) root: PathBuf,
    pub(crate) store: Store,
    pub(crate) states: StateDirectory,
    pub(crate) records: Records<Saved>,
}

/// A container, whether or not it runs.
#[derive(Serialize, Deserialize)]
pub(crate) struct Saved {
    named: Named,
    pub(crate) image: String,
    /// The program and its arguments, as they are shown.
    pub(crate) args: Vec<String>,
    /// Words in place of the image's own.
    words: Vec<OsString>,
    /// Whether the program has a terminal.
    pub(crate) tty: bool,
    builder: Builder,
}

impl Deref for Saved {
    type Target = Named;

    fn deref(&self) -> &Named {
        &self.named
    }
}

pub(crate) fn is_up(state: RunState) -> bool {
    matches!(state, RunState::Running | RunState::Paused)
}

impl Engine {
    pub(crate) fn open(root: Option<PathBuf>, store: Option<&Path>) -> Result<Self, Failure> {
        let store = open_store(store)?;
        let root = root.unwrap_or_else(|| store.path().with_file_name("engine"));
        let records = Records::open(root.join("containers"))?;
        let states = StateDirectory::open(root.join("run"))?;
        // What was being started when an engine was killed.
        states.reconcile()?;
        Ok(Self { root, store, states, records })
    }

    /// The containers of a command line.
    pub(crate) fn named(&self, call: &Call) -> Result<Vec<Saved>, Failure> {
        if call.words.is_empty() {
            return Err(format!("{}: of what?", call.verb).into());
        }
        call.words.iter().map(|word| self.records.find(word)).collect()
    }

    /// Makes a container of an image: a directory, and nothing that the kernel knows of.
    pub(crate) fn create(&self, call: &Call) -> Result<Saved, Failure> {
        let _lock = self.records.lock()?;
        let (image, words) = call.words.split_first().ok_or("of which image?")?;
        let image = open_image(&self.store, &image.to_string_lossy())?;
        let named = self.records.fresh(call.parsed("name")?)?;
        let builder = Container::from_image(&image)
            .root(Root::Persistent(named.directory.join("upper")))
            .own_group(OwnGroup::Always)
            .hostname(named.short());
        let saved = Saved {
            named,
            image: image.reference().to_string(),
            args: Vec::new(),
            words: words.to_vec(),
            tty: call.has("tty"),
            builder: settings(builder, call)?,
        };
        self.records.make(saved, |saved| {
            // One that could not be started is refused.
            drop(saved.command().plan()?);
            let config = Config::from(&saved.command());
            saved.args = config.args.iter().map(|it| it.to_string_lossy().into_owned()).collect();
            Bundle::new(&saved.directory, config.to_document()?.document).save()?;
            Ok(fs::create_dir(saved.merged())?)
        })
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
        let mut command = saved.command();
        if !saved.tty {
            // Its output goes to the log without anybody in between; that of a terminal is copied by who attends it.
            let out = saved.log()?;
            command = command.stdin(ampoule::Stdio::null()).stderr(out.try_clone()?).stdout(out);
        }
        let mut kept = self.states.create(&saved.id, command, Details::default())?;
        kept.start()?;
        Ok(kept)
    }

    /// The image's layers and the container's own.
    pub(crate) fn overlay(&self, saved: &Saved) -> Result<Overlay, Failure> {
        let layers = unpacked(&self.store.image(&saved.image.parse()?)?, &())?;
        Ok(overlay(&layers, &self.store)?.upper(saved.directory.join("upper")))
    }
}

impl Saved {
    fn command(&self) -> Command {
        let command = match self.words.as_slice() {
            [] => self.builder.clone().default_command(),
            words => self.builder.clone().default_command_with(words),
        };
        if self.tty { command.tty(WindowSize::default()) } else { command }
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
            Err(errno) => Err(errno.into()),
        }
    }
}

/// The options of a new container, as setters of the library.
fn settings(builder: Builder, call: &Call) -> Result<Builder, Failure> {
    call.options().try_fold(builder, |builder, (name, value)| {
        let text = value.to_string_lossy();
        Ok(match name {
            "hostname" => builder.hostname(text),
            "memory" => builder.memory_max(text.parse::<Bytes>()?),
            "cpus" => builder.cpus(text.parse()?),
            "pids-limit" => builder.pids_max(text.parse()?),
            "volume" => volume(builder, &Volume::parse(name, value)?),
            _ => builder,
        })
    })
}

/// What user 0 owns on the host belongs to the container's user 0.
fn volume(builder: Builder, volume: &Volume) -> Builder {
    let mut mount = volume.mount(Access::ReadWrite);
    if let MountKind::Bind { idmapped, .. } = &mut mount.kind {
        *idmapped = IdMapped::Container;
    }
    match volume.relabel {
        Some(relabel) => builder.relabel(&volume.target, relabel).mount(mount),
        None => builder.mount(mount),
    }
}
