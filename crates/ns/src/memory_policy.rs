//! From which memory nodes a process gets its pages.
//!
//! Kernel objects: none. Manual: set_mempolicy(2). Invariant: what [`MemoryPolicy::validate`] accepts is not refused by
//! the kernel for its form; a node that the machine does not have still is.

use serde::{Deserialize, Serialize};

use crate::cpu_set::CpuSet;
use crate::error::{Error, ErrorKind, Reason, Result};

/// How nodes are chosen, set_mempolicy(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum MemoryPolicyMode {
    /// As the system does by itself.
    #[default]
    #[serde(rename = "MPOL_DEFAULT")]
    Default,
    /// From this node first, and else from any; without one, from the node of the processor.
    #[serde(rename = "MPOL_PREFERRED")]
    Preferred,
    /// From these nodes only.
    #[serde(rename = "MPOL_BIND")]
    Bind,
    /// From these nodes in turn.
    #[serde(rename = "MPOL_INTERLEAVE")]
    Interleave,
    /// From the node of the processor, since Linux 3.8.
    #[serde(rename = "MPOL_LOCAL")]
    Local,
    /// From these nodes first, and else from any; since Linux 5.15.
    #[serde(rename = "MPOL_PREFERRED_MANY")]
    PreferredMany,
    /// From these nodes in turn, by their weights; since Linux 6.9.
    #[serde(rename = "MPOL_WEIGHTED_INTERLEAVE")]
    WeightedInterleave,
}

bitflags::bitflags! {
    /// `MPOL_F_*` of set_mempolicy(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
    pub struct MemoryPolicyFlags: u32 {
        /// Pages move to the node that uses them, since Linux 5.12; for bind, and for preferred-many since Linux 6.6.
        const NUMA_BALANCING = 1 << 13;
        /// The nodes are counted within those that the process may use.
        const RELATIVE_NODES = 1 << 14;
        /// The nodes stay the same whatever the process may use.
        const STATIC_NODES = 1 << 15;
    }
}

/// From which memory nodes a process gets its pages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryPolicy {
    /// How they are chosen.
    pub mode: MemoryPolicyMode,
    /// Flags.
    pub flags: MemoryPolicyFlags,
    /// The nodes; a set of numbers, as that of processors is.
    pub nodes: Option<CpuSet>,
}

impl MemoryPolicy {
    /// Checks what belongs together.
    ///
    /// # Errors
    /// [`InvalidMemoryPolicy`](ErrorKind::InvalidMemoryPolicy).
    pub fn validate(&self) -> Result<()> {
        use MemoryPolicyMode as Mode;
        let refused = |text: &str| {
            Err(Error::text(ErrorKind::InvalidMemoryPolicy, text, Reason::FlagsDoNotFit))
        };
        let no_nodes = matches!(self.mode, Mode::Default | Mode::Local);
        let free = no_nodes || self.mode == Mode::Preferred;
        let both = MemoryPolicyFlags::RELATIVE_NODES | MemoryPolicyFlags::STATIC_NODES;
        if self.nodes.is_some() && no_nodes || self.nodes.is_none() && !free {
            return refused("nodes");
        }
        if self.flags.contains(both) || !MemoryPolicyFlags::all().contains(self.flags) {
            return refused("flags");
        }
        Ok(())
    }

    /// The number of the mode, with the flags.
    #[must_use]
    pub fn number(&self) -> u32 {
        let mode = match self.mode {
            MemoryPolicyMode::Default => 0,
            MemoryPolicyMode::Preferred => 1,
            MemoryPolicyMode::Bind => 2,
            MemoryPolicyMode::Interleave => 3,
            MemoryPolicyMode::Local => 4,
            MemoryPolicyMode::PreferredMany => 5,
            MemoryPolicyMode::WeightedInterleave => 6,
        };
        mode | self.flags.bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_and_nodes_belong_together() {
        let policy = |mode, nodes: Option<&str>| MemoryPolicy {
            mode,
            nodes: nodes.map(|nodes| nodes.parse().unwrap()),
            ..MemoryPolicy::default()
        };
        policy(MemoryPolicyMode::Bind, Some("0")).validate().unwrap();
        policy(MemoryPolicyMode::Preferred, None).validate().unwrap();
        policy(MemoryPolicyMode::Bind, None).validate().unwrap_err();
        policy(MemoryPolicyMode::Local, Some("0")).validate().unwrap_err();
    }

    #[test]
    fn flags_that_contradict() {
        let flags = MemoryPolicyFlags::STATIC_NODES | MemoryPolicyFlags::RELATIVE_NODES;
        let nodes = Some("0-1".parse().unwrap());
        let policy = MemoryPolicy { mode: MemoryPolicyMode::Interleave, flags, nodes };
        policy.validate().unwrap_err();
        let policy = MemoryPolicy { flags: MemoryPolicyFlags::STATIC_NODES, ..policy };
        policy.validate().unwrap();
        assert_eq!(policy.number(), 0x8003);
    }
}
