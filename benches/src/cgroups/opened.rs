//! Which files of a group somebody opens, as the kernel sees it (inotify(7)).
//!
//! Touches one inotify descriptor. Invariant: an open is seen whoever makes it, in the order of the opens; several in a
//! row of the same file count once.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::hierarchy::Hierarchies;
use crate::failure::Failure;

/// Bytes of events that are taken at once.
const EVENTS: usize = 16 << 10;

/// Looks at the directories of one group.
#[derive(Debug)]
pub struct Opened {
    inotify: OwnedFd,
    /// Number of the watch, name of the hierarchy.
    watches: Vec<(i32, String)>,
}

impl Opened {
    /// Looks from now on.
    ///
    /// # Errors
    /// When the kernel refuses a watch.
    pub fn watch(hierarchies: &Hierarchies, group: &str) -> Result<Self, Failure> {
        let flags = CreateFlags::CLOEXEC | CreateFlags::NONBLOCK;
        let inotify = inotify::init(flags).map_err(Failure::call("inotify_init1"))?;
        let mut watches = Vec::new();
        for hierarchy in hierarchies.iter().filter(|one| one.place.join(group).is_dir()) {
            let directory = hierarchy.place.join(group);
            let watch = inotify::add_watch(&inotify, &directory, WatchFlags::OPEN);
            let watch = watch.map_err(Failure::call("inotify_add_watch"))?;
            watches.push((watch, hierarchy.name.clone()));
        }
        Ok(Self { inotify, watches })
    }

    /// What was opened since then, as `hierarchy/file`.
    ///
    /// # Errors
    /// When the events cannot be read.
    pub fn files(self) -> Result<Vec<String>, Failure> {
        let mut buffer = [const { MaybeUninit::uninit() }; EVENTS];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        let mut files = Vec::new();
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => return Ok(files),
                Err(errno) => return Err(Failure::call("read (inotify)")(errno)),
            };
            let hierarchy = self.watches.iter().find(|(watch, _)| *watch == event.wd());
            // An event without a name is about the directory itself.
            let file = event.file_name().filter(|name| !name.is_empty());
            if let Some(((_, hierarchy), file)) = hierarchy.zip(file) {
                files.push(format!("{hierarchy}/{}", file.to_string_lossy()));
            }
        }
    }
}
