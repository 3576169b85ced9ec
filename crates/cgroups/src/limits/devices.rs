//! Rules for device nodes.
//!
//! Kernel objects: v1 `devices.allow` and `devices.deny` (Documentation/admin-guide/cgroup-v1/devices.rst); on v2 a
//! program of type `BPF_PROG_TYPE_CGROUP_DEVICE`. Invariant: the rules start from "nothing is allowed", and for each
//! kind of access the last rule that matches the device decides.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Reason, Result};

/// Whether a rule allows or denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceAction {
    /// The access is allowed.
    Allow,
    /// The access is refused with `EPERM`.
    Deny,
}

/// Which kind of device node a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DeviceKind {
    /// Every device, whatever its numbers (`a`).
    #[serde(rename = "a")]
    Any,
    /// Block devices (`b`).
    #[serde(rename = "b")]
    Block,
    /// Character devices (`c`).
    #[serde(rename = "c")]
    Char,
}

bitflags::bitflags! {
    /// What is done with a device node; written as letters of `rwm`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct DeviceAccess: u8 {
        /// Opening for reading (`r`).
        const READ = 1;
        /// Opening for writing (`w`).
        const WRITE = 2;
        /// Making a node with mknod(2) (`m`).
        const MKNOD = 4;
    }
}

/// The letter of each kind of access, in the order in which the kernel prints them.
const LETTERS: [(char, DeviceAccess); 3] =
    [('r', DeviceAccess::READ), ('w', DeviceAccess::WRITE), ('m', DeviceAccess::MKNOD)];

/// One rule: `allow c 1:3 rwm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceRule {
    action: DeviceAction,
    kind: DeviceKind,
    major: Option<u32>,
    minor: Option<u32>,
    access: DeviceAccess,
}

impl DeviceRule {
    /// A rule for every device of every kind and every access.
    #[must_use]
    pub fn all(action: DeviceAction) -> Self {
        let access = DeviceAccess::all();
        Self { action, kind: DeviceKind::Any, major: None, minor: None, access }
    }

    /// A rule for every device of a kind.
    #[must_use]
    pub fn new(action: DeviceAction, kind: DeviceKind, access: DeviceAccess) -> Self {
        Self { action, kind, major: None, minor: None, access }
    }

    /// Allows this access to a character device.
    #[must_use]
    pub fn allow_char(major: u32, minor: u32, access: DeviceAccess) -> Self {
        Self::new(DeviceAction::Allow, DeviceKind::Char, access).major(major).minor(minor)
    }

    /// Allows this access to a block device.
    #[must_use]
    pub fn allow_block(major: u32, minor: u32, access: DeviceAccess) -> Self {
        Self::new(DeviceAction::Allow, DeviceKind::Block, access).major(major).minor(minor)
    }

    /// Narrows the rule to one major number.
    #[must_use]
    pub fn major(mut self, major: u32) -> Self {
        self.major = Some(major);
        self
    }

    /// Narrows the rule to one minor number.
    #[must_use]
    pub fn minor(mut self, minor: u32) -> Self {
        self.minor = Some(minor);
        self
    }

    /// Whether it allows or denies.
    #[must_use]
    pub fn action(&self) -> DeviceAction {
        self.action
    }

    /// The kind of device node.
    #[must_use]
    pub fn kind(&self) -> DeviceKind {
        self.kind
    }

    /// The major number; `None` is every one.
    #[must_use]
    pub fn major_number(&self) -> Option<u32> {
        self.major
    }

    /// The minor number; `None` is every one.
    #[must_use]
    pub fn minor_number(&self) -> Option<u32> {
        self.minor
    }

    /// The kinds of access.
    #[must_use]
    pub fn access(&self) -> DeviceAccess {
        self.access
    }

    /// Whether it is about every device, whatever its numbers and the access.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::all(self.action)
    }

    /// Whether a device exists that both are about.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        fn meet<T: PartialEq>(left: Option<T>, right: Option<T>) -> bool {
            left.is_none() || right.is_none() || left == right
        }
        let kind = |rule: &Self| (rule.kind != DeviceKind::Any).then_some(rule.kind);
        meet(kind(self), kind(other))
            && meet(self.major, other.major)
            && meet(self.minor, other.minor)
            && self.access.intersects(other.access)
    }

    /// The text for `devices.allow` and `devices.deny`, such as `c 1:*  rwm`.
    #[must_use]
    pub fn to_v1(&self) -> String {
        let number = |number: Option<u32>| number.map_or("*".to_owned(), |n| n.to_string());
        let (kind, access) = (letter(self.kind), Letters(self.access));
        format!("{kind} {}:{} {access}", number(self.major), number(self.minor))
    }
}

/// The rules that every container needs: making any node, and using `null`, `zero`, `full`, `random`, `urandom`,
/// `tty`, `ptmx` and the pseudo terminals.
#[must_use]
pub fn container_rules() -> Vec<DeviceRule> {
    let all = DeviceAccess::all();
    let mknod = |kind| DeviceRule::new(DeviceAction::Allow, kind, DeviceAccess::MKNOD);
    let mut rules = vec![mknod(DeviceKind::Char), mknod(DeviceKind::Block)];
    let nodes = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2)];
    rules.extend(nodes.map(|(major, minor)| DeviceRule::allow_char(major, minor, all)));
    rules.push(DeviceRule::new(DeviceAction::Allow, DeviceKind::Char, all).major(136));
    rules
}

fn letter(kind: DeviceKind) -> char {
    match kind {
        DeviceKind::Any => 'a',
        DeviceKind::Block => 'b',
        DeviceKind::Char => 'c',
    }
}

struct Letters(DeviceAccess);

impl fmt::Display for Letters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = LETTERS.iter().filter(|(_, access)| self.0.contains(*access));
        set.map(|(letter, _)| *letter).try_for_each(|letter| write!(f, "{letter}"))
    }
}

impl fmt::Display for DeviceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            DeviceAction::Allow => "allow",
            DeviceAction::Deny => "deny",
        };
        write!(f, "{action} {}", self.to_v1())
    }
}

impl FromStr for DeviceRule {
    type Err = Error;

    /// Reads `allow c 1:3 rwm`; `*` stands for every number.
    fn from_str(text: &str) -> Result<Self> {
        parse(text).ok_or_else(|| {
            Error::text("device rule", text, Reason::Malformed("allow|deny a|b|c MAJOR:MINOR rwm"))
        })
    }
}

fn parse(text: &str) -> Option<DeviceRule> {
    let mut words = text.split(' ');
    let (action, kind, numbers, letters) =
        (words.next()?, words.next()?, words.next()?, words.next()?);
    let action = match action {
        "allow" => DeviceAction::Allow,
        "deny" => DeviceAction::Deny,
        _ => return None,
    };
    let kind = match kind {
        "a" => DeviceKind::Any,
        "b" => DeviceKind::Block,
        "c" => DeviceKind::Char,
        _ => return None,
    };
    let (major, minor) = numbers.split_once(':')?;
    let (major, minor) = (parse_number(major)?, parse_number(minor)?);
    let access = parse_access(letters)?;
    words.next().is_none().then_some(DeviceRule { action, kind, major, minor, access })
}

/// Reads a number or `*`; the outer `None` is neither.
fn parse_number(text: &str) -> Option<Option<u32>> {
    match text {
        "*" => Some(None),
        _ if !text.bytes().all(|byte| byte.is_ascii_digit()) => None,
        _ => text.parse().ok().map(Some),
    }
}

/// Reads letters of `rwm`, each at most once and at least one.
fn parse_access(text: &str) -> Option<DeviceAccess> {
    let mut access = DeviceAccess::empty();
    for letter in text.chars() {
        let (_, one) = LETTERS.iter().find(|(known, _)| *known == letter)?;
        if access.contains(*one) {
            return None;
        }
        access |= *one;
    }
    (!access.is_empty()).then_some(access)
}

impl TryFrom<String> for DeviceRule {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<DeviceRule> for String {
    fn from(rule: DeviceRule) -> Self {
        rule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_and_written() {
        for text in ["allow c 1:3 rwm", "deny b *:* w", "allow a *:* rwm", "allow c 136:* rw"] {
            assert_eq!(text.parse::<DeviceRule>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "allow",
            "allow c 1:3",
            "allow c 1:3 ",
            "allow c 1:3 x",
            "allow c 1:3 rr",
            "allow d 1:3 r",
            "permit c 1:3 r",
            "allow c 1 r",
            "allow c -1:3 r",
            "allow c +1:3 r",
            "allow c :3 r",
            "allow c 4294967296:3 r",
            "allow c 1:3 r w",
            "allow  c 1:3 r",
            "allow c 1:3 r\n",
        ] {
            text.parse::<DeviceRule>().unwrap_err();
        }
        assert!(DeviceRule::all(DeviceAction::Allow).is_all());
        assert!(!DeviceRule::allow_char(1, 3, DeviceAccess::all()).is_all());
    }
}
