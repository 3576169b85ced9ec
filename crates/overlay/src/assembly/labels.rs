//! SELinux labels of what is made.
//!
//! Kernel objects: the option `context` of file systems, the attribute `security.selinux`. Invariant: what the policy
//! labels by itself keeps its label.

use std::ffi::CStr;
use std::path::Path;

use ampoule_init::steps::{file, mount};
use ampoule_init::{Slot, Step};

use super::{Assembly, DIRECTORY};
use crate::situation::MountLabel;
use crate::target::text;

/// The kernel labels their files one by one, or gives them the label of what they belong to.
const OF_THE_POLICY: [&CStr; 5] = [c"proc", c"sysfs", c"mqueue", c"cgroup", c"cgroup2"];

impl Assembly<'_> {
    /// The label of a new file system.
    pub(super) fn label_of(&self, kind: &CStr, context: Slot) -> Option<Step> {
        match self.situation.mount_label.as_ref()? {
            MountLabel::Parameter(position) => {
                let name = "mount label";
                let labelled = [c"tmpfs", c"overlay", c"devpts"].contains(&kind);
                let step = || mount::option_parameter(context, c"context", *position, name);
                labelled.then(step)
            }
            MountLabel::Exact(label) => {
                let label = text(Path::new(label));
                let labelled = !OF_THE_POLICY.contains(&kind);
                labelled.then(|| mount::option(context, c"context", &label))
            }
        }
    }

    /// The label of a directory of message queues: the kernel has made their file system with the namespace, so that it
    /// takes no options.
    pub(super) fn label_queues(&mut self, made: Slot) {
        let Some(MountLabel::Exact(label)) = &self.situation.mount_label else { return };
        let opened = self.take();
        self.build.push(file::open(made.into(), c".", DIRECTORY, 0, opened));
        let value = [label.as_bytes(), b"\0"].concat();
        self.build.push(file::fsetxattr(opened.into(), c"security.selinux", &value));
        self.close(opened);
    }
}
