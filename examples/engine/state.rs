//! Everything about a container, and about this machine, in Podman's words.
//!
//! Kernel objects: files of /proc and /sys, which are read.

use std::path::Path;
use std::time::SystemTime;

use ampoule::{CgroupMode, Host, Kept, RunState};
use ampoule_examples::arguments::{Failure, print};
use ampoule_examples::foreground::exit_code;
use serde_json::{Value, json};

use crate::arguments::Call;
use crate::container::{Engine, Saved, is_up};

pub(crate) fn inspect(engine: &Engine, call: &Call) -> Result<u8, Failure> {
    call.first()?;
    let of = |word: &std::ffi::OsString| {
        let saved = engine.find(&word.to_string_lossy())?;
        described(engine, &saved)
    };
    let all = call.words.iter().map(of).collect::<Result<Vec<Value>, Failure>>()?;
    print(&format!("{:#}\n", Value::from(all))).map(|()| 0)
}

fn described(engine: &Engine, saved: &Saved) -> Result<Value, Failure> {
    let (kept, overlay) = (engine.kept(saved)?, engine.overlay(saved)?);
    let running = kept.as_ref().filter(|kept| is_up(kept.state()));
    let merged = running
        .and_then(Kept::pid)
        .map_or_else(|| saved.merged().display().to_string(), |pid| format!("/proc/{pid}/root"));
    let lower: Vec<_> = overlay.lower_dirs().iter().map(|path| path.to_string_lossy()).collect();
    let container = running.map(Kept::container).transpose()?;
    let groups = container.and_then(|container| container.group());
    let label = container.and_then(|container| container.selinux_label());
    let words: Vec<_> = saved.args.iter().map(|word| word.to_string_lossy()).collect();
    Ok(json!({
        "Id": saved.id,
        "Name": saved.name,
        "Created": time(saved.created),
        "Path": words.first(),
        "Args": words.get(1..),
        "ImageName": saved.image,
        "State": state(kept.as_ref()),
        "CgroupPaths": groups.map_or_else(Vec::new, |group| group.paths().collect()),
        "ProcessLabel": label.map_or_else(String::new, ToString::to_string),
        "OCIConfigPath": saved.directory.join("config.json"),
        "NotInOCIConfig": saved.unsaid,
        "LogPath": saved.directory.join("log"),
        "GraphDriver": {
            "Name": "overlay",
            "Data": {
                "LowerDir": lower.join(":"),
                "UpperDir": overlay.upper_dir(),
                "WorkDir": overlay.work_dir(),
                "MergedDir": merged,
            },
        },
    }))
}

fn state(kept: Option<&Kept>) -> Value {
    let Some(kept) = kept else { return json!({ "Status": "created", "Pid": 0 }) };
    let said = kept.state();
    let has_ended = said == RunState::Stopped;
    let status = if has_ended { "exited".to_owned() } else { said.to_string() };
    json!({
        "Status": status,
        "Running": is_up(said),
        "Pid": kept.pid().unwrap_or(0),
        "ExitCode": has_ended.then(|| kept.wait().ok().map(|status| exit_code(&status))),
        "StartedAt": time(kept.created()),
        "FinishedAt": kept.ended().map(time),
    })
}

fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

pub(crate) fn info(engine: &Engine) -> Result<u8, Failure> {
    let host = Host::probe();
    let of = |path: &Path| path.display().to_string();
    let (mut up, mut all) = (0, 0);
    for saved in engine.all()? {
        let kept = engine.kept(&saved)?;
        up += usize::from(kept.is_some_and(|kept| is_up(kept.state())));
        all += 1;
    }
    let info = json!({
        "host": {
            "kernel": host.kernel,
            "cgroupManager": "cgroupfs",
            "cgroupVersion": match host.cgroups {
                CgroupMode::Unified => "v2",
                CgroupMode::Hybrid => "v1 and v2",
                CgroupMode::Legacy => "v1",
                _ => "none",
            },
            "cgroupPlacement": host.cgroup_placement.map_or_else(|no| no.to_string(), |it| it.to_string()),
            "securityModules": host.security_modules,
            "security": { "rootless": host.uid != 0, "seccompEnabled": !host.seccomp_actions.is_empty() },
        },
        "store": {
            "graphDriverName": "overlay",
            "graphRoot": of(&engine.root),
            "runRoot": of(engine.states.path()),
            "imageStore": of(engine.store.path()),
            "imagesNumber": engine.store.list()?.len(),
            "containers": { "number": all, "running": up, "stopped": all - up },
        },
        "version": env!("CARGO_PKG_VERSION"),
    });
    print(&format!("{info:#}\n")).map(|()| 0)
}
