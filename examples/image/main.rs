//! How do I pull, push, look at, mount, change, build and clean up container images without a daemon?
#![expect(clippy::print_stderr, reason = "a command line program talks to its user")]

mod arguments;
mod build;
mod change;
mod keep;
mod listing;
mod moves;
mod tree;

use std::process::ExitCode;

use ampoule::image::Error;
use ampoule_examples::arguments::{Failure, print};

const HELP: &str = "\
Container images in a directory, without a daemon.

Usage: image VERB …        image VERB --help says more

In and out
  pull SOURCE [NAME]       take an image over from a registry, a layout, an archive, or files
  load PATH [NAME]         the same, where a word without a prefix is a path
  push IMAGE [PLACE]       hand an image on to a registry or another place
  save IMAGE PLACE         the same, where a word without a prefix is an OCI archive
Looking
  ls                       the images that there are
  inspect IMAGE            what it says about itself, and its layers
Files
  unpack IMAGE [DIR]       its files in a directory; without one its layers in the store
  mount IMAGE [-- COMMAND] its layers as one tree
  diff IMAGE UPPER         what an upper directory changes about it
  commit IMAGE UPPER NAME  a new image with these changes
  build [CONTEXT]          an image from a Containerfile
Keeping
  tag IMAGE NAME           another name for it
  rm IMAGE…                remove names
  gc                       remove what no name leads to
  verify                   read everything and compare digests

Everywhere
  --store DIR              where the images are; otherwise /var/lib/ampoule/images as root, and
                           $XDG_DATA_HOME/ampoule/images
  --owners WHO             whose files are, for an ordinary user: `single` (the user's, by default), `sub-ids` (whom
                           the image says, with the ranges of /etc/subuid), or `automatic` (these if there are any);
                           gc takes what pull was given, and `ls --usage` says what is in force
  -h, --help               this text, or what a verb takes

An image is named as everywhere: alpine, alpine:3.22, localhost:5000/team/app@sha256:…
Elsewhere it is one of these; the first colon ends a path:
  oci:DIR[:NAME]           an OCI layout that is a directory
  oci-archive:FILE[:NAME]  an OCI layout in a tar file, which may be compressed
  docker-archive:FILE[:NAME]  what `docker save` writes
  dir:DIR, tar:FILE        the files themselves: a root directory, a tar file of one
  docker://NAME            in a registry; for pull and push the same as NAME
";

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("image: {error}");
            if let Some(hint) = error.downcast_ref::<Error>().and_then(Error::hint) {
                eprintln!("hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}

/// The exit code: 0; 1 for a store that is not whole; that of a command in a mounted image.
fn run() -> Result<u8, Failure> {
    use lexopt::prelude::*;
    let mut from = lexopt::Parser::from_env();
    let verb = match from.next()? {
        None | Some(Short('h') | Long("help")) => return print(HELP).map(|()| 0),
        Some(Value(verb)) => verb.string()?,
        Some(other) => return Err(other.unexpected().into()),
    };
    match verb.as_str() {
        "pull" => moves::pull(from),
        "load" => moves::load(from),
        "push" => moves::push(from),
        "save" => moves::save(from),
        "ls" => listing::ls(from),
        "inspect" => listing::inspect(from),
        "unpack" => tree::unpack(from),
        "mount" => tree::mount(from),
        "diff" => change::diff(from),
        "commit" => change::commit(from),
        "build" => build::build(from),
        "tag" => keep::tag(from),
        "rm" => keep::remove(from),
        "gc" => keep::gc(from),
        "verify" => keep::verify(from),
        _ => return Err(format!("there is no verb {verb} (see --help)").into()),
    }
    .map(|done| done.unwrap_or(0))
}
