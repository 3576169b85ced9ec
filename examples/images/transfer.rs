//! Images into the store and out of it, whatever kind of place they come from or go to.
//!
//! Kernel objects: files and connections while it lasts. Invariant: an image that has no name of its own gets one after
//! its file, on `localhost`, so that it is never taken for one of a registry.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use ampoule::image::descriptor::{ANNOTATION_IMAGE_NAME, ANNOTATION_REF_NAME};
use ampoule::image::destination::{
    DockerArchiveWriter, LayoutArchiveWriter, LayoutWriter, RootDirectory, RootTar,
};
use ampoule::image::diff::Diff;
use ampoule::image::source::{DockerArchive, Layout, Source};
use ampoule::image::unpack::{Unpack, Whiteouts};
use ampoule::image::{
    Choice, Configuration, Destination, ErrorKind, Image, NewImage, Platform, Progress, Pull,
    Reference, Store, copy,
};

use super::{Access, Place};
use crate::arguments::Failure;

/// Takes an image over into the store, under this name or its own.
///
/// # Errors
/// As [`Store::pull`], [`Store::import`] and [`Store::commit`]; an image without a name.
pub fn fetch(
    store: &Store,
    place: &Place,
    name: Option<&Reference>,
    how: &Pull<'_>,
    access: &Access,
) -> Result<Image, Failure> {
    let (source, own): (Box<dyn Source>, Option<Reference>) = match place {
        Place::Registry(reference) => {
            return Ok(access.pull(store, reference, name.unwrap_or(reference), how)?);
        }
        Place::Directory(path) | Place::Tar(path) => {
            let own = name.cloned().or_else(|| Place::name(path, "latest"));
            return import(store, place, &own.ok_or_else(|| nameless(path))?);
        }
        Place::Layout(path, tag) => {
            of_layout(Layout::directory(path, tag.as_deref())?, path, tag.as_deref())?
        }
        Place::LayoutArchive(path, tag) => {
            of_layout(Layout::archive(path, tag.as_deref())?, path, tag.as_deref())?
        }
        Place::DockerArchive(path, wanted) => {
            of_archive(DockerArchive::open(path, wanted.as_ref())?, path)
        }
        Place::Path(path) if path.is_dir() => {
            of_layout(Layout::directory(path, None)?, path, None)?
        }
        Place::Path(path) => match Layout::archive(path, None) {
            Err(error) if error.kind() == ErrorKind::NotFound && path.exists() => {
                of_archive(DockerArchive::open(path, None)?, path)
            }
            opened => of_layout(opened?, path, None)?,
        },
    };
    let path = || match place {
        Place::Layout(path, _) | Place::LayoutArchive(path, _) | Place::DockerArchive(path, _) => {
            path.clone()
        }
        Place::Path(path) => path.clone(),
        _ => PathBuf::new(),
    };
    let name = name.cloned().or(own).ok_or_else(|| nameless(&path()))?;
    Ok(store.pull(&*source, &name, how)?)
}

fn nameless(path: &Path) -> Failure {
    format!("{}: the image has no name; give it one", path.display()).into()
}

fn of_layout(
    layout: Layout,
    path: &Path,
    tag: Option<&str>,
) -> Result<(Box<dyn Source>, Option<Reference>), Failure> {
    let annotations = layout.root()?.annotations;
    let whole = |text: &&String| text.contains('/');
    let named = [ANNOTATION_IMAGE_NAME, ANNOTATION_REF_NAME];
    let texts = || named.iter().filter_map(|key| annotations.get(*key));
    let own = texts().filter(whole).find_map(|text| text.parse().ok());
    let tag = tag.or_else(|| annotations.get(ANNOTATION_REF_NAME).map(String::as_str));
    let own = own.or_else(|| tag.filter(|tag| tag.contains('/'))?.parse().ok());
    let own = own.or_else(|| Place::name(path, tag.unwrap_or("latest")));
    Ok((Box::new(layout), own))
}

fn of_archive(archive: DockerArchive, path: &Path) -> (Box<dyn Source>, Option<Reference>) {
    let own = archive.names().first().cloned().or_else(|| Place::name(path, "latest"));
    (Box::new(archive), own)
}

/// A path without the directories of this machine, which are nobody else's business.
fn file_name(path: &Path) -> std::path::Display<'_> {
    Path::new(path.file_name().unwrap_or_default()).display()
}

/// Makes an image of one layer from files.
fn import(store: &Store, place: &Place, name: &Reference) -> Result<Image, Failure> {
    let new = NewImage::from_scratch(Configuration::new(Platform::host()), name);
    let opened = |path: &Path| {
        File::open(path).map_err(|error| Failure::from(format!("{}: {error}", path.display())))
    };
    match place {
        Place::Directory(path) => {
            let mut diff = Diff::suited();
            diff.whiteouts = Whiteouts::Applied;
            let new = new.created_by(&format!("files of {}", file_name(path)));
            Ok(store.commit(&new, opened(path)?.as_fd(), &diff)?)
        }
        Place::Tar(path) => {
            let new = new.created_by(&format!("files of {}", file_name(path)));
            Ok(store.import(&new, opened(path)?)?)
        }
        _ => Err("an image, not files".into()),
    }
}

/// Copies an image to a place; a plain path becomes an OCI archive.
///
/// # Errors
/// As [`copy`].
pub fn send(
    image: &Image,
    place: &Place,
    choice: &Choice,
    progress: &dyn Progress,
    access: &Access,
) -> Result<(), Failure> {
    let unpack = Unpack::suited();
    let mut name = image.reference().clone();
    let mut destination: Box<dyn Destination> = match place {
        Place::Registry(reference) => return access.push(image, reference, choice, progress),
        Place::Layout(path, tag) => {
            rename(&mut name, tag.as_deref())?;
            Box::new(LayoutWriter::open(path)?)
        }
        Place::LayoutArchive(path, tag) => {
            rename(&mut name, tag.as_deref())?;
            Box::new(LayoutArchiveWriter::create(path)?)
        }
        Place::DockerArchive(path, wanted) => {
            name = wanted.clone().unwrap_or(name);
            Box::new(DockerArchiveWriter::create(path)?)
        }
        Place::Directory(path) => Box::new(RootDirectory::create(path, &unpack)?),
        Place::Tar(path) => Box::new(RootTar::create(path, &unpack, &Diff::suited())?),
        Place::Path(path) => Box::new(LayoutArchiveWriter::create(path)?),
    };
    copy(image, &mut *destination, Some(&name), choice, progress)?;
    Ok(())
}

/// Another tag, or another name altogether.
fn rename(name: &mut Reference, tag: Option<&str>) -> Result<(), Failure> {
    if let Some(tag) = tag {
        *name = if tag.contains('/') { tag.parse()? } else { name.with_tag(tag)? };
    }
    Ok(())
}
