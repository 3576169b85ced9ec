//! Runs the table of groups in its short form and looks at what it wrote. Needs root.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

const MEASURES: [&str; 7] =
    ["cycle", "stat", "cycle_among_many", "stat_among_many", "add", "add_after_rest", "spawn"];

/// What v2 hands down at its top, on machines that have v2 there.
fn enabled() -> Option<String> {
    let tops = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new);
    tops.iter().find_map(|top| fs::read_to_string(top.join("cgroup.subtree_control")).ok())
}

/// Directories of the bench at the top of any hierarchy.
fn places(bench: u32) -> Vec<PathBuf> {
    let tops = fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path());
    let tops = tops.chain(["/sys/fs/cgroup".into()]);
    let places = tops.map(|top| top.join(format!("ampoule-bench-cgroups-{bench}")));
    places.filter(|place| place.exists()).collect()
}

#[test]
fn root_the_table_of_groups_is_whole_and_leaves_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let json = scratch.path().join("cgroups.json");
    let before = enabled();
    let mut bench = Command::new(env!("CARGO_BIN_EXE_bench-cgroups"));
    bench.args(["--quick", "--only", "raw,ours", "--json"]).arg(&json);
    let bench = bench.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = bench.id();
    let output = bench.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{table}");
    assert!(table.contains("p95 / raw"), "{table}");
    assert_eq!(places(id), Vec::<PathBuf>::new(), "groups left behind");
    assert_eq!(enabled(), before, "controllers left enabled");

    let report: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    assert_eq!(report["many"], 200);
    look_at_lines(&report);
    look_at_contenders(&report);
}

fn look_at_lines(report: &Value) {
    let lines = report["lines"].as_array().unwrap();
    let mut counts = BTreeMap::new();
    for line in lines {
        let (measure, who) =
            (line["measure"].as_str().unwrap(), line["contender"].as_str().unwrap());
        assert!(line["failure"].is_null(), "{line}");
        let samples = line["samples"].as_array().unwrap();
        assert!(samples.iter().all(|sample| sample.as_f64().unwrap() > 0.0), "{line}");
        let number = |value: &Value| value.as_f64().unwrap();
        let summary = &line["summary"];
        assert!(number(&summary["p50"]) <= number(&summary["p95"]), "{line}");
        if who == "raw" {
            assert_eq!((number(&line["p50_ratio"]), number(&line["p95_ratio"])), (1.0, 1.0));
        }
        counts.insert((measure.to_owned(), who.to_owned()), samples.len());
    }
    for measure in MEASURES {
        for who in ["raw", "ours"] {
            let count = counts.remove(&(measure.to_owned(), who.to_owned())).unwrap_or(0);
            assert!(count >= 15, "{measure} of {who}: {count} samples");
        }
    }
    assert!(counts.is_empty(), "{counts:?}");
}

/// Both make and read the same, and what was asked for is in force.
fn look_at_contenders(report: &Value) {
    let contenders = report["contenders"].as_array().unwrap();
    let [raw, ours] = contenders.as_slice() else { panic!("{contenders:?}") };
    assert_eq!((&raw["name"], &ours["name"]), (&"raw".into(), &"ours".into()));
    assert_eq!(raw["proof"], ours["proof"]);
    let proof = &ours["proof"];
    assert_eq!(proof["not_in_force"], Value::Array(Vec::new()));
    assert!(!proof["work"]["directories"].as_array().unwrap().is_empty(), "{proof}");
    let reads = proof["work"]["reads"].as_array().unwrap();
    for file in ["memory.stat", "cpu.stat", "pids.current"] {
        let suffix = format!("/{file}");
        let is_read = |read: &Value| read.as_str().is_some_and(|read| read.ends_with(&suffix));
        assert!(reads.iter().any(is_read), "{file} is not among {reads:?}");
    }
}
