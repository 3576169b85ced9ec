//! `unpack`, `mount`: an image's files.
//!
//! Kernel objects: an overlay mount, attached nowhere unless that is asked for. Invariant: it ends with this program.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ampoule_examples::arguments::{Failure, print};
use ampoule_examples::foreground::Signals;
use ampoule_examples::images::{Bars, Place, overlay, send, unpacked};
use ampoule_overlay::MountedOverlay;
use std::os::fd::AsRawFd as _;

use crate::arguments::{Done, given, none};

const UNPACK: &str = "\
Unpacks an image: its files in a directory that is absent or empty, or without one its layers in the store.

Usage: image unpack [--store DIR] IMAGE [DIR]
";

const MOUNT: &str = "\
Shows an image's layers as one tree, to be read from outside, until a signal comes or COMMAND ends.

Usage: image mount [--store DIR] [--upper DIR] [--at PATH] IMAGE [-- COMMAND…]

  --upper DIR   what is written goes to this directory; otherwise the tree is read-only
  --at PATH     attach the tree to this directory; otherwise it is mounted nowhere, and its path leads
                through the descriptors of this program

COMMAND runs outside, with the tree as its working directory. The exit code is the command's.
";

/// `unpack`.
pub(crate) fn unpack(from: lexopt::Parser) -> Done {
    let Some(mut given) = given(from, UNPACK, &mut none)? else { return Ok(None) };
    let image = given.image()?;
    let directory = given.next_raw();
    given.end()?;
    let bars = Bars::new();
    match directory {
        Some(directory) => {
            let place = Place::Directory(directory.into());
            send(&image, &place, &given.choice, &bars, &given.access)?;
        }
        None => {
            for layer in unpacked(&image, &bars)? {
                print(&format!("{}\n", layer.path().display()))?;
            }
        }
    }
    Ok(Some(0))
}

/// `mount`.
pub(crate) fn mount(from: lexopt::Parser) -> Done {
    let (mut upper, mut at) = (None::<PathBuf>, None::<PathBuf>);
    let given = given(from, MOUNT, &mut |name, from| {
        match name {
            "upper" => upper = Some(std::path::absolute(from.value()?)?),
            "at" => at = Some(from.value()?.into()),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let Some(mut given) = given else { return Ok(None) };
    let image = given.image()?;
    given.end()?;
    // In use, and so not collected, as long as they are mounted.
    let layers = unpacked(&image, &Bars::new())?;
    let mut overlay = overlay(&layers, image.store())?;
    if let Some(upper) = upper {
        overlay = overlay.upper(upper);
    }
    // Before the tree is attached, so that no signal leaves it there.
    let mut signals = Signals::catch()?;
    let mut mounted = overlay.mount()?;
    if let Some(path) = &at {
        mounted.mount_at(path)?;
    }
    let code = match given.command.split_first() {
        Some((program, words)) => run(&mounted, program, words)?,
        None => {
            show(&mounted, at.as_deref())?;
            while !signals.interrupted(Duration::from_secs(60))? {}
            0
        }
    };
    mounted.close()?;
    Ok(Some(code))
}

/// The tree's path, for every process that may look at this one.
fn merged(mounted: &MountedOverlay) -> PathBuf {
    format!("/proc/{}/fd/{}", std::process::id(), mounted.merged().as_raw_fd()).into()
}

fn show(mounted: &MountedOverlay, at: Option<&Path>) -> Result<(), Failure> {
    let mut text = String::new();
    for lower in mounted.lower() {
        text += &format!("lower   {}\n", lower.display());
    }
    for (name, path) in [("upper", mounted.upper()), ("work ", mounted.work())] {
        if let Some(path) = path {
            text += &format!("{name}   {}\n", path.display());
        }
    }
    text += &format!("merged  {}\n", merged(mounted).display());
    if let Some(path) = at {
        text += &format!("at      {}\n", path.display());
    }
    print(&text)
}

fn run(mounted: &MountedOverlay, program: &OsString, words: &[OsString]) -> Result<u8, Failure> {
    let started = Command::new(program).args(words).current_dir(merged(mounted)).status();
    let status = started.map_err(|error| format!("{}: {error}", program.display()))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(128))
}
