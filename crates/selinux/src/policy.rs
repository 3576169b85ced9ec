//! The contexts that the installed policy has for containers.
//!
//! Kernel objects: none; `/etc/selinux/config` and `contexts/lxc_contexts` of the policy (selinux_lxc_contexts_path(3)).
//! Invariant: a policy without the file has the names that policies with containers use.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::level::Level;
use crate::pair::Pair;
use crate::problem::Problem;

/// Files of a policy are small; what is longer is not one.
const LIMIT: usize = 64 * 1024;

/// The contexts of containers, without categories.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContainerContexts {
    /// A container's processes.
    pub process: Context,
    /// Files that a container may write to.
    pub file: Context,
    /// Files that a container may read and execute only.
    pub read_only_file: Context,
    /// The processes of a container that runs a service manager.
    pub init_process: Context,
    /// The processes of a container that starts virtual machines.
    pub kvm_process: Context,
}

impl ContainerContexts {
    /// Those of the installed policy.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) with the file and the line's problem;
    /// [`ErrorKind::Denied`](crate::ErrorKind::Denied).
    pub fn of_the_policy() -> Result<Self> {
        Self::below(Path::new("/etc/selinux"))
    }

    /// Those of a policy that is installed in this directory in place of `/etc/selinux`.
    ///
    /// # Errors
    /// As [`Self::of_the_policy`].
    pub fn below(directory: &Path) -> Result<Self> {
        let Some(config) = read(&directory.join("config"))? else { return Ok(Self::default()) };
        let Some(policy) = policy_of(&config) else { return Ok(Self::default()) };
        let contexts = directory.join(policy).join("contexts");
        // Two names in use; the newer one first.
        for name in ["container_contexts", "lxc_contexts"] {
            let path: PathBuf = contexts.join(name);
            if let Some(text) = read(&path)? {
                return Self::parse(&text).map_err(|problem| Error::malformed(&path, problem));
            }
        }
        Ok(Self::default())
    }

    /// Reads the text of such a file: lines `name = "context"`; what is not named stays as by default.
    ///
    /// # Errors
    /// The [`Problem`] of a context.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let mut contexts = Self::default();
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        for (name, value) in lines.filter_map(|line| line.split_once('=')) {
            let place = match name.trim() {
                "process" => &mut contexts.process,
                "file" => &mut contexts.file,
                "ro_file" => &mut contexts.read_only_file,
                "init_process" => &mut contexts.init_process,
                "kvm_process" | "sandbox_kvm_process" => &mut contexts.kvm_process,
                _ => continue,
            };
            *place = value.trim().trim_matches('"').parse()?;
        }
        Ok(contexts)
    }

    /// The label of a container's processes and that of its files, with its pair.
    #[must_use]
    pub fn with_pair(&self, pair: Pair) -> (Context, Context) {
        (self.process.clone().with_pair(pair), self.file.clone().with_pair(pair))
    }
}

/// The names that container-selinux and the reference policy use.
impl Default for ContainerContexts {
    fn default() -> Self {
        Self {
            process: standard("system_r", "container_t"),
            file: standard("object_r", "container_file_t"),
            read_only_file: standard("object_r", "container_ro_file_t"),
            init_process: standard("system_r", "container_init_t"),
            kvm_process: standard("system_r", "container_kvm_t"),
        }
    }
}

fn standard(role: &str, kind: &str) -> Context {
    Context::trusted("system_u", role, kind, Some(Level::default().into()))
}

/// The name of the policy in `/etc/selinux/config`; a name that would lead elsewhere is none.
pub(crate) fn policy_of(config: &str) -> Option<&str> {
    let lines = config.lines().map(str::trim);
    let name = lines.filter_map(|line| line.strip_prefix("SELINUXTYPE=")).next_back()?.trim();
    (!name.is_empty() && !name.contains('/') && !name.starts_with('.')).then_some(name)
}

/// The text of a file; `None` if there is none.
fn read(path: &Path) -> Result<Option<String>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            return Err(Error::on("read", path, errno));
        }
    };
    if bytes.len() > LIMIT {
        return Err(Error::malformed(path, Problem::TooLong { bytes: bytes.len() }));
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}
