//! What kind of machine boots: everything that a saved state depends on. Pure.

use super::kernel::Version;

/// A kind of machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Guest {
    pub(crate) kernel: Version,
    pub(crate) init: Init,
    pub(crate) selinux: Selinux,
    pub(crate) apparmor: AppArmor,
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

/// Whether the kernel has AppArmor, without a profile at first. Not together with SELinux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum AppArmor {
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
    /// One GiB, two processors, no swap, neither SELinux nor AppArmor.
    pub(crate) fn new(kernel: Version, init: Init) -> Self {
        let (selinux, apparmor) = (Selinux::Off, AppArmor::Off);
        Self { kernel, init, selinux, apparmor, memory_mib: 1024, swap_mib: 0, cpus: 2 }
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
        let modules = match (self.selinux, self.apparmor) {
            (Selinux::Off, AppArmor::Off) => "selinux=0 lsm=landlock,yama",
            (Selinux::Off, AppArmor::On) => "selinux=0 apparmor=1 lsm=landlock,yama,apparmor",
            (Selinux::On, _) => "selinux=1 enforcing=0 lsm=landlock,yama,selinux",
        };
        format!("{PARAMETERS} {init} {modules}")
    }

    /// What people read.
    pub(crate) fn about(&self) -> String {
        let init = match self.init {
            Init::Plain => "",
            Init::Systemd => ", systemd",
        };
        let modules = match (self.selinux, self.apparmor) {
            (Selinux::Off, AppArmor::Off) => "",
            (Selinux::Off, AppArmor::On) => ", AppArmor",
            (Selinux::On, _) => ", SELinux",
        };
        let swap = match self.swap_mib {
            0 => String::new(),
            size => format!(", {size} MiB swap"),
        };
        let (kernel, memory) = (self.kernel.name(), self.memory_mib);
        format!("kernel {kernel}{init}{modules}, {memory} MiB{swap}, {} cpus", self.cpus)
    }
}
