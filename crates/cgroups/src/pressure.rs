//! Pressure stall information: how long processes of a group waited for a resource.
//!
//! Kernel objects: `cpu.pressure`, `memory.pressure`, `io.pressure` and `irq.pressure` of a v2 group,
//! `/proc/pressure/*` of the machine. See the kernel's accounting/psi.rst. Invariant: nothing is
//! read that was not written by the kernel as one text; a trigger lives as long as its descriptor.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Reason, Result};
use crate::stat::{Dir, Files, keyed};

/// What processes wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Resource {
    /// A processor.
    Cpu,
    /// Memory: reclaim, swap, pages that were thrown away too early.
    Memory,
    /// Block devices.
    Io,
    /// Interrupts; [`Pressure::full`] only. Since Linux 6.1, with `CONFIG_IRQ_TIME_ACCOUNTING`.
    Irq,
}

/// Who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stalled {
    /// At least one process waits.
    Some,
    /// All processes that are not idle wait: nothing is done.
    Full,
}

/// The pressure of one resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Pressure {
    /// Time in which at least one process waited.
    pub some: Option<Stall>,
    /// Time in which all processes waited. For groups and processors since Linux 5.13.
    pub full: Option<Stall>,
}

/// How much time was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stall {
    /// Percentage of the last 10 seconds.
    pub avg10: f64,
    /// Percentage of the last minute.
    pub avg60: f64,
    /// Percentage of the last 5 minutes.
    pub avg300: f64,
    /// Time lost since the group was made; the file counts microseconds.
    pub total: Duration,
}

impl Resource {
    /// Only v2 has the file.
    pub(crate) fn unsupported(self) -> Error {
        Error::at("openat", Path::new(self.file()), Errno::OPNOTSUPP)
    }

    fn file(self) -> &'static str {
        match self {
            Self::Cpu => "cpu.pressure",
            Self::Memory => "memory.pressure",
            Self::Io => "io.pressure",
            Self::Irq => "irq.pressure",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.file().trim_end_matches(".pressure"))
    }
}

impl Pressure {
    /// Reads the text of a file; a line that is not complete is left out.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut pressure = Self::default();
        for (who, rest) in keyed::nested(text) {
            match who {
                "some" => pressure.some = Stall::parse(rest),
                "full" => pressure.full = Stall::parse(rest),
                _ => {}
            }
        }
        pressure
    }

    /// Reads the pressure of a group.
    ///
    /// # Errors
    /// `Unsupported` for a v1 group (Linux measures pressure of v2 groups and of the machine) and where
    /// the kernel was started with `psi=0`; `NotFound` when the group has been removed or its pressure
    /// was switched off (`cgroup.pressure`, Linux 6.1), and for a resource that the kernel does not have.
    pub fn of_group(dir: Dir<'_>, resource: Resource) -> Result<Self> {
        let file = open(dir, resource, OFlags::RDONLY)?;
        read(&file, Path::new(resource.file()))
    }

    /// Reads the pressure of the whole machine from `/proc/pressure`.
    ///
    /// # Errors
    /// `NotFound` where the kernel does not measure it, `Unsupported` where it was started with `psi=0`.
    pub fn of_machine(resource: Resource) -> Result<Self> {
        let path = format!("/proc/pressure/{resource}");
        let path = Path::new(&path);
        let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        read(&file.map_err(|errno| Error::at("open", path, errno))?, path)
    }
}

fn read(file: &OwnedFd, path: &Path) -> Result<Pressure> {
    let mut files = Files::new();
    let text = files.read_open(file).map_err(|errno| Error::at("read", path, errno))?;
    Ok(Pressure::parse(text))
}

fn open(dir: Dir<'_>, resource: Resource, flags: OFlags) -> Result<OwnedFd> {
    let path = Path::new(resource.file());
    match dir {
        Dir::V1(_) => Err(resource.unsupported()),
        Dir::V2(fd) => rustix::fs::openat(fd, path, flags | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| Error::at("openat", path, errno)),
    }
}

impl Stall {
    fn parse(rest: &str) -> Option<Self> {
        let value = |name| keyed::assignments(rest).find(|(key, _)| *key == name).map(|(_, v)| v);
        let percent = |name| {
            let number = value(name)?.parse::<f64>().ok()?;
            (number.is_finite() && number >= 0.0).then_some(number)
        };
        Some(Self {
            avg10: percent("avg10")?,
            avg60: percent("avg60")?,
            avg300: percent("avg300")?,
            total: keyed::micros(keyed::number(value("total")?)?),
        })
    }
}

/// When to be woken: once processes lost `threshold` within a sliding `window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Trigger {
    stalled: Stalled,
    threshold: Duration,
    window: Duration,
}

const WINDOW_MIN: Duration = Duration::from_millis(500);
const WINDOW_MAX: Duration = Duration::from_secs(10);

impl Trigger {
    /// A trigger for `threshold` lost within `window`, in whole microseconds.
    ///
    /// Without `CAP_SYS_RESOURCE` the kernel takes only windows that are multiples of two seconds
    /// (Linux 6.4), and none before.
    ///
    /// # Errors
    /// `InvalidValue` when the window is not between 500 ms and 10 s, or the threshold is zero or
    /// longer than the window.
    pub fn new(stalled: Stalled, threshold: Duration, window: Duration) -> Result<Self> {
        let trigger = Self { stalled, threshold, window };
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let refused = |what, least, most: Duration| {
            let reason = Reason::OutOfRange(millis(least), millis(most));
            Error::text(what, &trigger.to_string(), reason)
        };
        if !(WINDOW_MIN..=WINDOW_MAX).contains(&window) {
            return Err(refused("window in ms of trigger", WINDOW_MIN, WINDOW_MAX));
        }
        if threshold.as_micros() == 0 || threshold > window {
            return Err(refused("threshold in ms of trigger", Duration::ZERO, window));
        }
        Ok(trigger)
    }

    /// Whether the kernel takes it from a process without `CAP_SYS_RESOURCE` (Linux 6.4).
    #[must_use]
    pub fn is_unprivileged(&self) -> bool {
        self.window.as_micros().is_multiple_of(2_000_000)
    }

    /// Has the kernel watch a group; it goes on until the [`PressureWatch`] is dropped.
    ///
    /// # Errors
    /// As [`Pressure::of_group`]; `Denied` without the right to write the file or, before Linux 6.4,
    /// without `CAP_SYS_RESOURCE`; `System` with `EINVAL` for a window that needs that capability.
    pub fn watch_group(&self, dir: Dir<'_>, resource: Resource) -> Result<PressureWatch> {
        let file = open(dir, resource, OFlags::RDWR | OFlags::NONBLOCK)?;
        self.set(file, Path::new(resource.file()))
    }

    /// Has the kernel watch the whole machine.
    ///
    /// # Errors
    /// As [`watch_group`](Self::watch_group).
    pub fn watch_machine(&self, resource: Resource) -> Result<PressureWatch> {
        let path = format!("/proc/pressure/{resource}");
        let path = Path::new(&path);
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(CWD, path, flags, Mode::empty());
        self.set(file.map_err(|errno| Error::at("open", path, errno))?, path)
    }

    fn set(&self, file: OwnedFd, path: &Path) -> Result<PressureWatch> {
        // The kernel wants the text to end with a zero byte.
        let text = format!("{self}\0");
        let written = rustix::io::write(&file, text.as_bytes());
        written.map_err(|errno| Error::at("write", path, errno))?;
        Ok(PressureWatch { file })
    }
}

impl fmt::Display for Trigger {
    /// As the kernel reads it: `some 150000 1000000`, in microseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stalled = match self.stalled {
            Stalled::Some => "some",
            Stalled::Full => "full",
        };
        write!(f, "{stalled} {} {}", self.threshold.as_micros(), self.window.as_micros())
    }
}

/// A trigger that the kernel watches, at most once per window.
///
/// Its descriptor ([`AsFd`]) becomes *priority*-readable (`POLLPRI`), and the poll that tells so takes
/// the mark away: a reactor has to act on each wake-up.
#[derive(Debug)]
pub struct PressureWatch {
    file: OwnedFd,
}

/// Why a wait for pressure ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Wake {
    /// The threshold was passed.
    Stalled,
    /// The time was up.
    TimedOut,
    /// The group has been removed.
    Removed,
}

impl PressureWatch {
    /// Waits until the threshold is passed, at most for `timeout` (`None` is without end).
    ///
    /// # Errors
    /// `System` when poll(2) fails.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Wake> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            let mut fds = [PollFd::new(&self.file, PollFlags::PRI)];
            match poll(&mut fds, left.as_ref()) {
                Ok(0) => return Ok(Wake::TimedOut),
                Ok(_) if fds.iter().any(|fd| fd.revents().contains(PollFlags::ERR)) => {
                    return Ok(Wake::Removed);
                }
                Ok(_) => return Ok(Wake::Stalled),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::system("poll", errno)),
            }
        }
    }
}

impl AsFd for PressureWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use proptest::prelude::*;

    const TEXT: &str = "some avg10=6.79 avg60=2.50 avg300=1.46 total=8166101\n\
                        full avg10=0.00 avg60=0.00 avg300=100.00 total=18446744073709551615\n";

    #[test]
    fn both_lines_are_read() {
        let pressure = Pressure::parse(TEXT);
        let total = Duration::from_micros(8_166_101);
        let some = Stall { avg10: 6.79, avg60: 2.5, avg300: 1.46, total };
        assert_eq!(pressure.some, Some(some));
        assert_eq!(pressure.full.unwrap().total, Duration::from_micros(u64::MAX));
    }

    #[test]
    fn incomplete_lines_are_left_out() {
        for text in [
            "",
            "some",
            "some avg10=1 avg60=1 avg300=1",
            "some avg10=NaN avg60=1 avg300=1 total=1",
            "some avg10=-1 avg60=1 avg300=1 total=1",
            "some avg10=inf avg60=1 avg300=1 total=1",
            "some avg10=1 avg60=1 avg300=1 total=18446744073709551616",
            "most avg10=1 avg60=1 avg300=1 total=1",
        ] {
            assert_eq!(Pressure::parse(text), Pressure::default(), "{text}");
        }
        let irq = Pressure::parse("full avg10=1.00 avg60=0.00 avg300=0.00 total=5\n");
        assert!(irq.some.is_none() && irq.full.is_some());
    }

    #[test]
    fn triggers_are_checked() {
        let new = |threshold, window| {
            let (threshold, window) =
                (Duration::from_millis(threshold), Duration::from_millis(window));
            Trigger::new(Stalled::Some, threshold, window)
        };
        assert_eq!(new(150, 1000).unwrap().to_string(), "some 150000 1000000");
        assert!(!new(150, 1000).unwrap().is_unprivileged());
        assert!(new(2000, 2000).unwrap().is_unprivileged());
        for (threshold, window) in [(1, 499), (1, 10_001), (0, 1000), (1001, 1000)] {
            let error = new(threshold, window).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidValue, "{error}");
        }
        let short = Trigger::new(Stalled::Full, Duration::from_nanos(999), WINDOW_MIN);
        assert_eq!(short.unwrap_err().kind(), ErrorKind::InvalidValue);
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text: String) {
            let some = Pressure::parse(&text).some;
            prop_assert!(some.is_none_or(|stall| stall.avg10 >= 0.0));
        }

        #[test]
        fn what_the_kernel_writes_is_read(hundredths in 0u32..10_001, micros: u64) {
            let average = f64::from(hundredths) / 100.0;
            let text = format!("some avg10={average:.2} avg60=0.00 avg300=0.00 total={micros}\n");
            let some = Pressure::parse(&text).some.unwrap();
            prop_assert_eq!((some.avg10, some.total), (average, Duration::from_micros(micros)));
        }
    }
}
