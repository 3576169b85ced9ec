//! The AppArmor profile of a payload: looked for by the plan, taken at the exec, and looked at after it.
//!
//! Kernel objects: `/sys/kernel/security/apparmor/profiles`, `/proc/…/attr/apparmor/{exec,current}` (apparmor(7)).
//! Invariant: a payload that runs under another profile than the one that was asked for does not stay alive.

use std::ffi::CString;
use std::fs;
use std::io;

use ampoule_init::steps::file;
use ampoule_init::{Fd, Step};
use rustix::io::Errno;

use crate::builder::Builder;
use crate::container::{Container, OnDrop};
use crate::error::{Error, ErrorKind, Problem, Stage};
use crate::levels::LeftOut;
use crate::pid1::Pid1;
use crate::process::Process;
use crate::report::{Control, Report};

/// Most bytes of a name: what is written, `exec ` and the name, must be less than a page.
const NAME_MAX: usize = 4096 - 6;

/// The profile that a launch takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    name: String,
    /// As the list of the loaded ones says it, if this process may read it.
    mode: Option<String>,
}

impl Builder {
    /// The AppArmor profile that the payload runs under, in place of an earlier one; `unconfined` is none.
    ///
    /// It must be loaded, which is root's to do (apparmor_parser(8)). [`Command::plan`](crate::Command::plan) fails with
    /// [`ErrorKind::AppArmor`] where AppArmor is not enabled or, as far as this process may see that, the profile is not
    /// loaded; else the launch fails. With [`Control::AppArmor`] in [`Builder::best_effort`] the container goes without,
    /// and the report says so. After the exec the payload's profile is looked at: if it is another one, everything is
    /// killed and the launch fails. The kernel changes the profile at the exec; init stays outside of it. Every process
    /// that joins ([`Container::exec`](crate::Container::exec)) gets the profile in the same way.
    #[must_use]
    pub fn apparmor_profile(mut self, name: impl Into<String>) -> Self {
        self.apparmor_profile = Some(name.into());
        self
    }

    /// What is wrong with the name.
    pub(crate) fn apparmor_problem(&self) -> Option<Problem> {
        problem(self.apparmor_profile.as_deref()?)
    }
}

/// What is wrong with a name.
pub(crate) fn problem(name: &str) -> Option<Problem> {
    let reason = if name.is_empty() {
        "the name is empty"
    } else if name.len() > NAME_MAX {
        "the name is longer than the kernel takes"
    } else if name.chars().any(char::is_control) {
        "the name has a control character"
    } else if name.trim() != name {
        "the kernel cuts spaces around a name"
    } else if name.contains("//&") || name.starts_with(':') {
        "this is a stack of profiles, or one of another policy namespace"
    } else {
        return None;
    };
    Some(Problem::new("apparmor_profile", reason))
}

/// Looks whether the profile can be had; `None` if none was asked for or, in best effort, it cannot.
pub(crate) fn prepare(
    builder: &Builder,
    left_out: &mut Vec<LeftOut>,
) -> Result<Option<Profile>, Error> {
    let Some(name) = &builder.apparmor_profile else { return Ok(None) };
    match named(name) {
        Ok(profile) => Ok(Some(profile)),
        Err((reason, _)) if builder.best_effort.contains(&Control::AppArmor) => {
            left_out.push((Control::AppArmor, reason));
            Ok(None)
        }
        Err((reason, hint)) => {
            Err(Error::new(ErrorKind::AppArmor, Stage::Plan).about(reason).with_hint(hint))
        }
    }
}

/// The profile, or why it cannot be had and what would help.
pub(crate) fn named(name: &str) -> Result<Profile, (String, &'static str)> {
    let read = |path: &str| fs::read_to_string(path);
    let enabled = is_enabled(
        read("/sys/kernel/security/lsm"),
        read("/sys/module/apparmor/parameters/enabled"),
    );
    if !enabled {
        let hint = "the kernel's parameter lsm= names what is enabled at boot";
        return Err(("AppArmor is not enabled".to_owned(), hint));
    }
    let mode = match read("/sys/kernel/security/apparmor/profiles") {
        // What no list has: it is always there.
        _ if name == "unconfined" => None,
        Ok(profiles) => Some(mode_of(name, &profiles).ok_or_else(|| {
            (format!("the profile {name:?} is not loaded"), "load it with apparmor_parser")
        })?),
        // Only who may change the policy may read it; the kernel says at the launch whether it is loaded.
        Err(_) => None,
    };
    Ok(Profile { name: name.to_owned(), mode })
}

/// Whether the kernel has AppArmor in force, by the list of modules or, where that is not mounted, by its parameter.
fn is_enabled(modules: io::Result<String>, parameter: io::Result<String>) -> bool {
    match (modules, parameter) {
        (Ok(modules), _) => modules.trim_end().split(',').any(|module| module == "apparmor"),
        (Err(_), Ok(parameter)) => parameter.starts_with('Y'),
        // Once it is in force, only who may change the policy may read this.
        (Err(_), Err(error)) => error.kind() == io::ErrorKind::PermissionDenied,
    }
}

/// The mode of a profile in the list of the loaded ones, lines of `NAME (MODE)`.
fn mode_of(name: &str, profiles: &str) -> Option<String> {
    let mut modes =
        profiles.lines().filter_map(|line| label(line).1.filter(|_| label(line).0 == name));
    modes.next().map(str::to_owned)
}

/// Name and mode of a label such as `docker-default (enforce)`; `unconfined` has no mode.
fn label(text: &str) -> (&str, Option<&str>) {
    let text = text.trim_end_matches(['\n', '\0']);
    let parts = text.strip_suffix(')').and_then(|text| text.rsplit_once(" ("));
    parts.map_or((text, None), |(name, mode)| (name, Some(mode)))
}

impl Profile {
    /// One that nobody looked for.
    #[cfg(test)]
    pub(crate) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), mode: None }
    }

    /// Lets the kernel change the profile at the next exec; `proc` is a procfs in which the process sees itself.
    pub(crate) fn step(&self, proc: Fd) -> Step {
        // Checked with the other settings; a thread's own file is the only one that it may write.
        let path = CString::from(c"thread-self/attr/apparmor/exec");
        file::write_existing(proc, &path, format!("exec {}", self.name).as_bytes())
    }

    /// What a report says.
    pub(crate) fn report(&self, report: &mut Report) {
        match self.mode.as_deref() {
            Some("complain") => report.not_possible(
                Control::AppArmor,
                format!(
                    "profile {:?} is in complain mode: it is followed, and only logs",
                    self.name
                ),
                Some("load it in enforce mode (aa-enforce)"),
            ),
            Some(mode) => {
                report.in_force(Control::AppArmor, format!("profile {:?} ({mode})", self.name));
            }
            None => report.in_force(Control::AppArmor, format!("profile {:?}", self.name)),
        }
    }

    /// Looks at the payload after its exec; one that has ended needs no profile any more.
    ///
    /// If it has another profile everything is killed first.
    pub(crate) fn verify(&self, container: &mut Container) -> Result<(), Error> {
        let looked = self.look(container);
        if looked.is_err() {
            container.on_drop = OnDrop::Kill;
        }
        looked
    }

    /// As [`Profile::verify`], where the caller ends the container.
    pub(crate) fn look(&self, container: &Container) -> Result<(), Error> {
        let wrong = match payload(container).map(current) {
            None | Some(Err(None)) => return Ok(()),
            Some(Ok(found)) if label(&found).0 == self.name => return Ok(()),
            Some(Ok(found)) => self.differs(&found),
            Some(Err(Some(errno))) => self.differs("what cannot be read").with_errno(errno),
        };
        // The id may be another process's by now.
        if container.alive().is_err() { Ok(()) } else { Err(wrong) }
    }

    /// As [`Profile::verify`], for a process that joined.
    pub(crate) fn verify_joined(&self, process: &mut Process) -> Result<(), Error> {
        // Not reaped yet, so that its id is its own.
        let wrong = match current(process.pid()) {
            Err(None) => return Ok(()),
            Ok(found) if label(&found).0 == self.name => return Ok(()),
            Ok(found) => self.differs(&found),
            Err(Some(errno)) => self.differs("what cannot be read").with_errno(errno),
        };
        process.on_drop = OnDrop::Kill;
        Err(wrong)
    }

    fn differs(&self, found: &str) -> Error {
        let text = format!("the payload's profile is {:?}, not {:?}", label(found).0, self.name);
        Error::new(ErrorKind::AppArmor, Stage::Exec).about(text)
    }
}

/// The payload's process id on the host; `None` once it has ended.
fn payload(container: &Container) -> Option<u32> {
    let first = container.pid;
    match container.plan.pid1() {
        Pid1::Payload => Some(first),
        // Its only child at first.
        Pid1::Reaper => {
            let children = fs::read_to_string(format!("/proc/{first}/task/{first}/children"));
            children.ok()?.split_whitespace().next()?.parse().ok()
        }
    }
}

/// The label of a process; an error without number if it has ended.
fn current(pid: u32) -> Result<String, Option<Errno>> {
    let read = fs::read_to_string(format!("/proc/{pid}/attr/apparmor/current"));
    read.map_err(|error| match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT | Errno::SRCH) | None => None,
        errno => errno,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: io::ErrorKind) -> io::Result<String> {
        Err(kind.into())
    }

    #[test]
    fn names_that_the_kernel_would_change_are_refused() {
        let problem = |name: &str| Container::bare().apparmor_profile(name).apparmor_problem();
        for name in ["docker-default", "/usr/bin/man", "a//b", "with space", "unconfined", "ä"] {
            assert_eq!(problem(name), None, "{name}");
        }
        let long = "x".repeat(NAME_MAX + 1);
        for name in ["", " a", "a ", "a\n", "a\0b", "a//&b", ":ns://a", &long] {
            assert!(problem(name).is_some(), "{name:?}");
        }
        let refused = Container::bare().apparmor_profile("a\n").command("true").plan();
        let refused = refused.expect_err("a control character");
        assert_eq!(refused.kind(), ErrorKind::InvalidSettings);
        assert_eq!(refused.problems()[0].setting(), "apparmor_profile");
    }

    #[test]
    fn whether_it_is_enabled_is_known_from_either_file() {
        let list = |text: &str| Ok::<_, io::Error>(text.to_owned());
        let denied = || error(io::ErrorKind::PermissionDenied);
        let absent = || error(io::ErrorKind::NotFound);
        assert!(is_enabled(list("capability,landlock,apparmor\n"), absent()));
        assert!(!is_enabled(list("capability,apparmorish"), list("Y\n")));
        assert!(is_enabled(absent(), list("Y\n")));
        assert!(!is_enabled(absent(), list("N\n")));
        assert!(is_enabled(absent(), denied()));
        assert!(!is_enabled(absent(), absent()));
    }

    #[test]
    fn labels_have_a_name_and_a_mode() {
        assert_eq!(label("unconfined\n"), ("unconfined", None));
        assert_eq!(label("/usr/bin/man (enforce)\n"), ("/usr/bin/man", Some("enforce")));
        assert_eq!(label("a (b) (complain)"), ("a (b)", Some("complain")));
        let loaded = "snap.a (complain)\nours (enforce)\nours//child (enforce)\n";
        assert_eq!(mode_of("ours", loaded).as_deref(), Some("enforce"));
        assert_eq!(mode_of("snap.a", loaded).as_deref(), Some("complain"));
        assert_eq!(mode_of("our", loaded), None);
        assert_eq!(mode_of("ours (enforce)", loaded), None);
    }

    #[test]
    fn the_step_writes_the_command_of_the_kernel() {
        let profile = Profile { name: "a b".to_owned(), mode: None };
        let step = profile.step(Fd::Plan(0)).to_string();
        assert!(step.starts_with("write(plan:0, \"thread-self/attr/apparmor/exec\""), "{step}");
        assert!(step.contains("\"exec a b\""), "{step}");
    }

    #[test]
    fn complaining_is_not_in_force() {
        let report = |mode: Option<&str>| {
            let mut report = Report::default();
            Profile { name: "p".to_owned(), mode: mode.map(str::to_owned) }.report(&mut report);
            report.is_in_force(Control::AppArmor)
        };
        assert!(report(None) && report(Some("enforce")));
        assert!(!report(Some("complain")));
    }
}
