//! Attributes of the payload's process and its files, for a host that is root.
//!
//! Kernel objects: as in [`scene::attributes`] and [`scene::files`]. Invariant: the host is unchanged.

mod oracle;
mod scene;

use std::time::Duration;

use ampoule::{
    Capability, Container, ErrorKind, IoClass, IoPriority, Mount, Namespace, Propagation,
    Scheduler, SchedulerPolicy, Stage,
};
use oracle::{fixture, tier, unchanged};
use scene::{Look, in_tier, is_error, print, refused, rooted};

in_tier!(root, attributes:
    every_limit_can_be_set
    a_descriptor_limit_of_three_is_enough
    limits_that_cannot_be_are_refused
    umask
    oom_score_adj
    scheduling_policies
    io_priorities
    affinity
    personality
    a_session_keyring_of_its_own
    environment_is_what_was_asked_for
    arguments_and_directory_are_what_was_asked_for
);

in_tier!(root, files:
    binds_are_read_only_unless_asked
    mounts_below_a_bind_are_read_only_too
    writable_binds_reach_the_host
    a_file_can_be_bound_over_a_file
    memory_is_limited
    every_memory_of_the_container_is_limited
    an_ephemeral_root_is_limited
    a_read_only_root_cannot_be_written
    a_persistent_root_keeps_what_was_written
    a_root_in_place_is_changed
    files_and_links_appear
    masks_and_read_only_paths_can_be_chosen
    mounts_of_every_kind
    no_mount_spreads_and_none_of_the_hosts_is_seen
    the_nodes_of_dev_work
);

/// Policies that take `CAP_SYS_NICE` on the host: a container in the host's user namespace has it until its ids are set.
#[test]
fn real_time_policies() {
    tier::root();
    unchanged(|| {
        let period = Duration::from_millis(100);
        let deadline = SchedulerPolicy::Deadline {
            runtime: Duration::from_millis(10),
            deadline: period,
            period,
        };
        let nice = Scheduler { nice: -5, ..Scheduler::default() };
        for (scheduler, policy, priority) in [
            (Scheduler::new(SchedulerPolicy::Fifo(7)), 1, 7),
            (Scheduler::new(SchedulerPolicy::RoundRobin(99)), 2, 99),
            (nice, 0, 0),
        ] {
            let builder = Container::host_view().share(Namespace::User).scheduler(scheduler);
            let look = Look::at(builder);
            assert_eq!((look.stat(41), look.stat(40)), (policy, priority), "{scheduler:?}");
        }
        // A process with this policy may not fork: it cannot be looked at by a shell.
        let builder = Container::host_view().share(Namespace::User);
        let command =
            builder.scheduler(Scheduler::new(deadline)).command("cat").arg("/proc/self/stat");
        let stat = scene::printed(command.output().expect("a run"));
        assert_eq!(oracle::process::nth(&stat, 41), "6");
        let builder = Container::host_view().share(Namespace::User);
        let builder = builder.io_priority(IoPriority::new(IoClass::RealTime, 3));
        assert_eq!(print(builder, "ionice"), "realtime: prio 3\n");
    });
}

#[test]
fn what_needs_privilege_on_the_host_is_refused_in_a_user_namespace() {
    tier::root();
    unchanged(|| {
        let builder = Container::host_view().scheduler(Scheduler::new(SchedulerPolicy::Fifo(7)));
        let error = refused(builder.command("true").spawn());
        is_error(&error, ErrorKind::PermissionDenied, Stage::Process, &["sched_setattr", "Fifo"]);
    });
}

#[test]
fn propagation_follows_the_host_where_asked() {
    tier::root();
    unchanged(|| {
        let root = fixture::rootfs();
        for (propagation, shown) in
            [(Propagation::Private, ""), (Propagation::Unbindable, "unbindable")]
        {
            let mount = Look::at(rooted(&root).propagation(propagation)).mount("/");
            assert_eq!(mount.propagation.join(" "), shown, "{propagation:?}");
        }
    });
}

#[test]
fn control_groups_are_read_only() {
    tier::root();
    unchanged(|| {
        let root = fixture::rootfs();
        let builder = rooted(&root).mount(Mount::cgroup()).cap_add(Capability::SysAdmin);
        let script = "find /sys/fs/cgroup -name cgroup.procs | head -n 1 | grep -c procs; \
            for f in $(find /sys/fs/cgroup -name cgroup.procs -o -name release_agent -o -name notify_on_release); do \
            (echo 1 > $f) 2>/dev/null && echo wrote $f; done; echo end";
        assert_eq!(print(builder, script), "1\nend\n");
    });
}
