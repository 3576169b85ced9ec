//! The ordinary user of the `user` and `subid` tiers.
//!
//! Touches `/etc/passwd`, `/etc/subuid`, `/etc/subgid`. Invariant: accounts are only changed as
//! root, and then only the one named [`OWN_NAME`].

use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{getegid, geteuid};

use crate::error::Error;
use crate::process;

/// The account that is made for the tests in CI or with `--setup`.
pub(crate) const OWN_NAME: &str = "ampoule-test";
const NOBODY: u32 = 65534;
const SUB_IDS: u32 = 65536;

/// Whether the account [`OWN_NAME`] may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setup {
    /// Make it if it is missing.
    Allowed,
    /// Change nothing.
    Forbidden,
}

/// Who runs the ordinary user's tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TestUser {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) has_sub_ids: bool,
}

impl TestUser {
    /// The caller if it is an ordinary user. For root: [`OWN_NAME`], else who called sudo, else
    /// the first account with subordinate ids, else uid 65534.
    pub(crate) fn choose(setup: Setup) -> Result<Self, Error> {
        let uid = geteuid().as_raw();
        if !geteuid().is_root() {
            let own = accounts().into_iter().find(|account| account.uid == uid);
            return Ok(own.unwrap_or_else(|| Self::without_sub_ids(uid, getegid().as_raw())));
        }
        if setup == Setup::Allowed {
            make_own_account()?;
        }
        let accounts = accounts();
        let sudo = std::env::var("SUDO_USER").unwrap_or_default();
        let ordinary = || accounts.iter().filter(|account| account.uid != 0);
        let chosen = ordinary()
            .find(|account| account.name == OWN_NAME)
            .or_else(|| ordinary().find(|account| account.name == sudo && account.has_sub_ids))
            .or_else(|| ordinary().find(|account| account.has_sub_ids));
        Ok(chosen.cloned().unwrap_or_else(|| Self::without_sub_ids(NOBODY, NOBODY)))
    }

    fn without_sub_ids(uid: u32, gid: u32) -> Self {
        Self { name: uid.to_string(), uid, gid, has_sub_ids: false }
    }

    /// Makes `command` run as this user, without further groups.
    pub(crate) fn become_in(&self, command: &mut Command) {
        if geteuid().is_root() {
            command.uid(self.uid).gid(self.gid);
        }
    }

    /// The command that gives this user subordinate ids.
    pub(crate) fn sub_id_command(&self) -> String {
        let first = free_sub_id(&[&read("/etc/subuid"), &read("/etc/subgid")]);
        let last = first + SUB_IDS - 1;
        let range = format!("--add-subuids {first}-{last} --add-subgids {first}-{last}");
        format!("sudo usermod {range} {}", self.name)
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn accounts() -> Vec<TestUser> {
    parse_accounts(&read("/etc/passwd"), &read("/etc/subuid"), &read("/etc/subgid"))
}

fn parse_accounts(passwd: &str, subuid: &str, subgid: &str) -> Vec<TestUser> {
    let account = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let (name, uid, gid) = (fields.first()?, fields.get(2)?, fields.get(3)?);
        let listed = |file: &str| has_range(file, name) || has_range(file, uid);
        let has_sub_ids = listed(subuid) && listed(subgid);
        Some(TestUser {
            name: (*name).to_owned(),
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            has_sub_ids,
        })
    };
    passwd.lines().filter_map(account).collect()
}

/// The ranges of a subordinate-id file (subuid(5)): owner, first id, count.
fn ranges(file: &str) -> impl Iterator<Item = (&str, u32, u32)> {
    file.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let (owner, first, count) = (fields.next()?, fields.next()?, fields.next()?);
        Some((owner, first.parse().ok()?, count.parse().ok()?))
    })
}

fn has_range(file: &str, owner: &str) -> bool {
    ranges(file).any(|(name, _, count)| name == owner && count >= SUB_IDS)
}

/// The first id after every range of the files, and not below 100 000.
fn free_sub_id(files: &[&str]) -> u32 {
    let ends = files.iter().flat_map(|file| ranges(file));
    ends.map(|(_, first, count)| first.saturating_add(count)).fold(100_000, u32::max)
}

fn make_own_account() -> Result<(), Error> {
    let own = || accounts().into_iter().find(|account| account.name == OWN_NAME);
    if own().is_none() {
        println!("making the account {OWN_NAME}");
        let mut useradd = Command::new("useradd");
        useradd.args(["--system", "--user-group", "--no-create-home"]);
        useradd.args(["--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", OWN_NAME]);
        succeed(&mut useradd)?;
    }
    let Some(own) = own().filter(|own| !own.has_sub_ids) else { return Ok(()) };
    let line = own.sub_id_command();
    let mut words = line.split(' ').skip(1);
    let mut usermod = Command::new(words.next().unwrap_or("usermod"));
    succeed(usermod.args(words))
}

fn succeed(command: &mut Command) -> Result<(), Error> {
    let status = process::status(command)?;
    if status.success() { Ok(()) } else { Err(Error::exit(command, status)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:100::/home/ann:/bin/sh\nbad\n";

    #[test]
    fn accounts_know_their_sub_ids() {
        let accounts = parse_accounts(PASSWD, "ann:100000:65536\n", "1000:100000:65536\n");
        let names: Vec<_> = accounts.iter().map(|a| (a.name.as_str(), a.has_sub_ids)).collect();
        assert_eq!(names, [("root", false), ("ann", true)]);
    }

    #[test]
    fn a_range_in_one_file_only_is_none() {
        assert!(!parse_accounts(PASSWD, "ann:100000:65536\n", "")[1].has_sub_ids);
        assert!(!parse_accounts(PASSWD, "ann:100000:10\n", "ann:100000:10\n")[1].has_sub_ids);
    }

    #[test]
    fn the_free_range_is_behind_all_others() {
        assert_eq!(free_sub_id(&["", "x\n"]), 100_000);
        assert_eq!(free_sub_id(&["a:100000:65536\n", "b:300000:65536\n"]), 365_536);
    }
}
