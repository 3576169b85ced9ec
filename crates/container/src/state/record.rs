//! What the file of a kept container says.
//!
//! Kernel objects: none. Invariant: a file of another version is told apart before anything else in it is read.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::SystemTime;

use ampoule_ns::{IdMap, ResolvedUser};
use serde::{Deserialize, Serialize};

use crate::builder::Builder;
use crate::error::{Error, ErrorKind, Stage};
use crate::network::Left;

/// The version that is written.
pub(crate) const VERSION: u32 = 1;

/// How far a container had come when its file was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Written {
    Creating,
    Created,
    Started,
}

/// A process, told apart from a later one with its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// Ticks since boot (proc_pid_stat(5), field 22).
    pub(crate) start: u64,
}

/// What is left to be done at the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) first_step: usize,
    pub(crate) steps: Vec<String>,
    pub(crate) program: OsString,
    pub(crate) current_dir: OsString,
}

/// The payload's user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Who {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) home: Option<PathBuf>,
}

impl Who {
    pub(crate) fn of(user: &ResolvedUser) -> Self {
        let ResolvedUser { uid, gid, groups, home, .. } = user.clone();
        Self { uid, gid, groups, home }
    }
}

/// Where its group is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grouped {
    pub(crate) places: Vec<PathBuf>,
    pub(crate) name: String,
}

/// What a process that joins needs to know of the container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Confinement {
    /// Without its root: that is mounted.
    pub(crate) builder: Builder,
    /// Whether it has another root than the host.
    pub(crate) own_root: bool,
    pub(crate) user: Who,
    pub(crate) id_map: Option<IdMap>,
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) current_dir: OsString,
}

/// The file of a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) version: u32,
    pub(crate) id: String,
    pub(crate) written: Written,
    pub(crate) created: SystemTime,
    /// `/proc/sys/kernel/random/boot_id`: ids of processes mean nothing after the next start of the machine.
    pub(crate) boot: String,
    pub(crate) init: Option<Process>,
    pub(crate) group: Option<Grouped>,
    pub(crate) bundle: Option<PathBuf>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) start: Start,
    /// What its networks are on the host.
    #[serde(default)]
    pub(crate) networks: Left,
    pub(crate) confinement: Confinement,
}

/// What every version has.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl Record {
    /// Reads a file.
    pub(crate) fn decode(text: &[u8]) -> Result<Self, Error> {
        let broken = |error: serde_json::Error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            let error_text = format!("its state file is not whole: {place}");
            Error::new(ErrorKind::StateFile, Stage::Running).about(error_text).caused_by(error)
        };
        let Versioned { version } = serde_json::from_slice(text).map_err(broken)?;
        if version != VERSION {
            let text = format!("its state file has version {version}, this is version {VERSION}");
            return Err(Error::new(ErrorKind::StateFile, Stage::Running)
                .about(text)
                .with_hint("use the version of the program that made the container"));
        }
        serde_json::from_slice(text).map_err(broken)
    }

    /// The file's bytes.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        serde_json::to_vec_pretty(self).map_err(|error| {
            Error::new(ErrorKind::StateFile, Stage::Launch)
                .about("what the container is cannot be written down")
                .caused_by(error)
        })
    }
}

/// When a process was started, in ticks since boot; none when there is no such process.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// The present run of the machine.
pub(crate) fn boot_id() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    read.unwrap_or_default().trim().to_owned()
}
