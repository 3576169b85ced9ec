//! Steps that build a Landlock ruleset in the process and enforce one (landlock(7), Linux 5.13).

use crate::step::{Arg, Fd, Slot, Step};
use crate::wire::code;

/// `LANDLOCK_RULE_NET_PORT`.
const RULE_NET_PORT: u64 = 2;

/// What a ruleset denies unless a rule allows it; words of `struct landlock_ruleset_attr`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handled {
    /// `LANDLOCK_ACCESS_FS_…`.
    pub access_fs: u64,
    /// `LANDLOCK_ACCESS_NET_…` (Linux 6.7).
    pub access_net: u64,
    /// `LANDLOCK_SCOPE_…` (Linux 6.12).
    pub scoped: u64,
}

/// Rights beneath a path, by what is found there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// If it is a directory.
    pub of_directory: u64,
    /// If it is not.
    pub of_file: u64,
}

/// Makes a ruleset (landlock_create_ruleset(2)).
#[must_use]
pub fn create(handled: Handled, save: Slot) -> Step {
    let Handled { access_fs, access_net, scoped } = handled;
    let words = [access_fs, access_net, scoped];
    // An older kernel takes a longer structure only if what it does not know is zero.
    let bytes: Vec<u8> = words.into_iter().flat_map(u64::to_ne_bytes).collect();
    let length = Arg::Number(bytes.len() as u64);
    let shown = format!("{{fs={access_fs:#x} net={access_net:#x} scoped={scoped:#x}}}");
    let args = vec![Arg::Bytes(bytes, shown), length, Arg::Number(0)];
    Step::call("landlock_create_ruleset", libc::SYS_landlock_create_ruleset, args).save(save)
}

/// Allows rights at and beneath an open file or directory (landlock_add_rule(2)).
#[must_use]
pub fn allow_path(ruleset: Fd, file: Fd, rights: Rights) -> Step {
    let Rights { of_directory, of_file } = rights;
    let args = vec![ruleset.into(), file.into(), Arg::Number(of_directory), Arg::Number(of_file)];
    let shown = format!("{ruleset}, {file}, directory={of_directory:#x} file={of_file:#x}");
    Step::operation("landlock_add_rule", code::LANDLOCK_PATH, args)
        .named("landlock_add_rule", shown)
}

/// Allows `LANDLOCK_ACCESS_NET_…` for a port (landlock_add_rule(2), Linux 6.7).
#[must_use]
pub fn allow_port(ruleset: Fd, port: u16, access: u64) -> Step {
    let bytes = [access, u64::from(port)].into_iter().flat_map(u64::to_ne_bytes).collect();
    let args = vec![
        ruleset.into(),
        Arg::Named(RULE_NET_PORT, "LANDLOCK_RULE_NET_PORT".to_owned()),
        Arg::Bytes(bytes, format!("{{access={access:#x} port={port}}}")),
        Arg::Number(0),
    ];
    Step::call("landlock_add_rule", libc::SYS_landlock_add_rule, args)
}

/// Enforces a ruleset on the process and all that comes from it; it needs no_new_privs or `CAP_SYS_ADMIN`
/// (landlock_restrict_self(2)).
#[must_use]
pub fn restrict_self(ruleset: Fd) -> Step {
    let args = vec![ruleset.into(), Arg::Number(0)];
    Step::call("landlock_restrict_self", libc::SYS_landlock_restrict_self, args)
}
