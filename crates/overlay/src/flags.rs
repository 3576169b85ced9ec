//! The flags of a mount, with the kernel's values.
//!
//! Invariant: the bits are those of `MOUNT_ATTR_…` (mount_setattr(2), Linux 5.12).

bitflags::bitflags! {
    /// Flags of a mount (mount_setattr(2)).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
    pub struct MountFlags: u64 {
        /// Nothing can be written through it.
        const RDONLY = 0x1;
        /// Set-user-id bits and file capabilities do nothing.
        const NOSUID = 0x2;
        /// Device nodes cannot be opened.
        const NODEV = 0x4;
        /// Nothing can be executed.
        const NOEXEC = 0x8;
        /// Reading does not change access times.
        const NOATIME = 0x10;
        /// Every read changes the access time.
        const STRICTATIME = 0x20;
        /// Reading directories does not change access times.
        const NODIRATIME = 0x80;
        /// Symbolic links are not followed (Linux 5.10).
        const NOSYMFOLLOW = 0x20_0000;
    }
}

impl MountFlags {
    /// Read-only, without set-user-id and without devices.
    pub const LOCKED_DOWN: Self = Self::RDONLY.union(Self::NOSUID).union(Self::NODEV);
    /// For what holds data only: no set-user-id, no devices, no programs.
    pub const DATA: Self = Self::NOSUID.union(Self::NODEV).union(Self::NOEXEC);

    /// What must be cleared together with them: the kernel takes the access time mode as one value.
    pub(crate) fn clears(self) -> u64 {
        const ATIME_MODE: u64 = 0x70;
        if self.intersects(Self::NOATIME | Self::STRICTATIME) { ATIME_MODE } else { 0 }
    }

    /// The bits that clear these, where others are set.
    pub(crate) fn clearing(self, set: Self) -> u64 {
        (self & !set).bits() | self.clears() | set.clears()
    }
}
