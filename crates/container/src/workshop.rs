//! Builds of images: their programs run in containers, their files are copied into overlays.
//!
//! Kernel objects: those of a container for each program, an overlay that is attached nowhere for each copy. Invariant:
//! what a step leaves in its upper directory is what it changed, not what was mounted for it.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use ampoule_image::Layer;
use ampoule_image::build::{Foreign, Mounted, RunEnd, RunStep, Scratch, Workshop};
use ampoule_image::containerfile::RunNetwork;
use ampoule_image::store::Hides;
use ampoule_ns::layered_root::LayeredRoot;
use ampoule_ns::{IdMapping, Namespace, User};
use ampoule_overlay::{MountedOverlay, Overlay, Root};
use rustix::fs::{MemfdFlags, SeekFrom};
use rustix::pipe::PipeFlags;

use crate::builder::Builder;
use crate::container::Container;
use crate::exit::Outcome;
use crate::host::{self, Privilege};
use crate::mount_points::MountPoints;
use crate::owners;
use crate::stdio::Stdio;
use crate::step_mounts;

/// Files of the host that programs with the host's network need to find others.
const NETWORK_FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// Where a script is read.
const SCRIPT_FD: u16 = 3;

/// Runs the programs of a build in containers.
///
/// Their root is what was built so far; they have the default capabilities, namespaces of their own but the network where
/// the build says so, and read-only `resolv.conf` and `hosts` of the host with its network. As root they share the host's
/// user namespace, because the owners of what they write are those of the image; in a store with ids
/// ([`Owners`](crate::Owners)) they have these.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ContainerWorkshop {
    change: Option<fn(Builder) -> Builder>,
}

impl ContainerWorkshop {
    /// With the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes each container before it starts: limits, mounts, capabilities.
    #[must_use]
    pub fn with(change: fn(Builder) -> Builder) -> Self {
        Self { change: Some(change) }
    }
}

impl Workshop for ContainerWorkshop {
    fn mount<'a>(
        &'a self,
        layers: &'a [Layer],
        scratch: &'a Scratch,
    ) -> Result<Box<dyn Mounted + 'a>, Foreign> {
        let overlay = overlay(lower(layers, scratch), scratch)?.upper(scratch.upper());
        Ok(Box::new(Tree(overlay.mount()?)))
    }

    fn run(
        &self,
        layers: &[Layer],
        scratch: &Scratch,
        step: &RunStep<'_>,
    ) -> Result<RunEnd, Foreign> {
        let lower = lower(layers, scratch);
        let files = network_files(step.network);
        let targets = step.mounts.iter().map(|mount| mount.target.as_path());
        let targets: Vec<&Path> = files.iter().map(Path::new).chain(targets).collect();
        let made = MountPoints::missing(&lower, scratch, &targets)?;
        let end = self.start(lower, scratch, step, &files)?;
        made.remove(scratch.upper())?;
        Ok(end)
    }
}

impl ContainerWorkshop {
    fn start(
        &self,
        lower: Vec<PathBuf>,
        scratch: &Scratch,
        step: &RunStep<'_>,
        files: &[&str],
    ) -> Result<RunEnd, Foreign> {
        let mut builder =
            Container::from_layers(lower).root(Root::Persistent(scratch.upper().into()));
        if host::privilege() == Privilege::Full {
            builder = builder.share(Namespace::User);
        } else if let Some(ids) = scratch.ids() {
            builder = builder.id_mapping(IdMapping::Explicit(owners::id_map(ids)));
        }
        if step.network == RunNetwork::Host {
            builder = builder.share(Namespace::Net);
        }
        for file in files.iter().map(Path::new) {
            builder = builder.bind_to(std::fs::canonicalize(file)?, file);
        }
        builder = step_mounts::mounted(builder, &step.mounts);
        if let Some(user) = &step.user {
            builder = builder.user(user.parse::<User>()?);
        }
        if let Some(change) = self.change {
            builder = change(builder);
        }
        let (program, args) = step.argv.split_first().ok_or("RUN without a program")?;
        let (ours, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let mut command = builder
            .command(program)
            .args(args)
            .env_clear()
            .envs(step.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&step.current_dir)
            .stdin(Stdio::null())
            .stdout(theirs.try_clone()?)
            .stderr(theirs);
        if let Some(script) = &step.script {
            command = command.fd(SCRIPT_FD, memory_file(script)?);
        }
        let mut container = command.spawn()?;
        read_all(ours, step.output)?;
        Ok(ended(&container.wait()?.outcome()))
    }
}

/// Which of these files the host has, where its network is used.
fn network_files(network: RunNetwork) -> Vec<&'static str> {
    let is_wanted = |file: &&str| network == RunNetwork::Host && Path::new(file).exists();
    NETWORK_FILES.into_iter().filter(is_wanted).collect()
}

/// How a program ended.
fn ended(outcome: &Outcome) -> RunEnd {
    match outcome {
        Outcome::Exited(status) => RunEnd::Exited(*status),
        other => RunEnd::Otherwise(other.to_string()),
    }
}

/// Hands on what comes, to the end.
fn read_all(from: OwnedFd, output: &(dyn Fn(&[u8]) + Sync)) -> std::io::Result<()> {
    let mut from = std::fs::File::from(from);
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => output(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Bytes that can be read as a file.
fn memory_file(bytes: &[u8]) -> std::io::Result<OwnedFd> {
    let fd = rustix::fs::memfd_create("script", MemfdFlags::CLOEXEC)?;
    let mut left = bytes;
    while !left.is_empty() {
        let written = rustix::io::write(&fd, left)?;
        left = &left[written..];
    }
    rustix::fs::seek(&fd, SeekFrom::Start(0))?;
    Ok(fd)
}

/// The lower directories, the uppermost first; an empty one where there are no layers.
fn lower(layers: &[Layer], scratch: &Scratch) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for layer in layers.iter().rev() {
        paths.push(layer.path().to_owned());
        if layer.hides() == Hides::Everything {
            return paths;
        }
    }
    if paths.is_empty() {
        paths.push(scratch.empty().to_owned());
    }
    paths
}

/// Layers as one tree, which belongs to the ids of its files.
pub(crate) fn overlay(lower: Vec<PathBuf>, scratch: &Scratch) -> std::io::Result<Overlay> {
    let overlay = Overlay::new(lower);
    Ok(match scratch.ids() {
        Some(ids) => overlay.user_namespace(ids.namespace().try_clone_to_owned()?),
        None => overlay,
    })
}

/// A tree for COPY.
struct Tree(MountedOverlay);

impl Mounted for Tree {
    fn root(&self) -> BorrowedFd<'_> {
        self.0.merged()
    }

    fn owner(&self, text: &str) -> Result<(u32, u32), Foreign> {
        let merged = self.0.merged();
        let root = LayeredRoot::new([merged.as_fd()]);
        let user = text.parse::<User>()?.resolve(&root)?;
        Ok((user.uid, user.gid))
    }
}
