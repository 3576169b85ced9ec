//! COPY and ADD: sources, destination, owner and mode of one instruction.
//!
//! Kernel objects: as [`super::gather`] and [`super::place`]. Invariant: what was looked at for the cache is what is copied,
//! as long as nobody changes the sources meanwhile.

use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::Build;
use super::download::{Download, Remote};
use super::gather::{Found, Origin};
use super::owning::Owning;
use super::place::Placement;
use super::stage::Stage;
use super::trouble::Trouble;
use super::workshop::Mounted;
use crate::containerfile::{Copy, CopySource, Pattern, ProblemKind, Separator};
use crate::diff::Diff;
use crate::digest::{Algorithm, Digest, Digester};
use crate::unpack::{Unpack, Whiteouts};

/// Mode of a file that stands in the build file.
const INLINE_MODE: u32 = 0o644;

/// Mode of a file that was downloaded.
const REMOTE_MODE: u32 = 0o600;

/// What the sources of an instruction are.
#[derive(Debug)]
pub(super) struct Looked {
    found: Vec<Found>,
    /// For each URL; none where it is not downloaded yet.
    downloads: Vec<Option<Download>>,
    pub(super) digest: Digest,
}

/// Whether archives are unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Archives {
    /// They are copied as files: COPY.
    Kept,
    /// Those that are files of the context are: ADD.
    Unpacked,
}

/// One instruction with its words expanded.
#[derive(Debug)]
pub(super) struct Task {
    sources: Vec<Source>,
    destination: PathBuf,
    into_directory: bool,
    owner: Option<String>,
    mode: Option<u32>,
    archives: Archives,
}

/// One source.
#[derive(Debug)]
enum Source {
    Path(String),
    Remote(Remote),
    Inline { name: String, text: String },
}

impl Task {
    /// Expands an instruction's words.
    pub(super) fn new(stage: &Stage, copy: &Copy, archives: Archives) -> Result<Self, Trouble> {
        let checksum = checksum(stage, copy)?;
        let lookup = |name: &str| stage.arguments.value(name, &stage.config.config.env);
        let sources = copy.sources.iter().map(|source| match source {
            CopySource::Path(word) => named(stage.expand(word)?, archives, checksum),
            CopySource::Inline { name, document } => {
                Ok(Source::Inline { name: name.clone(), text: document.expand(&lookup)? })
            }
        });
        let sources = sources.collect::<Result<Vec<_>, Trouble>>()?;
        if checksum.is_some() && !matches!(sources.as_slice(), [Source::Remote(_)]) {
            let text = "of several sources, or of a path".to_owned();
            return Err(ProblemKind::Value { what: "--checksum", text }.into());
        }
        let written = stage.expand(&copy.destination)?;
        let into_directory = written.ends_with('/') || written.ends_with("/.") || written == ".";
        let destination = PathBuf::from(stage.absolute(&written));
        if into_directory {
            // Better said now than after a download.
            sources.iter().try_for_each(|source| match source {
                Source::Remote(remote) => remote.name().map(drop),
                _ => Ok(()),
            })?;
        }
        if sources.len() > 1 && !into_directory {
            return Err(Trouble::NotADirectory(written));
        }
        let owner = copy.owner.as_ref().map(|word| stage.expand(word)).transpose()?;
        // As elsewhere: a number alone is the group's, too.
        let owner = owner.map(|text| match text.parse::<u32>() {
            Ok(id) => format!("{id}:{id}"),
            Err(_) => text,
        });
        let mode = copy.mode.as_ref().map(|word| mode(&stage.expand(word)?)).transpose()?;
        Ok(Self { sources, destination, into_directory, owner, mode, archives })
    }

    /// What the sources are, and a digest of it. A file whose digest is known is downloaded when it is needed.
    pub(super) fn look(
        &self,
        build: &Build<'_>,
        origin: Option<&Origin<'_>>,
    ) -> Result<Looked, Trouble> {
        let mut digester = Digester::new(Algorithm::Sha256);
        let (mut found, mut downloads) = (Vec::new(), Vec::new());
        for source in &self.sources {
            match source {
                Source::Remote(remote) => {
                    let download = match remote.checksum {
                        Some(_) => None,
                        None => Some(remote.fetch(build)?),
                    };
                    let known = download.as_ref().map(|download| download.digest);
                    digester.update(format!("{:?}", known.or(remote.checksum)).as_bytes());
                    downloads.push(download);
                }
                Source::Path(path) => found.extend(origin.ok_or(Trouble::NoContext)?.find(path)?),
                Source::Inline { name, text } => {
                    digester.update(format!("{name}\0{text}").as_bytes())
                }
            }
        }
        if found.len() > 1 && !self.into_directory {
            return Err(Trouble::NotADirectory(self.destination.display().to_string()));
        }
        if let Some(origin) = origin {
            digester.update(origin.digest(&found)?.as_bytes());
        }
        Ok(Looked { found, downloads, digest: digester.finish() })
    }

    /// Copies.
    pub(super) fn apply(
        &self,
        build: &Build<'_>,
        origin: Option<&Origin<'_>>,
        looked: Looked,
        mounted: &dyn Mounted,
    ) -> Result<(), Trouble> {
        let owner = match &self.owner {
            Some(text) => mounted.owner(text)?,
            None => (0, 0),
        };
        let owning = Owning::new(build, mounted.root());
        let place = Placement { root: mounted.root(), owner, mode: self.mode, owning: &owning };
        self.place(build, (origin, looked), &place)?;
        owning.settle()
    }

    /// Copies, the owners left aside.
    fn place(
        &self,
        build: &Build<'_>,
        (origin, looked): (Option<&Origin<'_>>, Looked),
        place: &Placement<'_>,
    ) -> Result<(), Trouble> {
        // An existing directory is one whether or not it was written with a slash.
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let into = self.into_directory || place.open(&self.destination, flags).is_ok();
        let mut downloads = looked.downloads.into_iter();
        let path = |name: &Path| match into {
            true => self.destination.join(name),
            false => self.destination.clone(),
        };
        for source in &self.sources {
            match source {
                Source::Path(_) => {}
                Source::Inline { name, text } => {
                    let mode = INLINE_MODE;
                    place.stream(&mut text.as_bytes(), (mode, None), &path(name.as_ref()))?;
                }
                Source::Remote(remote) => {
                    let download = match downloads.next().flatten() {
                        Some(download) => download,
                        None => remote.fetch(build)?,
                    };
                    let (mut file, modified) = (download.file, download.modified);
                    let path = if into { path(remote.name()?) } else { path(Path::new("")) };
                    place.stream(&mut file, (REMOTE_MODE, modified), &path)?;
                }
            }
        }
        let Some(origin) = origin else { return Ok(()) };
        for one in &looked.found {
            if self.archives == Archives::Unpacked && self.unpack(build, (origin, one), place)? {
                continue;
            }
            place.copy(origin, one, &self.destination, into)?;
        }
        Ok(())
    }

    /// Unpacks a file that is an archive; false if it is none.
    fn unpack(
        &self,
        build: &Build<'_>,
        (origin, found): (&Origin<'_>, &Found),
        place: &Placement<'_>,
    ) -> Result<bool, Trouble> {
        let [entry] = found.entries.as_slice() else { return Ok(false) };
        if found.is_directory || !is_archive(origin, &entry.path)? {
            return Ok(false);
        }
        place.directory(&self.destination, 0o755)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let failed = super::trouble::call("openat2", &self.destination);
        let into = place.open(&self.destination, flags).map_err(failed)?;
        let archive = origin.open(&entry.path, OFlags::RDONLY);
        let archive = archive.map_err(super::trouble::call("openat2", &entry.path))?;
        // What an archive says of a directory comes after what was said before.
        place.owning.settle()?;
        let Diff { ownership, ids, .. } = build.diff.clone();
        let unpack = Unpack { whiteouts: Whiteouts::Applied, ownership, ids, ..Unpack::default() };
        unpack.apply(std::fs::File::from(archive), std::os::fd::AsFd::as_fd(&into))?;
        Ok(true)
    }
}

/// The patterns of `--exclude`.
pub(super) fn excluded(stage: &Stage, copy: &Copy) -> Result<Vec<Pattern>, Trouble> {
    let pattern = |word| {
        let text = stage.expand(word)?;
        Pattern::new(&text, Separator::Slash).map_err(|_| ProblemKind::Pattern(text).into())
    };
    copy.exclude.iter().map(pattern).collect()
}

/// A path, or (ADD) a URL.
fn named(text: String, archives: Archives, checksum: Option<Digest>) -> Result<Source, Trouble> {
    let remote = match archives {
        Archives::Unpacked => Remote::of(&text, checksum)?,
        Archives::Kept => None,
    };
    Ok(remote.map_or(Source::Path(text), Source::Remote))
}

/// The digest that a file of a URL must have.
fn checksum(stage: &Stage, copy: &Copy) -> Result<Option<Digest>, Trouble> {
    let Some(word) = &copy.checksum else { return Ok(None) };
    Ok(Some(stage.expand(word)?.parse()?))
}

/// An octal mode.
fn mode(text: &str) -> Result<u32, ProblemKind> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| mode & !0o7777 == 0)
        .ok_or_else(|| ProblemKind::Value { what: "a mode in octal", text: text.to_owned() })
}

/// Whether a file is an archive, by its first bytes: gzip, zstd, or the mark of a tar header.
fn is_archive(origin: &Origin<'_>, path: &Path) -> Result<bool, Trouble> {
    let opened = origin.open(path, OFlags::RDONLY);
    let opened = opened.map_err(super::trouble::call("openat2", path))?;
    let mut head = [0; 265];
    let mut len = 0;
    while let Ok(read @ 1..) = rustix::io::pread(&opened, &mut head[len..], len as u64) {
        len += read;
    }
    let is = |at: usize, magic: &[u8]| head[..len].get(at..).is_some_and(|b| b.starts_with(magic));
    Ok(is(0, &[0x1f, 0x8b]) || is(0, &[0x28, 0xb5, 0x2f, 0xfd]) || is(257, b"ustar"))
}
