//! A second back end: the same questions to the C library, and what only the library answers (feature `libselinux`).
//!
//! Nothing else of this crate uses it. [`validate`] and [`allows`] answer as [`SelinuxFs`](crate::SelinuxFs) does,
//! by the library's own way through selinuxfs; [`DefaultLabels`] reads the rules by which the policy labels files.
//!
//! Kernel objects: selinuxfs, `contexts/files/file_contexts` of the policy. Invariant: contexts are asked for and told as
//! the kernel has them, without the translation of levels for people.

use std::ffi::{CString, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::io::Errno;
use selinux::label::Labeler;
use selinux::label::back_end::File;
use selinux::{FileAccessMode, KernelSupport, SecurityClass, SecurityContext};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::selinuxfs::{State, parse};

/// Contexts as the kernel has them (`_raw` in the library's names).
const RAW: bool = true;
/// `SELABEL_OPT_PATH` of selinux/label.h.
const OPTION_PATH: c_int = 3;

/// The state of this machine, as [`State::of_this_machine`] gives it.
///
/// # Errors
/// [`ErrorKind::System`](crate::ErrorKind::System) when selinuxfs cannot be read.
pub fn state() -> Result<State> {
    if selinux::kernel_support() == KernelSupport::Unsupported {
        return Ok(State::Disabled);
    }
    match selinux::current_mode() {
        selinux::SELinuxMode::Enforcing => Ok(State::Enforcing),
        selinux::SELinuxMode::Permissive => Ok(State::Permissive),
        _ => Err(Error::call("security_getenforce", Errno::IO)),
    }
}

/// Whether the policy has a context; gives it as the kernel writes it (security_canonicalize_context(3)).
///
/// # Errors
/// [`ErrorKind::Disabled`](crate::ErrorKind::Disabled) without SELinux; [`ErrorKind::UnknownContext`](crate::ErrorKind::UnknownContext); [`ErrorKind::Denied`](crate::ErrorKind::Denied).
pub fn validate(context: &Context) -> Result<Context> {
    enabled()?;
    let text = text(context)?;
    let asked = SecurityContext::from_c_str(&text, RAW);
    match asked.canonicalize() {
        Ok(found) => parse(Path::new("context"), found.as_bytes()),
        Err(error) => Err(match errno(&error) {
            Errno::INVAL => Error::unknown(context),
            errno => Error::call("security_canonicalize_context", errno),
        }),
    }
}

/// Whether a process in `source` may have this permission of this class on `target` (security_compute_av(3)).
///
/// # Errors
/// [`ErrorKind::Disabled`](crate::ErrorKind::Disabled) without SELinux; [`ErrorKind::UnknownContext`](crate::ErrorKind::UnknownContext) for contexts, a class or a permission that the
/// policy does not have.
pub fn allows(
    source: &Context,
    target: &Context,
    (class, permission): (&str, &str),
) -> Result<bool> {
    enabled()?;
    let unknown = |_| Error::unknown(target);
    let class = SecurityClass::from_name(class).map_err(unknown)?;
    let bit = class.access_vector_bit(permission).map_err(unknown)?;
    let (from, to) = (text(source)?, text(target)?);
    let [from, to] = [&from, &to].map(|text| SecurityContext::from_c_str(text, RAW));
    match from.query_access_decision(&to, class, bit) {
        Ok(decision) => Ok(decision.allowed & bit != 0),
        Err(error) => Err(match errno(&error) {
            Errno::INVAL => Error::unknown(target),
            errno => Error::call("security_compute_av", errno),
        }),
    }
}

/// The labels that files get by their path (selabel_lookup(3)): what `restorecon` would give them.
#[derive(Debug)]
pub struct DefaultLabels(Labeler<File>);

impl DefaultLabels {
    /// Those of the installed policy.
    ///
    /// # Errors
    /// [`ErrorKind::System`](crate::ErrorKind::System) when the policy has no such file.
    pub fn of_the_policy() -> Result<Self> {
        Self::open(&[])
    }

    /// Those of a file in the format of file_contexts(5); it needs no SELinux.
    ///
    /// # Errors
    /// [`ErrorKind::System`](crate::ErrorKind::System) when it cannot be read or a line of it is wrong.
    pub fn of_file(path: &Path) -> Result<Self> {
        let name = terminated(path)?;
        // The library copies the name before it returns.
        Self::open(&[(OPTION_PATH, name.as_ptr().cast())])
    }

    fn open(options: &[(c_int, *const c_void)]) -> Result<Self> {
        let opened = Labeler::new(options, RAW);
        opened.map(Self).map_err(|error| Error::call("selabel_open", errno(&error)))
    }

    /// The label of a path, which is absolute and without links; none where the policy has no rule or says `<<none>>`.
    ///
    /// `mode` is that of stat(2), of which the kind of file counts; with 0, rules for any kind do.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) for a rule with what is no context; [`ErrorKind::System`](crate::ErrorKind::System).
    pub fn get(&self, path: &Path, mode: u32) -> Result<Option<Context>> {
        match self.0.look_up_by_path(path, FileAccessMode::new(mode)) {
            Ok(found) => parse(path, found.as_bytes()).map(Some),
            Err(error) => match errno(&error) {
                Errno::NOENT => Ok(None),
                errno => Err(Error::on("selabel_lookup", path, errno)),
            },
        }
    }
}

fn enabled() -> Result<()> {
    match selinux::kernel_support() {
        KernelSupport::Unsupported => Err(Error::disabled()),
        _ => Ok(()),
    }
}

fn text(context: &Context) -> Result<CString> {
    CString::new(context.to_string()).map_err(|_| Error::unknown(context))
}

fn terminated(path: &Path) -> Result<CString> {
    let invalid = |_| Error::on("selabel_open", path, Errno::INVAL);
    CString::new(path.as_os_str().as_bytes()).map_err(invalid)
}

/// What the library left in `errno`.
fn errno(error: &selinux::errors::Error) -> Errno {
    let source = std::error::Error::source(error);
    let found = source.and_then(|source| source.downcast_ref::<std::io::Error>());
    found.and_then(Errno::from_io_error).unwrap_or(Errno::IO)
}
