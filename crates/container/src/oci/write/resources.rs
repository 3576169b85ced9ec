//! `linux.resources`.

use ampoule_cgroups::limits::devices::container_rules;
use ampoule_cgroups::limits::{CpuLimits, CpusetLimits, IoLimits, MemoryLimits, Switch};
use ampoule_cgroups::{
    Bytes, DeviceAccess, DeviceAction, DeviceKind, DeviceRule, Limits, Max, Micros, Weight,
};
use serde_json::{Map, Value, json};

use super::insert;

pub(super) fn resources(limits: &Limits) -> Option<Value> {
    let mut said = Map::new();
    let rules = &limits.devices;
    let rules = rules.strip_suffix(container_rules().as_slice()).unwrap_or(rules);
    // The rules that every container needs are added to those that are there.
    let rules: Vec<_> =
        if rules.is_empty() { &limits.devices } else { rules }.iter().map(rule).collect();
    insert(&mut said, "devices", (!rules.is_empty()).then(|| json!(rules)));
    insert(&mut said, "memory", memory(&limits.memory));
    insert(&mut said, "cpu", cpu(&limits.cpu, &limits.cpuset));
    let pids = limits.pids_max.and_then(|max| number(max.map(Bytes::new)));
    insert(&mut said, "pids", pids.map(|limit| json!({"limit": limit})));
    insert(&mut said, "blockIO", io(&limits.io));
    let sizes = limits.hugetlb.iter();
    let sizes =
        sizes.filter_map(|(size, max)| Some(json!({"pageSize": size, "limit": number(*max)?})));
    let sizes: Vec<_> = sizes.collect();
    insert(&mut said, "hugepageLimits", (!sizes.is_empty()).then(|| json!(sizes)));
    let mut network = Map::new();
    insert(&mut network, "classID", limits.network.class_id.map(|id| json!(id)));
    let priorities = limits.network.priorities.iter();
    let priorities: Vec<_> =
        priorities.map(|(name, priority)| json!({"name": name, "priority": priority})).collect();
    insert(&mut network, "priorities", (!priorities.is_empty()).then(|| json!(priorities)));
    insert(&mut said, "network", object(network));
    let rdma: Map<_, _> =
        limits.rdma.iter().map(|(device, text)| (device.clone(), self::rdma(text))).collect();
    insert(&mut said, "rdma", object(rdma));
    let unified = Some(&limits.unified).filter(|unified| !unified.is_empty());
    insert(&mut said, "unified", unified.map(|unified| json!(unified)));
    object(said)
}

fn object(said: Map<String, Value>) -> Option<Value> {
    (!said.is_empty()).then_some(Value::Object(said))
}

/// A number; no limit is -1.
fn number(max: Max<Bytes>) -> Option<Value> {
    match max {
        Max::Max => Some(json!(-1)),
        Max::Limit(bytes) => i64::try_from(bytes.get()).ok().map(|bytes| json!(bytes)),
    }
}

fn memory(limits: &MemoryLimits) -> Option<Value> {
    let mut said = Map::new();
    for (key, max) in [
        ("limit", limits.max),
        ("reservation", limits.low),
        ("swap", limits.memory_and_swap_max),
        ("kernel", limits.kernel_max),
        ("kernelTCP", limits.kernel_tcp_max),
    ] {
        insert(&mut said, key, max.and_then(number));
    }
    insert(&mut said, "swappiness", limits.swappiness.map(|it| json!(it)));
    for (key, switch) in [
        ("disableOOMKiller", limits.disable_oom_killer),
        ("useHierarchy", limits.use_hierarchy),
        ("checkBeforeUpdate", limits.check_before_update),
    ] {
        insert(&mut said, key, switch.map(|switch| json!(switch == Switch::On)));
    }
    object(said)
}

fn cpu(limits: &CpuLimits, cpuset: &CpusetLimits) -> Option<Value> {
    let mut said = Map::new();
    let micros = |micros: Option<Micros>| micros.map(|micros| json!(micros.get()));
    insert(&mut said, "shares", limits.weight.map(|weight| json!(weight.to_shares().get())));
    if let Some(max) = limits.max {
        let quota = number(max.quota.map(|quota| Bytes::new(quota.get())));
        insert(&mut said, "quota", quota);
        insert(&mut said, "period", Some(json!(max.period.get())));
    }
    insert(&mut said, "burst", micros(limits.burst));
    let idle = limits.idle.map(|idle| json!(i64::from(idle == Switch::On)));
    insert(&mut said, "idle", idle);
    insert(&mut said, "realtimePeriod", micros(limits.rt_period));
    insert(&mut said, "realtimeRuntime", micros(limits.rt_runtime));
    insert(&mut said, "cpus", cpuset.cpus.as_ref().map(|list| json!(list.to_string())));
    insert(&mut said, "mems", cpuset.mems.as_ref().map(|list| json!(list.to_string())));
    object(said)
}

fn io(limits: &IoLimits) -> Option<Value> {
    let weight = |weight: Option<Weight>| weight.map(|weight| json!(weight.get()));
    let mut said = Map::new();
    insert(&mut said, "weight", weight(limits.weight));
    insert(&mut said, "leafWeight", weight(limits.leaf_weight));
    let mut lists: [(&str, Vec<Value>); 5] = [
        ("weightDevice", Vec::new()),
        ("throttleReadBpsDevice", Vec::new()),
        ("throttleWriteBpsDevice", Vec::new()),
        ("throttleReadIOPSDevice", Vec::new()),
        ("throttleWriteIOPSDevice", Vec::new()),
    ];
    for device in &limits.devices {
        let bytes = |max: Option<Max<Bytes>>| max.and_then(Max::limit).map(Bytes::get);
        let iops = |max: Option<Max<u64>>| max.and_then(Max::limit);
        let rates = [
            bytes(device.read_bps),
            bytes(device.write_bps),
            iops(device.read_iops),
            iops(device.write_iops),
        ];
        let mut weights = Map::new();
        insert(&mut weights, "weight", weight(device.weight));
        insert(&mut weights, "leafWeight", weight(device.leaf_weight));
        let named = |mut entry: Map<String, Value>| {
            insert(&mut entry, "major", Some(json!(device.major)));
            insert(&mut entry, "minor", Some(json!(device.minor)));
            Value::Object(entry)
        };
        let [(_, first), throttles @ ..] = &mut lists;
        first.extend((!weights.is_empty()).then(|| named(weights)));
        for ((_, list), rate) in throttles.iter_mut().zip(rates) {
            let entry = |rate: u64| Map::from_iter([("rate".to_owned(), json!(rate))]);
            list.extend(rate.map(|rate| named(entry(rate))));
        }
    }
    for (key, list) in lists {
        insert(&mut said, key, (!list.is_empty()).then(|| json!(list)));
    }
    object(said)
}

fn rdma(text: &str) -> Value {
    let mut said = Map::new();
    for (key, name) in [("hcaHandles", "hca_handle="), ("hcaObjects", "hca_object=")] {
        let value = text.split(' ').find_map(|part| part.strip_prefix(name)?.parse::<u32>().ok());
        insert(&mut said, key, value.map(|value| json!(value)));
    }
    Value::Object(said)
}

fn rule(rule: &DeviceRule) -> Value {
    let kind = match rule.kind() {
        DeviceKind::Any => "a",
        DeviceKind::Block => "b",
        DeviceKind::Char => "c",
    };
    let named = [(DeviceAccess::READ, 'r'), (DeviceAccess::WRITE, 'w'), (DeviceAccess::MKNOD, 'm')];
    let letters = named.iter().filter(|(one, _)| rule.access().contains(*one));
    let mut said = Map::new();
    insert(&mut said, "allow", Some(json!(rule.action() == DeviceAction::Allow)));
    insert(&mut said, "type", Some(json!(kind)));
    insert(&mut said, "major", rule.major_number().map(|number| json!(number)));
    insert(&mut said, "minor", rule.minor_number().map(|number| json!(number)));
    let letters: String = letters.map(|(_, letter)| *letter).collect();
    insert(&mut said, "access", Some(json!(letters)));
    Value::Object(said)
}
