//! A small `/dev`: six nodes, four links, terminals, shared memory, message queues.
//!
//! Kernel objects: a tmpfs, device nodes or bind mounts of the host's. Invariant: every node is made by these steps,
//! or is the host's with type and number checked; nothing of the root's own `/dev` is used.

use std::ffi::CStr;
use std::path::Path;

use ampoule_init::Slot;
use ampoule_init::steps::{file, mount, process};

use super::{Assembly, O_PATH};
use crate::flags::MountFlags;
use crate::mount::MountKind;
use crate::node::NodeKind;
use crate::target::text;
use crate::view;

/// The nodes: name, path on the host, major and minor number.
const NODES: [(&CStr, &str, (u32, u32)); 6] = [
    (c"null", "/dev/null", (1, 3)),
    (c"zero", "/dev/zero", (1, 5)),
    (c"full", "/dev/full", (1, 7)),
    (c"random", "/dev/random", (1, 8)),
    (c"urandom", "/dev/urandom", (1, 9)),
    (c"tty", "/dev/tty", (5, 0)),
];

/// The links: name, what they say.
const LINKS: [(&CStr, &CStr); 5] = [
    (c"fd", c"/proc/self/fd"),
    (c"stdin", c"/proc/self/fd/0"),
    (c"stdout", c"/proc/self/fd/1"),
    (c"stderr", c"/proc/self/fd/2"),
    (c"ptmx", c"pts/ptmx"),
];

/// How much fits into `/dev` itself, in bytes: nodes and links, and what a payload's root puts there.
const DEV: u64 = 64 << 10;
/// How much fits into `/dev/shm`, in bytes.
const SHARED_MEMORY: u64 = 64 << 20;

impl Assembly<'_> {
    /// The tmpfs; where only the launcher can make nodes, it makes both.
    pub(super) fn dev_tmpfs(&mut self, flags: u64) -> Slot {
        let Some((uid, gid)) = self.situation.node_owner() else {
            return self.tmpfs(DEV, 0o755, flags);
        };
        let [context, dev] = [(); 2].map(|()| self.draft.slots.take());
        let options = [
            (c"size", DEV.to_string()),
            (c"mode", "0755".to_owned()),
            (c"uid", uid.to_string()),
            (c"gid", gid.to_string()),
        ];
        self.launcher.push(process::umask(0));
        self.launcher.push(mount::fsopen(c"tmpfs", context));
        let options = options.iter().map(|(key, value)| mount::option(context, key, &text(value)));
        self.launcher.extend(options);
        let label = self.label_of(c"tmpfs", context);
        self.launcher.extend(label);
        self.launcher.push(mount::create(context));
        self.launcher.push(mount::fsmount(context, flags, dev));
        for (name, _, number) in NODES {
            self.launcher.push(file::mknod(dev.into(), name, 0o666, number.0, number.1));
            self.launcher.push(file::chown(dev.into(), name, uid, gid));
        }
        dev
    }

    /// Puts everything into the attached tmpfs.
    pub(super) fn fill_dev(&mut self, dev: Slot) {
        let nodes = if self.situation.node_owner().is_some() { &[][..] } else { &NODES };
        for &(name, path, number) in nodes {
            // A node in a tmpfs of a user namespace cannot be opened.
            if self.situation.is_privileged() {
                self.build.push(file::mknod(dev.into(), name, 0o666, number.0, number.1));
            } else {
                let tree = self.copy_device(
                    Path::new(path),
                    NodeKind::Char { major: number.0, minor: number.1 },
                );
                self.build.push(file::write_new(dev.into(), name, 0o666, b""));
                self.build.push(mount::attach_below(tree.into(), dev.into(), name));
                self.close(tree);
            }
        }
        for (name, says) in LINKS {
            self.build.push(file::symlink(says, dev.into(), name));
        }
        self.fill_dev_directories(dev);
        let null = self.take();
        self.build.push(file::open(dev.into(), c"null", O_PATH, 0, null));
        self.dev_null = Some(null);
    }

    fn fill_dev_directories(&mut self, dev: Slot) {
        let terminals = MountFlags::NOSUID | MountFlags::NOEXEC;
        let pts = self.devpts(self.tty_gid(), &[], terminals.bits());
        self.attach_in_dev(dev, pts, c"pts");
        self.devpts = Some(pts);
        let shm = self.tmpfs(SHARED_MEMORY, 0o1777, MountFlags::DATA.bits());
        self.attach_in_dev(dev, shm, c"shm");
        self.close(shm);
        // With the host's ipc namespace an ordinary user gets none, as on a host without it.
        if self.situation.owns(self.situation.ipc_namespace) {
            let mqueue = self.new_file_system(c"mqueue", &[], MountFlags::DATA.bits());
            self.attach_in_dev(dev, mqueue, c"mqueue");
            self.close(mqueue);
        }
    }

    fn attach_in_dev(&mut self, dev: Slot, made: Slot, name: &CStr) {
        self.build.push(file::mkdir(dev.into(), name, 0o755));
        self.build.push(mount::attach_below(made.into(), dev.into(), name));
    }

    /// Whether files are hidden by an empty file, because there is no `/dev/null` of ours.
    pub(super) fn needs_empty_file(&self) -> bool {
        let has_dev = self.fs.mounts.iter().any(|mount| mount.kind == MountKind::Dev);
        let upto = self.fs.mounts.len();
        let file = |path: &Path| self.view.look(path, upto) == view::Found::File;
        !has_dev && self.fs.masked.iter().any(|path| file(path))
    }
}
