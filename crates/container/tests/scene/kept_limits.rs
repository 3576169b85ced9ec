//! What a kept container keeps of its builder, and directories that cannot be written.
//!
//! Kernel objects: those of [`super::kept`], small file systems in memory. Invariant: what fails leaves nothing.

use std::path::Path;
use std::process::Command as Program;

use ampoule::{
    Container, Details, ErrorKind, Force, OwnGroup, Pid1, RunState, Stage, StateDirectory,
};

use super::kept::{sleeper, states};
use super::outside::descendants;
use super::{is_error, refused, soon};

pub(crate) fn the_group_has_the_name_that_the_builder_gives() {
    let (_place, states) = states();
    let name = format!("ampoule-named-{}", std::process::id());
    let builder = || Container::host_view().cgroup_path(name.clone()).pids_max(16);
    let made = states.create("a", sleeper(builder()), Details::default()).expect("a container");
    let paths: Vec<_> = made.container().expect("it waits").group().expect("one").paths().collect();
    assert!(!paths.is_empty());
    assert!(paths.iter().all(|path| path.ends_with(&name) && path.exists()), "{paths:?}");
    // Another one is not given what the first has, and clearing up after it ends nobody.
    let error = refused(states.create("b", sleeper(builder()), Details::default()));
    is_error(&error, ErrorKind::Limits, Stage::Launch, &[&name, "already"]);
    assert_eq!(states.list().expect("a list").len(), 1);
    assert_eq!(states.get("a").expect("it").state(), RunState::Created);
    states.delete("a", Force::No).expect("a deletion");
    assert!(paths.iter().all(|path| !path.exists()));
    let mut details = Details::default();
    details.cgroup_name = Some(format!("{name}-other"));
    let made = states.create("a", sleeper(builder()), details).expect("a container");
    let other = made.container().expect("it waits").group().expect("one");
    assert!(other.paths().all(|path| path.ends_with(format!("{name}-other"))));
    states.delete("a", Force::No).expect("a deletion");
    let always = Container::host_view().own_group(OwnGroup::Always);
    let made = states.create("a", sleeper(always), Details::default()).expect("a container");
    assert!(made.container().expect("it waits").group().is_some());
    states.delete("a", Force::No).expect("a deletion");
    assert_eq!(descendants(), 0);
}

#[cfg(feature = "landlock")]
pub(crate) fn rules_that_cannot_be_made_again_keep_others_out_but_not_signals() {
    let (_place, states) = states();
    for pid1 in [Pid1::Reaper, Pid1::Payload] {
        let rules = ampoule::Landlock::new().execute("/usr").read("/proc");
        let builder = Container::host_view().pid1(pid1).landlock(rules);
        let made = states.create("a", sleeper(builder), Details::default());
        made.expect("a container").start().expect("a start");
        let kept = states.get("a").expect("it");
        let error = refused(kept.container().expect("it runs").exec("true").status());
        is_error(&error, ErrorKind::Unsupported, Stage::Launch, &["Landlock"]);
        kept.kill(9).expect("a signal");
        assert!(soon(|| kept.state() == RunState::Stopped));
        assert_eq!(kept.wait().expect("a status").signal(), Some(9));
        states.delete("a", Force::No).expect("a deletion");
        assert_eq!(descendants(), 0);
    }
}

/// A file system in memory; taken away when dropped.
struct InMemory(tempfile::TempDir);

impl InMemory {
    fn mount(options: &str) -> Self {
        let place = tempfile::TempDir::new().expect("a directory");
        mount(&["-t", "tmpfs", "-o", options, "none"], place.path());
        Self(place)
    }
}

impl Drop for InMemory {
    fn drop(&mut self) {
        let status = Program::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(status.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[track_caller]
fn mount(options: &[&str], at: &Path) {
    let status = Program::new("mount").args(options).arg(at).status().expect("mount(8)");
    assert!(status.success(), "{options:?}");
}

/// How many entries a directory has.
fn entries(states: &StateDirectory) -> usize {
    std::fs::read_dir(states.path()).expect("the directory").count()
}

/// In a mount namespace of the test's own.
pub(crate) fn a_full_disk_is_an_error_and_leaves_nothing() {
    let sizes = (1..=32).map(|pages| format!("mode=700,size={}", pages * 4096));
    let files = (2..=12).map(|files| format!("mode=700,nr_inodes={files}"));
    for kind in [sizes.collect::<Vec<_>>(), files.collect()] {
        let (mut full, mut fits) = (0, 0);
        for options in kind {
            let place = InMemory::mount(&options);
            let states = StateDirectory::open(place.0.path()).expect("a directory");
            let command = sleeper(Container::host_view());
            match states.create("a", command, Details::default()) {
                Ok(mut kept) => {
                    fits += 1;
                    // There may be no room to say that it was started.
                    kept.start().unwrap_or_else(|error| panic!("{options}: {error}"));
                    assert_eq!(states.get("a").expect("it").state(), RunState::Running);
                    states.delete("a", Force::Yes).expect("a deletion");
                }
                Err(error) => {
                    full += 1;
                    is_error(&error, ErrorKind::ResourceLimit, Stage::Launch, &[]);
                    assert_eq!(error.errno(), Some(28), "{options}: {error}");
                }
            }
            assert_eq!((entries(&states), descendants()), (0, 0), "{options}");
        }
        assert!(full > 0 && fits > 0, "{full} were full, {fits} not");
    }
}

/// In a mount namespace of the test's own.
pub(crate) fn a_read_only_directory_is_an_error_and_what_is_in_it_can_be_used() {
    let place = InMemory::mount("mode=700");
    let states = StateDirectory::open(place.0.path()).expect("a directory");
    // A reaper has a file open there, to which it writes the end.
    let view = || Container::host_view().pid1(Pid1::Payload);
    let create = |id: &str| states.create(id, sleeper(view()), Details::default());
    drop(create("a").expect("a container"));
    mount(&["-o", "remount,ro"], place.0.path());
    let error = refused(create("b"));
    is_error(&error, ErrorKind::FileSystem, Stage::Launch, &["mkdir"]);
    let below = refused(StateDirectory::open(place.0.path().join("below")));
    assert_eq!(below.kind(), ErrorKind::FileSystem, "{below}");
    let mut kept = states.get("a").expect("it");
    kept.start().expect("a start");
    let kept = states.get("a").expect("it");
    assert_eq!(kept.state(), RunState::Running);
    assert!(kept.container().expect("it runs").exec("true").status().expect("a run").success());
    let error = refused(states.delete("a", Force::Yes));
    is_error(&error, ErrorKind::FileSystem, Stage::Launch, &["unlink"]);
    assert_eq!((descendants(), kept.state()), (0, RunState::Stopped));
    mount(&["-o", "remount,rw"], place.0.path());
    states.delete("a", Force::No).expect("a deletion");
    assert_eq!(entries(&states), 0);
}
