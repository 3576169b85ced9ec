//! What an interface has counted.
//!
//! Kernel objects: `IFLA_STATS64` of a link (`struct rtnl_link_stats64`, include/uapi/linux/if_link.h). Invariant: what is
//! read is of one instant.

use serde::{Deserialize, Serialize};

use crate::link::{LINK_HEADER, attribute};

/// Counters of an interface since it was made: received (`rx`) and sent (`tx`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Statistics {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Bad packets received.
    pub rx_errors: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
    /// Packets received and not taken on.
    pub rx_dropped: u64,
    /// Packets not sent for want of room.
    pub tx_dropped: u64,
}

impl Statistics {
    /// Of an `RTM_NEWLINK` message.
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        /// `IFLA_STATS64`.
        const STATISTICS: u16 = 23;
        let found = attribute(payload.get(LINK_HEADER..)?, STATISTICS)?;
        let mut numbers = found
            .chunks_exact(8)
            .map(|bytes| bytes.first_chunk().copied().map(u64::from_ne_bytes).unwrap_or_default());
        let mut next = || numbers.next();
        Some(Self {
            rx_packets: next()?,
            tx_packets: next()?,
            rx_bytes: next()?,
            tx_bytes: next()?,
            rx_errors: next()?,
            tx_errors: next()?,
            rx_dropped: next()?,
            tx_dropped: next()?,
        })
    }
}
