//! How do I run a container from a registry's image?

use std::process::ExitCode;

use ampoule::Container;
use ampoule::image::registry::{Options, Registry, RegistryImage, Scheme};
use ampoule::image::unpack::Unpack;
use ampoule::image::{Pull, Reference};
use ampoule_examples::arguments::{Failure, print};
use ampoule_examples::foreground::exit_code;
use ampoule_examples::images::{Bars, open_store};

const HELP: &str = "\
Pulls an image and runs its program, or its entrypoint with other arguments.

Usage: pull-and-run [--plain-http] [--store DIR] IMAGE [ARGUMENTS]

The exit code is the program's.
";

fn main() -> Result<ExitCode, Failure> {
    use lexopt::prelude::*;
    let mut from = lexopt::Parser::from_env();
    let (mut options, mut directory) = (Options::default(), None::<std::path::PathBuf>);
    let reference: Reference = loop {
        match from.next()? {
            Some(Long("plain-http")) => options.scheme = Scheme::Http,
            Some(Long("store")) => directory = Some(from.value()?.into()),
            Some(Value(name)) => break name.string()?.parse()?,
            Some(Short('h') | Long("help")) | None => {
                return print(HELP).map(|()| ExitCode::SUCCESS);
            }
            Some(other) => return Err(other.unexpected().into()),
        }
    };
    let words: Vec<_> = from.raw_args()?.collect();

    let registry = Registry::new(reference.registry(), &options)?;
    let (bars, unpack) = (Bars::new(), Unpack::suited());
    let how = Pull::new().unpack(&unpack).progress(&bars);
    let store = open_store(directory.as_deref())?;
    let image = store.pull(&RegistryImage::new(&registry, &reference), &reference, &how)?;

    let builder = Container::from_image(&image);
    let command = match words.is_empty() {
        true => builder.default_command(),
        false => builder.default_command_with(words),
    };
    Ok(ExitCode::from(exit_code(&command.status()?)))
}
