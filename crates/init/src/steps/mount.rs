//! Steps of the mount API: file systems, trees, attributes, targets and the root (fsopen(2), open_tree(2),
//! move_mount(2): Linux 5.2; mount_setattr(2): 5.12; lazily detached old root: umount2(2); mount(2)).

use std::ffi::CStr;

use crate::step::{Arg, Fd, Slot, Step};
use crate::wire::code;

const FSOPEN_CLOEXEC: u64 = 1;
const FSCONFIG_SET_FLAG: u64 = 0;
const FSCONFIG_SET_STRING: u64 = 1;
const FSCONFIG_SET_FD: u64 = 5;
const FSCONFIG_CMD_CREATE: u64 = 6;
const FSMOUNT_CLOEXEC: u64 = 1;
const OPEN_TREE_CLONE: u64 = 1;
const AT_EMPTY_PATH: u64 = 0x1000;
const AT_RECURSIVE: u64 = 0x8000;
const MOVE_MOUNT_F_EMPTY_PATH: u64 = 4;
const MOVE_MOUNT_T_EMPTY_PATH: u64 = 0x40;

/// Whether a step reaches the mounts below, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The one mount.
    One,
    /// It and all below it.
    Recursive,
}

impl Depth {
    fn flag(self) -> u64 {
        match self {
            Self::One => 0,
            Self::Recursive => AT_RECURSIVE,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::One => "",
            Self::Recursive => "|AT_RECURSIVE",
        }
    }
}

/// A change of mount attributes (`struct mount_attr`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `MOUNT_ATTR_…` to set.
    pub set: u64,
    /// `MOUNT_ATTR_…` to clear.
    pub clear: u64,
    /// `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`, `MS_UNBINDABLE` or 0.
    pub propagation: u64,
}

/// Starts a file system context.
#[must_use]
pub fn fsopen(kind: &CStr, save: Slot) -> Step {
    let flags = Arg::Named(FSOPEN_CLOEXEC, "FSOPEN_CLOEXEC".to_owned());
    Step::call("fsopen", libc::SYS_fsopen, vec![kind.into(), flags]).save(save)
}

fn fsconfig(context: Slot, command: (u64, &str), key: Arg, value: Arg, aux: Arg) -> Step {
    let command = Arg::Named(command.0, command.1.to_owned());
    Step::call("fsconfig", libc::SYS_fsconfig, vec![context.into(), command, key, value, aux])
}

fn null() -> Arg {
    Arg::Named(0, "NULL".to_owned())
}

/// Sets an option with a text of at most 255 bytes.
#[must_use]
pub fn option(context: Slot, key: &CStr, value: &CStr) -> Step {
    fsconfig(context, (FSCONFIG_SET_STRING, "SET_STRING"), key.into(), value.into(), Arg::Number(0))
}

/// Sets an option whose text belongs to the launch.
#[must_use]
pub fn option_parameter(context: Slot, key: &CStr, parameter: u16, name: &'static str) -> Step {
    let value = Arg::Parameter(parameter, name);
    fsconfig(context, (FSCONFIG_SET_STRING, "SET_STRING"), key.into(), value, Arg::Number(0))
}

/// Sets an option without value.
#[must_use]
pub fn flag(context: Slot, key: &CStr) -> Step {
    fsconfig(context, (FSCONFIG_SET_FLAG, "SET_FLAG"), key.into(), null(), Arg::Number(0))
}

/// Sets an option to a descriptor (overlay layers: Linux 6.13).
#[must_use]
pub fn option_fd(context: Slot, key: &CStr, fd: Fd) -> Step {
    fsconfig(context, (FSCONFIG_SET_FD, "SET_FD"), key.into(), null(), fd.into())
}

/// Creates the file system.
#[must_use]
pub fn create(context: Slot) -> Step {
    fsconfig(context, (FSCONFIG_CMD_CREATE, "CMD_CREATE"), null(), null(), Arg::Number(0))
}

/// Makes a detached mount of a created file system, with `MOUNT_ATTR_…` flags.
#[must_use]
pub fn fsmount(context: Slot, attributes: u64, save: Slot) -> Step {
    let cloexec = Arg::Named(FSMOUNT_CLOEXEC, "FSMOUNT_CLOEXEC".to_owned());
    let attributes = Arg::Named(attributes, attribute_names(attributes));
    Step::call("fsmount", libc::SYS_fsmount, vec![context.into(), cloexec, attributes]).save(save)
}

/// Mounts a file system at a name in the working directory, with all its options in one text of less than a page
/// (mount(2)): what kernels take that lack an option of the newer calls.
#[must_use]
pub fn mount_with_page(kind: &CStr, name: &CStr, options: &CStr) -> Step {
    let flags = Arg::Named(0, "0".to_owned());
    let args = vec![kind.into(), name.into(), kind.into(), flags, options.into()];
    Step::call("mount", libc::SYS_mount, args)
}

/// Makes a detached copy of a mount tree.
#[must_use]
pub fn open_tree(dir: Fd, path: &CStr, depth: Depth, save: Slot) -> Step {
    let empty = if path.is_empty() { AT_EMPTY_PATH } else { 0 };
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as u64 | empty | depth.flag();
    let flags = Arg::Named(flags, format!("OPEN_TREE_CLONE{}", depth.text()));
    Step::call("open_tree", libc::SYS_open_tree, vec![dir.into(), path.into(), flags]).save(save)
}

/// Attaches a detached mount to what a descriptor names.
#[must_use]
pub fn attach(mount: Fd, target: Fd) -> Step {
    let flags = Arg::Named(
        MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH,
        "F_EMPTY_PATH|T_EMPTY_PATH".to_owned(),
    );
    let args = vec![mount.into(), c"".into(), target.into(), c"".into(), flags];
    Step::call("move_mount", libc::SYS_move_mount, args)
}

/// Attaches a detached mount to a name in a directory that only these steps have changed; a link is not followed.
#[must_use]
pub fn attach_below(mount: Fd, dir: Fd, name: &CStr) -> Step {
    let flags = Arg::Named(MOVE_MOUNT_F_EMPTY_PATH, "F_EMPTY_PATH".to_owned());
    let args = vec![mount.into(), c"".into(), dir.into(), name.into(), flags];
    Step::call("move_mount", libc::SYS_move_mount, args)
}

/// Attaches a detached mount to an absolute path of this mount namespace.
#[must_use]
pub fn attach_at(mount: Fd, path: &CStr) -> Step {
    let flags = Arg::Named(MOVE_MOUNT_F_EMPTY_PATH, "F_EMPTY_PATH".to_owned());
    let args = vec![mount.into(), c"".into(), Fd::Cwd.into(), path.into(), flags];
    Step::call("move_mount", libc::SYS_move_mount, args)
}

/// Maps the ids of a detached mount by a user namespace, and changes its attributes (Linux 5.12; `attributes.clear`
/// is not used).
#[must_use]
pub fn id_map(mount: Fd, depth: Depth, attributes: Attributes, userns: Fd) -> Step {
    let args = vec![
        mount.into(),
        c"".into(),
        Arg::Named(AT_EMPTY_PATH | depth.flag(), format!("AT_EMPTY_PATH{}", depth.text())),
        Arg::Number(attributes.set),
        Arg::Number(attributes.propagation),
        userns.into(),
    ];
    let shown = format!(
        "{mount}, \"\", AT_EMPTY_PATH{}, {{{attributes} IDMAP userns_fd={userns}}}",
        depth.text()
    );
    Step::operation("mount_setattr", code::ID_MAP, args).named("mount_setattr", shown)
}

/// Changes the attributes of a mount.
#[must_use]
pub fn set_attributes(dir: Fd, path: &CStr, depth: Depth, attributes: Attributes) -> Step {
    let empty = if path.is_empty() { AT_EMPTY_PATH } else { 0 };
    let flags = Arg::Named(
        empty | depth.flag(),
        format!("{}{}", if empty == 0 { "0" } else { "AT_EMPTY_PATH" }, depth.text()),
    );
    let words = [attributes.set, attributes.clear, attributes.propagation, 0];
    let bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let args = vec![
        dir.into(),
        path.into(),
        flags,
        Arg::Bytes(bytes, format!("{{{attributes}}}")),
        Arg::Number(32),
    ];
    Step::call("mount_setattr", libc::SYS_mount_setattr, args)
}

impl std::fmt::Display for Attributes {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::new();
        if self.set != 0 {
            parts.push(format!("set={}", attribute_names(self.set)));
        }
        if self.clear != 0 {
            parts.push(format!("clear={}", attribute_names(self.clear)));
        }
        if self.propagation != 0 {
            parts.push(format!("propagation={}", propagation_name(self.propagation)));
        }
        out.write_str(&parts.join(" "))
    }
}

fn propagation_name(propagation: u64) -> &'static str {
    match propagation {
        libc::MS_PRIVATE => "MS_PRIVATE",
        libc::MS_SLAVE => "MS_SLAVE",
        libc::MS_SHARED => "MS_SHARED",
        _ => "MS_UNBINDABLE",
    }
}

/// Names of `MOUNT_ATTR_…` flags.
fn attribute_names(flags: u64) -> String {
    const NAMES: [(u64, &str); 8] = [
        (libc::MOUNT_ATTR_RDONLY, "RDONLY"),
        (libc::MOUNT_ATTR_NOSUID, "NOSUID"),
        (libc::MOUNT_ATTR_NODEV, "NODEV"),
        (libc::MOUNT_ATTR_NOEXEC, "NOEXEC"),
        (libc::MOUNT_ATTR_NOATIME, "NOATIME"),
        (libc::MOUNT_ATTR_STRICTATIME, "STRICTATIME"),
        (libc::MOUNT_ATTR_NODIRATIME, "NODIRATIME"),
        (libc::MOUNT_ATTR_NOSYMFOLLOW, "NOSYMFOLLOW"),
    ];
    let names: Vec<&str> =
        NAMES.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, name)| *name).collect();
    if names.is_empty() { "0".to_owned() } else { names.join("|") }
}

/// Finds a mount target below a root, or makes it; `mode` holds the type (`S_IFDIR` or `S_IFREG`).
#[must_use]
pub fn target(root: Fd, path: &CStr, mode: u32, save: Slot) -> Step {
    let args = vec![
        root.into(),
        path.into(),
        Arg::Named(u64::from(mode), format!("{mode:#o}")),
        Arg::Named(0o755, "0755".to_owned()),
    ];
    Step::operation("target", code::TARGET, args).save(save)
}

/// As [`target`]; a symbolic link at the end of the path is the target itself, on which a file can be mounted.
#[must_use]
pub fn target_unfollowed(root: Fd, path: &CStr, mode: u32, save: Slot) -> Step {
    let args = vec![
        root.into(),
        path.into(),
        Arg::Named(u64::from(mode), format!("{mode:#o}")),
        Arg::Named(0o755, "0755".to_owned()),
        Arg::Named(libc::O_NOFOLLOW as u64, "O_NOFOLLOW".to_owned()),
    ];
    Step::operation("target", code::TARGET, args).save(save)
}

/// Makes the working directory, a mount, the root (pivot_root(2), with the old root on top of it).
#[must_use]
pub fn pivot_root() -> Step {
    Step::call("pivot_root", libc::SYS_pivot_root, vec![c".".into(), c".".into()])
}

/// Detaches what is mounted on the working directory: after [`pivot_root`], the old root.
#[must_use]
pub fn detach_old_root() -> Step {
    let flags = Arg::Named(libc::MNT_DETACH as u64, "MNT_DETACH".to_owned());
    Step::call("umount2", libc::SYS_umount2, vec![c".".into(), flags])
}
