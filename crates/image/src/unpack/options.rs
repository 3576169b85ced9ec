//! What is made of what a layer holds.
//!
//! Kernel objects: none. Invariant: attributes by which an overlay is steered are never taken from
//! a layer, whatever a list allows.

/// How removed files of lower layers are written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Whiteouts {
    /// For an overlay mounted by root: devices with the number 0:0, and the attribute
    /// `trusted.overlay.opaque`. Needs CAP_MKNOD (before Linux 5.8) and CAP_SYS_ADMIN.
    #[default]
    Trusted,
    /// For an overlay with the option `userxattr` (since Linux 5.11): the attribute
    /// `user.overlay.opaque`.
    User,
    /// For both, as containers of root have them: with a user namespace of their own an overlay has the option
    /// `userxattr`, without one it has not. Needs what both need, and a file system with attributes of users (tmpfs: since
    /// Linux 6.6). A [`Diff`](crate::diff::Diff) takes it for [`Whiteouts::Trusted`].
    Both,
    /// Not at all: the layer is applied to the tree that the directory has, and what it removes is
    /// removed.
    Applied,
}

/// What happens to device nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Devices {
    /// They are made; with [`Ownership::Single`], empty files with an attribute stand for them.
    ///
    /// Whoever can reach the directory can use them: keep it in one that only its owner may enter.
    #[default]
    Make,
    /// They are passed over, and counted in [`Unpacked::devices_skipped`](super::Unpacked).
    Skip,
    /// They are an [`ErrorKind::UnsafeLayer`](crate::ErrorKind::UnsafeLayer).
    Refuse,
}

/// Who owns the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ownership {
    /// The ids that the layer says. Needs CAP_CHOWN over them (root, or root of a user namespace with a range of ids), or
    /// [`Unpack::ids`](super::Unpack::ids).
    #[default]
    Real,
    /// The caller. What the layer says is kept in the attribute `user.containers.override_stat` of
    /// files and directories, as other engines do, so that a commit restores it; links, FIFOs and
    /// sockets cannot have attributes, so that theirs is lost.
    ///
    /// The owner keeps access to every directory while unpacking; files that the layer makes
    /// unreadable for their owner are unreadable for the caller afterwards.
    Single,
}

/// Which extended attributes are taken over; the others are dropped, and counted in
/// [`Unpacked::attributes_dropped`](super::Unpacked).
///
/// Never: `trusted.overlay.*`, `user.overlay.*` and `user.containers.*`, because they steer
/// engines. By default: `user.*` and `security.capability`. See xattr(7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeFilter {
    names: Vec<String>,
}

impl Default for AttributeFilter {
    fn default() -> Self {
        Self::new(["user.", "security.capability"])
    }
}

impl AttributeFilter {
    /// Attributes with one of these names; a name that ends with a dot stands for all that begin
    /// with it.
    pub fn new(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { names: names.into_iter().map(Into::into).collect() }
    }

    /// Whether an attribute is taken over.
    #[must_use]
    pub fn allows(&self, name: &[u8]) -> bool {
        let steers = |prefix: &&[u8]| name.starts_with(prefix);
        if STEERING.iter().any(steers) || name.contains(&0) {
            return false;
        }
        self.names.iter().any(|allowed| {
            name == allowed.as_bytes()
                || allowed.ends_with('.') && name.starts_with(allowed.as_bytes())
        })
    }
}

/// Attributes by which overlays and engines are steered.
const STEERING: &[&[u8]] = &[b"trusted.overlay.", b"user.overlay.", b"user.containers."];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_that_steer_never_pass() {
        let all = AttributeFilter::new(["trusted.", "user.", "security."]);
        for name in
            ["trusted.overlay.opaque", "user.overlay.whiteout", "user.containers.override_stat"]
        {
            assert!(!all.allows(name.as_bytes()), "{name}");
        }
        assert!(all.allows(b"trusted.other"));
        assert!(!all.allows(b"user.a\0b"));
        let usual = AttributeFilter::default();
        assert!(usual.allows(b"user.x") && usual.allows(b"security.capability"));
        assert!(!usual.allows(b"security.selinux") && !usual.allows(b"security.capability2"));
        assert!(!usual.allows(b"trusted.x") && !usual.allows(b"system.posix_acl_access"));
    }
}
