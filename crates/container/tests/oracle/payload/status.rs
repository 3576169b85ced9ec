//! `/proc/PID/status` (proc_pid_status(5)).
//!
//! Touches no kernel object. Invariant: a field that the kernel prints and we name is either
//! parsed or an error; one that is missing is an error, except `Seccomp_filters` (since 5.9).

use std::collections::BTreeMap;

use super::{Malformed, number};

/// The identity and the privileges of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// Its name.
    pub(crate) name: String,
    /// Its umask.
    pub(crate) umask: u32,
    /// Its pid, in the namespace of the procfs that was read.
    pub(crate) pid: u32,
    /// Its parent's pid.
    pub(crate) ppid: u32,
    /// Who traces it; 0 for nobody.
    pub(crate) tracer: u32,
    /// Real, effective, saved and file-system uid.
    pub(crate) uid: [u32; 4],
    /// Real, effective, saved and file-system gid.
    pub(crate) gid: [u32; 4],
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
    /// Its pid in each pid namespace, innermost last.
    pub(crate) ns_pid: Vec<u32>,
    /// Number of threads.
    pub(crate) threads: u32,
    /// Blocked signals: bit `n - 1` for signal `n`.
    pub(crate) blocked: u64,
    /// Ignored signals.
    pub(crate) ignored: u64,
    /// Signals with a handler.
    pub(crate) caught: u64,
    /// Capability sets: bit `n` for capability `n`.
    pub(crate) inheritable: u64,
    /// Permitted set.
    pub(crate) permitted: u64,
    /// Effective set.
    pub(crate) effective: u64,
    /// Bounding set.
    pub(crate) bounding: u64,
    /// Ambient set.
    pub(crate) ambient: u64,
    /// Whether `execve` may add privileges.
    pub(crate) no_new_privs: bool,
    /// 0 none, 1 strict, 2 filter.
    pub(crate) seccomp: u32,
    /// Number of filters.
    pub(crate) seccomp_filters: Option<u32>,
    /// The processors it may run on, as a list such as `0-1`.
    pub(crate) cpus: String,
}

/// Parses the text of a `status` file.
pub(crate) fn status(text: &str) -> Result<Status, Malformed> {
    let lines = Lines::split(text)?;
    Ok(Status {
        name: lines.word("Name")?.to_owned(),
        umask: lines.radix("Umask", 8)?,
        pid: number(lines.word("Pid")?, "a pid")?,
        ppid: number(lines.word("PPid")?, "a pid")?,
        tracer: number(lines.word("TracerPid")?, "a pid")?,
        uid: lines.four("Uid")?,
        gid: lines.four("Gid")?,
        groups: lines.numbers("Groups")?,
        ns_pid: lines.numbers("NSpid")?,
        threads: number(lines.word("Threads")?, "a number of threads")?,
        blocked: lines.mask("SigBlk")?,
        ignored: lines.mask("SigIgn")?,
        caught: lines.mask("SigCgt")?,
        inheritable: lines.mask("CapInh")?,
        permitted: lines.mask("CapPrm")?,
        effective: lines.mask("CapEff")?,
        bounding: lines.mask("CapBnd")?,
        ambient: lines.mask("CapAmb")?,
        no_new_privs: lines.flag("NoNewPrivs")?,
        seccomp: number(lines.word("Seccomp")?, "a seccomp mode")?,
        seccomp_filters: lines.optional("Seccomp_filters")?,
        cpus: lines.word("Cpus_allowed_list")?.to_owned(),
    })
}

/// The lines by name.
struct Lines<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Lines<'a> {
    fn split(text: &'a str) -> Result<Self, Malformed> {
        let split = |line: &'a str| {
            let parts = line.split_once(':');
            parts.ok_or_else(|| Malformed::new("a line `Name: value`", line))
        };
        let lines = text.lines().filter(|line| !line.trim().is_empty()).map(split);
        lines
            .map(|line| line.map(|(name, value)| (name, value.trim())))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn word(&self, name: &'static str) -> Result<&'a str, Malformed> {
        self.0.get(name).copied().ok_or_else(|| Malformed::new(name, "(no such line)"))
    }

    fn radix(&self, name: &'static str, radix: u32) -> Result<u32, Malformed> {
        let word = self.word(name)?;
        u32::from_str_radix(word, radix).map_err(|_| Malformed::new(name, word))
    }

    fn mask(&self, name: &'static str) -> Result<u64, Malformed> {
        let word = self.word(name)?;
        let mask = (word.len() == 16).then(|| u64::from_str_radix(word, 16).ok()).flatten();
        mask.ok_or_else(|| Malformed::new(name, word))
    }

    fn flag(&self, name: &'static str) -> Result<bool, Malformed> {
        match self.word(name)? {
            "0" => Ok(false),
            "1" => Ok(true),
            other => Err(Malformed::new(name, other)),
        }
    }

    fn numbers(&self, name: &'static str) -> Result<Vec<u32>, Malformed> {
        self.word(name)?.split_whitespace().map(|word| number(word, name)).collect()
    }

    fn four(&self, name: &'static str) -> Result<[u32; 4], Malformed> {
        let numbers = self.numbers(name)?;
        numbers.try_into().map_err(|other| Malformed::new(name, &format!("{other:?}")))
    }

    fn optional(&self, name: &'static str) -> Result<Option<u32>, Malformed> {
        self.0.get(name).map(|word| number(word, name)).transpose()
    }
}
