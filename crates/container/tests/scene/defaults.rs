//! The table of defaults, as it holds for everybody.
//!
//! Kernel objects: those of the container. Invariant: each assertion is about what the payload sees.

use ampoule::{Builder, Namespace};

use super::look::own_namespace;
use super::{Look, print};

/// What every container has unless something else is asked for.
#[track_caller]
pub(crate) fn assert_isolated(look: &Look) {
    for kind in Namespace::ALL {
        let (inside, own) = (look.namespace(kind), own_namespace(kind));
        assert_eq!(inside == own, kind == Namespace::Time, "{kind}: {inside} beside {own}");
    }
    let status = look.status();
    assert_eq!(look.text("first"), "ampoule-init");
    assert_eq!((status.pid, status.ppid, status.ns_pid.as_slice()), (2, 1, &[2][..]));
    assert_eq!((status.umask, status.no_new_privs, status.tracer), (0o022, true, 0));
    assert_eq!((status.inheritable, status.ambient), (0, 0));
    assert_eq!(status.seccomp, 2, "a filter");
    assert_eq!(look.text("cwd"), "/");
    assert_eq!(look.text("personality"), "00000000");
    assert_eq!(look.stat(6), 2, "the payload leads a session of its own");
    assert_eq!(look.stat(7), 0, "without a terminal");
    let devices = crate::oracle::payload::network_devices(look.text("net"));
    assert_eq!(devices, ["lo"]);
    let cgroups = look.text("cgroup").lines().all(|line| line.ends_with(":/"));
    assert!(cgroups, "paths of the host's groups show: {}", look.text("cgroup"));
    let fds = crate::oracle::payload::descriptors(look.text("fds"));
    let numbers: Vec<_> = fds.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [0, 1, 2], "{fds:?}");
}

/// What a view of the host shows and does not show.
#[track_caller]
pub(crate) fn assert_host_view(look: &Look) {
    assert_isolated(look);
    assert!(look.mount("/").has("ro"));
    for flag in ["ro", "nosuid", "nodev"] {
        assert!(look.mount("/usr").has(flag), "/usr is not {flag}");
    }
    let status = look.status();
    assert_eq!([status.permitted, status.effective, status.bounding], [0; 3]);
    let root = look.root();
    for hidden in ["home", "root", "run", "sys", "boot", "mnt", "srv", "opt", "media"] {
        assert!(!root.contains(&hidden), "{hidden} is in {root:?}");
    }
    let environ = look.environ();
    let names: Vec<_> = environ.iter().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    assert_eq!(names, ["HOME", "LANG", "PATH"]);
    assert!(environ.contains(&"LANG=C.UTF-8"));
}

/// What can be read and what cannot be written in a view of the host.
#[track_caller]
pub(crate) fn assert_host_view_files(builder: Builder) {
    let script = r#"
        for path in /etc/shadow /etc/gshadow /etc/ssh /root /home /run /var/lib /var/log; do
            [ -e $path ] && echo "visible $path"
        done
        for path in / /usr /etc /etc/passwd /proc/sys/kernel/hostname /proc; do
            touch $path/x 2>/dev/null && echo "writable $path"
            [ -d $path ] || (: >> $path) 2>/dev/null && [ ! -d $path ] && echo "writable $path"
        done
        touch /tmp/x || echo "no /tmp"
        grep -q ^root: /etc/passwd || echo "no passwd"
        cat /etc/hosts | grep -q localhost || echo "no hosts"
        echo end
    "#;
    assert_eq!(print(builder, script), "end\n");
}

/// What of `/proc` is covered.
#[track_caller]
pub(crate) fn assert_masks(builder: Builder) {
    let script = r#"
        for path in /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug /proc/interrupts; do
            [ -e $path ] && [ "$(head -c 1 $path 2>/dev/null | wc -c)" != 0 ] && echo "readable $path"
        done
        for path in /proc/acpi /proc/scsi /proc/asound /sys/firmware; do
            [ -d $path ] && [ -n "$(ls -A $path)" ] && echo "not empty $path"
        done
        for path in /proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/irq/default_smp_affinity; do
            (: > $path) 2>/dev/null && echo "writable $path"
        done
        echo end
    "#;
    assert_eq!(print(builder, script), "end\n");
}
