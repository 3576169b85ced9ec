//! Containers whose group is at a limit, frozen, or out of memory again and again.
//!
//! Kernel objects: groups below `/ampoule-test`, containers in them. Invariant: what is asserted comes from the group's
//! files, and no group is left.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ampoule::{Builder, Bytes, Container, ErrorKind, Limits, Outcome};
use ampoule_cgroups::limits::{IoDevice, Switch};
use ampoule_cgroups::{Controllers, Depth, Group, GroupPath, Hierarchies, Life, Place, owned_name};

use crate::oracle;

use super::{refused, shell, soon, times};

const PLACE: &str = "/ampoule-test";

/// A group in which containers get theirs; removed when dropped.
struct Above(Group);

/// The place is there for the whole test.
pub(crate) fn in_places(body: fn()) {
    oracle::unchanged(|| {
        let _used = place();
        body();
    });
}

fn place() -> Place {
    let hierarchies = Hierarchies::detect().expect("control groups");
    Place::open(&hierarchies, &GroupPath::new(PLACE).expect("a path")).expect("root's tier")
}

impl Above {
    fn new(limits: &Limits) -> Self {
        let name = owned_name(None, Life::WithOwner).expect("a name");
        Self(Group::create_in(&place(), &name, limits, Controllers::all()).expect("a group"))
    }

    fn container(&self) -> Builder {
        Container::host_view().cgroup_parent(format!("{PLACE}/{}", self.0.name())).pids_max(16)
    }

    fn path_of(&self, file: &str) -> PathBuf {
        let paths = self.0.paths().map(|path| path.join(file));
        paths.into_iter().find(|path| path.exists()).unwrap_or_else(|| panic!("no {file}"))
    }

    /// The number behind a name in one of its files.
    fn count(&self, file: &str, name: &str) -> usize {
        let text = fs::read_to_string(self.path_of(file)).expect("a file of the group");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.expect("a counter").parse().expect("a number")
    }

    /// It has neither processes nor groups, and goes.
    fn is_left_empty(&self) {
        assert!(soon(|| self.0.procs(Depth::Recursive).expect("ids").is_empty()));
        let inside = |path: PathBuf| {
            let entries = fs::read_dir(path).expect("the group");
            entries.filter(|entry| entry.as_ref().expect("an entry").path().is_dir()).count()
        };
        assert_eq!(self.0.paths().map(inside).sum::<usize>(), 0, "groups are left in it");
    }
}

impl Drop for Above {
    fn drop(&mut self) {
        // As the place of others it is also where it needed nothing itself.
        let all = Group::open(&place(), self.0.name());
        let end =
            |group: Group| group.thaw().and_then(|()| group.kill()).and_then(|()| group.remove());
        let _left = all.and_then(end).is_err();
    }
}

/// What else this machine does must not take what a quota gives: a group and the one above it weigh most.
struct Heavy(Vec<(PathBuf, String)>);

impl Heavy {
    fn new(above: &Above) -> Self {
        let find = |path: PathBuf| {
            let most = [("cpu.shares", "262144"), ("cpu.weight", "10000")];
            most.map(|(file, most)| (path.join(file), most))
                .into_iter()
                .find(|(file, _)| file.exists())
        };
        let (file, most) = above.0.paths().find_map(find).expect("the controller cpu");
        let (name, group) = (file.file_name().expect("a name"), file.parent().expect("a group"));
        let files = [file.clone(), group.parent().expect("the place").join(name)];
        let heavy = Self(
            files.map(|file| (file.clone(), fs::read_to_string(file).expect("a weight"))).into(),
        );
        heavy.0.iter().for_each(|(file, _)| fs::write(file, most).expect("a weight"));
        heavy
    }
}

impl Drop for Heavy {
    fn drop(&mut self) {
        for (file, before) in &self.0 {
            drop(fs::write(file, before));
        }
    }
}

/// A loop that never waits gets the half CPU that it may have.
pub(crate) fn a_busy_loop_gets_its_share() {
    let above = Above::new(&Limits::default());
    let _heavy = Heavy::new(&above);
    let builder = above.container().cpus("0.5".parse().expect("a number"));
    let container = shell(builder, "while :; do :; done").spawn().expect("a container");
    let used = || container.stats().expect("statistics").cpu.usage.expect("counted");
    let (begun, before) = (Instant::now(), used());
    std::thread::sleep(Duration::from_secs(3));
    let share = (used() - before).as_secs_f64() / begun.elapsed().as_secs_f64();
    assert!((0.45..=0.55).contains(&share), "{share}");
    let throttled = container.stats().expect("statistics").cpu.throttled;
    assert!(throttled > Some(Duration::from_millis(100)), "{throttled:?}");
}

/// A launch into a frozen group ends by its time limit, and the host goes on.
pub(crate) fn a_frozen_group_does_not_hang_the_host() {
    let above = Above::new(&Limits::default());
    above.0.freeze().expect("a freeze");
    let plan = above.container().command("true").plan().expect("a plan");
    let limit = Duration::from_secs(2);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let frozen = scope.spawn(|| plan.launch().start_timeout(limit).spawn());
        // The host starts others meanwhile.
        let status = Container::host_view().command("true").status().expect("a run");
        assert!(status.success());
        assert!(begun.elapsed() < limit * 4, "{:?}", begun.elapsed());
        let error = refused(frozen.join().expect("no panic"));
        assert_eq!(error.kind(), ErrorKind::StartTimeout, "{error}");
    });
    let taken = begun.elapsed();
    assert!((limit..limit * 4).contains(&taken), "{taken:?}");
    above.is_left_empty();
    above.0.thaw().expect("it goes on");
    let status = plan.launch().status().expect("a run");
    assert!(status.success(), "{status}");
    above.is_left_empty();
}

/// The group's processes are all killed together, again and again, while the host starts others in the same group: at
/// any moment of a launch.
pub(crate) fn the_host_survives_an_oom_loop() {
    let mut limits = Limits::default();
    limits.memory.max = Some(Bytes::mib(16).into());
    limits.memory.oom_group = Some(Switch::On);
    let above = Above::new(&limits);
    let kills = || above.count("memory.events", "oom_group_kill");
    let eater = above.container().command("tail").args(["/dev/zero"]).plan().expect("a plan");
    let other = above.container().command("true").plan().expect("a plan");
    let (done, ended, struck) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let success = other.launch().status().is_ok_and(|status| status.success());
                (if success { &ended } else { &struck }).fetch_add(1, Ordering::Relaxed);
            }
        });
        let wanted = times(50, 1000);
        let begun = Instant::now();
        while kills() < wanted {
            if let Ok(status) = eater.launch().status() {
                let outcome = status.outcome();
                let by_kernel = matches!(outcome, Outcome::OutOfMemory | Outcome::Signaled { .. });
                assert!(by_kernel, "{status}");
            }
            assert!(begun.elapsed() < Duration::from_secs(3300), "{} kills", kills());
        }
        done.store(true, Ordering::Relaxed);
    });
    let (ended, struck) = (ended.into_inner(), struck.into_inner());
    // Otherwise this has shown nothing about a launch.
    assert!(ended > 0 && struck > 0, "{ended} ran, {struck} were struck");
    above.is_left_empty();
}

/// A writer past the page cache gets the rate of its limit.
pub(crate) fn a_writer_gets_its_rate() {
    const RATE: f64 = 10_000_000.0;
    let dir = tempfile::tempdir_in("/var/tmp").expect("a directory on the disk");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(dir.path(), open).expect("our directory");
    let device = rustix::fs::stat(dir.path()).expect("the directory").st_dev;
    let mut limited = IoDevice::new(rustix::fs::major(device), rustix::fs::minor(device));
    let write = |device: IoDevice| {
        let mut limits = Limits::default();
        limits.io.devices.push(device);
        let builder = Container::host_view().limits(limits).bind_rw_to(dir.path(), "/mnt");
        let script = "rm -f /mnt/x; dd if=/dev/zero of=/mnt/x bs=250k count=160 oflag=direct 2>&1";
        let output = super::run(builder, script);
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}: {printed}", output.status);
        // «… copied, 4.1 s, 10 MB/s»
        let seconds = printed.rsplit("copied, ").next().and_then(|text| text.split(' ').next());
        40_960_000.0 / seconds.expect("a time").parse::<f64>().expect("a number")
    };
    limited.read_bps = Some(ampoule::Max::Max);
    let free = write(limited);
    assert!(free > 2.0 * RATE, "the disk itself writes {free} bytes per second");
    limited.write_bps = Some(Bytes::new(10_000_000).into());
    let rate = write(limited);
    assert!((RATE * 0.85..=RATE * 1.15).contains(&rate), "{rate} bytes per second");
}
