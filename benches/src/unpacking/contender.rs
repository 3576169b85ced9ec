//! Who unpacks, and with which command. Touches no kernel object.
//!
//! Invariant: every command reads the same compressed layer and writes into a directory that does not exist yet, or is
//! empty.

use std::ffi::OsString;
use std::path::Path;

use super::layer::Layer;

/// A contender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contender {
    /// Its name.
    pub name: &'static str,
    /// What it does besides unpacking.
    pub remark: &'static str,
    program: &'static str,
    words: &'static [&'static str],
}

/// All, ours first. `LAYER`, `LAYOUT` and `TARGET` are replaced.
pub const CONTENDERS: &[Contender] = &[
    Contender {
        name: "ours",
        remark: "both digests",
        program: "",
        words: &["unpack", "LAYER", "TARGET"],
    },
    Contender {
        name: "tar",
        remark: "tar -xzf, no digest",
        program: "tar",
        words: &["-xzf", "LAYER", "-C", "TARGET"],
    },
    Contender {
        name: "umoci",
        remark: "raw unpack, both digests",
        program: "umoci",
        words: &["raw", "unpack", "--image", "LAYOUT:layer", "TARGET/rootfs"],
    },
    Contender {
        name: "c/storage",
        remark: "skopeo into containers-storage with the driver vfs, both digests",
        program: "skopeo",
        words: &[
            "--insecure-policy",
            "copy",
            "--quiet",
            "oci:LAYOUT:layer",
            "containers-storage:[vfs@TARGET/root+TARGET/run]bench:layer",
        ],
    },
];

impl Contender {
    /// The command line; `own` is the bench's program.
    pub fn command(&self, own: &Path, layer: &Layer, target: &Path) -> Vec<OsString> {
        let program =
            if self.program.is_empty() { own.as_os_str().to_owned() } else { self.program.into() };
        let replace = |word: &str| {
            let word = word.replace("LAYER", &layer.file.to_string_lossy());
            let word = word.replace("LAYOUT", &layer.layout.to_string_lossy());
            OsString::from(word.replace("TARGET", &target.to_string_lossy()))
        };
        [program].into_iter().chain(self.words.iter().map(|word| replace(word))).collect()
    }
}
