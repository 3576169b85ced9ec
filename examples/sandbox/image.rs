//! The image of `sandbox --image`.
//!
//! Kernel objects: the files of a store.

use std::ffi::OsString;

use ampoule::image::config::Execution;
use ampoule::image::{Image, NewImage, Reference};
use ampoule::{Builder, Command, Container};
use ampoule_examples::arguments::Failure;
use ampoule_examples::images::{now, unpacked};

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
