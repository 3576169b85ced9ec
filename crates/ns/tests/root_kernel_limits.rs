//! Does the kernel refuse exactly what we refuse? Needs root and unshare(1).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use ampoule_ns::id_map::{IdKind, IdMap, IdRange};
use ampoule_ns::time_offset::{TimeOffset, TimeOffsets};
use proptest::prelude::*;

/// A process in a new namespace that waits for the end of its input.
struct Waiter(Child);

impl Waiter {
    fn start(option: &str) -> Self {
        let mut command = Command::new("unshare");
        command.args([option, "--", "sh", "-c", "echo ready; cat"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        Self(child)
    }

    /// Writes a file of the process by a single write(2).
    fn accepts(&self, file: &str, content: &[u8]) -> bool {
        let path = format!("/proc/{}/{file}", self.0.id());
        let mut file = fs::File::options().write(true).open(path).unwrap();
        file.write(content).is_ok_and(|written| written == content.len())
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

fn check(uid: Vec<IdRange>) {
    let map = IdMap { uid, gid: vec![IdRange::new(0, 0, 1)] };
    let accepted = Waiter::start("--user").accepts("uid_map", &map.to_bytes(IdKind::Uid));
    assert_eq!(map.validate().is_ok(), accepted, "{:?} {:?}", map.uid, map.problems());
}

/// Lines of one id each, `digits` long outside.
fn lines(count: u32, first_outside: u32) -> Vec<IdRange> {
    (0..count).map(|n| IdRange::new(2 * n, first_outside + 2 * n, 1)).collect()
}

#[test]
fn id_maps_at_the_limits() {
    check(lines(340, 0));
    check(lines(341, 0));
    for first in [0, u32::MAX - 2, u32::MAX - 1, u32::MAX] {
        check(vec![IdRange::new(first, 0, 1)]);
        check(vec![IdRange::new(0, first, 1)]);
        check(vec![IdRange::new(first, first, 2)]);
    }
    check(vec![IdRange::new(0, 0, u32::MAX)]);
    check(vec![IdRange::new(1, 0, u32::MAX)]);
    check(vec![IdRange::new(0, 0, 0)]);
}

#[test]
fn id_maps_at_the_byte_limit() {
    // 4095 bytes are taken, one more is not; the pages of this machine are of 4096 bytes.
    let bytes = |ranges: &[IdRange]| {
        IdMap { uid: ranges.to_vec(), gid: vec![] }.to_bytes(IdKind::Uid).len()
    };
    let mut seen = Vec::new();
    for count in 235..=275 {
        for first in [100_000_000, 1_000_000_000] {
            let ranges = lines(count, first);
            if (4076..=4115).contains(&bytes(&ranges)) {
                seen.push(bytes(&ranges));
                check(ranges);
            }
        }
    }
    assert!(seen.iter().any(|n| *n <= 4095) && seen.iter().any(|n| *n > 4095), "{seen:?}");
}

#[test]
fn clock_offsets_at_the_limits() {
    let max = i64::MAX / 1_000_000_000 / 2;
    for seconds in [0, -1, max - 10_000_000, max, max + 1, -max, 1 << 40, i64::MAX, i64::MIN] {
        let monotonic = TimeOffset::seconds(seconds);
        let offsets = TimeOffsets { monotonic, ..TimeOffsets::default() };
        // The offsets must be written before the first execve(2), so unshare(1) writes them.
        let option = format!("--monotonic={seconds}");
        let output = Command::new("unshare").args(["--time", &option, "true"]).output().unwrap();
        let accepted = output.status.success();
        assert_eq!(offsets.validate_now().is_ok(), accepted, "{seconds}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn id_maps_of_any_form(
        ranges in prop::collection::vec((0..30u32, 0..30u32, 0..12u32), 1..5)
    ) {
        check(ranges.into_iter().map(|(i, o, c)| IdRange::new(i, o, c)).collect());
    }
}
