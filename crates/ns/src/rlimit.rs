//! Resource limits of a process.
//!
//! Kernel objects: none, this is data. Manual: getrlimit(2). Invariant: a parsed limit has
//! soft ≤ hard.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::decimal::parse_u64;
use crate::error::{Error, ErrorKind, Reason, Result};

/// A resource of the kernel, getrlimit(2). In JSON it has its name, such as `RLIMIT_NOFILE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Resource {
    /// Processor time, seconds.
    Cpu,
    /// Largest file that may be written, bytes.
    Fsize,
    /// Data segment, bytes.
    Data,
    /// Stack of the first thread, bytes.
    Stack,
    /// Core file, bytes.
    Core,
    /// Resident set, bytes; without effect since Linux 2.4.30.
    Rss,
    /// Processes and threads of the user.
    Nproc,
    /// One more than the highest descriptor.
    Nofile,
    /// Locked memory, bytes.
    Memlock,
    /// Address space, bytes.
    As,
    /// File locks; without effect since Linux 2.4.25.
    Locks,
    /// Queued signals of the user.
    Sigpending,
    /// POSIX message queues of the user, bytes.
    Msgqueue,
    /// 20 minus the lowest nice value that may be set.
    Nice,
    /// Highest real-time priority that may be set.
    Rtprio,
    /// Processor time without a blocking call under a real-time policy, microseconds.
    Rttime,
}

impl Resource {
    /// All resources, by their number on x86-64, aarch64 and riscv64.
    pub const ALL: [Self; 16] = [
        Self::Cpu,
        Self::Fsize,
        Self::Data,
        Self::Stack,
        Self::Core,
        Self::Rss,
        Self::Nproc,
        Self::Nofile,
        Self::Memlock,
        Self::As,
        Self::Locks,
        Self::Sigpending,
        Self::Msgqueue,
        Self::Nice,
        Self::Rtprio,
        Self::Rttime,
    ];

    /// This process's own limits, getrlimit(2).
    #[must_use]
    pub fn own(self) -> Rlimit {
        use rustix::process::Resource as Kernel;
        let resource = match self {
            Self::Cpu => Kernel::Cpu,
            Self::Fsize => Kernel::Fsize,
            Self::Data => Kernel::Data,
            Self::Stack => Kernel::Stack,
            Self::Core => Kernel::Core,
            Self::Rss => Kernel::Rss,
            Self::Nproc => Kernel::Nproc,
            Self::Nofile => Kernel::Nofile,
            Self::Memlock => Kernel::Memlock,
            Self::As => Kernel::As,
            Self::Locks => Kernel::Locks,
            Self::Sigpending => Kernel::Sigpending,
            Self::Msgqueue => Kernel::Msgqueue,
            Self::Nice => Kernel::Nice,
            Self::Rtprio => Kernel::Rtprio,
            Self::Rttime => Kernel::Rttime,
        };
        let own = rustix::process::getrlimit(resource);
        let number = |limit: Option<u64>| limit.unwrap_or(Rlimit::INFINITY);
        Rlimit::new(number(own.current), number(own.maximum))
    }

    /// The number for prlimit(2) on x86-64, aarch64 and riscv64 (mips, sparc and alpha differ).
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The kernel's name, as the OCI runtime specification also has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "RLIMIT_CPU",
            Self::Fsize => "RLIMIT_FSIZE",
            Self::Data => "RLIMIT_DATA",
            Self::Stack => "RLIMIT_STACK",
            Self::Core => "RLIMIT_CORE",
            Self::Rss => "RLIMIT_RSS",
            Self::Nproc => "RLIMIT_NPROC",
            Self::Nofile => "RLIMIT_NOFILE",
            Self::Memlock => "RLIMIT_MEMLOCK",
            Self::As => "RLIMIT_AS",
            Self::Locks => "RLIMIT_LOCKS",
            Self::Sigpending => "RLIMIT_SIGPENDING",
            Self::Msgqueue => "RLIMIT_MSGQUEUE",
            Self::Nice => "RLIMIT_NICE",
            Self::Rtprio => "RLIMIT_RTPRIO",
            Self::Rttime => "RLIMIT_RTTIME",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Resource {
    type Err = Error;

    /// Reads the name in any case, with or without `RLIMIT_`.
    fn from_str(text: &str) -> Result<Self> {
        let same = |resource: &Self| {
            let name = resource.name();
            text.eq_ignore_ascii_case(name) || text.eq_ignore_ascii_case(&name["RLIMIT_".len()..])
        };
        Self::ALL
            .into_iter()
            .find(same)
            .ok_or_else(|| Error::text(ErrorKind::InvalidRlimit, text, Reason::Unknown))
    }
}

impl TryFrom<String> for Resource {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Resource> for String {
    fn from(resource: Resource) -> Self {
        resource.name().to_owned()
    }
}

/// A soft and a hard limit, in the unit of the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rlimit {
    /// What is enforced.
    pub soft: u64,
    /// How far the process may raise the soft limit.
    pub hard: u64,
}

impl Rlimit {
    /// No limit.
    pub const INFINITY: u64 = u64::MAX;

    /// Two limits.
    #[must_use]
    pub const fn new(soft: u64, hard: u64) -> Self {
        Self { soft, hard }
    }

    /// Checks the limits.
    ///
    /// # Errors
    /// [`InvalidRlimit`](ErrorKind::InvalidRlimit) when the soft one is above the hard one.
    pub fn validate(&self) -> Result<()> {
        if self.soft <= self.hard {
            return Ok(());
        }
        Err(Error::text(ErrorKind::InvalidRlimit, &self.to_string(), Reason::SoftAboveHard))
    }
}

impl FromStr for Rlimit {
    type Err = Error;

    /// Reads `SOFT:HARD` or one number for both; `unlimited` and `infinity` are no limit.
    fn from_str(text: &str) -> Result<Self> {
        let number = |part: &str| match part {
            "unlimited" | "infinity" => Ok(Self::INFINITY),
            _ => parse_u64(part.as_bytes())
                .map_err(|reason| Error::text(ErrorKind::InvalidRlimit, text, reason)),
        };
        let (soft, hard) = text.split_once(':').unwrap_or((text, text));
        let limit = Self::new(number(soft)?, number(hard)?);
        limit.validate().map(|()| limit)
    }
}

impl fmt::Display for Rlimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let write = |f: &mut fmt::Formatter<'_>, limit: u64| match limit {
            Self::INFINITY => f.write_str("unlimited"),
            _ => write!(f, "{limit}"),
        };
        write(f, self.soft)?;
        f.write_str(":")?;
        write(f, self.hard)
    }
}

/// A resource with its limits, as written on command lines: `nofile=1024:2048`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceLimit {
    /// The resource.
    pub resource: Resource,
    /// Its limits.
    pub limit: Rlimit,
}

impl FromStr for ResourceLimit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some((resource, limit)) = text.split_once('=') else {
            let reason = Reason::Malformed("NAME=SOFT[:HARD]");
            return Err(Error::text(ErrorKind::InvalidRlimit, text, reason));
        };
        Ok(Self { resource: resource.parse()?, limit: limit.parse()? })
    }
}

impl fmt::Display for ResourceLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.resource, self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<ResourceLimit> {
        text.parse()
    }

    #[test]
    fn reads_the_usual_forms() {
        let limits = |text| parse(text).map(|l| (l.resource, l.limit.soft, l.limit.hard)).unwrap();
        assert_eq!(limits("nofile=1024:2048"), (Resource::Nofile, 1024, 2048));
        assert_eq!(limits("core=0"), (Resource::Core, 0, 0));
        assert_eq!(limits("RLIMIT_AS=unlimited"), (Resource::As, u64::MAX, u64::MAX));
        assert_eq!(limits("Stack=1:infinity"), (Resource::Stack, 1, u64::MAX));
    }

    #[test]
    fn refuses_the_rest() {
        let texts = ["", "nofile", "nofile=", "nofile=2:1", "nofile=-1", "nofile=1:2:3", "x=1"];
        for text in texts.into_iter().chain(["=1", "nofile=1:", "nofile= 1", "nofile=1k"]) {
            assert_eq!(parse(text).unwrap_err().kind(), ErrorKind::InvalidRlimit, "{text}");
        }
        parse("nofile=unlimited:1").unwrap_err();
        parse("nofile=18446744073709551616").unwrap_err();
    }

    #[test]
    fn numbers_are_those_of_the_kernel() {
        // The order of the lines of /proc/PID/limits is not the numbering, so ask by number.
        let nofile = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        assert_eq!(rustix::process::Resource::Nofile as u32, Resource::Nofile.number());
        assert_eq!(rustix::process::Resource::Rttime as u32, Resource::Rttime.number());
        assert_eq!(rustix::process::Resource::As as u32, Resource::As.number());
        assert_eq!(rustix::process::Resource::Nproc as u32, Resource::Nproc.number());
        assert!(nofile.current.is_some());
    }

    #[test]
    fn own_limits_are_those_of_procfs() {
        let text = std::fs::read_to_string("/proc/self/limits").unwrap();
        let line = text.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let words: Vec<&str> = line.split_whitespace().skip(3).take(2).collect();
        let own = Resource::Nofile.own();
        assert_eq!(words, [own.soft.to_string(), own.hard.to_string()]);
        for resource in Resource::ALL {
            assert!(resource.own().soft <= resource.own().hard, "{resource:?}");
        }
    }

    proptest! {
        #[test]
        fn limits_come_back(index in 0usize..16, a: u64, b: u64) {
            let limit = Rlimit::new(a.min(b), a.max(b));
            let limit = ResourceLimit { resource: Resource::ALL[index], limit };
            prop_assert_eq!(parse(&limit.to_string()).unwrap(), limit);
            let json = serde_json::to_string(&limit).unwrap();
            prop_assert_eq!(serde_json::from_str::<ResourceLimit>(&json).unwrap(), limit);
        }
    }
}
