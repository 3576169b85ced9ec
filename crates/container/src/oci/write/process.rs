//! `process` and `hooks`.

use std::ffi::{OsStr, OsString};

use ampoule_ns::{CapabilitySet, IoClass, Scheduler, SchedulerFlags, SchedulerPolicy, User};
use serde_json::{Map, Value, json};

use super::insert;
use crate::oci::config::Config;
use crate::oci::hooks::{Hook, Hooks};
use crate::origin::NewPrivileges;
use crate::selinux::Selinux;

pub(super) fn process(config: &Config) -> Value {
    let builder = &config.builder;
    let mut process = json!({
        "args": texts(&config.args),
        "env": variables(&config.env),
        "cwd": config.current_dir,
        "user": user(builder.user.as_ref(), builder.umask),
        "noNewPrivileges": builder.new_privileges == NewPrivileges::Forbidden,
        "capabilities": capabilities(config),
    });
    let limits = builder.rlimits.iter().map(|limit| {
        json!({"type": limit.resource.name(), "soft": limit.limit.soft, "hard": limit.limit.hard})
    });
    let limits: Vec<_> = limits.collect();
    let Value::Object(object) = &mut process else { return process };
    insert(object, "rlimits", (!limits.is_empty()).then(|| json!(limits)));
    if let Some(size) = config.terminal {
        insert(object, "terminal", Some(json!(true)));
        let size = json!({"height": size.rows, "width": size.columns});
        insert(object, "consoleSize", Some(size));
    }
    insert(object, "oomScoreAdj", builder.oom_score_adj.map(|score| json!(score)));
    insert(object, "apparmorProfile", builder.apparmor_profile.as_ref().map(|it| json!(it)));
    if let Selinux::Label(label) = &builder.selinux.label {
        insert(object, "selinuxLabel", Some(json!(label.to_string())));
    }
    insert(object, "scheduler", builder.scheduler.as_ref().map(scheduler));
    let priority = builder.io_priority.and_then(|priority| {
        let class = match priority.class {
            IoClass::RealTime => "IOPRIO_CLASS_RT",
            IoClass::BestEffort => "IOPRIO_CLASS_BE",
            IoClass::Idle => "IOPRIO_CLASS_IDLE",
            _ => return None,
        };
        Some(json!({"class": class, "priority": priority.level}))
    });
    insert(object, "ioPriority", priority);
    let affinity = &builder.exec_cpu_affinity;
    let mut said = Map::new();
    insert(&mut said, "initial", affinity.initial.as_ref().map(|it| json!(it.to_string())));
    insert(&mut said, "final", affinity.last.as_ref().map(|it| json!(it.to_string())));
    insert(object, "execCPUAffinity", (!said.is_empty()).then_some(Value::Object(said)));
    process
}

/// Ids; a user by name is one that the document cannot say.
fn user(user: Option<&User>, umask: u32) -> Value {
    let said = user.and_then(|user| serde_json::to_value(user).ok()).unwrap_or_default();
    let id = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.parse().ok(),
        Some(value) => value.as_u64().or_else(|| id_of_variant(value)),
        None => None,
    };
    let groups = said.get("groups").and_then(Value::as_array);
    let groups: Vec<u64> = groups.into_iter().flatten().filter_map(|it| id(Some(it))).collect();
    let mut user = json!({
        "uid": id(said.get("user")).unwrap_or(0),
        "gid": id(said.get("group")).unwrap_or(0),
        "umask": umask,
    });
    if let (Value::Object(object), false) = (&mut user, groups.is_empty()) {
        insert(object, "additionalGids", Some(json!(groups)));
    }
    user
}

/// A number that is wrapped in the name of its kind.
fn id_of_variant(value: &Value) -> Option<u64> {
    value.as_object()?.values().next()?.as_u64()
}

fn capabilities(config: &Config) -> Value {
    let sets = config.builder.capabilities.unwrap_or_default();
    let names = |set: CapabilitySet| set.iter().map(|it| it.name()).collect::<Vec<_>>();
    json!({
        "bounding": names(sets.bounding),
        "permitted": names(sets.permitted),
        "effective": names(sets.permitted),
        "inheritable": names(sets.inheritable),
        "ambient": names(sets.ambient),
    })
}

fn scheduler(chosen: &Scheduler) -> Value {
    let (policy, priority) = match chosen.policy {
        SchedulerPolicy::Batch => ("SCHED_BATCH", None),
        SchedulerPolicy::Idle => ("SCHED_IDLE", None),
        SchedulerPolicy::Fifo(priority) => ("SCHED_FIFO", Some(priority)),
        SchedulerPolicy::RoundRobin(priority) => ("SCHED_RR", Some(priority)),
        SchedulerPolicy::Deadline { .. } => ("SCHED_DEADLINE", None),
        _ => ("SCHED_OTHER", None),
    };
    let named = [
        (SchedulerFlags::RESET_ON_FORK, "SCHED_FLAG_RESET_ON_FORK"),
        (SchedulerFlags::RECLAIM, "SCHED_FLAG_RECLAIM"),
        (SchedulerFlags::DL_OVERRUN, "SCHED_FLAG_DL_OVERRUN"),
    ];
    let flags = named.iter().filter(|(flag, _)| chosen.flags.contains(*flag));
    let flags: Vec<_> = flags.map(|(_, name)| *name).collect();
    let mut said = Map::new();
    insert(&mut said, "policy", Some(json!(policy)));
    insert(&mut said, "nice", (chosen.nice != 0).then(|| json!(chosen.nice)));
    insert(&mut said, "priority", priority.map(|priority| json!(priority)));
    insert(&mut said, "flags", (!flags.is_empty()).then(|| json!(flags)));
    if let SchedulerPolicy::Deadline { runtime, deadline, period } = chosen.policy {
        let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        for (key, time) in [("runtime", runtime), ("deadline", deadline), ("period", period)] {
            insert(&mut said, key, Some(json!(nanos(time))));
        }
    }
    Value::Object(said)
}

fn texts(texts: &[OsString]) -> Vec<String> {
    texts.iter().map(|text| shown(text)).collect()
}

fn shown(text: &OsStr) -> String {
    text.to_string_lossy().into_owned()
}

fn variables(env: &[(OsString, OsString)]) -> Vec<String> {
    env.iter().map(|(name, value)| format!("{}={}", shown(name), shown(value))).collect()
}

pub(super) fn hooks(hooks: &Hooks) -> Value {
    let mut said = Map::new();
    for (key, list) in [
        ("prestart", &hooks.prestart),
        ("createRuntime", &hooks.create_runtime),
        ("createContainer", &hooks.create_container),
        ("startContainer", &hooks.start_container),
        ("poststart", &hooks.poststart),
        ("poststop", &hooks.poststop),
    ] {
        let list: Vec<_> = list.iter().map(hook).collect();
        insert(&mut said, key, (!list.is_empty()).then(|| json!(list)));
    }
    Value::Object(said)
}

fn hook(hook: &Hook) -> Value {
    let mut said = Map::new();
    insert(&mut said, "path", Some(json!(hook.path)));
    insert(&mut said, "args", (!hook.args.is_empty()).then(|| json!(texts(&hook.args))));
    insert(&mut said, "env", (!hook.env.is_empty()).then(|| json!(variables(&hook.env))));
    insert(&mut said, "timeout", hook.timeout.map(|limit| json!(limit.as_secs())));
    Value::Object(said)
}
