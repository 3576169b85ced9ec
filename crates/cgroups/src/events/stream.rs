//! Waiting for what happens to a group.
//!
//! Kernel objects: an epoll descriptor over the files of `watched.rs`, on v1 an eventfd and a timer.
//! Invariant: after [`EventStream::next`] has returned `None`, the epoll descriptor is ready only if
//! something happened since.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use super::snapshot::{Event, Snapshot};
use super::watched::{Content, Watched, oom_eventfd};
use crate::controller::Controller;
use crate::error::{Error, Result};
use crate::stat::{Dir, Files};

/// How often files are looked at that do not wake anybody (v1).
const TICK: Duration = Duration::from_millis(100);
/// The same after v1 was out of memory: the kernel wakes us before it kills and counts.
const TICK_AFTER_OOM: Duration = Duration::from_millis(2);
/// How long.
const AFTER_OOM: Duration = Duration::from_millis(500);
/// How often a waiting reader looks whether the group is still there; nothing wakes it then.
const REMOVAL: Duration = Duration::from_secs(1);

/// The events of a group, in the order in which they were seen.
///
/// Counting begins when the stream is opened. On v2 the kernel wakes the reader, no inotify instance
/// is used; the kernel wakes nobody when the group is removed, so that a waiting reader looks once a
/// second, and the descriptor does not become readable. On v1 it wakes the reader when memory runs out; the other files are looked at every
/// 100 ms, and so is whether there are processes, in the group alone and not below.
///
/// The stream has one descriptor ([`AsFd`]) for `poll(2)` or an asynchronous reactor: when it is
/// readable, call [`next`](Self::next) with a time of zero until it returns `None`.
#[derive(Debug)]
pub struct EventStream {
    epoll: OwnedFd,
    watched: Vec<Watched>,
    v1: Option<V1>,
    files: Files,
    snapshot: Snapshot,
    queue: VecDeque<Event>,
    removed: bool,
}

/// What v1 needs besides.
#[derive(Debug)]
struct V1 {
    timer: OwnedFd,
    oom: Option<OwnedFd>,
    hurry_until: Option<Instant>,
}

impl EventStream {
    /// Begins to watch the group whose directories `dir` gives; see [`stat::read`](crate::stat::read()).
    ///
    /// Looked at are [`Controller::Core`], [`Controller::Freezer`], [`Controller::Memory`] and
    /// [`Controller::Pids`].
    ///
    /// # Errors
    /// `NotFound` when the group has been removed, `Denied` without permission (v1's eventfd needs
    /// the right to write `cgroup.event_control`), `System` when there is no descriptor left.
    pub fn open<'a>(dir: &dyn Fn(Controller) -> Option<Dir<'a>>) -> Result<Self> {
        let watched = Watched::open_all(dir)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC);
        let epoll = epoll.map_err(|errno| Error::system("epoll_create1", errno))?;
        let mut stream = Self {
            v1: V1::open(dir, &watched)?,
            epoll,
            watched,
            files: Files::new(),
            snapshot: Snapshot::default(),
            queue: VecDeque::new(),
            removed: false,
        };
        stream.register().map_err(|errno| Error::system("epoll_ctl", errno))?;
        // The first read is what later ones are compared with.
        stream.snapshot = stream.read()?;
        Ok(stream)
    }

    /// The counters as they were at the last event; see [`oom_cause`](super::oom_cause).
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Waits for the next event, at most for `timeout` (`None` is without end); `None` when nothing
    /// happened.
    ///
    /// [`Event::Removed`] is the last event, and is returned from then on.
    ///
    /// # Errors
    /// `System` when waiting or reading fails.
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Option<Event>> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Ok(Some(event));
            }
            if self.removed {
                return Ok(Some(Event::Removed));
            }
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            let slice = left.map_or(REMOVAL, |left| left.min(REMOVAL));
            self.wait(slice).map_err(|errno| Error::system("epoll_wait", errno))?;
            self.refresh()?;
            let over = deadline.is_some_and(|end| Instant::now() >= end);
            if over && self.queue.is_empty() && !self.removed {
                return Ok(None);
            }
        }
    }

    fn register(&self) -> Result<(), Errno> {
        let (data, pri) = (EventData::new_u64(0), EventFlags::PRI);
        for file in self.watched.iter().filter(|file| file.notifies()) {
            epoll::add(&self.epoll, file, data, pri)?;
        }
        let v1 = self.v1.iter().flat_map(|v1| v1.oom.iter().chain([&v1.timer]));
        v1.into_iter().try_for_each(|fd| epoll::add(&self.epoll, fd, data, EventFlags::IN))
    }

    fn wait(&self, timeout: Duration) -> Result<(), Errno> {
        let mut ready = Vec::with_capacity(8);
        let timeout = timespec(timeout);
        match epoll::wait(&self.epoll, spare_capacity(&mut ready), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Reads all files and queues what happened.
    fn refresh(&mut self) -> Result<()> {
        let ooms = match &mut self.v1 {
            Some(v1) => v1.take().map_err(|errno| Error::system("timerfd_settime", errno))?,
            None => 0,
        };
        let now = match self.read() {
            Ok(now) => now,
            Err(error) if error.errno() == Some(Errno::NODEV.raw_os_error()) => {
                self.removed = true;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if ooms > 0 {
            // Not counted in the snapshot: a group above may have been out of memory.
            self.queue.push_back(Event::Oom { count: ooms });
        }
        self.queue.extend(self.snapshot.until(&now));
        self.snapshot = now;
        Ok(())
    }

    fn read(&mut self) -> Result<Snapshot> {
        // What a file that is not watched says stays as it was.
        let mut now = self.snapshot.clone();
        now.state.populated = None;
        for file in &self.watched {
            let read = file.read(&mut self.files, &mut now);
            read.map_err(|errno| match errno {
                // A removed group's directory has no files any more.
                Errno::NOENT => Error::system("read", Errno::NODEV),
                errno => Error::system("read", errno),
            })?;
        }
        Ok(now)
    }
}

impl V1 {
    /// The eventfd and the timer, where a file needs one.
    fn open<'a>(
        dir: &dyn Fn(Controller) -> Option<Dir<'a>>,
        watched: &[Watched],
    ) -> Result<Option<Self>> {
        if !watched.iter().any(|file| file.ticks) {
            return Ok(None);
        }
        let control = watched.iter().find(|file| file.content == Content::OomControl);
        let oom = match (control, dir(Controller::Memory)) {
            (Some(control), Some(dir)) => Some(oom_eventfd(dir, control.as_fd())?),
            _ => None,
        };
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)
            .map_err(|errno| Error::system("timerfd_create", errno))?;
        let v1 = Self { timer, oom, hurry_until: None };
        v1.tick(TICK).map_err(|errno| Error::system("timerfd_settime", errno))?;
        Ok(Some(v1))
    }

    fn tick(&self, every: Duration) -> Result<(), Errno> {
        let (it_interval, it_value) = (timespec(every), timespec(every));
        let times = Itimerspec { it_interval, it_value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &times).map(drop)
    }

    /// Takes what woke us; returns how often memory ran out.
    fn take(&mut self) -> Result<u64, Errno> {
        counter(&self.timer)?;
        let ooms = self.oom.as_ref().map_or(Ok(0), counter)?;
        let now = Instant::now();
        if ooms > 0 {
            self.tick(TICK_AFTER_OOM)?;
            self.hurry_until = now.checked_add(AFTER_OOM);
        } else if self.hurry_until.is_some_and(|end| now > end) {
            self.tick(TICK)?;
            self.hurry_until = None;
        }
        Ok(ooms)
    }
}

impl AsFd for EventStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// The number in an eventfd or a timer; 0 when nothing happened.
fn counter(fd: &OwnedFd) -> Result<u64, Errno> {
    let mut bytes = [0; 8];
    match rustix::io::read(fd, &mut bytes) {
        Ok(_) => Ok(u64::from_ne_bytes(bytes)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        Err(errno) => Err(errno),
    }
}

fn timespec(duration: Duration) -> Timespec {
    let tv_sec = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    Timespec { tv_sec, tv_nsec: duration.subsec_nanos().into() }
}
