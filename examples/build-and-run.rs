//! How do I build an image in Rust, each step in a container, and run it?
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::path::PathBuf;
use std::process::ExitCode;

use ampoule::image::Reference;
use ampoule::image::build::{Build, BuildEvent, ImageBuilder, Outcome};
use ampoule::image::unpack::Unpack;
use ampoule::{Container, ContainerWorkshop};
use ampoule_examples::arguments::{Failure, print};
use ampoule_examples::foreground::exit_code;
use ampoule_examples::images::open_store;

const HELP: &str = "\
Builds an image on an image of the store that has a shell, and runs it. Run it twice: the second time its steps come
from the cache.

Usage: build-and-run [--store DIR] BASE
";

/// What the image is called in the store.
const NAME: &str = "localhost/build-and-run:latest";

fn main() -> Result<ExitCode, Failure> {
    let Some((directory, base)) = arguments()? else {
        return print(HELP).map(|()| ExitCode::SUCCESS);
    };
    let file = ImageBuilder::from(&base)
        .env("GREETING", "hello")
        .run_shell("mkdir -p /srv && echo \"$GREETING, built as process $$\" > /srv/greeting")
        .workdir("/srv")
        .label("org.opencontainers.image.title", "build-and-run")
        .cmd(["cat", "greeting"])
        .finish();
    let show = |event: &BuildEvent<'_>| match event {
        BuildEvent::Step { number, count, text, .. } => println!("{number}/{count} {text}"),
        BuildEvent::Done(Outcome::FromCache) => println!("    from the cache"),
        _ => {}
    };
    let (store, name) = (open_store(directory.as_deref())?, NAME.parse::<Reference>()?);
    let workshop = ContainerWorkshop::new();
    let image = Build::new(&store, &workshop).events(&show).run(&file, &name)?;
    store.unpack(&image, &Unpack::suited(), &())?;

    let status = Container::from_image(&image).default_command().status()?;
    Ok(ExitCode::from(exit_code(&status)))
}

/// The store and the base; `None` for the help.
fn arguments() -> Result<Option<(Option<PathBuf>, String)>, Failure> {
    use lexopt::prelude::*;
    let mut from = lexopt::Parser::from_env();
    let mut directory = None;
    loop {
        match from.next()? {
            Some(Long("store")) => directory = Some(from.value()?.into()),
            Some(Value(base)) => return Ok(Some((directory, base.string()?))),
            Some(Short('h') | Long("help")) => return Ok(None),
            Some(other) => return Err(other.unexpected().into()),
            None => return Err("the base is missing (see --help)".into()),
        }
    }
}
