//! What must be written to a file so that it says again what it said before.
//!
//! Kernel objects: none; texts of interface files. Invariant: one line for one write, in the form that the file takes,
//! which is often not the form that it shows.

use std::borrow::Cow;

/// The text that brings back what `shown` says, after `set` was written to the file.
pub(crate) fn text(file: &str, set: &str, shown: &str) -> String {
    if file == "memory.oom_control" {
        return value_of("oom_kill_disable", shown).unwrap_or("0").to_owned();
    }
    let key = set.split_whitespace().next().unwrap_or_default();
    match has_lines(file) {
        // A write is for one line: that of the same device, resource or interface.
        Form::Lines(free) => {
            let own = |line: &&str| line.split_whitespace().next() == Some(key);
            shown.lines().find(own).map_or_else(|| free(key, set), str::to_owned)
        }
        // The default has a line of its own, but is also set without its name.
        Form::Weights if !key.contains(':') => {
            value_of("default", shown).map_or_else(|| shown.trim().to_owned(), str::to_owned)
        }
        Form::Weights => {
            let own = |line: &&str| line.split_whitespace().next() == Some(key);
            let unset = || format!("{key} default");
            shown.lines().find(own).map_or_else(unset, str::to_owned)
        }
        // Nothing is written as an empty line: a write of no bytes does not reach the kernel.
        Form::Whole if shown.trim().is_empty() => "\n".to_owned(),
        Form::Whole => shown.trim_end().to_owned(),
    }
}

enum Form {
    Whole,
    Lines(fn(&str, &str) -> String),
    Weights,
}

fn has_lines(file: &str) -> Form {
    match file {
        "io.max" | "io.latency" | "rdma.max" => Form::Lines(free_words),
        "misc.max" => Form::Lines(|key, _| format!("{key} max")),
        "net_prio.ifpriomap" => Form::Lines(|key, _| format!("{key} 0")),
        "io.weight" | "io.bfq.weight" | "blkio.bfq.weight_device" | "blkio.leaf_weight_device" => {
            Form::Weights
        }
        _ if file.starts_with("blkio.throttle.") => Form::Lines(|key, _| format!("{key} 0")),
        _ => Form::Whole,
    }
}

/// The value behind a name.
fn value_of<'t>(name: &str, shown: &'t str) -> Option<&'t str> {
    let line = shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(line.trim())
}

/// The line that takes the limits of a device away which another one set.
fn free_words(key: &str, set: &str) -> String {
    let names = set.split_whitespace().filter_map(|word| word.split_once('='));
    let words: Vec<Cow<'_, str>> = names.map(|(name, _)| format!("{name}=max").into()).collect();
    format!("{key} {}", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn every_form_is_brought_back() {
        let control = "oom_kill_disable 1\nunder_oom 0\noom_kill 3\n";
        let devices =
            "8:0 rbps=1 wbps=max riops=max wiops=max\n8:16 rbps=2 wbps=3 riops=4 wiops=5\n";
        let rdma = "mlx4_0 hca_handle=2 hca_object=2000\nocrdma1 hca_handle=3 hca_object=max\n";
        let cases = [
            ("memory.oom_control", "0", control, "1"),
            ("memory.max", "1", "max\n", "max"),
            ("memory.limit_in_bytes", "1", "9223372036854771712\n", "9223372036854771712"),
            ("cpu.max", "50000 100000", "max 100000\n", "max 100000"),
            ("cpuset.cpus", "0", "\n", "\n"),
            ("misc.max", "sev 3", "sev 7\nsev_es max\n", "sev 7"),
            ("misc.max", "sev_es 3", "sev 7\nsev_es max\n", "sev_es max"),
            ("misc.max", "sev_es 3", "sev 7\n", "sev_es max"),
            ("rdma.max", "ocrdma1 hca_handle=1", rdma, "ocrdma1 hca_handle=3 hca_object=max"),
            ("rdma.max", "x hca_handle=1", rdma, "x hca_handle=max"),
            ("net_prio.ifpriomap", "eth0 5", "lo 0\neth0 2\n", "eth0 2"),
            ("net_prio.ifpriomap", "eth1 5", "lo 0\n", "eth1 0"),
            ("io.max", "8:16 rbps=9", devices, "8:16 rbps=2 wbps=3 riops=4 wiops=5"),
            ("io.max", "8:32 rbps=9 wiops=2", devices, "8:32 rbps=max wiops=max"),
            ("io.latency", "8:0 target=10", "", "8:0 target=max"),
            ("io.weight", "default 200", "default 100\n8:0 50\n", "100"),
            ("io.weight", "8:0 200", "default 100\n8:0 50\n", "8:0 50"),
            ("io.weight", "8:16 200", "default 100\n8:0 50\n", "8:16 default"),
            ("blkio.bfq.weight", "200", "100\n", "100"),
            ("blkio.bfq.weight_device", "8:0 200", "default 100\n", "8:0 default"),
            ("blkio.throttle.read_bps_device", "8:0 200", "8:16 5\n", "8:0 0"),
            ("blkio.throttle.read_bps_device", "8:16 200", "8:16 5\n", "8:16 5"),
        ];
        for (file, set, shown, expected) in cases {
            assert_eq!(text(file, set, shown), expected, "{file}: {set:?} after {shown:?}");
        }
    }
}
