//! How mounts and unmounts spread between mount namespaces (mount_namespaces(7)).
//!
//! Invariant: whatever is chosen, nothing that these steps mount spreads to the host, unless a bind mount was
//! explicitly asked to be [`Propagation::Shared`].

/// How mount events spread.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
#[non_exhaustive]
pub enum Propagation {
    /// In neither direction.
    #[default]
    Private,
    /// From the host into the container.
    Slave,
    /// In both directions; on a bind mount: as it is at the source.
    Shared,
    /// In neither direction, and it cannot be bound elsewhere.
    Unbindable,
}

impl Propagation {
    /// The kernel's value (`MS_…` of mount(2)).
    pub(crate) fn bits(self) -> u64 {
        match self {
            Self::Private => 1 << 18,
            Self::Slave => 1 << 19,
            Self::Shared => 1 << 20,
            Self::Unbindable => 1 << 17,
        }
    }
}
