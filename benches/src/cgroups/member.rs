//! The process that is moved into groups: one that does nothing.
//!
//! Touches one child process. Invariant: it ends when the value is dropped, and when the process ends that holds it.

use std::fs;
use std::process::{Child, Command, Stdio};

use super::hierarchy::Hierarchies;
use crate::failure::Failure;

/// A child that waits for the end of its input.
#[derive(Debug)]
pub struct Member {
    child: Child,
}

impl Member {
    /// Starts it.
    ///
    /// # Errors
    /// When `cat` cannot be started.
    pub fn start() -> Result<Self, Failure> {
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        Ok(Self { child: command.spawn().map_err(Failure::call("spawn (cat)"))? })
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Moves it to the groups of this process.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn take_back(&self, hierarchies: &Hierarchies) -> Result<(), Failure> {
        for hierarchy in hierarchies.iter() {
            let file = hierarchy.own.join("cgroup.procs");
            fs::write(&file, self.id().to_string()).map_err(Failure::file("write", &file))?;
        }
        Ok(())
    }

    /// How many hierarchies have it in the group of this name.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn memberships(&self, group: &str) -> Result<usize, Failure> {
        let path = format!("/proc/{}/cgroup", self.id());
        let text = fs::read_to_string(&path);
        let text = text.map_err(Failure::file("read", path.as_ref()))?;
        Ok(text.lines().filter(|line| line.ends_with(&format!("/{group}"))).count())
    }
}

impl Drop for Member {
    #[expect(clippy::print_stderr, reason = "a drop has no other way to say what it left behind")]
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait().map(drop)) {
            eprintln!("process {} left behind: {error}", self.child.id());
        }
    }
}
