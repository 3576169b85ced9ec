//! What containers are and do: ps, top, stats, logs, inspect; and this machine: info. In Podman's words.
//!
//! Kernel objects: files of /proc and /sys, the groups of the containers, their logs; all of them are only read.

use std::io::Read;
use std::time::{Duration, Instant, SystemTime};

use ampoule::{CgroupMode, Container, Host, Kept, RunState, Stats};
use ampoule_examples::arguments::{Failure, print};
use ampoule_examples::columns::columns;
use ampoule_examples::foreground::exit_code;
use ampoule_examples::row::{self, Row};
use ampoule_examples::verbs::Call;
use ampoule_examples::{background, processes};
use serde_json::{Value, json};

use crate::container::{Engine, Saved, is_up};

pub(crate) fn ps(engine: &Engine, call: &Call) -> Result<u8, Failure> {
    const HEAD: [&str; 6] = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "NAMES"];
    let mut rows = vec![HEAD.map(str::to_owned)];
    for saved in engine.records.all()? {
        if call.has("all") || engine.running(&saved).is_ok() {
            rows.push([
                saved.short().to_owned(),
                saved.image.clone(),
                saved.args.join(" ").chars().take(20).collect(),
                format!("{} ago", since(saved.created)),
                status(engine.kept(&saved)?.as_ref()),
                saved.name.clone(),
            ]);
        }
    }
    let ids = || rows.iter().skip(1).map(|row| row[0].clone() + "\n").collect();
    print(&if call.has("quiet") { ids() } else { columns(&rows) }).map(|()| 0)
}

fn status(kept: Option<&Kept>) -> String {
    match kept.map(|kept| (kept.state(), kept)) {
        Some((RunState::Running, kept)) => format!("Up {}", since(kept.created())),
        Some((RunState::Paused, _)) => "Paused".to_owned(),
        Some((RunState::Stopped, kept)) => match (kept.wait(), kept.ended()) {
            (Ok(status), Some(at)) => format!("Exited ({}) {} ago", exit_code(&status), since(at)),
            // Its init was killed, or the machine was started anew.
            _ => "Exited".to_owned(),
        },
        _ => "Created".to_owned(),
    }
}

fn since(time: SystemTime) -> String {
    let seconds = SystemTime::now().duration_since(time).unwrap_or_default().as_secs();
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

pub(crate) fn top(engine: &Engine, _: &Call, saved: &Saved) -> Result<String, Failure> {
    Ok(processes::table(engine.running(saved)?.container()?.processes()?))
}

/// From two looks, one second apart.
pub(crate) fn stats(engine: &Engine, call: &Call) -> Result<u8, Failure> {
    let chosen = if call.words.is_empty() { engine.records.all()? } else { engine.named(call)? };
    let up = |saved: Saved| engine.running(&saved).ok().map(|kept| (saved, kept));
    let running: Vec<(Saved, Kept)> = chosen.into_iter().filter_map(up).collect();
    // One that has just ended is not shown.
    let look = |(_, kept): &(Saved, Kept)| kept.container().and_then(Container::stats).ok();
    let begin = Instant::now();
    let before: Vec<Option<Stats>> = running.iter().map(look).collect();
    std::thread::sleep(Duration::from_secs(1));
    let row = |(one, before): (&(Saved, Kept), Option<Stats>)| {
        let row = Row::between(&before?, &look(one)?, begin.elapsed(), row::machine_memory());
        Some(Row { id: Some(one.0.short().to_owned()), name: one.0.name.clone(), ..row })
    };
    let rows = running.iter().zip(before).filter_map(row);
    print(&row::table(&rows.collect::<Vec<_>>())).map(|()| 0)
}

pub(crate) fn logs(engine: &Engine, call: &Call, saved: &Saved) -> Result<String, Failure> {
    let mut text = String::new();
    if call.has("follow") {
        background::follow(saved.log()?, || engine.running(saved).is_ok())?;
    } else {
        saved.log()?.read_to_string(&mut text)?;
    }
    Ok(text)
}

pub(crate) fn inspect(engine: &Engine, call: &Call) -> Result<u8, Failure> {
    let named = engine.named(call)?;
    let all = named.iter().map(|saved| described(engine, saved)).collect::<Result<Value, _>>()?;
    print(&format!("{all:#}\n")).map(|()| 0)
}

fn described(engine: &Engine, saved: &Saved) -> Result<Value, Failure> {
    let (kept, overlay) = (engine.kept(saved)?, engine.overlay(saved)?);
    let running = kept.as_ref().filter(|kept| is_up(kept.state()));
    let merged = running
        .and_then(Kept::pid)
        .map_or_else(|| saved.merged(), |pid| format!("/proc/{pid}/root").into());
    let lower: Vec<_> = overlay.lower_dirs().iter().map(|path| path.to_string_lossy()).collect();
    let container = running.map(Kept::container).transpose()?;
    let groups = container.and_then(|container| container.group());
    let label = container.and_then(|container| container.selinux_label());
    Ok(json!({
        "Id": saved.id,
        "Name": saved.name,
        "Args": saved.args,
        "ImageName": saved.image,
        "State": kept.as_ref().map_or_else(|| json!({ "Status": "created", "Pid": 0 }), state),
        "CgroupPaths": groups.map_or_else(Vec::new, |group| group.paths().collect()),
        "ProcessLabel": label.map_or_else(String::new, ToString::to_string),
        "OCIConfigPath": saved.directory.join("config.json"),
        "LogPath": saved.directory.join("log"),
        "GraphDriver": {
            "Name": "overlay",
            "Data": {
                "LowerDir": lower.join(":"), "UpperDir": overlay.upper_dir(),
                "WorkDir": overlay.work_dir(), "MergedDir": merged,
            },
        },
    }))
}

fn state(kept: &Kept) -> Value {
    let said = kept.state();
    let has_ended = said == RunState::Stopped;
    json!({
        "Status": if has_ended { "exited".to_owned() } else { said.to_string() },
        "Pid": kept.pid().unwrap_or(0),
        "ExitCode": has_ended.then(|| kept.wait().ok().map(|status| exit_code(&status))),
    })
}

pub(crate) fn info(engine: &Engine, _: &Call) -> Result<u8, Failure> {
    let (host, all) = (Host::probe(), engine.records.all()?);
    let up = all.iter().filter(|saved| engine.running(saved).is_ok()).count();
    let version = match host.cgroups {
        CgroupMode::Unified => "v2",
        CgroupMode::Hybrid => "v1 and v2",
        CgroupMode::Legacy => "v1",
        _ => "none",
    };
    let info = json!({
        "host": { "cgroupVersion": version, "security": { "rootless": host.uid != 0 } },
        "store": {
            "graphDriverName": "overlay", "graphRoot": engine.root,
            "runRoot": engine.states.path(), "imageStore": engine.store.path(),
            "containers": { "number": all.len(), "running": up, "stopped": all.len() - up },
        },
    });
    print(&format!("{info:#}\n")).map(|()| 0)
}
