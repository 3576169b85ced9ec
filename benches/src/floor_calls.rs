//! The calls of the floor, for each configuration: the same ones that the library makes, in its order.
//!
//! Touches the own group, which it opens; [`crate::floor`] makes the calls. Invariant: this is the only file to change when
//! the library's calls change (compare with `strace -f` of one start).

use std::ffi::c_long;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

#[cfg(feature = "ours")]
use ampoule_seccomp::{Filter, Granted};

use crate::configuration::Configuration;
use crate::failure::Failure;
use crate::floor_group;
use crate::floor_recipe::{
    Argument, GID_MAP_PATH, NONE, Recipe, Stage, UID_MAP_PATH, at_cwd, int, unsigned, value,
};
use crate::system_call::{
    CAPSET, CHDIR, CLOSE, CLOSE_RANGE, EXECVE, FCHDIR, FCHMODAT, FSCONFIG, FSMOUNT, FSOPEN, IOCTL,
    KEYCTL, MKDIRAT, MKNODAT, MOUNT, MOVE_MOUNT, OPEN_TREE, OPENAT, PIPE2, PIVOT_ROOT, PRCTL, READ,
    RT_SIGACTION, RT_SIGPROCMASK, SECCOMP, SETGROUPS, SETHOSTNAME, SETRESGID, SETRESUID, SETSID,
    SOCKET, SYMLINKAT, UMASK, UMOUNT2, WRITE,
};

/// Where the first host id of the map is.
pub const FIRST_HOST_ID: u32 = 100_000;
/// How many ids are mapped.
pub const IDS: u32 = 65_536;
/// Device nodes of /dev: name, major, minor (Documentation/admin-guide/devices.txt).
const DEVICES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];
/// Links of /dev.
const DEVICE_LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
];
/// The capabilities that stay: the usual container set (capabilities(7)).
const CAPABILITIES: [u32; 14] = [0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31];
/// The highest capability of Linux 5.9 and later, CAP_CHECKPOINT_RESTORE.
const LAST_CAPABILITY: u32 = 40;
/// Places in the scratch of a run.
const GATE: u16 = 0;
const GATE_WRITE: u16 = 4;
const BYTE: u16 = 8;
const OLD_MASK: u16 = 16;
/// The kernel's size of a signal set.
const SIGSET_BYTES: i32 = 8;

/// The highest signal.
const LAST_SIGNAL: i32 = 64;
const KEYCTL_JOIN_SESSION_KEYRING: i32 = 1;
#[cfg(feature = "ours")]
const SECCOMP_SET_MODE_FILTER: i32 = 1;
const MOUNT_ATTR_RDONLY: u32 = 1;
const FSOPEN_CLOEXEC: u32 = 1;
const FSMOUNT_CLOEXEC: u32 = 1;
const OPEN_TREE_CLONE: u32 = 1;
const FSCONFIG_SET_STRING: i32 = 1;
const FSCONFIG_SET_FD: i32 = 5;
const FSCONFIG_CMD_CREATE: i32 = 6;
const MOVE_MOUNT_F_EMPTY_PATH: u32 = 4;
const MOUNT_ATTR_NOSUID: u32 = 2;
const MOUNT_ATTR_NODEV: u32 = 4;
const MOUNT_ATTR_NOEXEC: u32 = 8;
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// The recipe of a configuration that runs `payload`, program first, in the root file system `rootfs`, in a group of
/// its own.
///
/// # Errors
/// When the own group cannot be found or opened.
pub fn recipe(
    configuration: Configuration,
    rootfs: &Path,
    payload: &[&str],
) -> Result<Recipe, Failure> {
    Ok(extend(floor_group::unlimited()?, configuration, rootfs, payload))
}

/// The same with the calls of `recipe` before it, those of [`crate::floor_group`].
pub fn extend(
    mut recipe: Recipe,
    configuration: Configuration,
    rootfs: &Path,
    payload: &[&str],
) -> Recipe {
    let all = configuration == Configuration::All;
    recipe.add_flags(clone_flags(configuration));
    let mut list = Calls { recipe };
    list.block_signals();
    let root = if all { list.overlay_root(rootfs) } else { list.directory_root(rootfs) };
    let dev = list.device_tmpfs();
    if all {
        list.pass_the_gate();
        list.write_id_maps();
        list.become_root();
    }
    list.attach(root, rootfs);
    list.mount_proc();
    list.mount_dev(dev);
    if all {
        list.loopback_up();
    }
    list.set_hostname();
    list.pivot();
    list.drop_capabilities();
    list.exec(payload);
    list.unblock_and_close();
    list.recipe
}

/// The flags of clone3: only without a user namespace can the host sleep in it until the exec.
fn clone_flags(configuration: Configuration) -> u64 {
    let namespaces = libc::CLONE_NEWPID
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP;
    let more = match configuration {
        Configuration::All => libc::CLONE_NEWUSER | libc::CLONE_NEWNET,
        Configuration::Directory => libc::CLONE_VFORK,
    };
    let flags = namespaces | more | libc::CLONE_VM | libc::CLONE_PIDFD;
    // CLONE_CLEAR_SIGHAND is bit 32.
    u64::from(flags.cast_unsigned()) | 1 << 32
}

/// Appends groups of calls to a recipe.
struct Calls {
    recipe: Recipe,
}

impl Calls {
    fn host(&mut self, call: (&'static str, c_long), arguments: &[Argument]) -> Argument {
        self.recipe.call(Stage::Before, call, arguments)
    }

    fn child(&mut self, call: (&'static str, c_long), arguments: &[Argument]) -> Argument {
        self.recipe.call(Stage::Child, call, arguments)
    }

    fn text(&mut self, text: &str) -> Argument {
        self.recipe.text(text)
    }

    /// No signal handler of the host may run in the child.
    fn block_signals(&mut self) {
        let all = self.recipe.bytes([0xFF; 8]);
        let old = Argument::Scratch(OLD_MASK);
        self.host(RT_SIGPROCMASK, &[int(libc::SIG_SETMASK), all, old, int(SIGSET_BYTES)]);
    }

    /// A detached tmpfs with the root's upper and work directory, and the overlay over it.
    fn overlay_root(&mut self, rootfs: &Path) -> Argument {
        let base = self.detached(Stage::Before, "tmpfs", &[("mode", "0755")], 0);
        let [upper, work] = ["upper", "work"].map(|name| {
            let name = self.text(name);
            self.host(MKDIRAT, &[base, name, unsigned(0o755)]);
            self.host(
                OPENAT,
                &[base, name, int(libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC)],
            )
        });
        let lower = self.recipe.text(rootfs.as_os_str().as_bytes());
        let lower = self.host(
            OPENAT,
            &[at_cwd(), lower, int(libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC)],
        );
        let kind = self.text("overlay");
        let context = self.host(FSOPEN, &[kind, unsigned(FSOPEN_CLOEXEC)]);
        for (key, fd) in [("lowerdir+", lower), ("upperdir", upper), ("workdir", work)] {
            let key = self.text(key);
            self.host(FSCONFIG, &[context, int(FSCONFIG_SET_FD), key, NONE, fd]);
        }
        self.host(FSCONFIG, &[context, int(FSCONFIG_CMD_CREATE)]);
        let root = self.host(FSMOUNT, &[context, unsigned(FSMOUNT_CLOEXEC), NONE]);
        for fd in [root, context, lower, work, upper, base] {
            self.recipe.call(Stage::After, CLOSE, &[fd]);
        }
        root
    }

    /// A detached copy of the mount at the directory.
    fn directory_root(&mut self, rootfs: &Path) -> Argument {
        let path = self.recipe.text(rootfs.as_os_str().as_bytes());
        let flags = unsigned(OPEN_TREE_CLONE | libc::O_CLOEXEC.unsigned_abs());
        let root = self.host(OPEN_TREE, &[at_cwd(), path, flags]);
        self.recipe.call(Stage::After, CLOSE, &[root]);
        root
    }

    /// A detached tmpfs with six device nodes, which only the host may make.
    fn device_tmpfs(&mut self) -> Argument {
        let options = [("mode", "0755"), ("size", "64k")];
        let dev = self.detached(Stage::Before, "tmpfs", &options, MOUNT_ATTR_NOSUID);
        for (name, major, minor) in DEVICES {
            let name = self.text(name);
            let device = Argument::Value(libc::makedev(major, minor));
            self.host(MKNODAT, &[dev, name, unsigned(libc::S_IFCHR | 0o666), device]);
            self.host(FCHMODAT, &[dev, name, unsigned(0o666)]);
        }
        for (target, name) in DEVICE_LINKS {
            let [target, name] = [target, name].map(|text| self.text(text));
            self.host(SYMLINKAT, &[target, dev, name]);
        }
        for name in ["pts", "shm", "mqueue"] {
            let name = self.text(name);
            self.host(MKDIRAT, &[dev, name, unsigned(0o755)]);
        }
        self.recipe.call(Stage::After, CLOSE, &[dev]);
        dev
    }

    /// The child waits until the host has written its id maps.
    fn pass_the_gate(&mut self) {
        self.host(PIPE2, &[Argument::Scratch(GATE), int(libc::O_CLOEXEC)]);
        self.child(CLOSE, &[Argument::Int(GATE_WRITE)]);
        self.child(READ, &[Argument::Int(GATE), Argument::Scratch(BYTE), int(1)]);
        for end in [GATE, GATE_WRITE] {
            self.recipe.call(Stage::After, CLOSE, &[Argument::Int(end)]);
        }
    }

    /// The host writes both maps and opens the gate.
    fn write_id_maps(&mut self) {
        let map = format!("0 {FIRST_HOST_ID} {IDS}");
        let length = Argument::Value(map.len() as u64);
        let map = self.text(&map);
        for path in [UID_MAP_PATH, GID_MAP_PATH] {
            let flags = int(libc::O_WRONLY | libc::O_CLOEXEC);
            let file = self.recipe.call(
                Stage::Meanwhile,
                OPENAT,
                &[at_cwd(), Argument::Scratch(path), flags],
            );
            self.recipe.call(Stage::Meanwhile, WRITE, &[file, map, length]);
            self.recipe.call(Stage::Meanwhile, CLOSE, &[file]);
        }
        let byte = Argument::Scratch(BYTE);
        self.recipe.call(Stage::Meanwhile, WRITE, &[Argument::Int(GATE_WRITE), byte, int(1)]);
    }

    /// The child takes the ids that the maps gave it.
    fn become_root(&mut self) {
        self.child(SETGROUPS, &[]);
        self.child(SETRESGID, &[]);
        self.child(SETRESUID, &[]);
    }

    /// Cuts propagation and puts the root where it can be pivoted to.
    fn attach(&mut self, root: Argument, rootfs: &Path) {
        let slash = self.text("/");
        let private = Argument::Value(libc::MS_REC | libc::MS_PRIVATE);
        self.child(MOUNT, &[NONE, slash, NONE, private, NONE]);
        let target = self.recipe.text(rootfs.as_os_str().as_bytes());
        self.move_mount(root, target);
        self.child(FCHDIR, &[root]);
    }

    /// A fresh procfs, before the old root goes, and a read-only sysfs.
    fn mount_proc(&mut self) {
        let flags = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
        self.mount("proc", &[], flags, "proc");
        self.mount("sysfs", &[], flags | MOUNT_ATTR_RDONLY, "sys");
    }

    /// /dev and the three file systems below it.
    fn mount_dev(&mut self, dev: Argument) {
        let target = self.text("dev");
        self.move_mount(dev, target);
        let plain = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
        self.mount("devpts", &[("ptmxmode", "0666"), ("mode", "0620")], plain, "dev/pts");
        let quiet = plain | MOUNT_ATTR_NODEV;
        self.mount("tmpfs", &[("mode", "1777"), ("size", "64m")], quiet, "dev/shm");
        self.mount("mqueue", &[], quiet, "dev/mqueue");
    }

    /// Brings `lo` up: netdevice(7).
    fn loopback_up(&mut self) {
        let kind = int(libc::SOCK_DGRAM | libc::SOCK_CLOEXEC);
        let socket = self.child(SOCKET, &[int(libc::AF_INET), kind]);
        let mut request = [0_u8; size_of::<libc::ifreq>()];
        request[..2].copy_from_slice(b"lo");
        request[libc::IFNAMSIZ] = libc::IFF_UP.to_ne_bytes()[0];
        let request = self.recipe.bytes(request);
        self.child(IOCTL, &[socket, Argument::Value(libc::SIOCSIFFLAGS), request]);
        self.child(CLOSE, &[socket]);
    }

    fn set_hostname(&mut self) {
        let name = self.text("ampoule");
        self.child(SETHOSTNAME, &[name, int(7)]);
    }

    /// The working directory becomes the root; the old one goes.
    fn pivot(&mut self) {
        let here = self.text(".");
        self.child(PIVOT_ROOT, &[here, here]);
        self.child(UMOUNT2, &[here, int(libc::MNT_DETACH)]);
        let slash = self.text("/");
        self.child(CHDIR, &[slash]);
    }

    /// Bounding set, permitted sets, no_new_privs.
    fn drop_capabilities(&mut self) {
        for capability in (0..=LAST_CAPABILITY).filter(|c| !CAPABILITIES.contains(c)) {
            self.child(PRCTL, &[int(libc::PR_CAPBSET_DROP), unsigned(capability)]);
        }
        let kept = CAPABILITIES.iter().fold(0_u32, |set, capability| set | 1 << capability);
        let header: Vec<u8> = [CAPABILITY_VERSION_3, 0].map(u32::to_ne_bytes).concat();
        let data: Vec<u8> = [kept, kept, 0, 0, 0, 0].map(u32::to_ne_bytes).concat();
        let [header, data] = [header, data].map(|bytes| self.recipe.bytes(bytes));
        self.child(CAPSET, &[header, data]);
        self.child(PRCTL, &[int(libc::PR_SET_NO_NEW_PRIVS), int(1)]);
    }

    /// Descriptors, session, signal mask, exec.
    fn exec(&mut self, payload: &[&str]) {
        self.child(SETSID, &[]);
        self.child(UMASK, &[unsigned(0o022)]);
        self.child(KEYCTL, &[int(KEYCTL_JOIN_SESSION_KEYRING)]);
        let default = self.recipe.bytes([0; 32]);
        let changeable = (1..=LAST_SIGNAL).filter(|s| ![libc::SIGKILL, libc::SIGSTOP].contains(s));
        for signal in changeable {
            self.child(RT_SIGACTION, &[int(signal), default, NONE, int(SIGSET_BYTES)]);
        }
        let cloexec = unsigned(libc::CLOSE_RANGE_CLOEXEC);
        self.child(CLOSE_RANGE, &[unsigned(3), unsigned(u32::MAX), cloexec]);
        let none = self.recipe.bytes([0; 8]);
        self.child(RT_SIGPROCMASK, &[int(libc::SIG_SETMASK), none, NONE, int(SIGSET_BYTES)]);
        self.load_filter();
        let program = self.text(payload.first().unwrap_or(&"/"));
        let arguments = self.recipe.vector(payload);
        let environment = self.recipe.vector(&["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"]);
        self.child(EXECVE, &[program, arguments, environment]);
    }

    /// The filter that the library loads by default for these capabilities.
    #[cfg(feature = "ours")]
    fn load_filter(&mut self) {
        let granted = CAPABILITIES.iter().fold(0, |set, capability| set | 1_u64 << capability);
        let filter = Filter::default_for(Granted::from_bits(granted)).compile();
        let Ok(filter) = filter else { panic!("the default profile compiles") };
        let words = filter.program().words();
        let program: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let program = self.recipe.bytes(program);
        let length = u64::try_from(words.len()).unwrap_or(0);
        let header = self.recipe.words([length, value(program)]);
        let flags = unsigned(filter.flags().bits());
        self.child(SECCOMP, &[int(SECCOMP_SET_MODE_FILTER), flags, header]);
    }

    /// Without the library there is no filter.
    #[cfg(not(feature = "ours"))]
    #[expect(clippy::unused_self, reason = "the same as with the library")]
    fn load_filter(&mut self) {}

    /// The host's signal mask as it was.
    fn unblock_and_close(&mut self) {
        let old = Argument::Scratch(OLD_MASK);
        let call = [int(libc::SIG_SETMASK), old, NONE, int(SIGSET_BYTES)];
        self.recipe.call(Stage::Meanwhile, RT_SIGPROCMASK, &call);
    }

    /// A new file system as a detached mount.
    fn detached(
        &mut self,
        stage: Stage,
        kind: &str,
        options: &[(&str, &str)],
        attributes: u32,
    ) -> Argument {
        let kind = self.text(kind);
        let context = self.recipe.call(stage, FSOPEN, &[kind, unsigned(FSOPEN_CLOEXEC)]);
        for (key, value) in options {
            let [key, value] = [key, value].map(|text| self.text(text));
            self.recipe.call(stage, FSCONFIG, &[context, int(FSCONFIG_SET_STRING), key, value]);
        }
        self.recipe.call(stage, FSCONFIG, &[context, int(FSCONFIG_CMD_CREATE)]);
        let flags = unsigned(FSMOUNT_CLOEXEC);
        let mount = self.recipe.call(stage, FSMOUNT, &[context, flags, unsigned(attributes)]);
        self.recipe.call(stage, CLOSE, &[context]);
        mount
    }

    /// A new file system at a place relative to the working directory, made by the child.
    fn mount(&mut self, kind: &str, options: &[(&str, &str)], attributes: u32, at: &str) {
        let mount = self.detached(Stage::Child, kind, options, attributes);
        let at = self.text(at);
        self.move_mount(mount, at);
        self.child(CLOSE, &[mount]);
    }

    fn move_mount(&mut self, mount: Argument, target: Argument) {
        let empty = self.text("");
        self.child(
            MOVE_MOUNT,
            &[mount, empty, at_cwd(), target, unsigned(MOVE_MOUNT_F_EMPTY_PATH)],
        );
    }
}
