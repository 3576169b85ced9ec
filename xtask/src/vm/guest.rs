//! What kind of machine boots: everything that a saved state depends on. Pure.

use super::kernel::Version;

/// A kind of machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Guest {
    pub(crate) kernel: Version,
    pub(crate) init: Init,
    pub(crate) selinux: Selinux,
    pub(crate) memory_mib: u32,
    pub(crate) swap_mib: u32,
    pub(crate) cpus: u32,
}

/// Process 1 of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Init {
    /// A script: cgroup v2 with every controller for the children of the root, nothing else.
    Plain,
    /// systemd, with a user session of `tester`.
    Systemd,
}

/// Whether the kernel has SELinux. Enforcing is switched on by the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Selinux {
    Off,
    On,
}

/// Parameters of every guest. Some only save time under emulation: no mitigations, no self-tests,
/// no integrity measurement, no certificates, no clearing of memory, no watchdog.
const PARAMETERS: &str = "console=ttyS0 quiet loglevel=3 panic=-1 nokaslr no_timer_check \
    cgroup_no_v1=all audit_backlog_limit=8192 random.trust_cpu=on mitigations=off \
    cryptomgr.notests nowatchdog init_on_alloc=0 \
    initcall_blacklist=init_ima,init_evm,load_system_certificate_list";

impl Guest {
    /// One GiB, two processors, no swap, no SELinux.
    pub(crate) fn new(kernel: Version, init: Init) -> Self {
        let selinux = Selinux::Off;
        Self { kernel, init, selinux, memory_mib: 1024, swap_mib: 0, cpus: 2 }
    }

    /// The kernel's command line.
    pub(crate) fn command_line(&self) -> String {
        let init = match self.init {
            Init::Plain => "ampoule.init=/usr/lib/ampoule/init",
            Init::Systemd => {
                "ampoule.init=/sbin/init systemd.show_status=0 systemd.log_target=kmsg \
                 systemd.log_level=warning"
            }
        };
        let selinux = match self.selinux {
            Selinux::Off => "selinux=0 lsm=landlock,yama",
            Selinux::On => "selinux=1 enforcing=0 lsm=landlock,yama,selinux",
        };
        format!("{PARAMETERS} {init} {selinux}")
    }

    /// What people read.
    pub(crate) fn about(&self) -> String {
        let init = match self.init {
            Init::Plain => "",
            Init::Systemd => ", systemd",
        };
        let selinux = match self.selinux {
            Selinux::Off => "",
            Selinux::On => ", SELinux",
        };
        let swap = match self.swap_mib {
            0 => String::new(),
            size => format!(", {size} MiB swap"),
        };
        let (kernel, memory) = (self.kernel.name(), self.memory_mib);
        format!("kernel {kernel}{init}{selinux}, {memory} MiB{swap}, {} cpus", self.cpus)
    }
}
