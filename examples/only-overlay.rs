//! How do I see layers as one tree, write to it, and know what I changed, without a container and without a mount?
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use ampoule_examples::arguments::{Failure, only_help};
use ampoule_overlay::{MountedOverlay, Overlay};
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, openat2, unlinkat};

const HELP: &str = "\
Lays two directories over each other, writes to them, lists what changed and forgets it,
with the crate ampoule-overlay alone.

Usage: only-overlay
";

fn main() -> Result<(), Failure> {
    let Some(()) = only_help(HELP)? else { return Ok(()) };
    let place = tempfile::tempdir()?;
    let overlay = layers(place.path())?;
    let before = fs::read_to_string("/proc/self/mountinfo")?;
    let mounted = overlay.mount()?;
    println!("lower:  {:?}", mounted.lower());
    println!("upper:  {:?}", mounted.upper());
    println!(
        "merged: a descriptor; {}",
        match fs::read_to_string("/proc/self/mountinfo")? == before {
            true => "nothing is mounted on the host",
            false => "the host's mounts changed",
        }
    );
    print!(
        "/etc/motd: {}/etc/hostname: {}",
        read(&mounted, "etc/motd")?,
        read(&mounted, "etc/hostname")?
    );

    let mut motd = File::from(open(&mounted, "etc/motd", OFlags::WRONLY | OFlags::TRUNC)?);
    motd.write_all(b"written\n")?;
    open(&mounted, "etc/new", OFlags::WRONLY | OFlags::CREATE)?;
    unlinkat(open(&mounted, "etc", OFlags::PATH)?, "hostname", AtFlags::empty())?;
    println!("changes:");
    for change in overlay.changes()? {
        println!("  {:?} {}", change.kind, change.path.display());
    }
    println!(
        "the lower layer still says: {}",
        fs::read_to_string(place.path().join("image/etc/motd"))?.trim_end()
    );

    // Nothing may be mounted on what is emptied.
    mounted.close()?;
    overlay.discard()?;
    println!("after discard: {} changes", overlay.changes()?.len());
    Ok(())
}

/// Two layers with a file each, and where writes go.
fn layers(place: &Path) -> Result<Overlay, Failure> {
    let [base, image] = ["base", "image"].map(|name| place.join(name));
    for layer in [&base, &image] {
        fs::create_dir_all(layer.join("etc"))?;
    }
    fs::write(base.join("etc/hostname"), "from the base\n")?;
    fs::write(base.join("etc/motd"), "from the base\n")?;
    fs::write(image.join("etc/motd"), "from the image\n")?;
    Ok(Overlay::new([image, base]).upper(place.join("upper")))
}

/// Opens a path of the tree; links in it stay inside.
fn open(mounted: &MountedOverlay, path: &str, flags: OFlags) -> Result<OwnedFd, Failure> {
    let mode =
        if flags.contains(OFlags::CREATE) { Mode::from_raw_mode(0o644) } else { Mode::empty() };
    let flags = flags | OFlags::CLOEXEC;
    Ok(openat2(mounted.merged(), path, flags, mode, ResolveFlags::IN_ROOT)?)
}

fn read(mounted: &MountedOverlay, path: &str) -> Result<String, Failure> {
    let mut text = String::new();
    File::from(open(mounted, path, OFlags::RDONLY)?).read_to_string(&mut text)?;
    Ok(text)
}
