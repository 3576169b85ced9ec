//! The layer: files of this machine, packed by GNU tar and gzip, and an image layout around it.
//!
//! Touches one directory. Invariant: as many members and bytes as in the bar, where the machine has that many.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ampoule_image::Digest;
use ampoule_image::unpack::{Unpack, Unpacked, Whiteouts};
use serde::Serialize;

use crate::failure::Failure;

/// Members and bytes of the layer in bar.md.
const MEMBERS: usize = 12_300;
const BYTES: u64 = 271_000_000;

/// Small files come from the first, large ones from the second.
const SMALL: &str = "/usr/share";
const LARGE: &str = "/usr/lib";

/// A layer in a directory of its own.
#[derive(Clone, Debug, Serialize)]
pub struct Layer {
    /// The compressed file.
    pub file: PathBuf,
    /// An OCI layout with one image, `layer`, that has this one layer.
    pub layout: PathBuf,
    /// Bytes of the compressed file.
    pub blob_size: u64,
    /// Bytes of the uncompressed layer.
    pub diff_size: u64,
    /// Members.
    pub members: u64,
}

/// Makes the layer in `directory`, or takes `file`.
///
/// # Errors
/// When tar or gzip fail, or the layer cannot be unpacked.
pub fn prepare(directory: &Path, file: Option<&Path>) -> Result<Layer, Failure> {
    let file = match file {
        Some(file) => file.to_owned(),
        None => pack(directory)?,
    };
    let unpacked = try_it(directory, &file)?;
    let layout = directory.join("layout");
    write_layout(&layout, &file, &unpacked)?;
    Ok(Layer {
        file,
        layout,
        blob_size: unpacked.blob_size,
        diff_size: unpacked.diff_size,
        members: unpacked.entries,
    })
}

fn pack(directory: &Path) -> Result<PathBuf, Failure> {
    let list = directory.join("list");
    let mut names = Vec::new();
    for file in chosen() {
        names.extend_from_slice(file.as_os_str().as_encoded_bytes());
        names.push(0);
    }
    fs::write(&list, names).map_err(Failure::file("write", &list))?;
    let layer = directory.join("layer.tar.gz");
    let output = File::create(&layer).map_err(Failure::file("create", &layer))?;
    let script = "tar -c --sort=name --no-recursion --null -T \"$0\" -C / | gzip -6";
    let mut pack = Command::new("sh");
    pack.args(["-c", script]).arg(&list).current_dir("/").stdout(output).stderr(Stdio::null());
    let status = pack.status().map_err(Failure::call("sh"))?;
    if status.success() { Ok(layer) } else { Err(Failure::Ended(status)) }
}

/// Names below `/`, parents first.
fn chosen() -> Vec<PathBuf> {
    let (mut small, mut large) = (Vec::new(), Vec::new());
    walk(Path::new(SMALL), &mut small);
    walk(Path::new(LARGE), &mut large);
    let mut taken = Vec::new();
    let mut bytes = 0;
    let first = small.into_iter().filter(|(_, len)| *len < 300_000).take(MEMBERS * 9 / 10);
    for (path, len) in first.chain(large.into_iter().filter(|(_, len)| *len < 30_000_000)) {
        if taken.len() >= MEMBERS || bytes + len > BYTES {
            continue;
        }
        bytes += len;
        taken.push(path.strip_prefix("/").map_or_else(|_| path.clone(), Path::to_owned));
    }
    taken.sort();
    taken
}

/// Directories, files and links, with the bytes of the files.
fn walk(directory: &Path, found: &mut Vec<(PathBuf, u64)>) {
    found.push((directory.to_owned(), 0));
    let Ok(entries) = fs::read_dir(directory) else { return };
    let mut paths: Vec<_> =
        entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    for path in paths {
        match fs::symlink_metadata(&path) {
            Ok(stat) if stat.is_dir() => walk(&path, found),
            Ok(stat) => found.push((path, if stat.is_file() { stat.len() } else { 0 })),
            Err(_) => {}
        }
    }
}

fn try_it(directory: &Path, file: &Path) -> Result<Unpacked, Failure> {
    let target = directory.join("first");
    fs::create_dir(&target).map_err(Failure::file("create", &target))?;
    let unpacked = unpack(file, &target)?;
    fs::remove_dir_all(&target).map_err(Failure::file("remove", &target))?;
    Ok(unpacked)
}

/// Unpacks `file` into `target` as ours.
///
/// # Errors
/// When that fails.
pub fn unpack(file: &Path, target: &Path) -> Result<Unpacked, Failure> {
    let layer = File::open(file).map_err(Failure::file("open", file))?;
    let root = File::open(target).map_err(Failure::file("open", target))?;
    let mut options = Unpack::default();
    options.whiteouts = Whiteouts::Applied;
    options.apply(layer, root.as_fd()).map_err(Failure::reported)
}

fn write_layout(layout: &Path, file: &Path, unpacked: &Unpacked) -> Result<(), Failure> {
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(Failure::file("create", &blobs))?;
    let layer = blobs.join(unpacked.blob.hex());
    fs::copy(file, &layer).map_err(Failure::file("copy", &layer))?;
    let put = |value: serde_json::Value, media_type: &str| {
        let bytes = serde_json::to_vec(&value)?;
        let digest = Digest::of(&bytes);
        let path = blobs.join(digest.hex());
        fs::write(&path, &bytes).map_err(Failure::file("write", &path))?;
        Ok::<_, Failure>(serde_json::json!({
            "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len(),
        }))
    };
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [unpacked.diff_id.to_string()]},
        "history": [{"created_by": "bench"}],
    });
    let config = put(config, "application/vnd.oci.image.config.v1+json")?;
    let layer = serde_json::json!({
        "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
        "digest": unpacked.blob.to_string(), "size": unpacked.blob_size,
    });
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": [layer],
    });
    let mut manifest = put(manifest, "application/vnd.oci.image.manifest.v1+json")?;
    manifest["annotations"] = serde_json::json!({"org.opencontainers.image.ref.name": "layer"});
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [manifest]});
    for (name, value) in
        [("index.json", index), ("oci-layout", serde_json::json!({"imageLayoutVersion": "1.0.0"}))]
    {
        let path = layout.join(name);
        fs::write(&path, serde_json::to_vec(&value)?).map_err(Failure::file("write", &path))?;
    }
    Ok(())
}
