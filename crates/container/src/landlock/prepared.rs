//! From rules to steps, or to a ruleset that every launch enforces.
//!
//! Kernel objects: a ruleset (landlock_create_ruleset(2)), files and directories by descriptor. Invariant: a ruleset that
//! launches share is never changed; what only the container's root can tell is a ruleset of the launch's own.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use ::landlock::{
    BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, Scope,
};
use ampoule_init::steps::landlock::Rights;
use ampoule_init::steps::launch::send_fd;
use ampoule_init::steps::{file, landlock as steps};
use ampoule_init::{Draft, Step};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;

use super::rights::{Missing, Version};
use super::{FileRule, Landlock};
use crate::builder::Builder;
use crate::error::{Error, ErrorKind, Stage, kind_of_errno};
use crate::levels::LeftOut;
use crate::plan::RootSteps;
use crate::report::{Control, Level};

/// What a launch does for the rules.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Builds the ruleset, if the plan could not; its paths are looked up in the container's root.
    pub(crate) build: Vec<Step>,
    /// Enforces it.
    pub(crate) enforce: Step,
    /// What a report says.
    pub(crate) detail: String,
    /// The ruleset of every launch, if the plan could build it; else init sends the launch's own.
    pub(crate) ruleset: Option<OwnedFd>,
}

/// Makes the ruleset or its steps; `None` if none was asked for or, in best effort, none can be had.
///
/// Without a `root` of the container's own the paths are the host's, and can be looked up now.
pub(crate) fn prepare(
    builder: &Builder,
    root: Option<&RootSteps>,
    draft: &mut Draft,
    left_out: &mut Vec<LeftOut>,
) -> Result<Option<Prepared>, Error> {
    let whose = root.map_or(Whose::Host, |_| Whose::Container);
    prepare_for(whose, builder, draft, left_out)
}

/// Whose root the paths of rules are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Host,
    /// Known to init alone.
    Container,
}

/// As [`prepare`], where there is no root to mount: for a container that was reopened.
pub(crate) fn prepare_for(
    whose: Whose,
    builder: &Builder,
    draft: &mut Draft,
    left_out: &mut Vec<LeftOut>,
) -> Result<Option<Prepared>, Error> {
    let Some(rules) = &builder.landlock else { return Ok(None) };
    let best_effort = builder.best_effort.contains(&Control::Landlock);
    let level = if best_effort { Level::BestEffort } else { Level::Require };
    let (version, short) = version(rules, ampoule_init::sys::landlock::abi(), level)?;
    left_out.extend(short.map(|reason| (Control::Landlock, reason)));
    if version.handled(rules) == steps::Handled::default() {
        return Ok(None);
    }
    // A ruleset without paths is the same wherever it is made.
    let prepared = if whose == Whose::Host || rules.files.is_empty() {
        let built = build(rules, version)?;
        let kept = built.try_clone().map_err(|error| Error::io(Stage::Plan, "dup", &error))?;
        let ruleset = draft.inherit(built);
        Prepared {
            build: Vec::new(),
            enforce: steps::restrict_self(ruleset),
            detail: detail(rules),
            ruleset: Some(kept),
        }
    } else {
        in_the_container(rules, version, draft)
    };
    Ok(Some(prepared))
}

/// The version to use, and what it cannot restrict; an error if all of it is required.
fn version(
    rules: &Landlock,
    found: io::Result<u32>,
    level: Level,
) -> Result<(Version, Option<String>), Error> {
    let (abi, why) = match found {
        Ok(abi) => (abi, None),
        Err(error) => (0, Some(reason(&error))),
    };
    let version = Version::of_kernel(abi);
    let missing = version.missing(rules);
    if missing.is_empty() {
        return Ok((version, None));
    }
    let text = describe(abi, why, &missing);
    match level {
        Level::BestEffort => Ok((version, Some(text))),
        Level::Require => Err(Error::new(ErrorKind::Unsupported, Stage::Plan)
            .about(format!("landlock: {text}"))
            .with_hint("use a newer kernel, or ask for it with best_effort")),
    }
}

/// Why there is no version.
fn reason(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOSYS) => "the kernel has no Landlock",
        Some(Errno::OPNOTSUPP) => {
            "Landlock was not enabled at boot (the kernel's parameter lsm= names it)"
        }
        _ => "asking for Landlock is forbidden here",
    }
}

/// What is not in force, with the versions.
fn describe(found: u32, why: Option<&str>, missing: &[Missing]) -> String {
    let needed = missing.iter().map(|one| one.since).max().unwrap_or(0);
    let list: Vec<String> =
        missing.iter().map(|one| format!("{} (ABI {})", one.what, one.since)).collect();
    let has = why.map_or_else(|| format!("the kernel has {found}"), str::to_owned);
    format!("ABI {needed} is needed and {has}; not restricted: {}", list.join(", "))
}

/// What the rules are, in a line.
fn detail(rules: &Landlock) -> String {
    let mut parts = Vec::new();
    if !rules.files.is_empty() {
        parts.push(format!("files but {} paths", rules.files.len()));
    }
    if let Some(tcp) = &rules.tcp {
        parts.push(format!("TCP but connect {:?}, bind {:?}", tcp.connect, tcp.bind));
    }
    parts.extend(rules.scopes.iter().map(ToString::to_string));
    format!("denied: {}", parts.join("; "))
}

/// Builds the ruleset on the host.
fn build(rules: &Landlock, version: Version) -> Result<OwnedFd, Error> {
    let handled = version.handled(rules);
    let mut ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    if !rules.files.is_empty() {
        ruleset = ruleset.handle_access(version.files()).map_err(refused)?;
    }
    let net = BitFlags::<::landlock::AccessNet>::from_bits_truncate(handled.access_net);
    if !net.is_empty() {
        ruleset = ruleset.handle_access(net).map_err(refused)?;
    }
    let scopes = BitFlags::<Scope>::from_bits_truncate(handled.scoped);
    if !scopes.is_empty() {
        ruleset = ruleset.scope(scopes).map_err(refused)?;
    }
    let mut made: RulesetCreated = ruleset.create().map_err(refused)?;
    for rule in &rules.files {
        made = made.add_rule(host_rule(rule, version)?).map_err(refused)?;
    }
    for (port, access) in version.ports(rules) {
        made = made.add_rule(NetPort::new(port, access)).map_err(refused)?;
    }
    let descriptor: Option<OwnedFd> = made.into();
    descriptor.ok_or_else(|| Error::new(ErrorKind::Unsupported, Stage::Plan).about("landlock"))
}

/// Opens what a rule names on the host.
fn host_rule(rule: &FileRule, version: Version) -> Result<PathBeneath<OwnedFd>, Error> {
    let failed = |errno| about_path(&rule.path, errno);
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_MAGICLINKS;
    let opened = openat2(CWD, &rule.path, flags, Mode::empty(), resolve).map_err(failed)?;
    let mode = fstat(&opened).map_err(failed)?.st_mode;
    let rights = if FileType::from_raw_mode(mode) == FileType::Directory {
        version.rights(rule.access)
    } else {
        version.rights_of_file(rule.access)
    };
    Ok(PathBeneath::new(opened, rights))
}

fn about_path(path: &Path, errno: Errno) -> Error {
    let kind = match kind_of_errno(errno) {
        ErrorKind::System => ErrorKind::FileSystem,
        kind => kind,
    };
    Error::new(kind, Stage::Plan).about(format!("landlock: {}", path.display())).with_errno(errno)
}

/// The error of a ruleset that the kernel does not take.
fn refused(error: RulesetError) -> Error {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    let mut errno = None;
    while let Some(one) = source {
        let number = one.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        errno = errno.or(number.map(Errno::from_raw_os_error));
        source = one.source();
    }
    let made = Error::new(errno.map_or(ErrorKind::System, kind_of_errno), Stage::Plan)
        .about(format!("landlock: {error}"));
    let made = match errno {
        Some(errno) => made.with_errno(errno),
        None => made,
    };
    made.caused_by(error)
}

/// Says what a program needs that may not be executed.
pub(crate) fn explain(error: Error, rules: Option<&Prepared>) -> Error {
    match (error.kind(), rules) {
        (ErrorKind::ProgramNotExecutable, Some(_)) => error.with_hint(
            "Landlock: execute() must cover the program, its interpreter and its loader",
        ),
        _ => error,
    }
}

/// The steps that build and enforce it in the container's root.
fn in_the_container(rules: &Landlock, version: Version, draft: &mut Draft) -> Prepared {
    // One slot for all paths: each is closed before the next one is opened.
    let (ruleset, opened) = (draft.slots.take(), draft.slots.take());
    let mut build = vec![steps::create(version.handled(rules), ruleset)];
    for rule in &rules.files {
        let rights = Rights {
            of_directory: version.rights(rule.access).bits(),
            of_file: version.rights_of_file(rule.access).bits(),
        };
        // Checked with the other settings.
        let path = crate::environment::path("landlock", &rule.path, &mut Vec::new());
        let path = path.unwrap_or_default();
        let flags = u64::from(OFlags::PATH.bits());
        let resolve = ResolveFlags::NO_MAGICLINKS.bits();
        build.push(file::open(ampoule_init::Fd::Cwd, &path, flags, resolve, opened));
        build.push(steps::allow_path(ruleset.into(), opened.into(), rights));
        build.push(file::close(opened));
    }
    for (port, access) in version.ports(rules) {
        build.push(steps::allow_port(ruleset.into(), port, BitFlags::from(access).bits()));
    }
    // What joins gets this one: looked up again, the paths could by then be what the payload made of them.
    build.push(send_fd(super::RULESET, ruleset));
    let enforce = steps::restrict_self(ruleset.into());
    Prepared { build, enforce, detail: detail(rules), ruleset: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landlock::LandlockScope;

    fn error(errno: Errno) -> io::Result<u32> {
        Err(io::Error::from_raw_os_error(errno.raw_os_error()))
    }

    #[test]
    fn a_kernel_that_has_less_is_an_error_with_both_versions() {
        let rules = Landlock::new().read("/usr").scope(LandlockScope::Signal);
        let refused = version(&rules, Ok(2), Level::Require).unwrap_err();
        assert_eq!((refused.kind(), refused.stage()), (ErrorKind::Unsupported, Stage::Plan));
        let text = refused.to_string();
        assert!(text.contains("ABI 6 is needed and the kernel has 2"), "{text}");
        assert!(text.contains("truncation of files (ABI 3)"), "{text}");
        assert!(text.contains("scopes (ABI 6)"), "{text}");
        assert!(version(&rules, Ok(6), Level::Require).is_ok());
        assert!(version(&rules, Ok(7), Level::Require).is_ok());
    }

    #[test]
    fn a_kernel_without_says_why() {
        let rules = Landlock::new().deny_tcp();
        for (errno, words) in [
            (Errno::NOSYS, "the kernel has no Landlock"),
            (Errno::OPNOTSUPP, "not enabled at boot"),
            (Errno::PERM, "forbidden here"),
        ] {
            let refused = version(&rules, error(errno), Level::Require).unwrap_err();
            assert!(refused.to_string().contains(words), "{refused}");
            let (found, short) = version(&rules, error(errno), Level::BestEffort).unwrap();
            assert!(short.is_some_and(|short| short.contains(words)), "{errno}");
            assert_eq!(found.handled(&rules), steps::Handled::default());
        }
    }

    #[test]
    fn best_effort_says_what_is_not_restricted() {
        let rules = Landlock::new().read("/usr").deny_tcp();
        let (found, short) = version(&rules, Ok(4), Level::BestEffort).unwrap();
        let short = short.unwrap();
        assert!(short.ends_with("not restricted: ioctl of devices (ABI 5)"), "{short}");
        let handled = found.handled(&rules);
        assert_eq!((handled.access_fs, handled.access_net), (0x7fff, 3));
        assert_eq!(version(&rules, Ok(5), Level::BestEffort).unwrap().1, None);
    }
}
