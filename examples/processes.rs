//! A table of processes, as ps(1) shows them.
//!
//! Kernel objects: files of /proc, which are read. Invariant: a process that has just ended has no line.

use crate::columns::columns;
use crate::row::printable;

const HEAD: [&str; 7] = ["PID", "PPID", "CLS", "RTPRIO", "NI", "TIME", "COMMAND"];

/// These processes with their scheduling class, real-time priority and nice value.
pub fn table(pids: impl IntoIterator<Item = u32>) -> String {
    let lines = pids.into_iter().filter_map(line);
    columns(&std::iter::once(HEAD.map(str::to_owned)).chain(lines).collect::<Vec<_>>())
}

fn line(pid: u32) -> Option<[String; 7]> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    cells(pid, &stat, &String::from_utf8_lossy(&words))
}

/// What proc_pid_stat(5) and proc_pid_cmdline(5) say.
fn cells(pid: u32, stat: &str, words: &str) -> Option<[String; 7]> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // Numbered as in the manual.
    let field = |number: usize| fields.get(number - 3).copied();
    let ticks = field(14)?.parse::<u64>().ok()? + field(15)?.parse::<u64>().ok()?;
    let seconds = ticks / rustix::param::clock_ticks_per_second();
    let (class, priority, nice) = match field(41)? {
        "0" => ("TS", "-", field(19)?),
        "1" => ("FF", field(40)?, "-"),
        "2" => ("RR", field(40)?, "-"),
        "3" => ("B", "-", field(19)?),
        "5" => ("IDL", "-", "-"),
        "6" => ("DLN", "-", "-"),
        _ => ("?", "-", "-"),
    };
    let time = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let command = printable(&words.trim_end_matches('\0').replace('\0', " "));
    let command: String = command.chars().take(60).collect();
    Some([&pid.to_string(), field(4)?, class, priority, nice, &time, &command].map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_those_of_the_manual() {
        // The name of a program may hold parentheses.
        let begin = "7 (a) b) S 1 7 7 0 -1 0 0 0 0 0 366000 300 0 0 20 5 1 0 9 0 0 0";
        let stat = |end: &str| format!("{begin} 0 0 0 0 0 0 0 0 0 0 0 0 17 0 {end} 0 0\n");
        for (end, shown) in [
            ("0 0", ["TS", "-", "5"]),
            ("7 2", ["RR", "7", "-"]),
            ("9 1", ["FF", "9", "-"]),
            ("0 3", ["B", "-", "5"]),
        ] {
            let cells = cells(7, &stat(end), "sh\0-c\0\x1b[2J\0").unwrap();
            assert_eq!(cells[2..5], shown, "{end}");
            assert_eq!((cells[0].as_str(), cells[1].as_str()), ("7", "1"));
            assert_eq!(cells[6], "sh -c ?[2J");
        }
        assert_eq!(cells(7, "7 (sh) S 1", "sh"), None);
    }
}
