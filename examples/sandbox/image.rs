//! The image of `sandbox --image`.
//!
//! Kernel objects: the files of a store. Invariant: a path is loaded into the store first, so that every container's
//! layers are checked and are held while it runs.

use std::ffi::OsString;
use std::path::Path;

use ampoule::image::config::Execution;
use ampoule::image::{Image, NewImage, Pull, Reference};
use ampoule::{Builder, Command, Container, Owners};
use ampoule_examples::arguments::Failure;
use ampoule_examples::images::{Access, Bars, Place, fetch, now, open_store_of, unpacked};

/// An image of the store by its name, or of a layout or an archive by its path; unpacked.
pub(crate) fn open(
    text: &str,
    owners: Option<Owners>,
    store: Option<&Path>,
) -> Result<Image, Failure> {
    let store = open_store_of(owners.unwrap_or(Owners::Single), store)?;
    let bars = Bars::new();
    match Place::if_path(text)? {
        Some(Place::Registry(_)) => Err(format!("{text}: pull it first").into()),
        Some(place) => {
            let unpack = store.suited();
            let how = Pull::new().unpack(&unpack).progress(&bars);
            let image = fetch(&store, &place, None, &how, &Access::default())?;
            unpacked(&image, &())?;
            Ok(image)
        }
        None => {
            let image = store.image(&text.parse()?)?;
            unpacked(&image, &())?;
            Ok(image)
        }
    }
}

/// Whether a user as an image or a command line names it is user 0.
pub(crate) fn is_root(user: Option<&str>) -> bool {
    let name = user.unwrap_or_default().split(':').next().unwrap_or_default();
    matches!(name, "" | "0" | "root")
}

/// Makes an image of what the container wrote.
pub(crate) fn commit(
    container: &Container,
    image: &Image,
    target: &Reference,
) -> Result<(), Failure> {
    let new = NewImage::on(image, target).created(&now()?).created_by("sandbox --commit");
    let made = container.commit(image.store(), &new)?;
    unpacked(&made, &())?;
    Ok(())
}

/// The image's program: with these words in place of its arguments, or this program instead of its own.
pub(crate) fn command(
    builder: Builder,
    config: &Execution,
    entrypoint: Option<OsString>,
    words: Vec<OsString>,
) -> Result<Command, Failure> {
    let is_empty = |words: &Option<Vec<String>>| words.as_ref().is_none_or(Vec::is_empty);
    match entrypoint {
        Some(program) => Ok(builder.command(program).args(words)),
        None if !words.is_empty() => Ok(builder.default_command_with(words)),
        None if is_empty(&config.entrypoint) && is_empty(&config.cmd) => {
            Err("the image has no command of its own: say one after --".into())
        }
        None => Ok(builder.default_command()),
    }
}
