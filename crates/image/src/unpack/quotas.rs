//! How much a layer may ask for.
//!
//! Kernel objects: none. Invariant: every quota is checked before what it bounds is allocated or
//! written.

use std::fmt;

/// What a layer may contain.
///
/// The memory that unpacking takes is bounded by these, too: 64 MiB with the defaults. A quota that
/// is reached is an [`ErrorKind::QuotaExceeded`](crate::ErrorKind::QuotaExceeded).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quotas {
    /// Bytes of the uncompressed layer, and of all its files together, the holes of sparse ones
    /// included. Default: 64 GiB.
    pub bytes: u64,
    /// Members. Default: 1 000 000.
    pub entries: u64,
    /// Components of a name. Default: 256.
    pub depth: usize,
    /// Bytes of a name or of the target of a link. Default: 4095, the longest path that Linux takes.
    pub name: usize,
    /// Bytes of one extended attribute's value, and of a member's extended header a 16-fold of it.
    /// Default: 64 KiB, the largest value that Linux takes.
    pub attribute: usize,
}

impl Default for Quotas {
    fn default() -> Self {
        Self { bytes: 64 << 30, entries: 1_000_000, depth: 256, name: 4095, attribute: 64 << 10 }
    }
}

impl Quotas {
    /// Bytes that an extended header may have.
    pub(crate) fn extended_header(&self) -> usize {
        self.attribute.saturating_mul(16)
    }
}

/// The quota that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quota {
    Bytes,
    Entries,
    Depth,
    Name,
    Attribute,
    ExtendedHeader,
    SparseSegments,
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes => "bytes",
            Self::Entries => "members",
            Self::Depth => "components in a name",
            Self::Name => "bytes in a name",
            Self::Attribute => "bytes in an attribute",
            Self::ExtendedHeader => "bytes in an extended header",
            Self::SparseSegments => "pieces of a sparse file",
        })
    }
}
