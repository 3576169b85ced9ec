//! `top`, `only-cgroups` and `sandbox --stats`: what they show is what the commands did.
//!
//! By root, who may make groups. Invariant: no group is left.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[expect(dead_code, reason = "the tests of `sandbox` use the rest")]
mod commands;

use std::io::{BufRead, BufReader};
use std::process::Child;

use ampoule_cgroups::{Depth, Group, Hierarchies, Life, Limits, Place, owned_name};
use commands::{Done, command, finish};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const BUSY: &str = "while :; do :; done";
/// Keeps 20 MiB.
const EAT: &str = "x=$(head -c 20M /dev/zero | tr '\\0' x); sleep 100";
const MIB: u64 = 1 << 20;

fn run(name: &str, arguments: &[&str]) -> Done {
    finish(command(name, arguments).spawn().unwrap())
}

/// One table of `top`, as JSON.
fn rows(line: &str) -> Vec<Value> {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
}

fn number(row: &Value, field: &str) -> f64 {
    row[field].as_f64().unwrap_or_else(|| panic!("no {field} in {row}"))
}

/// The groups that a program made and left.
fn left_by(pid: u32) -> Vec<String> {
    let place = Place::find(&Hierarchies::detect().unwrap()).unwrap();
    let entries = place.paths().flat_map(|path| std::fs::read_dir(path).unwrap());
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains(&format!(".w{pid}-"))).collect()
}

/// Sends a signal, and waits for a success that leaves no group.
fn ends_cleanly(child: Child, number: Signal) {
    let pid = child.id();
    kill_process(Pid::from_child(&child), number).unwrap();
    let done = finish(child);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
    assert_eq!(left_by(pid), Vec::<String>::new());
}

#[test]
fn numbers_are_what_the_commands_do() {
    let arguments = ["--memory", "64m", "--cpus", "0.5", "--pids", "20", "--format", "json"];
    let commands = ["--", "sh", "-c", BUSY, "---", "sh", "-c", EAT];
    let mut top = command("top", &[arguments.as_slice(), &commands].concat()).spawn().unwrap();
    let mut lines = BufReader::new(top.stdout.take().unwrap()).lines();
    // On a loaded machine the loop may get less for a while, but never more.
    let mut shares = Vec::new();
    let last = loop {
        let rows = rows(&lines.next().unwrap().unwrap());
        let percent = number(&rows[0], "cpu_percent");
        assert!(percent <= 60.0, "{rows:?}");
        shares.push(percent);
        let eaten = number(&rows[1], "memory_usage") >= 20.0 * 1024.0 * 1024.0;
        if (40.0..=60.0).contains(&percent) && eaten {
            break rows;
        }
        assert!(shares.len() < 40, "{shares:?} {rows:?}");
    };
    for (row, name) in last.iter().zip(["sh-1", "sh-2"]) {
        assert_eq!(
            (row["name"].as_str(), row["memory_limit"].as_u64()),
            (Some(name), Some(64 * MIB))
        );
        let (usage, percent) = (number(row, "memory_usage"), number(row, "memory_percent"));
        assert!((percent - usage / (64.0 * 1024.0 * 1024.0) * 100.0).abs() < 0.01, "{row}");
        // init and the shell; the second one's sleep, too.
        assert!((2..=20).contains(&row["pids"].as_u64().unwrap()), "{row}");
        assert!(row["id"].as_u64() > Some(1), "{row}");
        assert_eq!(
            (row["network_received"].as_u64(), row["network_sent"].as_u64()),
            (Some(0), Some(0))
        );
    }
    assert!(number(&last[0], "cpu_seconds") > 0.3, "{last:?}");
    assert!(number(&last[0], "average_cpu_percent") <= 60.0, "{last:?}");
    assert!(number(&last[1], "memory_usage") <= 64.0 * 1024.0 * 1024.0, "{last:?}");
    top.stdout = Some(nothing());
    drop(lines);
    ends_cleanly(top, Signal::TERM);
}

/// A stream that has ended, in place of one that was taken.
fn nothing() -> std::process::ChildStdout {
    let (read, _) = std::io::pipe().unwrap();
    std::os::fd::OwnedFd::from(read).into()
}

#[test]
fn one_table() {
    let once = ["--no-stream", "--interval", "0.3", "--memory", "1g", "--count", "3"];
    let done = run("top", &[once.as_slice(), &["sleep", "100"]].concat());
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
    let lines: Vec<&str> = done.out.lines().collect();
    let head: Vec<&str> =
        lines[0].split("  ").map(str::trim).filter(|word| !word.is_empty()).collect();
    let expected = "ID,NAME,CPU %,MEM USAGE / LIMIT,MEM %,NET IO,BLOCK IO,PIDS,CPU TIME,AVG CPU %";
    assert_eq!(head, expected.split(',').collect::<Vec<_>>());
    assert_eq!(lines.len(), 4, "{}", done.out);
    for (number, line) in lines[1..].iter().enumerate() {
        assert!(line.contains(&format!("sleep-{}", number + 1)), "{line}");
        assert!(line.contains("/ 1.0GiB") && line.contains("0B / 0B"), "{line}");
    }
}

#[test]
fn each_interface_has_its_line() {
    let send = "for _ in 1 2 3; do echo 0123456789 >/dev/udp/127.0.0.1/9; done; exec sleep 100";
    let once = ["--no-stream", "--interval", "2", "--interfaces", "--", "bash", "-c", send];
    let done = run("top", &once);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
    let [head, line] = done.out.lines().collect::<Vec<_>>()[..] else { panic!("{}", done.out) };
    assert!(head.contains("INTERFACE") && head.ends_with("TX DROPPED"), "{head}");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[1..3], ["bash-1", "lo"], "{line}");
    let [bytes, packets] = [3, 4].map(|at| words[at].parse::<u64>().unwrap());
    assert!(bytes >= 33 && packets >= 3, "{line}");
    assert_eq!(words[7..9], words[3..5], "what lo sends it receives: {line}");
}

#[test]
fn it_ends_with_the_last_command() {
    let commands = ["--", "sh", "-c", "exit 3", "---", "sleep", "0.5"];
    let done = run("top", &[&["--interval", "0.2"], commands.as_slice()].concat());
    assert_eq!(done.code, Some(0), "{}", done.err);
    let ends: Vec<&str> = done.err.lines().collect();
    assert!(ends[0].starts_with("sh-1: exited with code 3: memory peak "), "{ends:?}");
    assert!(ends[1].starts_with("sleep-2: exited with code 0: "), "{ends:?}");
    assert!(done.out.contains("sleep-2") && !done.out.contains("sh-1"), "{}", done.out);
}

#[test]
fn a_group_of_somebody_else() {
    let name = owned_name(Some("watched"), Life::WithOwner).unwrap();
    let group = Group::create(&name, &Limits::default().pids_max(7)).unwrap();
    let script = format!("read line; {EAT}");
    let mut shell = std::process::Command::new("sh");
    let mut shell =
        shell.args(["-c", &script]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    group.add(shell.id()).unwrap();
    drop(shell.stdin.take());
    let ready = || {
        group.stat().unwrap().memory.current > Some(20 * MIB)
            && group.procs(Depth::One).unwrap().len() == 2
    };
    while !ready() {
        assert!(shell.try_wait().unwrap().is_none());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let path = group.paths().next().unwrap();
    let hierarchies = Hierarchies::detect().unwrap();
    let below = hierarchies.iter().find_map(|one| path.strip_prefix(&one.mount).ok()).unwrap();
    let path = format!("/{}", below.display());
    let once = ["--no-stream", "--interval", "0.2", "--format", "json", "--group", path.as_str()];
    let done = run("top", &once);
    let gone = || run("top", &["--group", path.as_str()]);
    group.kill().unwrap();
    shell.wait().unwrap();
    group.remove().unwrap();
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
    let rows = rows(&done.out);
    assert_eq!(
        (rows[0]["name"].as_str(), rows[0]["pids"].as_u64()),
        (Some(path.as_str()), Some(2))
    );
    assert!(number(&rows[0], "memory_usage") >= 20.0 * 1024.0 * 1024.0, "{rows:?}");
    // Its network is this machine's, and not its own.
    assert!(rows[0]["id"].is_null() && rows[0]["network_received"] == 0, "{rows:?}");
    let gone = gone();
    assert_eq!(gone.code, Some(125));
    assert!(gone.err.contains("--group") && gone.err.contains(&path), "{}", gone.err);
}

#[test]
fn control_groups_alone() {
    let done = run("only-cgroups", &["--cpus", "0.25", "--pids", "9", "--seconds", "1"]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
    let words: Vec<&str> = done.out.split_whitespace().collect();
    assert!(words.windows(2).any(|pair| pair == ["pids.max", "9"]), "{}", done.out);
    let v2 = words.windows(3).any(|words| words == ["cpu.max", "25000", "100000"]);
    let v1 = words.windows(2).any(|pair| pair == ["cpu.cfs_quota_us", "25000"]);
    assert!(v1 || v2, "{}", done.out);
    let looks: Vec<&str> =
        done.out.lines().filter(|line| line.starts_with("memory ")).take(9).collect();
    assert!(looks.len() >= 2 && looks[0].contains("of 65536 KiB"), "{}", done.out);
    assert!(looks[0].ends_with("processes 2 of 9"), "{}", done.out);
    assert!(
        done.out.contains("for want of memory: 0\nsignal: 9 (SIGKILL)\nremoved\n"),
        "{}",
        done.out
    );
    let eats = run("only-cgroups", &["--memory", "8m", "sh", "-c", EAT]);
    assert!(
        !eats.out.contains("for want of memory: 0") && eats.out.ends_with("removed\n"),
        "{}",
        eats.out
    );
}

#[test]
fn a_sandbox_tells_what_was_used() {
    let limits = ["--cpus", "0.5", "--timeout", "2", "--stats", "--", "sh", "-c", BUSY];
    let done = run("sandbox", &limits);
    assert_eq!(done.code, Some(124));
    let share =
        done.err.trim_end().strip_suffix(" % of a CPU").and_then(|text| text.rsplit(' ').next());
    let share: f64 = share.unwrap_or_else(|| panic!("{}", done.err)).parse().unwrap();
    assert!(share > 5.0 && share <= 60.0, "{}", done.err);
    for measure in [
        "memory peak ",
        "CPU time ",
        "throttled ",
        "processes at once",
        "read ",
        "written ",
        "network received ",
        "sent ",
    ] {
        assert!(done.err.contains(measure), "{measure}: {}", done.err);
    }
    let without_limits = run("sandbox", &["--stats", "--", "sh", "-c", "exit 3"]);
    assert_eq!(without_limits.code, Some(3));
    assert!(without_limits.err.contains("memory peak "), "{}", without_limits.err);
}

#[test]
fn help() {
    for name in ["top", "only-cgroups"] {
        let done = run(name, &["--help"]);
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
        assert!(done.out.contains(&format!("Usage: {name} ")), "{}", done.out);
    }
}
