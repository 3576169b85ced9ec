//! Pairs of categories among processes that are killed.
//!
//! Kernel objects: processes of this test binary, a directory of locks. Invariant: of 10 000 pairs in use at once no two are the same, and
//! a killed process leaves none in use.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ampoule_selinux::{Lease, Pair, Pairs};

const PROCESSES: usize = 16;
const EACH: usize = 625;
const PLACE: &str = "AMPOULE_TEST_PAIRS";

/// What the processes do: they take pairs, say which, and hold them until their input ends.
#[test]
fn take_and_hold() {
    let Some(place) = std::env::var_os(PLACE) else { return };
    let pairs = Pairs::open(place).expect("the directory");
    let mut out = std::io::stdout();
    let leases: Vec<Lease> = (0..EACH)
        .map(|_| {
            let lease = pairs.allocate().expect("a pair");
            writeln!(out, "pair {}", lease.pair()).expect("the parent reads");
            lease
        })
        .collect();
    writeln!(out, "all").expect("the parent reads");
    std::io::stdin().read_to_end(&mut Vec::new()).expect("the parent's end");
    drop(leases);
}

fn start(place: &Path) -> Child {
    let own = std::env::current_exe().expect("this program");
    let mut command = Command::new(own);
    command.args(["--exact", "take_and_hold", "--nocapture", "--test-threads", "1"]);
    command.env(PLACE, place).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().expect("a process")
}

/// The pairs that a process says it has, up to a number of them.
fn told(child: &mut Child, most: usize) -> Vec<Pair> {
    let mut out = BufReader::new(child.stdout.as_mut().expect("its output"));
    let mut pairs = Vec::new();
    let mut line = String::new();
    while pairs.len() < most {
        line.clear();
        assert_ne!(out.read_line(&mut line).expect("its output"), 0, "it ended early");
        if let Some(pair) = line.trim_end().rsplit_once("pair ").map(|(_, pair)| pair) {
            pairs.push(pair.parse().expect("a pair"));
        }
    }
    pairs
}

fn kill(mut child: Child) {
    child.kill().expect("a signal");
    child.wait().expect("its end");
}

#[test]
fn sixteen_processes_never_have_the_same() {
    let dir = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let place = dir.path().join("pairs");
    let pairs = Pairs::open(&place).expect("the directory");
    // Half of them are killed at work, at different moments, while the others take theirs.
    let mut lasting: Vec<Child> = (0..PROCESSES / 2).map(|_| start(&place)).collect();
    let doomed: Vec<Child> = (0..PROCESSES / 2).map(|_| start(&place)).collect();
    let mut killed = Vec::new();
    for (index, mut child) in doomed.into_iter().enumerate() {
        killed.extend(told(&mut child, 1 + index * 70));
        kill(child);
    }
    // Others come in their place.
    lasting.extend((0..PROCESSES / 2).map(|_| start(&place)));
    let all: Vec<Pair> = lasting.iter_mut().flat_map(|child| told(child, EACH)).collect();
    let different: BTreeSet<Pair> = all.iter().copied().collect();
    assert_eq!((all.len(), different.len()), (PROCESSES * EACH, PROCESSES * EACH));
    // Exactly these are in use: nothing of what the killed ones had.
    assert!(!killed.is_empty());
    let in_use: BTreeSet<Pair> = pairs.in_use().expect("a list").into_iter().collect();
    assert_eq!(in_use, different);
    let (ended, killed_late) = lasting.split_at_mut(PROCESSES / 2);
    for child in ended {
        drop(child.stdin.take());
        assert!(child.wait().expect("its end").success());
    }
    for child in killed_late {
        child.kill().expect("a signal");
        child.wait().expect("its end");
    }
    assert_eq!(pairs.in_use().expect("a list"), []);
    for pair in different {
        drop(pairs.share(pair).expect("free again"));
    }
    assert_eq!(std::fs::read_dir(&place).expect("the directory").count(), 0);
}
