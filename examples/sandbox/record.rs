//! What `--record` does: serves the command's system calls and writes the smallest profile.
//!
//! Touches the file that was named. Invariant: it is written only after everything has ended.

use std::path::PathBuf;
use std::thread::JoinHandle;

use ampoule::Container;
use ampoule::seccomp::{self, Recording};
use ampoule_examples::arguments::Failure;

/// A recording that goes on while the command runs.
pub(crate) struct Recorder {
    file: PathBuf,
    thread: JoinHandle<seccomp::Result<Recording>>,
}

impl Recorder {
    pub(crate) fn start(file: PathBuf, container: &mut Container) -> Result<Self, Failure> {
        let listener = container.listener.take();
        let listener = listener.ok_or("the filter asks nobody")?;
        let thread = std::thread::spawn(move || {
            let mut recording = Recording::new();
            recording.serve(&listener).map(|()| recording)
        });
        Ok(Self { file, thread })
    }

    pub(crate) fn write(self) -> Result<(), Failure> {
        let recording = self.thread.join().map_err(|_| "the recording has stopped")??;
        let filter = recording.smallest();
        let text = match self.file.extension() {
            Some(extension) if extension == "rs" => format!("{}\n", filter.to_rust()),
            _ => format!("{}\n", filter.to_oci_json()?),
        };
        Ok(std::fs::write(&self.file, text)?)
    }
}
