//! `diff`, `commit`: what was written over an image.
//!
//! Kernel objects: the upper directory, which is read.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use ampoule::ChangeKind;
use ampoule::image::diff::{Diff, Holes};
use ampoule::image::unpack::Whiteouts;
use ampoule::image::{NewImage, Store};
use ampoule_examples::arguments::{Failure, print};
use ampoule_examples::images::{lower_dirs, now, overlay, size, source_date_epoch, unpacked};
use ampoule_overlay::{Notes, UpperLayer};
use lexopt::ValueExt as _;

use crate::arguments::{Done, given};

const DIFF: &str = "\
Lists what an upper directory changes about an image: A added, C changed, D deleted.

Usage: image diff [--store DIR] [--userxattr] [-o FILE] IMAGE UPPER

  -o FILE      write the changes as a layer, tar and gzip, instead
  --userxattr  UPPER was written in a container with a user namespace of its own, as those of `sandbox --root UPPER` are
               unless they share the host's; without privilege that is so anyway
";

const COMMIT: &str = "\
Makes a new image of an image and what was written over it.

Usage: image commit [--store DIR] [OPTIONS] IMAGE UPPER NAME

  --userxattr           UPPER was written in a container with a user namespace (see image diff --help)
  --message TEXT        how it was made, for people
  --cmd WORD            its command; once for each word
  --entrypoint WORD     its entrypoint; once for each word
  --env NAME=VALUE      a variable more

With SOURCE_DATE_EPOCH (seconds since 1970) in the environment, the same files give the same image.
";

/// `diff`.
pub(crate) fn diff(from: lexopt::Parser) -> Done {
    let (mut output, mut notes) = (None::<PathBuf>, Notes::Trusted);
    let given = given(from, DIFF, &mut |name, from| {
        match name {
            "o" => output = Some(from.value()?.into()),
            "userxattr" => notes = Notes::User,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let Some(mut given) = given else { return Ok(None) };
    let image = given.image()?;
    let upper = std::path::absolute(given.raw("the upper directory")?)?;
    given.end()?;
    if let Some(output) = output {
        let (directory, file) = (open(&upper)?, create(&output)?);
        let layer = packing(image.store(), notes)?.write(directory.as_fd(), file)?;
        print(&format!("{} {} {}\n", layer.blob, size(layer.blob_size), output.display()))?;
        return Ok(Some(0));
    }
    let layers = unpacked(&image, &())?;
    let changes = match (notes, image.store().ids()) {
        (Notes::User, None) => {
            UpperLayer::new(open(&upper)?, lower_dirs(&layers)).notes(notes).changes()?
        }
        _ => overlay(&layers, image.store())?.upper(upper).changes()?,
    };
    for change in changes {
        let letter = match change.kind {
            ChangeKind::Added => 'A',
            ChangeKind::Modified => 'C',
            ChangeKind::Deleted => 'D',
        };
        print(&format!("{letter} {}\n", change.path.display()))?;
    }
    Ok(Some(0))
}

/// `commit`.
pub(crate) fn commit(from: lexopt::Parser) -> Done {
    let (mut cmd, mut entrypoint) = (None::<Vec<String>>, None::<Vec<String>>);
    let (mut env, mut message, mut notes) = (Vec::new(), None::<String>, Notes::Trusted);
    let given = given(from, COMMIT, &mut |name, from| {
        match name {
            "cmd" => cmd.get_or_insert_default().push(from.value()?.string()?),
            "entrypoint" => entrypoint.get_or_insert_default().push(from.value()?.string()?),
            "env" => env.push(from.value()?.string()?),
            "userxattr" => notes = Notes::User,
            "message" => message = Some(from.value()?.string()?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let Some(mut given) = given else { return Ok(None) };
    let image = given.image()?;
    let upper = open(Path::new(&given.raw("the upper directory")?))?;
    let name = given.reference("the new name")?;
    given.end()?;
    let new = NewImage::on(&image, &name)
        .created_by(message.as_deref().unwrap_or("image commit"))
        .created(&now()?)
        .configure(|config| {
            let config = &mut config.config;
            config.env.extend(env);
            // Another entrypoint has other arguments.
            if entrypoint.is_some() || cmd.is_some() {
                config.entrypoint = entrypoint.or(config.entrypoint.take());
                config.cmd = cmd;
            }
        });
    let made = image.store().commit(&new, upper.as_fd(), &packing(image.store(), notes)?)?;
    unpacked(&made, &())?;
    print(&format!("{} {}\n", name.familiar(), made.descriptor().digest))?;
    Ok(Some(0))
}

/// How files become a layer.
fn packing(store: &Store, notes: Notes) -> Result<Diff, Failure> {
    let mut diff = Diff::suited_with(store.ids());
    if notes == Notes::User {
        diff.whiteouts = Whiteouts::User;
    }
    if let Some(seconds) = source_date_epoch()? {
        diff.source_date_epoch = Some(i64::try_from(seconds)?);
        diff.holes = Holes::Filled;
    }
    Ok(diff)
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn create(path: &Path) -> Result<File, Failure> {
    File::create(path).map_err(|error| format!("{}: {error}", path.display()).into())
}
