//! What the interfaces of a network namespace have received and sent.
//!
//! Kernel objects: `/proc/PID/net/dev`, read only: the namespace that the process is in. Manual: proc_pid_net(5).
//! Invariant: parsing refuses nothing; a line that is not whole is left out, and whoever owns the namespace cannot make
//! a reader keep more than a bounded part of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::decimal::parse_u64;
use crate::error::Result;
use crate::process::Proc;

/// So much of the file is read: some eight thousand interfaces.
const FILE_MAX: usize = 1 << 20;

/// What went one way. Counted from when the interface was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Traffic {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Packets that were broken.
    pub errors: u64,
    /// Packets that were whole and yet dropped.
    pub dropped: u64,
}

/// Both ways of one interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Interface {
    /// What came in.
    pub received: Traffic,
    /// What went out.
    pub sent: Traffic,
}

/// The interfaces of a network namespace, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Interfaces(BTreeMap<String, Interface>);

impl Interfaces {
    /// Reads the content of `/proc/PID/net/dev`.
    #[must_use]
    pub fn parse(content: &[u8]) -> Self {
        let whole = content.iter().rposition(|&byte| byte == b'\n').unwrap_or(0);
        let lines = content.get(..whole).unwrap_or_default().split(|&byte| byte == b'\n');
        Self(lines.filter_map(line).collect())
    }

    /// Those of the network namespace that a process is in.
    ///
    /// # Errors
    /// [`ProcessGone`](crate::ErrorKind::ProcessGone) when there is no such process, or it has ended.
    pub fn of(pid: u32) -> Result<Self> {
        Ok(Self::parse(&Proc::open()?.process(pid)?.read("net/dev", FILE_MAX)?))
    }

    /// All of them, with their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Interface)> {
        self.0.iter().map(|(name, interface)| (name.as_str(), interface))
    }

    /// The one of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Interface> {
        self.0.get(name)
    }

    /// The sum over all but the loopback device `lo`: what went in and out of the namespace.
    #[must_use]
    pub fn total(&self) -> Interface {
        let outward = self.0.iter().filter(|(name, _)| *name != "lo");
        outward.fold(Interface::default(), |sum, (_, one)| Interface {
            received: sum.received.and(one.received),
            sent: sum.sent.and(one.sent),
        })
    }
}

impl Traffic {
    /// The first four of eight columns.
    fn of(columns: &[u64]) -> Option<Self> {
        let &[bytes, packets, errors, dropped, ..] = columns else { return None };
        Some(Self { bytes, packets, errors, dropped })
    }

    fn and(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            packets: self.packets.saturating_add(other.packets),
            errors: self.errors.saturating_add(other.errors),
            dropped: self.dropped.saturating_add(other.dropped),
        }
    }
}

/// One line: a name, a colon, eight columns for each way. The two lines of the head have no numbers.
fn line(line: &[u8]) -> Option<(String, Interface)> {
    // The kernel allows no colon in a name, and puts no blank behind it where the number is long.
    let colon = line.iter().position(|&byte| byte == b':')?;
    let name = line.get(..colon)?.trim_ascii();
    let words = line.get(colon + 1..)?.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty());
    let columns: Vec<u64> = words.map(|word| parse_u64(word).ok()).collect::<Option<_>>()?;
    let interface = Interface {
        received: Traffic::of(columns.get(..8)?)?,
        sent: Traffic::of(columns.get(8..16)?)?,
    };
    let name = String::from_utf8_lossy(name).into_owned();
    (!name.is_empty()).then_some((name, interface))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CONTENT: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    7314      75    0    0    0     0          0         0     7314      75    0    0    0     0       0          0
  eth0:2437879888   70008    3    4    5     6          7         8  3279548   38963    9    10    11     12       13          14
veth1.2@x: 1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0
";

    #[test]
    fn columns_are_told_apart() {
        let interfaces = Interfaces::parse(CONTENT.as_bytes());
        let names: Vec<_> = interfaces.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["eth0", "lo", "veth1.2@x"]);
        let eth0 = interfaces.get("eth0").unwrap();
        let received = Traffic { bytes: 2_437_879_888, packets: 70_008, errors: 3, dropped: 4 };
        let sent = Traffic { bytes: 3_279_548, packets: 38_963, errors: 9, dropped: 10 };
        assert_eq!(*eth0, Interface { received, sent });
    }

    #[test]
    fn the_loopback_device_goes_nowhere() {
        let total = Interfaces::parse(CONTENT.as_bytes()).total();
        assert_eq!((total.received.bytes, total.sent.bytes), (2_437_879_889, 3_279_551));
        assert_eq!((total.received.packets, total.sent.errors), (70_010, 9));
        let large = "a: 18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n";
        let both = format!("{large}{}", large.replace('a', "b"));
        assert_eq!(Interfaces::parse(both.as_bytes()).total().received.bytes, u64::MAX);
    }

    #[test]
    fn lines_that_are_not_whole_are_left_out() {
        for content in [
            "",
            "\n",
            "lo: 1 2 3\n",
            ": 1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0\n",
            "a: 1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 -1\n",
            "a: 1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0",
        ] {
            assert_eq!(Interfaces::parse(content.as_bytes()), Interfaces::default(), "{content}");
        }
    }

    #[test]
    fn reads_this_process() {
        let own = Interfaces::of(std::process::id()).unwrap();
        let content = std::fs::read("/proc/self/net/dev").unwrap();
        let names = |interfaces: &Interfaces| {
            interfaces.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(&own), names(&Interfaces::parse(&content)));
        assert!(own.get("lo").is_some());
        let gone = Interfaces::of(1 << 22).unwrap_err();
        assert_eq!(gone.kind(), crate::ErrorKind::ProcessGone);
    }

    #[test]
    fn a_zombie_has_no_network() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let ended = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        let id = rustix::process::WaitId::Pid(rustix::process::Pid::from_child(&child));
        rustix::process::waitid(id, ended).unwrap();
        let error = Interfaces::of(child.id()).unwrap_err();
        child.wait().unwrap();
        assert_eq!(error.kind(), crate::ErrorKind::ProcessGone, "{error}");
    }

    proptest! {
        #[test]
        fn numbers_come_back(name in "[a-z][a-z0-9.@-]{0,14}", columns: [u64; 16]) {
            let words = columns.map(|column| column.to_string()).join(" ");
            let interfaces = Interfaces::parse(format!("  {name}:{words}\n").as_bytes());
            let one = interfaces.get(&name).unwrap();
            prop_assert_eq!([one.received.bytes, one.received.dropped], [columns[0], columns[3]]);
            prop_assert_eq!([one.sent.bytes, one.sent.dropped], [columns[8], columns[11]]);
        }
    }
}
