//! `ls`, `inspect`: what there is.
//!
//! Kernel objects: the store's files, which are read.

use ampoule::image::config::Execution;
use ampoule::image::store::Unpacker as _;
use ampoule::image::{ErrorKind, Image, Store};
use ampoule_examples::arguments::{Failure, print};
use ampoule_examples::columns::columns;
use ampoule_examples::images::size;

use crate::arguments::{Done, given};

const LS: &str = "\
Lists the images of a store.

Usage: image ls [--store DIR] [--all] [--usage]

  --all        and what builds keep of their steps
  --usage      and how much room they take on the disk
";

/// The registry, which is none, in the names of what builds keep.
const STEPS: &str = "build.invalid";

const INSPECT: &str = "\
Shows what an image says about itself, and its layers.

Usage: image inspect [--store DIR] [--config | --manifest] IMAGE

  --config     the configuration, as JSON
  --manifest   the manifest, as JSON
";

/// `ls`.
pub(crate) fn ls(from: lexopt::Parser) -> Done {
    let (mut usage, mut all) = (false, false);
    let given = given(from, LS, &mut |name, _| {
        match name {
            "usage" => usage = true,
            "all" => all = true,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let Some(given) = given else { return Ok(None) };
    given.end()?;
    let store = given.store()?;
    let mut rows =
        vec![["NAME", "DIGEST", "PLATFORM", "LAYERS", "UNPACKED", "SIZE"].map(str::to_owned)];
    for entry in store.list()? {
        if entry.reference.registry() == STEPS && !all {
            continue;
        }
        match store.image(&entry.reference) {
            Ok(image) => rows.push(row(&store, &image)?),
            // Removed just before.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    print(&columns(&rows))?;
    if usage {
        let used = store.usage()?;
        let (blobs, layers, pending) = (size(used.blobs), size(used.layers), size(used.pending));
        print(&format!("blobs {blobs}, unpacked layers {layers}, not finished {pending}\n"))?;
        if let Some(ids) = store.ids() {
            print(&format!("owners as in the images: {ids}\n"))?;
        }
    }
    Ok(Some(0))
}

fn row(store: &Store, image: &Image) -> Result<[String; 6], Failure> {
    let form = store.suited().form();
    let layers = &image.config().rootfs.diff_ids;
    let mut unpacked = 0;
    for layer in layers {
        unpacked += usize::from(store.layer(layer, &form)?.is_some());
    }
    Ok([
        image.reference().familiar(),
        image.descriptor().digest.short(),
        platform(image),
        layers.len().to_string(),
        unpacked.to_string(),
        size(image.size()),
    ])
}

fn platform(image: &Image) -> String {
    image.config().platform.platform().map_or_else(|| "-".to_owned(), |own| own.to_string())
}

/// Which document is shown as it is.
#[derive(Clone, Copy)]
enum Shown {
    Both,
    Config,
    Manifest,
}

/// `inspect`.
pub(crate) fn inspect(from: lexopt::Parser) -> Done {
    let mut shown = Shown::Both;
    let given = given(from, INSPECT, &mut |name, _| {
        shown = match name {
            "config" => Shown::Config,
            "manifest" => Shown::Manifest,
            _ => return Ok(false),
        };
        Ok(true)
    })?;
    let Some(mut given) = given else { return Ok(None) };
    let image = given.image()?;
    given.end()?;
    match shown {
        Shown::Config => print(&json(&image.config().to_bytes()?)?)?,
        Shown::Manifest => print(&json(&image.manifest().to_bytes()?)?)?,
        Shown::Both => {
            print(&columns(&facts(&image)))?;
            print(&columns(&layers(&image)?))?;
        }
    }
    Ok(Some(0))
}

/// A document on many lines.
fn json(bytes: &[u8]) -> Result<String, Failure> {
    let value: serde_json::Value = serde_json::from_slice(bytes)?;
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

fn facts(image: &Image) -> Vec<[String; 2]> {
    let config = image.config();
    let mut rows = vec![
        ["name", &image.reference().to_string()].map(str::to_owned),
        ["digest", &image.descriptor().digest.to_string()].map(str::to_owned),
        ["platform", &platform(image)].map(str::to_owned),
        ["size", &size(image.size())].map(str::to_owned),
    ];
    if let Some(created) = &config.created {
        rows.push(["created", created].map(str::to_owned));
    }
    rows.extend(execution(&config.config).map(|(name, value)| [name.to_owned(), value]));
    rows
}

/// How it is run, as far as it says.
fn execution(config: &Execution) -> impl Iterator<Item = (&'static str, String)> + '_ {
    let words = |words: &Option<Vec<String>>| words.as_ref().map(|words| format!("{words:?}"));
    let mut rows = vec![
        ("entrypoint", words(&config.entrypoint)),
        ("cmd", words(&config.cmd)),
        ("user", config.user.clone()),
        ("directory", config.working_dir.clone()),
        ("stop signal", config.stop_signal.clone()),
    ];
    rows.extend(config.env.iter().map(|pair| ("env", Some(pair.clone()))));
    rows.extend(config.volumes.iter().map(|path| ("volume", Some(path.clone()))));
    rows.extend(config.exposed_ports.iter().map(|port| ("port", Some(port.clone()))));
    let label = |(name, value)| ("label", Some(format!("{name}={value}")));
    rows.extend(config.labels.iter().map(label));
    rows.into_iter().filter_map(|(name, value)| Some((name, value?)))
}

/// The layers, the lowest first, with what made them and where they are.
fn layers(image: &Image) -> Result<Vec<[String; 4]>, Failure> {
    let form = image.store().suited().form();
    let config = image.config();
    let mut made = config.history.iter().filter(|step| !step.empty_layer);
    let mut rows = vec![["LAYER", "SIZE", "UNPACKED", "MADE BY"].map(str::to_owned)];
    for (blob, diff_id) in image.manifest().layers.iter().zip(&config.rootfs.diff_ids) {
        let unpacked = image.store().layer(diff_id, &form)?;
        let step = made.next().and_then(|step| step.created_by.clone()).unwrap_or_default();
        rows.push([
            blob.digest.short(),
            size(blob.size),
            unpacked.map_or_else(|| "-".to_owned(), |layer| layer.path().display().to_string()),
            step.chars().take(80).filter(|c| !c.is_control()).collect(),
        ]);
    }
    Ok(rows)
}
