//! What the limits of `sandbox` do, as the kernel's files say.
#![allow(dead_code, reason = "only root has groups on every machine")]

use rustix::process::{Pid, Signal, kill_process};

use super::{finish, read_until, sandbox, start};

/// The limit of a device is in the files of the command's group.
pub(crate) fn devices() {
    let devices = std::fs::read_to_string("/proc/partitions").unwrap();
    let words: Vec<&str> = devices.lines().nth(2).unwrap().split_whitespace().collect();
    let device = format!("{}:{}", words[0], words[1]);
    let limits = format!("{device}:rbps=10m,wiops=70");
    let script = "echo up; sleep 60";
    let mut child = start(&["--io", &limits, "--", "sh", "-c", script]);
    read_until(child.stdout.as_mut().unwrap(), "up");
    let files = ["io.max", "blkio.throttle.read_bps_device", "blkio.throttle.write_iops_device"];
    let texts = files.map(|file| group_file(child.id(), file).unwrap_or_default());
    kill_process(Pid::from_child(&child), Signal::HUP).unwrap();
    finish(child);
    let all = texts.join("");
    assert!(
        all.contains(&format!("{device} 10485760\n")) || all.contains("rbps=10485760"),
        "{all}"
    );
    assert!(all.contains(&format!("{device} 70\n")) || all.contains("wiops=70"), "{all}");
    assert_eq!(sandbox(&["--io", "4095:1:rbps=1", "--", "true"]).code, Some(125));
}

/// What was used is printed at the end; the name is refused where it leads elsewhere.
pub(crate) fn stats_and_id() {
    let done = sandbox(&["--memory", "64m", "--stats", "--id", "job", "--", "true"]);
    let words = ["memory peak", "CPU time", "throttled"];
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(words.iter().all(|word| done.err.contains(word)), "{}", done.err);
    assert_eq!(sandbox(&["--id", "../job", "--", "true"]).code, Some(125));
}

/// A file of the group that a process made for its command.
fn group_file(pid: u32, file: &str) -> Option<String> {
    let mount = "/sys/fs/cgroup";
    let tops = std::fs::read_dir(mount).unwrap().flatten().map(|entry| entry.path());
    tops.chain([mount.into()]).find_map(|top| {
        let groups = std::fs::read_dir(top.join("ampoule")).ok()?;
        let own = format!(".w{pid}-");
        let mut paths = groups.flatten().map(|entry| entry.path());
        let group = paths.find(|path| path.to_string_lossy().contains(&own))?;
        std::fs::read_to_string(group.join(file)).ok()
    })
}
