//! An image to be run.
//!
//! Kernel objects: the files of a store. Invariant: a path is loaded into the store first, so that every container's
//! layers are checked and are held while it runs.

use ampoule::image::{Image, Pull, Store};

use super::{Access, Bars, Place, fetch, unpacked};
use crate::arguments::Failure;

/// An image of the store by its name, or of a layout or an archive by its path; unpacked.
///
/// # Errors
/// As [`Store::image`], [`fetch`] and [`Store::unpack`].
pub fn open_image(store: &Store, text: &str) -> Result<Image, Failure> {
    let bars = Bars::new();
    let image = match Place::if_path(text)? {
        Some(Place::Registry(_)) => return Err(format!("{text}: pull it first").into()),
        Some(place) => {
            let unpack = store.suited();
            let how = Pull::new().unpack(&unpack).progress(&bars);
            fetch(store, &place, None, &how, &Access::default())?
        }
        None => store.image(&text.parse()?)?,
    };
    unpacked(&image, &())?;
    Ok(image)
}
