//! Deciding beforehand which tiers this machine can run.
//!
//! Touches `/proc/sys` and makes short-lived namespaces to see whether it may. Invariant: a tier
//! that cannot run has at least one obstacle, and each obstacle says what removes it.

use std::process::{Command, Stdio};

use rustix::process::geteuid;

use super::tier::{Need, RunsAs, Tier};
use super::user::{Setup, TestUser};
use crate::error::Error;
use crate::vm::Bed;
use crate::{packages, process};

/// What is to be done with a tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It runs.
    Run,
    /// It has no test files.
    Empty,
    /// It cannot run here.
    NotRun(Vec<Obstacle>),
}

/// Why a tier cannot run, and the command that would make it possible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Obstacle {
    pub(crate) reason: String,
    pub(crate) remedy: String,
}

impl Obstacle {
    fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { reason: reason.into(), remedy: remedy.into() }
    }
}

/// The machine, as far as the tiers depend on it.
pub(crate) struct Machine {
    /// Who runs the ordinary user's tests; `None` as long as no tier asked.
    user: Option<TestUser>,
    /// What virtual machines boot from; `None` as long as no tier asked.
    bed: Option<Bed>,
    setup: Setup,
}

impl Machine {
    /// Nothing is looked at before a tier asks.
    pub(crate) fn new(setup: Setup) -> Self {
        Self { user: None, bed: None, setup }
    }

    /// The user of the ordinary user's tiers.
    pub(crate) fn user(&mut self) -> Result<TestUser, Error> {
        if self.user.is_none() {
            self.user = Some(TestUser::choose(self.setup)?);
        }
        self.user.clone().ok_or(Error::absent("ordinary user"))
    }

    /// Decides about a tier that has test files.
    pub(crate) fn decide(&mut self, tier: &Tier) -> Result<Decision, Error> {
        if tier.runs_as == RunsAs::Root && !geteuid().is_root() {
            return Ok(Decision::NotRun(vec![Obstacle::new("needs root", as_root(tier))]));
        }
        let mut obstacles = Vec::new();
        let missing = packages::ensure(&[tier.name])?;
        if !missing.is_empty() {
            let names: Vec<_> = missing.iter().map(|package| package.program).collect();
            let reason = format!("no {}", names.join(", "));
            obstacles.push(Obstacle::new(reason, packages::install_command(&missing)));
        }
        for need in tier.needs {
            if *need == Need::Emulator && !obstacles.is_empty() {
                continue;
            }
            obstacles.extend(self.obstacle(*need)?);
        }
        let run = obstacles.is_empty();
        Ok(if run { Decision::Run } else { Decision::NotRun(obstacles) })
    }

    fn obstacle(&mut self, need: Need) -> Result<Option<Obstacle>, Error> {
        Ok(match need {
            Need::UserNamespaces => user_namespaces(&self.user()?),
            Need::SubordinateIds => subordinate_ids(&self.user()?),
            Need::RootNamespaces => root_namespaces(),
            Need::Emulator => self.emulator()?,
        })
    }

    /// What virtual machines boot from; built if need be.
    pub(crate) fn bed(&mut self) -> Result<&Bed, Error> {
        let bed = match self.bed.take() {
            Some(bed) => bed,
            None => Bed::get()?,
        };
        Ok(self.bed.insert(bed))
    }

    /// An ordinary user builds the image as root of a user namespace.
    fn emulator(&mut self) -> Result<Option<Obstacle>, Error> {
        let machine = std::env::consts::ARCH;
        if machine != "x86_64" {
            let reason = format!("the virtual machine is x86-64, this machine {machine}");
            return Ok(Some(Obstacle::new(reason, "run on x86-64")));
        }
        if process::find("apt-get").is_none() {
            return Ok(Some(Obstacle::new("no apt-get", "run on Debian or Ubuntu")));
        }
        if !geteuid().is_root() {
            let user = self.user()?;
            let obstacle = user_namespaces(&user).or_else(|| subordinate_ids(&user));
            if obstacle.is_some() {
                return Ok(obstacle);
            }
        }
        Ok(match self.bed() {
            Err(error) if error.is_unreachable() => {
                let remedy = "connect to the network (a proxy: Acquire::http::Proxy in /etc/apt)";
                Some(Obstacle::new(error.to_string(), remedy))
            }
            // Any other failure is a failed test, not a property of this machine.
            Ok(_) | Err(_) => None,
        })
    }
}

/// The command that runs a tier as root with the caller's toolchain. Its own target directory
/// keeps the caller's free of files that belong to root.
fn as_root(tier: &Tier) -> String {
    let environment = "\"PATH=$PATH\" \"HOME=$HOME\" CARGO_TARGET_DIR=target/root";
    format!("sudo env {environment} cargo xtask test --tier {}", tier.name)
}

/// Settings that forbid user namespaces to an ordinary user: file, forbidding value, remedy.
const SETTINGS: &[(&str, &str, &str)] = &[
    ("user/max_user_namespaces", "0", "sudo sysctl -w user.max_user_namespaces=15000"),
    ("kernel/unprivileged_userns_clone", "0", "sudo sysctl -w kernel.unprivileged_userns_clone=1"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
];

fn user_namespaces(user: &TestUser) -> Option<Obstacle> {
    for (file, forbidding, remedy) in SETTINGS {
        let value = std::fs::read_to_string(format!("/proc/sys/{file}")).unwrap_or_default();
        if value.trim() == *forbidding {
            let name = file.replace('/', ".");
            return Some(Obstacle::new(format!("{name}={forbidding}"), *remedy));
        }
    }
    let mut unshare = unshare(&["--user", "--map-root-user", "--mount", "--net", "--pid"]);
    user.become_in(&mut unshare);
    let refusal = refusal(&mut unshare)?;
    let reason = format!("user {} may not make user namespaces: {refusal}", user.name);
    let remedy = "run where they are allowed (in a container: --security-opt seccomp=unconfined \
                  --security-opt systempaths=unconfined)";
    Some(Obstacle::new(reason, remedy))
}

fn subordinate_ids(user: &TestUser) -> Option<Obstacle> {
    if user.has_sub_ids {
        return None;
    }
    let reason = format!("user {} has no subordinate ids", user.name);
    let own = user.uid == geteuid().as_raw();
    let remedy = if own { user.sub_id_command() } else { "cargo xtask test --setup".to_owned() };
    Some(Obstacle::new(reason, remedy))
}

fn root_namespaces() -> Option<Obstacle> {
    let all = ["--mount", "--net", "--pid", "--ipc", "--uts", "--cgroup"];
    let refusal = refusal(&mut unshare(&all))?;
    let reason = format!("root may not make namespaces: {refusal}");
    Some(Obstacle::new(reason, "run as the machine's root (in a container: --privileged)"))
}

fn unshare(namespaces: &[&str]) -> Command {
    let program = process::find("unshare").unwrap_or_else(|| "unshare".into());
    let mut command = Command::new(program);
    command.args(namespaces).args(["--fork", "true"]).current_dir("/");
    command
}

/// Why the command does not succeed, in one line; `None` if it does.
fn refusal(command: &mut Command) -> Option<String> {
    match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            Some(text.lines().next().unwrap_or("no reason given").trim().to_owned())
        }
        Err(error) => Some(error.to_string()),
    }
}
