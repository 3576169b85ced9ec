//! Builders as data: what is stored comes back, and no settings make a plan panic.
//!
//! Kernel objects: descriptors that a plan opens. Invariant: a builder never touches the system.

mod oracle;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use ampoule::seccomp::{Filter, Profile};
use ampoule::{
    Builder, Bytes, Capability, Container, CpuSet, IdMap, IdMapping, IdRange, IoClass, IoPriority,
    Namespace, NewPrivileges, OnDrop, Pid1, Placement, Propagation, Resource, ResourceLimit,
    Rlimit, Root, Scheduler, SchedulerPolicy, Seccomp, Setting, Target, TimeOffset, TimeOffsets,
    User, WithHost,
};
use oracle::unchanged;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// One change of a builder.
struct Change(Box<dyn Fn(Builder) -> Builder>);

impl std::fmt::Debug for Change {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a change")
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,12}",
        "[/.a-z]{0,20}",
        Just("a\0b".to_owned()),
        "/[a-z]{1,8}",
        "[a-z.]{1,20}"
    ]
}

fn raw() -> impl Strategy<Value = OsString> {
    prop::collection::vec(any::<u8>(), 0..12).prop_map(OsString::from_vec)
}

fn change(make: impl Fn(Builder) -> Builder + 'static) -> Change {
    Change(Box::new(make))
}

fn names() -> impl Strategy<Value = Change> {
    (0..9, text(), text(), raw(), raw()).prop_map(|(which, a, b, c, d)| {
        change(move |builder| match which {
            0 => builder.hostname(a.as_str()),
            1 => builder.domainname(a.as_str()),
            2 => builder.sysctl(a.as_str(), b.as_str()),
            3 => builder.env(c.clone(), d.clone()),
            4 => builder.env_inherit([c.clone()]),
            5 => builder.bind_to(a.as_str(), b.as_str()),
            6 => builder.file(a.as_str(), b.as_str()),
            7 => builder.link(a.as_str(), b.as_str()),
            _ => builder.masked_paths([a.as_str()]).read_only_paths([b.as_str()]),
        })
    })
}

fn numbers() -> impl Strategy<Value = Change> {
    (0..12, any::<u32>(), any::<i32>(), any::<u64>(), any::<u64>()).prop_map(
        |(which, a, b, c, d)| {
            change(move |builder| match which {
                0 => builder.umask(a),
                1 => builder.oom_score_adj(b),
                2 => builder.stop_signal(b),
                3 => builder.user(User::ids(a, b.unsigned_abs())),
                4 => builder.tmpfs("/scratch", Bytes::new(c)),
                5 => builder.rlimit(ResourceLimit {
                    resource: Resource::ALL[usize::try_from(c % 16).unwrap_or(0)],
                    limit: Rlimit::new(c, d),
                }),
                6 => builder.scheduler(Scheduler {
                    policy: SchedulerPolicy::Deadline {
                        runtime: Duration::from_nanos(c),
                        deadline: Duration::from_nanos(d),
                        period: Duration::from_nanos(c),
                    },
                    nice: b,
                    ..Scheduler::default()
                }),
                7 => builder.io_priority(IoPriority::new(IoClass::BestEffort, a.to_le_bytes()[0])),
                8 => match CpuSet::new([u16::try_from(c % 9000).unwrap_or(0)]) {
                    Ok(cpus) => builder.cpu_affinity(cpus),
                    Err(_) => builder,
                },
                9 => builder.root(Root::Ephemeral { size: c }),
                10 => builder.time_offsets(TimeOffsets {
                    monotonic: TimeOffset { seconds: i64::from(b), nanos: a },
                    boottime: TimeOffset::default(),
                }),
                _ => builder.file_with_mode("/x", vec![1, 2, 3], a),
            })
        },
    )
}

fn maps() -> impl Strategy<Value = Change> {
    let range = (any::<u32>(), any::<u32>(), any::<u32>());
    prop::collection::vec(range, 0..4).prop_map(|ranges| {
        change(move |builder| {
            let of =
                |&(inside, outside, count): &(u32, u32, u32)| IdRange::new(inside, outside, count);
            let ranges: Vec<_> = ranges.iter().map(of).collect();
            builder.id_mapping(IdMapping::Explicit(IdMap { uid: ranges.clone(), gid: ranges }))
        })
    })
}

fn choices() -> impl Strategy<Value = Change> {
    (0..12, 0..8_usize, text(), any::<u8>()).prop_map(|(which, kind, path, number)| {
        change(move |builder| match which {
            0 => builder.namespace(Namespace::ALL[kind], Setting::New),
            1 => builder.share(Namespace::ALL[kind]),
            2 => builder
                .namespace(Namespace::ALL[kind], Setting::Join(Target::Path(path.clone().into()))),
            3 => builder.namespace(Namespace::ALL[kind], Setting::Join(Target::AtLaunch)),
            4 => builder.pid1(Pid1::Payload).on_drop(OnDrop::Detach),
            5 => builder.with_host(WithHost::Survives).new_privileges(NewPrivileges::Allowed),
            6 => builder.propagation(Propagation::Unbindable),
            // A plan makes the directory, where it can: nowhere on this machine.
            7 => builder.root(Root::Persistent(format!("/proc/none/{path}").into())),
            8 => Capability::from_number(number % 41)
                .map_or(builder.clone(), |one| builder.cap_add(one)),
            9 => builder.seccomp(seccomp(number)),
            10 => builder.cgroup_placement(Placement::Direct).cgroup_parent(path.clone()),
            _ => builder.id_mapping(IdMapping::SubIds),
        })
    })
}

fn seccomp(number: u8) -> Seccomp {
    let json = br#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}]}"#;
    match number % 4 {
        0 => Seccomp::Default,
        1 => Seccomp::Unconfined,
        2 => Filter::compute().into(),
        _ => Profile::from_json(json).expect("a profile").into(),
    }
}

fn builders() -> impl Strategy<Value = Builder> {
    let change = prop_oneof![names(), numbers(), maps(), choices()];
    let origin = (0..4, text()).prop_map(|(which, path)| match which {
        0 => Container::host_view(),
        1 => Container::bare(),
        2 => Container::from_rootfs("/usr"),
        _ => Container::from_rootfs(path),
    });
    (origin, prop::collection::vec(change, 0..6)).prop_map(|(origin, changes)| {
        changes.iter().fold(origin, |builder, change| (change.0)(builder))
    })
}

fn runner() -> TestRunner {
    TestRunner::new(Config { failure_persistence: None, cases: 300, ..Config::default() })
}

#[test]
fn a_builder_comes_back() {
    let outcome = runner().run(&builders(), |builder| {
        let json = serde_json::to_string(&builder).expect("a builder is data");
        let back: Builder = serde_json::from_str(&json).expect("what was written");
        prop_assert_eq!(&back, &builder);
        prop_assert_eq!(builder.clone(), builder);
        Ok(())
    });
    outcome.expect("every builder");
}

#[test]
fn unknown_settings_are_refused() {
    let mut json = serde_json::to_value(Container::host_view()).expect("a builder is data");
    json["unheard_of"] = true.into();
    assert!(serde_json::from_value::<Builder>(json).is_err());
}

#[test]
fn no_plan_panics() {
    unchanged(|| {
        let outcome = runner().run(
            &(builders(), raw(), raw(), raw()),
            |(builder, program, arg, directory)| {
                let command = builder.command(program).arg(arg).current_dir(directory);
                match command.plan() {
                    Ok(plan) => prop_assert!(!plan.to_string().is_empty()),
                    Err(error) => prop_assert!(!error.to_string().is_empty()),
                }
                Ok(())
            },
        );
        outcome.expect("every builder");
    });
}
