//! The user and groups of a process, as people write them, and their resolution inside a root.
//!
//! Kernel objects: the root's `etc/passwd` and `etc/group`, read through [`LayeredRoot`]; the
//! host's own files and name services are never asked. Invariant: a number is never looked up as
//! a name, and a name is never guessed to be a number.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::decimal::parse_id;
use crate::error::{Error, ErrorKind, Reason, Result};
use crate::layered_root::LayeredRoot;
use crate::passwd::{self, PasswdEntry};

/// The kernel takes at most this many supplementary groups, see setgroups(2).
const GROUPS_MAX: usize = 65_536;

/// The longest name that is accepted, in bytes.
const NAME_MAX: usize = 256;

/// A user or a group: its number, or a name that is looked up in the root.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum IdOrName {
    /// The id itself, below 4294967295.
    Id(u32),
    /// A name: printable ASCII, not beginning with a sign, not a number.
    Name(String),
}

impl FromStr for IdOrName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refused = |reason| Error::text(ErrorKind::InvalidUser, text, reason);
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return parse_id(text.as_bytes()).map(Self::Id).map_err(refused);
        }
        check_name(text).map_err(refused)?;
        Ok(Self::Name(text.to_owned()))
    }
}

fn check_name(name: &str) -> Result<(), Reason> {
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b":,/".contains(&byte);
    match name.as_bytes() {
        [] => Err(Reason::Empty),
        [b'+' | b'-', ..] => Err(Reason::BadCharacter),
        bytes if bytes.len() > NAME_MAX => Err(Reason::TooLong(NAME_MAX)),
        bytes if !bytes.iter().copied().all(allowed) => Err(Reason::BadCharacter),
        _ => Ok(()),
    }
}

impl TryFrom<String> for IdOrName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<IdOrName> for String {
    fn from(value: IdOrName) -> Self {
        value.to_string()
    }
}

impl fmt::Display for IdOrName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Who a process runs as, not yet resolved.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    user: IdOrName,
    #[serde(default)]
    group: Option<IdOrName>,
    #[serde(default)]
    groups: Vec<IdOrName>,
}

impl User {
    /// A user and a group by number; nothing needs to be looked up for them.
    #[must_use]
    pub fn ids(uid: u32, gid: u32) -> Self {
        Self { user: IdOrName::Id(uid), group: Some(IdOrName::Id(gid)), groups: Vec::new() }
    }

    /// The same user with one more supplementary group.
    #[must_use]
    pub fn supplementary(mut self, group: IdOrName) -> Self {
        self.groups.push(group);
        self
    }

    /// Finds the ids, the groups and the home directory.
    ///
    /// The rules are those that image users know: a name must be in `passwd`; a number need not be
    /// there. Without a group, the primary group is that of `passwd`, or 0 for an unknown number,
    /// and the groups that list the user as a member are added, as initgroups(3) does. With a
    /// group, these memberships are left out. Groups asked for by
    /// [`supplementary`](Self::supplementary) are always added.
    ///
    /// # Errors
    /// [`UserNotFound`](ErrorKind::UserNotFound), [`GroupNotFound`](ErrorKind::GroupNotFound),
    /// [`InvalidUser`](ErrorKind::InvalidUser) for an id 4294967295, or what the source reports.
    pub fn resolve(&self, root: &dyn PasswdSource) -> Result<ResolvedUser> {
        let passwd = root.passwd()?;
        let group = root.group()?;
        let entry = self.find(&passwd)?;
        let uid = match (&self.user, &entry) {
            (IdOrName::Id(uid), _) => check_id(*uid)?,
            (IdOrName::Name(name), None) => return Err(not_found(ErrorKind::UserNotFound, name)),
            (IdOrName::Name(_), Some(entry)) => entry.uid,
        };
        let gid = match &self.group {
            Some(wanted) => find_group(wanted, &group)?,
            None => entry.map_or(0, |entry| entry.gid),
        };
        Ok(ResolvedUser {
            uid,
            gid,
            groups: self.find_groups(entry, &group)?,
            home: entry.and_then(|entry| entry.home).map(Path::to_owned),
            name: entry.map(|entry| entry.name.to_owned()),
        })
    }

    fn find<'a>(&self, passwd: &'a [u8]) -> Result<Option<PasswdEntry<'a>>> {
        Ok(passwd::users(passwd).find(|entry| match &self.user {
            IdOrName::Id(uid) => entry.uid == *uid,
            IdOrName::Name(name) => entry.name == name,
        }))
    }

    /// The supplementary groups, sorted, each once.
    fn find_groups(&self, entry: Option<PasswdEntry<'_>>, group: &[u8]) -> Result<Vec<u32>> {
        let mut groups = Vec::new();
        for wanted in &self.groups {
            groups.push(find_group(wanted, group)?);
        }
        if let (None, Some(entry)) = (&self.group, entry) {
            let listed = passwd::groups(group).filter(|group| group.has_member(entry.name));
            groups.extend(listed.map(|group| group.gid));
        }
        groups.sort_unstable();
        groups.dedup();
        if groups.len() > GROUPS_MAX {
            return Err(Error::text(
                ErrorKind::InvalidUser,
                &self.to_string(),
                Reason::TooManyGroups,
            ));
        }
        Ok(groups)
    }
}

fn find_group(wanted: &IdOrName, group: &[u8]) -> Result<u32> {
    match wanted {
        IdOrName::Id(gid) => check_id(*gid),
        IdOrName::Name(name) => passwd::groups(group)
            .find(|entry| entry.name == name)
            .map(|entry| entry.gid)
            .ok_or_else(|| not_found(ErrorKind::GroupNotFound, name)),
    }
}

/// Refuses the id that setuid(2) and its like read as "leave it".
fn check_id(id: u32) -> Result<u32> {
    if id == u32::MAX {
        return Err(Error::text(ErrorKind::InvalidUser, &id.to_string(), Reason::TooLarge));
    }
    Ok(id)
}

fn not_found(kind: ErrorKind, name: &str) -> Error {
    Error::text(kind, name, Reason::NotInRoot)
}

impl FromStr for User {
    type Err = Error;

    /// Reads `user` or `user:group`, each a number or a name.
    fn from_str(text: &str) -> Result<Self> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user.parse()?, Some(group.parse()?)),
            None => (text.parse()?, None),
        };
        Ok(Self { user, group, groups: Vec::new() })
    }
}

impl fmt::Display for User {
    /// Writes the user and the group, without the supplementary groups.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.user.fmt(f)?;
        self.group.iter().try_for_each(|group| write!(f, ":{group}"))
    }
}

/// Where `passwd` and `group` come from. A missing file is empty.
pub trait PasswdSource {
    /// The content of `etc/passwd`.
    ///
    /// # Errors
    /// When the file is there but must not or cannot be read.
    fn passwd(&self) -> Result<Vec<u8>>;

    /// The content of `etc/group`.
    ///
    /// # Errors
    /// When the file is there but must not or cannot be read.
    fn group(&self) -> Result<Vec<u8>>;
}

impl PasswdSource for LayeredRoot<'_> {
    fn passwd(&self) -> Result<Vec<u8>> {
        self.read(Path::new("etc/passwd"), passwd::FILE_MAX).map(Option::unwrap_or_default)
    }

    fn group(&self) -> Result<Vec<u8>> {
        self.read(Path::new("etc/group"), passwd::FILE_MAX).map(Option::unwrap_or_default)
    }
}

/// Both files as bytes that are at hand already, for instance from a test.
#[derive(Clone, Copy, Debug, Default)]
pub struct PasswdContent<'a> {
    /// The content of `passwd`.
    pub passwd: &'a [u8],
    /// The content of `group`.
    pub group: &'a [u8],
}

impl PasswdSource for PasswdContent<'_> {
    fn passwd(&self) -> Result<Vec<u8>> {
        Ok(self.passwd.to_vec())
    }

    fn group(&self) -> Result<Vec<u8>> {
        Ok(self.group.to_vec())
    }
}

/// Who a process runs as, in numbers of the root's user namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ResolvedUser {
    /// The user id.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// The supplementary groups, sorted, each once; the primary group may be among them.
    pub groups: Vec<u32>,
    /// The home directory, as `passwd` has it.
    pub home: Option<PathBuf>,
    /// The name, if `passwd` has one.
    pub name: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROOT: PasswdContent<'static> = PasswdContent {
        passwd: b"root:x:0:0::/root:/bin/sh\nann:x:1000:100::/home/ann:/bin/sh\n1000:x:0:0::/:\n",
        group: b"root:x:0:\nusers:x:100:\nwheel:x:10:bob,ann\naudio:x:29:ann\n29:x:0:\n",
    };

    fn resolve(text: &str) -> Result<ResolvedUser> {
        text.parse::<User>()?.resolve(&ROOT)
    }

    fn kind(text: &str) -> ErrorKind {
        resolve(text).unwrap_err().kind()
    }

    #[test]
    fn a_name_brings_its_groups_and_home() {
        let ann = resolve("ann").unwrap();
        assert_eq!((ann.uid, ann.gid, ann.groups.as_slice()), (1000, 100, &[10, 29][..]));
        assert_eq!(ann.home.as_deref(), Some(Path::new("/home/ann")));
        assert_eq!(resolve("1000").unwrap(), ann);
    }

    #[test]
    fn a_number_is_never_a_name() {
        assert_eq!(resolve("1000").unwrap().uid, 1000);
        assert_eq!(resolve("ann:29").unwrap().gid, 29);
        let unknown = resolve("7").unwrap();
        assert_eq!((unknown.uid, unknown.gid, unknown.name), (7, 0, None));
        assert_eq!((unknown.groups, unknown.home), (vec![], None));
    }

    #[test]
    fn a_group_replaces_the_memberships() {
        let ann = resolve("ann:wheel").unwrap();
        assert_eq!((ann.gid, ann.groups), (10, vec![]));
        let user: User = "ann:wheel".parse().unwrap();
        let with = user.supplementary("audio".parse().unwrap()).supplementary(IdOrName::Id(5));
        assert_eq!(with.resolve(&ROOT).unwrap().groups, [5, 29]);
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        assert_eq!(kind("bob"), ErrorKind::UserNotFound);
        assert_eq!(kind("ann:bob"), ErrorKind::GroupNotFound);
        assert_eq!(kind("0x0"), ErrorKind::UserNotFound);
        let user = User::ids(1, 1).supplementary("bob".parse().unwrap());
        assert_eq!(user.resolve(&ROOT).unwrap_err().kind(), ErrorKind::GroupNotFound);
        assert_eq!(
            User::ids(u32::MAX, 0).resolve(&ROOT).unwrap_err().kind(),
            ErrorKind::InvalidUser
        );
        assert_eq!(
            User::ids(0, u32::MAX).resolve(&ROOT).unwrap_err().kind(),
            ErrorKind::InvalidUser
        );
    }

    #[test]
    fn odd_spellings_are_refused() {
        let texts = [
            "",
            ":",
            "0:",
            ":0",
            "+0",
            "-1",
            " 0",
            "0 ",
            "00",
            "01",
            "4294967295",
            "4294967296",
            "18446744073709551616",
            "0:0:0",
            "0:+0",
            "a b",
            "a\n",
            "a\0",
            "a/b",
            "a,b",
            "ü",
            "٣",
        ];
        for text in texts {
            assert_eq!(kind(text), ErrorKind::InvalidUser, "{text:?}");
        }
        assert_eq!(kind(&"a".repeat(65_536)), ErrorKind::InvalidUser);
        assert_eq!(kind(&"1".repeat(65_536)), ErrorKind::InvalidUser);
    }

    #[test]
    fn too_many_groups_are_refused() {
        let lines: String = (0..70_000).map(|n| format!("g{n}:x:{n}:ann\n")).collect();
        let root = PasswdContent { passwd: ROOT.passwd, group: lines.as_bytes() };
        let error = "ann".parse::<User>().unwrap().resolve(&root).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidUser);
    }

    #[test]
    fn data_survives_json() {
        let user: User = "ann:100".parse().unwrap();
        let user = user.supplementary(IdOrName::Id(5));
        let json = serde_json::to_string(&user).unwrap();
        assert_eq!(json, r#"{"user":"ann","group":"100","groups":["5"]}"#);
        assert_eq!(serde_json::from_str::<User>(&json).unwrap(), user);
        serde_json::from_str::<User>(r#"{"user":"+1"}"#).unwrap_err();
    }

    proptest! {
        #[test]
        fn accepted_texts_come_back(text in "[a-c0-9:+ -]{0,8}") {
            if let Ok(user) = text.parse::<User>() {
                prop_assert_eq!(user.to_string(), text);
            }
        }

        #[test]
        fn any_files_are_resolved(passwd: Vec<u8>, group: Vec<u8>, uid: u32) {
            let root = PasswdContent { passwd: &passwd, group: &group };
            prop_assert_eq!(User::ids(uid, 1).resolve(&root).is_ok(), uid != u32::MAX);
        }
    }
}
