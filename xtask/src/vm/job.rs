//! What a guest is to run. Pure, but for the clock.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::guest::{AppArmor, Guest, Init, Selinux};
use super::kernel::Version;
use super::qemu::Share;

/// The domain of a shell of root's. Without categories: pipes would carry them, and a container
/// could not write to those.
const DOMAIN: &str = "unconfined_u:unconfined_r:unconfined_t:s0";
/// The label of shares, unless the share says another one.
pub(crate) const LABEL: &str = "unconfined_u:object_r:user_home_t:s0";
/// The ordinary user of the guest, with subordinate ids.
pub(crate) const TESTER: &str = "tester";

/// A command, and where and how it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) guest: Guest,
    pub(crate) mode: Mode,
    pub(crate) domain: String,
    /// Root without one.
    pub(crate) user: Option<String>,
    pub(crate) directory: PathBuf,
    pub(crate) environment: Vec<(OsString, OsString)>,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) shares: Vec<Share>,
    /// Shown on standard error after the command: `avc`, `dmesg`, `journal`, by commas.
    pub(crate) show: String,
    pub(crate) limit: Duration,
}

/// What SELinux does while the command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Off,
    Permissive,
    Enforcing,
}

impl Mode {
    /// By its name on the command line.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        [Self::Off, Self::Permissive, Self::Enforcing].into_iter().find(|mode| mode.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Permissive => "permissive",
            Self::Enforcing => "enforcing",
        }
    }
}

impl Job {
    /// A command of root's in a plain guest.
    pub(crate) fn new(kernel: Version, arguments: Vec<OsString>) -> Self {
        Self {
            guest: Guest::new(kernel, Init::Plain),
            mode: Mode::Off,
            domain: DOMAIN.to_owned(),
            user: None,
            directory: PathBuf::from("/"),
            environment: vec![pair("PATH", PATH), pair("LANG", "C.UTF-8")],
            arguments,
            shares: Vec::new(),
            show: String::new(),
            limit: Duration::from_secs(600),
        }
    }

    /// The job of a test program, by the beginning of its name: `vm_systemd_` runs under systemd,
    /// `vm_user_` also as an ordinary user in its session, `vm_selinux_` with SELinux enforcing,
    /// `vm_apparmor_` with AppArmor.
    pub(crate) fn of_test(kernel: Version, name: &str) -> Self {
        let mut job = Self::new(kernel, Vec::new());
        let name = format!("{name}_");
        if name.starts_with("vm_systemd_") || name.starts_with("vm_user_") {
            job.guest.init = Init::Systemd;
        }
        if name.starts_with("vm_user_") {
            job.user = Some(TESTER.to_owned());
        }
        if name.starts_with("vm_selinux_") {
            job.set_mode(Mode::Enforcing);
        }
        if name.starts_with("vm_apparmor_") {
            job.guest.apparmor = AppArmor::On;
        }
        job
    }

    /// Sets what SELinux does, and whether the kernel has it.
    pub(crate) fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
        self.guest.selinux = if mode == Mode::Off { Selinux::Off } else { Selinux::On };
    }

    /// Adds a variable.
    pub(crate) fn env(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        self.environment.push((name.into(), value.into()));
    }

    /// What people read.
    pub(crate) fn about(&self) -> String {
        let user = self.user.as_deref().unwrap_or("root");
        let enforcing = if self.mode == Mode::Enforcing { " enforcing" } else { "" };
        let about = self.guest.about().replace("SELinux", &format!("SELinux{enforcing}"));
        format!("{about}, as {user}")
    }

    /// The files by which the guest learns of the job: names and NUL-separated contents.
    pub(super) fn files(&self) -> [(&'static str, Vec<u8>); 4] {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let setting = |name: &str, value: &OsStr| joined(name.as_ref(), value);
        let settings = [
            setting("now", now.to_string().as_ref()),
            setting("selinux", self.mode.name().as_ref()),
            setting("domain", self.domain.as_ref()),
            setting("user", self.user.as_deref().unwrap_or_default().as_ref()),
            setting("directory", self.directory.as_os_str()),
            setting("show", self.show.as_ref()),
        ];
        let environment = self.environment.iter().map(|(name, value)| joined(name, value));
        let shares = self.shares.iter().enumerate().flat_map(|(index, share)| {
            let (tag, mode) = (format!("share{index}"), share.access.name());
            let guest = share.guest.clone().into_os_string();
            [tag.into(), guest, mode.into(), share.context.clone().into()]
        });
        [
            ("settings", terminated(settings)),
            ("environment", terminated(environment)),
            ("arguments", terminated(self.arguments.iter().cloned())),
            ("shares", terminated(shares)),
        ]
    }
}

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn pair(name: &str, value: &str) -> (OsString, OsString) {
    (name.into(), value.into())
}

fn joined(name: &OsStr, value: &OsStr) -> OsString {
    let mut joined = name.to_owned();
    joined.push("=");
    joined.push(value);
    joined
}

fn terminated(words: impl IntoIterator<Item = OsString>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in words {
        bytes.extend(word.as_bytes());
        bytes.push(0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_test_says_where_it_runs() {
        let job = |name: &str| {
            let job = Job::of_test(Version::V6_12, name);
            (job.guest.init, job.user.is_some(), job.mode)
        };
        assert_eq!(job("vm_groups"), (Init::Plain, false, Mode::Off));
        assert_eq!(job("vm_systemd_scope"), (Init::Systemd, false, Mode::Off));
        assert_eq!(job("vm_user"), (Init::Systemd, true, Mode::Off));
        assert_eq!(job("vm_users"), (Init::Plain, false, Mode::Off));
        assert_eq!(job("vm_selinux_types"), (Init::Plain, false, Mode::Enforcing));
        let module = |name: &str| Job::of_test(Version::V6_12, name).guest.command_line();
        assert!(module("vm_apparmor_profiles").ends_with("lsm=landlock,yama,apparmor"));
        assert!(!module("vm_groups").contains("apparmor"));
    }

    #[test]
    fn words_may_hold_anything_but_nul() {
        let job = Job::new(Version::V6_1, vec!["sh".into(), "a b\n'".into()]);
        let files = job.files();
        assert_eq!(files[2], ("arguments", b"sh\0a b\n'\0".to_vec()));
    }
}
