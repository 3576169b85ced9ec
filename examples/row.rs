//! One line of the table: what a container or a group uses, in the measures of `podman stats`.
//!
//! Pure, but for the machine's memory. Invariant: what was not counted is shown as `--`, never as a number.

use std::fmt::Display;
use std::time::Duration;

use ampoule::{Interfaces, Max, Stats};
use ampoule_cgroups::stat::Usage;
use serde::Serialize;

use crate::columns::columns;

/// What is shown of one container or group. Bytes, seconds, and percent of one CPU.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Row<Id> {
    /// What a program knows it by: the first process of a container, or its id.
    pub id: Option<Id>,
    /// Its name.
    pub name: String,
    /// CPU time between the two samples.
    pub cpu_percent: Option<f64>,
    /// Memory, without cached files that were not used lately.
    pub memory_usage: Option<u64>,
    /// How much it may use.
    pub memory_limit: Option<u64>,
    /// How much of that it uses.
    pub memory_percent: Option<f64>,
    /// What its interfaces received, but lo.
    pub network_received: u64,
    /// What they sent.
    pub network_sent: u64,
    /// By name, also lo.
    pub interfaces: Interfaces,
    /// What was read of block devices; one that was never used is not counted.
    pub block_read: u64,
    /// What was written to them.
    pub block_written: u64,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// CPU time since its start.
    pub cpu_seconds: Option<f64>,
    /// Of a container's whole life; nobody knows when a group was made.
    pub average_cpu_percent: Option<f64>,
}

const HEAD: [&str; 10] = [
    "ID",
    "NAME",
    "CPU %",
    "MEM USAGE / LIMIT",
    "MEM %",
    "NET IO",
    "BLOCK IO",
    "PIDS",
    "CPU TIME",
    "AVG CPU %",
];

impl<Id: Display> Row<Id> {
    /// From two samples; where memory has no limit, the machine's is the limit.
    #[must_use]
    pub fn between(before: &Stats, after: &Stats, elapsed: Duration, machine_memory: u64) -> Self {
        let limit = after.memory.max.and_then(Max::limit).unwrap_or(machine_memory);
        let limit = limit.min(machine_memory);
        let usage = after.memory.working_set();
        let (network, io) = (after.network.total(), after.io.total());
        Self {
            cpu_percent: Usage::between(before, after, elapsed).cpu_percent,
            memory_usage: usage,
            memory_limit: usage.map(|_| limit),
            memory_percent: usage.map(|usage| float(usage) / float(limit.max(1)) * 100.0),
            network_received: network.received.bytes,
            network_sent: network.sent.bytes,
            interfaces: after.network.clone(),
            block_read: io.rbytes.unwrap_or(0),
            block_written: io.wbytes.unwrap_or(0),
            pids: after.pids.current,
            cpu_seconds: after.cpu.usage.map(|usage| usage.as_secs_f64()),
            average_cpu_percent: after.average_cpu_percent().filter(|_| !after.age.is_zero()),
            id: None,
            name: String::new(),
        }
    }

    fn cells(&self) -> [String; 10] {
        [
            shown(self.id.as_ref(), ToString::to_string),
            printable(&self.name),
            shown(self.cpu_percent, percent),
            pair(self.memory_usage, self.memory_limit),
            shown(self.memory_percent, percent),
            pair(Some(self.network_received), Some(self.network_sent)),
            pair(Some(self.block_read), Some(self.block_written)),
            shown(self.pids, |pids| pids.to_string()),
            shown(self.cpu_seconds, |seconds| format!("{seconds:.3}s")),
            shown(self.average_cpu_percent, percent),
        ]
    }
}

/// The table, with its head.
#[must_use]
pub fn table<Id: Display>(rows: &[Row<Id>]) -> String {
    let lines = rows.iter().map(Row::cells);
    columns(&std::iter::once(HEAD.map(str::to_owned)).chain(lines).collect::<Vec<_>>())
}

/// The machine's memory in bytes.
#[must_use]
pub fn machine_memory() -> u64 {
    let machine = rustix::system::sysinfo();
    u64::from(machine.mem_unit).saturating_mul(machine.totalram)
}

/// A name may hold control characters that a terminal would obey.
#[must_use]
pub fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn shown<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "--".to_owned(), show)
}

fn pair(first: Option<u64>, second: Option<u64>) -> String {
    format!("{} / {}", shown(first, size), shown(second, size))
}

fn percent(percent: f64) -> String {
    format!("{percent:.2}%")
}

/// Bytes with three or four digits, in powers of 1024.
fn size(bytes: u64) -> String {
    let mut value = float(bytes);
    for unit in ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] {
        // 1023.95 would be shown as 1024.0.
        if value < 1023.95 {
            return if unit == "B" { format!("{bytes}B") } else { format!("{value:.1}{unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1}EiB")
}

/// A table needs no more than the 53 bits of a float.
fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use ampoule::Interfaces;
    use ampoule_cgroups::stat::{Cpu, Io};

    fn sample(seconds: u64) -> Stats {
        let mut stats = Stats::default();
        stats.group.cpu = Cpu::parse(&format!("usage_usec {}\n", seconds * 500_000));
        stats.group.io = Io::parse("8:0 rbytes=1536 wbytes=0\n");
        stats.group.memory.current = Some(48 << 20);
        stats.group.memory.stat.inactive_file = Some(16 << 20);
        stats.group.memory.max = Some(Max::Limit(64 << 20));
        stats.group.pids.current = Some(3);
        stats.network = Interfaces::parse(
            b"lo: 9 0 0 0 0 0 0 0 9 0 0 0 0 0 0 0\neth0: 1048576 0 0 0 0 0 0 0 10 0 0 0 0 0 0 0\n",
        );
        stats.age = Duration::from_secs(seconds);
        stats
    }

    #[test]
    fn a_line_has_the_measures_of_podman_stats() {
        let row = Row::between(&sample(2), &sample(4), Duration::from_secs(2), 1 << 40);
        let row = Row { id: Some(77), name: "sh-1".to_owned(), ..row };
        let text = table(&[row]);
        let [head, line] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
        let words: Vec<_> =
            line.split("  ").filter(|word| !word.is_empty()).map(str::trim).collect();
        let expected = [
            "77",
            "sh-1",
            "50.00%",
            "32.0MiB / 64.0MiB",
            "50.00%",
            "1.0MiB / 10B",
            "1.5KiB / 0B",
            "3",
            "2.000s",
            "50.00%",
        ];
        assert_eq!(words, expected);
        assert_eq!(head.find("AVG"), line.rfind("50.00%"), "{text}");
        assert_eq!(head.find("PIDS"), line.find(" 3 ").map(|at| at + 1), "{text}");
    }

    #[test]
    fn what_was_not_counted_is_no_number() {
        let none = Stats::default();
        let row = Row::<u32>::between(&none, &none, Duration::from_secs(1), 1 << 30);
        let cells = row.cells();
        assert_eq!(cells[3..5], ["-- / --".to_owned(), "--".to_owned()]);
        for column in [0, 2, 7, 8, 9] {
            assert_eq!(cells[column], "--", "{}", HEAD[column]);
        }
    }

    #[test]
    fn the_machine_is_the_limit_of_what_has_none() {
        let mut stats = sample(1);
        for max in [Max::Max, Max::Limit(u64::MAX), Max::Limit(96 << 20)] {
            stats.group.memory.max = Some(max);
            let row = Row::<u32>::between(&stats, &stats, Duration::ZERO, 64 << 20);
            assert_eq!((row.memory_limit, row.cpu_percent), (Some(64 << 20), Some(0.0)));
        }
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.0KiB"),
            (1536, "1.5KiB"),
            ((1 << 20) - 1, "1.0MiB"),
            (64 << 20, "64.0MiB"),
            (u64::MAX, "16.0EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn names_cannot_steer_a_terminal() {
        let row = Row { name: "a\x1b[2J".to_owned(), ..Row::<u32>::default() };
        assert!(table(&[row]).contains("a?[2J"));
    }
}
