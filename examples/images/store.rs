//! The store of the examples.
//!
//! Kernel objects: the store's directory. Invariant: root and every other user have one of their own.

use std::path::{Path, PathBuf};

use ampoule::Owners;
use ampoule::image::store::Hides;
use ampoule::image::{Image, Layer, Progress, Store};
use ampoule_overlay::Overlay;

use crate::arguments::Failure;

/// Opens the store in this directory, or the user's own: `/var/lib/ampoule/images` for root, for others
/// `ampoule/images` in `$XDG_DATA_HOME` or `~/.local/share`.
///
/// # Errors
/// As [`Store::open`]; an environment without a home.
pub fn open_store(directory: Option<&Path>) -> Result<Store, Failure> {
    let directory = match directory {
        Some(directory) => directory.to_owned(),
        None => own_directory().ok_or("no home directory: say --store DIR")?,
    };
    Ok(Store::open(directory)?)
}

/// As [`open_store`], with files that belong to these.
///
/// # Errors
/// As [`open_store`] and [`Owners::ids`].
pub fn open_store_of(owners: Owners, directory: Option<&Path>) -> Result<Store, Failure> {
    let store = open_store(directory)?;
    Ok(match owners.ids()? {
        Some(ids) => store.with_ids(&ids),
        None => store,
    })
}

/// The word of `--owners`.
///
/// # Errors
/// For another word.
pub fn owners(word: &str) -> Result<Owners, Failure> {
    match word {
        "automatic" => Ok(Owners::Automatic),
        "sub-ids" => Ok(Owners::SubIds),
        "single" => Ok(Owners::Single),
        _ => Err(format!("{word:?} is neither automatic nor sub-ids nor single").into()),
    }
}

fn own_directory() -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some("/var/lib/ampoule/images".into());
    }
    let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    let data = data.filter(|data| data.is_absolute());
    let home = || std::env::home_dir().map(|home| home.join(".local/share"));
    data.or_else(home).map(|data| data.join("ampoule/images"))
}

/// The layers of an image, unpacked as suits its store.
///
/// # Errors
/// As [`Store::unpack`].
pub fn unpacked(image: &Image, progress: &dyn Progress) -> Result<Vec<Layer>, Failure> {
    Ok(image.store().unpack(image, &image.store().suited(), progress)?)
}

/// An overlay of an image's layers, which belongs to the ids of its store.
///
/// # Errors
/// When this process has no descriptor left.
pub fn overlay(layers: &[Layer], store: &Store) -> Result<Overlay, Failure> {
    let overlay = Overlay::new(lower_dirs(layers));
    Ok(match store.ids() {
        Some(ids) => overlay.user_namespace(ids.namespace().try_clone_to_owned()?),
        None => overlay,
    })
}

/// The directories of layers for an overlay: the uppermost first, and nothing below one that hides everything.
#[must_use]
pub fn lower_dirs(layers: &[Layer]) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for layer in layers.iter().rev() {
        paths.push(layer.path().to_owned());
        if layer.hides() == Hides::Everything {
            break;
        }
    }
    paths
}
