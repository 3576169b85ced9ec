//! From a command, as it would be run in-process, to what a document says.
//!
//! Kernel objects: none. Invariant: the environment is the one that the plan would make, but for `HOME`, which whoever
//! runs the document gives by its user.

use std::path::{Path, PathBuf};

use super::config::Config;
use super::hooks::Hooks;
use crate::command::{Command, EnvClear};
use crate::environment::Environment;

impl From<&Command> for Config {
    /// The same container and program: for a `config.json` of what runs here. A builder that takes variables over from
    /// this process ([`Builder::env_inherit`](crate::Builder::env_inherit)) gives their values now. Streams, descriptors
    /// and time limits are not part of it.
    fn from(command: &Command) -> Self {
        let builder = &command.builder;
        let mut environment = Environment::default();
        if command.env_clear == EnvClear::Keep {
            environment = Environment::defaults(Path::new(""));
            environment.remove("HOME".as_ref());
            environment.inherit(&builder.env_inherit);
            let own = builder.env.iter().cloned();
            own.for_each(|(name, value)| environment.set(name, value));
        }
        for (name, value) in command.env.iter().cloned() {
            match value {
                Some(value) => environment.set(name, value),
                None => environment.remove(&name),
            }
        }
        let directory = command.current_dir.as_deref().or(builder.image_working_dir());
        Self {
            builder: builder.clone(),
            args: command.program.iter().chain(&command.args).cloned().collect(),
            env: environment.iter().cloned().collect(),
            current_dir: directory.map_or_else(|| PathBuf::from("/"), Path::to_path_buf),
            terminal: command.window_size(),
            annotations: Default::default(),
            hooks: Hooks::default(),
            listener: None,
        }
    }
}
