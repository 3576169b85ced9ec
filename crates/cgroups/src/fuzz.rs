//! The pure parsers of this crate behind one shape, for the fuzz targets. Not a public interface.
//!
//! Kernel objects: none. Invariant: no input makes any of these panic, and memory stays
//! proportional to the input.

use std::time::Duration;

use crate::devices::{Instruction, Program};
use crate::events::{Counters, Snapshot, oom_cause};
use crate::pressure::Pressure;
use crate::stat::{Cpu, Descendants, Io, MemoryEvents, MemoryStat, State, Stats, Usage};
use crate::stat::{pids, resources, tree};
use crate::{DeviceRule, Max};

/// The statistics files of both versions; two texts are separated by a zero byte.
pub fn statistics(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (first, second) = text.split_once('\0').unwrap_or((&text, ""));
    let mut cpu = Cpu::parse(first);
    cpu.add_cpuacct(second, first);
    let before = Stats { cpu, io: Io::parse(first), ..Stats::default() };
    let after =
        Stats { cpu: Cpu::parse(second), io: Io::parse_v1(first, second), ..Stats::default() };
    let usage = Usage::between(&before, &after, Duration::from_nanos(1));
    assert!(usage.cpu_percent.is_none_or(|percent| percent.is_finite() && percent >= 0.0));
    bounded(MemoryStat::parse(first).other.len(), first);
    bounded(MemoryStat::parse_v1(first).other.len(), first);
    bounded(resources::parse_rdma(first, second).len(), &format!("{first}\n{second}"));
    let files = resources::ScalarFiles { current: first, max: second, peak: first, events: second };
    for resource in files.parse().values() {
        assert!(resource.max != Some(Max::Limit(0)) || second.contains('0'));
    }
}

/// Counters grow line by line, never faster than the text.
fn bounded(entries: usize, text: &str) {
    assert!(entries <= text.lines().count());
}

/// The files that tell of events and pressure; two moments are separated by a zero byte.
pub fn events(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (first, second) = text.split_once('\0').unwrap_or((&text, ""));
    let [before, after] = [first, second].map(|text| Snapshot {
        memory: MemoryEvents::parse(text),
        memory_local: MemoryEvents::parse_v1(text, first, second),
        pids_max: pids::parse_events(text),
        state: State::parse(text),
    });
    assert_eq!(before.until(&before), []);
    assert!(before.until(&after).len() <= 9);
    let group = Counters {
        events: [&before.memory, &after.memory],
        local: [&before.memory_local, &after.memory_local],
    };
    let cause = oom_cause(group, &[group]);
    assert_eq!(cause.is_some(), after.memory.oom_kill > Some(before.memory.oom_kill.unwrap_or(0)));
    let descendants = Descendants::parse(first);
    assert!(descendants.nr_descendants.is_none() || first.contains("nr_descendants"));
    assert!(tree::parse_freezer_state(first).is_none() || first.contains('Z'));
    for stall in [Pressure::parse(first).some, Pressure::parse(first).full].into_iter().flatten() {
        assert!(stall.avg10.is_finite() && stall.avg60 >= 0.0);
    }
}

/// Device rules, one per line, and the program made of them: jumps stay inside.
pub fn device_program(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let rules: Vec<DeviceRule> = text.lines().filter_map(|line| line.parse().ok()).collect();
    let program = Program::new(&rules);
    let instructions = program.instructions();
    assert_eq!(program.encode().len(), instructions.len());
    assert_eq!(instructions.last(), Some(&Instruction::Exit));
    for (at, instruction) in instructions.iter().enumerate() {
        if let Instruction::SkipIf { skip, .. } | Instruction::SkipUnless { skip, .. } = instruction
        {
            assert!(at.saturating_add(usize::from(*skip)) < instructions.len().saturating_sub(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_read(data: Vec<u8>) {
            super::statistics(&data);
            super::events(&data);
            super::device_program(&data);
        }

        #[test]
        fn likely_texts_are_read(text in "((anon|oom_kill|max|populated|8:0|some)[ =](rbytes=)?[0-9]{0,21}[\n\0]){0,8}") {
            super::statistics(text.as_bytes());
            super::events(text.as_bytes());
        }

        #[test]
        fn rules_make_programs(text in "((allow|deny) [abc] ([0-9]{1,3}|[*]):([0-9]{1,3}|[*]) (rw|m|rwm)\n){0,20}") {
            super::device_program(text.as_bytes());
        }
    }
}
