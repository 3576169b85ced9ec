//! How do I use images without containers: load one, list its layers, unpack it, check the store?
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::path::PathBuf;

use ampoule_examples::arguments::{Failure, print};
use ampoule_image::destination::RootDirectory;
use ampoule_image::source::{Layout, Source};
use ampoule_image::unpack::Unpack;
use ampoule_image::{Choice, Event, LayerState, Pull, Reference, Store, copy};

const HELP: &str = "\
Takes an image of an OCI layout or archive into a store, shows its layers and unpacks its files into DIR, with the
crate ampoule-image alone.

Usage: only-image LAYOUT STORE DIR

  LAYOUT   a directory or a tar file with one image
  STORE    a directory that becomes a store, or is one
  DIR      an absent or empty directory
";

/// What the image is called in the store.
const NAME: &str = "localhost/only-image:latest";

fn main() -> Result<(), Failure> {
    let Some([layout, store, directory]) = arguments()? else { return print(HELP) };
    let source = match layout.is_dir() {
        true => Layout::directory(&layout, None)?,
        false => Layout::archive(&layout, None)?,
    };
    println!("the image is {}", source.root()?.digest);

    let (name, unpack) = (NAME.parse::<Reference>()?, Unpack::suited());
    let done = |event: &Event| {
        if matches!(event.state, LayerState::Done | LayerState::AlreadyThere) {
            println!("layer {} of {}: {:?}", event.layer + 1, event.layers, event.state);
        }
    };
    let store = Store::open(store)?;
    let image = store.pull(&source, &name, &Pull::new().unpack(&unpack).progress(&done))?;
    println!("it is for {:?} and runs {:?}", image.config().platform, image.config().config.cmd);

    // Layers apart, as an overlay wants them; other images with the same layers share these directories.
    for layer in store.unpack(&image, &unpack, &())? {
        println!("{} {}", layer.digest().short(), layer.path().display());
    }
    // All of them together, whiteouts applied.
    let mut together = RootDirectory::create(&directory, &unpack)?;
    copy(&image, &mut together, None, &Choice::Any, &())?;
    println!("its files are in {}", directory.display());

    let verified = store.verify()?;
    println!("{} blobs were read, {} are wrong", verified.blobs, verified.problems.len());
    Ok(())
}

/// The three words; `None` for the help.
fn arguments() -> Result<Option<[PathBuf; 3]>, Failure> {
    let mut from = lexopt::Parser::from_env();
    let mut words: Vec<PathBuf> = Vec::new();
    while let Some(argument) = from.next()? {
        match argument {
            lexopt::Arg::Short('h') | lexopt::Arg::Long("help") => return Ok(None),
            lexopt::Arg::Value(word) => words.push(word.into()),
            other => return Err(other.unexpected().into()),
        }
    }
    words.try_into().map(Some).map_err(|_| "three words are needed (see --help)".into())
}
