//! Limits and what is used of them.

use std::ffi::OsStr;
use std::io::Read;
use std::time::{Duration, Instant};

use ampoule::oci::limits;
use ampoule::{Bytes, Event, RunState, StateDirectory, Stats};
use ampoule_examples::arguments::{Failure, print};
use ampoule_examples::verbs::Call;
use serde_json::{Value, json};

use crate::arguments::container;

/// Options with their places in `linux.resources`.
const PLACES: &[(&str, &str, &str)] = &[
    ("memory", "memory", "limit"),
    ("memory-reservation", "memory", "reservation"),
    ("memory-swap", "memory", "swap"),
    ("cpu-period", "cpu", "period"),
    ("cpu-quota", "cpu", "quota"),
    ("cpu-share", "cpu", "shares"),
    ("cpu-shares", "cpu", "shares"),
    ("cpuset-cpus", "cpu", "cpus"),
    ("cpuset-mems", "cpu", "mems"),
    ("blkio-weight", "blockIO", "weight"),
    ("pids-limit", "pids", "limit"),
];

pub(crate) fn pause(states: &StateDirectory, call: &Call) -> Result<(), Failure> {
    let kept = container(states, call)?;
    match kept.state() {
        RunState::Running | RunState::Created => Ok(kept.container()?.pause()?),
        state => Err(format!("container not running: cannot pause what is {state}").into()),
    }
}

pub(crate) fn resume(states: &StateDirectory, call: &Call) -> Result<(), Failure> {
    let kept = container(states, call)?;
    match kept.state() {
        RunState::Paused => Ok(kept.container()?.resume()?),
        state => Err(format!("container not paused: cannot resume what is {state}").into()),
    }
}

pub(crate) fn update(states: &StateDirectory, call: &Call) -> Result<(), Failure> {
    let kept = container(states, call)?;
    let json = match call.path("resources") {
        Some(path) if path == "-" => {
            let mut text = Vec::new();
            std::io::stdin().read_to_end(&mut text)?;
            text
        }
        Some(path) => std::fs::read(path)?,
        None => said(call)?.to_string().into_bytes(),
    };
    Ok(kept.container()?.update(&limits(&json)?)?)
}

fn said(call: &Call) -> Result<Value, Failure> {
    let mut resources = json!({});
    for (option, controller, key) in PLACES {
        if let Some(text) = call.option(option).map(OsStr::to_string_lossy) {
            let is_text = option.starts_with("cpuset");
            resources[controller][key] = if is_text { json!(text) } else { number(option, &text)? };
        }
    }
    Ok(resources)
}

/// A number, or an amount of memory as `64m`.
fn number(option: &str, text: &str) -> Result<Value, Failure> {
    match text.parse::<i64>() {
        Ok(number) => Ok(json!(number)),
        Err(_) if option.starts_with("memory") => Ok(json!(text.parse::<Bytes>()?.get())),
        Err(error) => Err(format!("--{option}: {error}").into()),
    }
}

pub(crate) fn events(states: &StateDirectory, call: &Call) -> Result<(), Failure> {
    let kept = container(states, call)?;
    let container = kept.container()?;
    let line = |kind: &str, data: Value| {
        print(&format!("{}\n", json!({ "type": kind, "id": kept.id(), "data": data })))
    };
    if call.has("stats") {
        return line("stats", used(&container.stats()?));
    }
    let said = call.option("interval").map(OsStr::to_string_lossy);
    let interval =
        said.map_or(Ok(Duration::from_secs(5)), |text| humantime::parse_duration(&text))?;
    let mut events = container.events()?;
    let mut next = Instant::now();
    while kept.state() != RunState::Stopped {
        if Instant::now() >= next {
            next += interval;
            line("stats", used(&container.stats()?))?;
        }
        match events.next_until(next)? {
            Some(Event::OomKill { .. }) => line("oom", Value::Null)?,
            Some(Event::Removed) => return Ok(()),
            _ => {}
        }
    }
    Ok(())
}

/// As engines read it.
fn used(stats: &Stats) -> Value {
    let nanos = |time: Option<Duration>| time.map_or(0, |time| time.as_nanos());
    let number = |max: ampoule::Max<u64>| match max {
        ampoule::Max::Limit(limit) => json!(limit),
        _ => json!(u64::MAX),
    };
    let (cpu, memory, pids) = (&stats.cpu, &stats.memory, &stats.pids);
    json!({
        "cpu": {
            "usage": {
                "total": nanos(cpu.usage),
                "user": nanos(cpu.user),
                "kernel": nanos(cpu.system),
            },
            "throttling": {
                "periods": cpu.nr_periods,
                "throttledPeriods": cpu.nr_throttled,
                "throttledTime": nanos(cpu.throttled),
            },
        },
        "memory": {
            "usage": {
                "usage": memory.current,
                "max": memory.peak,
                "limit": memory.max.map(number),
            },
        },
        "pids": { "current": pids.current, "limit": pids.max.map(number) },
    })
}
