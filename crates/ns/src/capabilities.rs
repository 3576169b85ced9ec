//! The capability sets that a new process gets.
//!
//! Kernel objects: none, this is data. Manual: capabilities(7), "Transformation of capabilities
//! during execve". Invariant, kept by the setters: ambient ⊆ inheritable = ambient, ambient ⊆
//! permitted ⊆ bounding.

use serde::{Deserialize, Serialize};

use crate::capability::{Capability, CapabilitySet};
use crate::error::{Error, ErrorKind, Reason, Result};

/// The sets of a new process. The default is [`CapabilitySet::container_default`] with nothing
/// inheritable or ambient.
///
/// A user other than 0 loses everything that is not ambient when it executes a program
/// ([`usable_by`](Self::usable_by)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capabilities {
    /// What can ever be had again.
    pub bounding: CapabilitySet,
    /// What the process has, permitted and effective.
    pub permitted: CapabilitySet,
    /// What survives an execve(2) together with the file's own inheritable set. Filled, it weakens
    /// the payload (CVE-2022-24769); the kernel demands that ambient ones are in it.
    #[serde(default)]
    pub inheritable: CapabilitySet,
    /// What survives an execve(2) by a user other than 0, since Linux 4.3.
    #[serde(default)]
    pub ambient: CapabilitySet,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self::of(CapabilitySet::container_default())
    }
}

impl Capabilities {
    /// `set` as bounding and permitted set, nothing inheritable or ambient.
    #[must_use]
    pub const fn of(set: CapabilitySet) -> Self {
        let none = CapabilitySet::EMPTY;
        Self { bounding: set, permitted: set, inheritable: none, ambient: none }
    }

    /// No capability at all.
    #[must_use]
    pub const fn drop_all() -> Self {
        Self::of(CapabilitySet::EMPTY)
    }

    /// With `capability` in the bounding and the permitted set.
    #[must_use]
    pub const fn add(mut self, capability: Capability) -> Self {
        self.bounding = self.bounding.with(capability);
        self.permitted = self.permitted.with(capability);
        self
    }

    /// Without `capability` in any set.
    #[must_use]
    pub const fn drop(mut self, capability: Capability) -> Self {
        self.bounding = self.bounding.without(capability);
        self.permitted = self.permitted.without(capability);
        self.inheritable = self.inheritable.without(capability);
        self.ambient = self.ambient.without(capability);
        self
    }

    /// With `capability` in every set, so that a user other than 0 keeps it.
    #[must_use]
    pub const fn add_ambient(mut self, capability: Capability) -> Self {
        self = self.add(capability);
        self.inheritable = self.inheritable.with(capability);
        self.ambient = self.ambient.with(capability);
        self
    }

    /// What a program without file capabilities has after execve(2) by `uid` (as numbered inside
    /// its user namespace, without secure bits).
    #[must_use]
    pub const fn usable_by(self, uid: u32) -> CapabilitySet {
        if uid == 0 { self.bounding.union(self.inheritable) } else { self.ambient }
    }

    /// Checks that the kernel would take the sets.
    ///
    /// # Errors
    /// [`InvalidCapability`](ErrorKind::InvalidCapability) when an ambient capability is not
    /// permitted and inheritable, or a permitted or inheritable one is not in the bounding set.
    pub fn validate(&self) -> Result<()> {
        let kept = self.permitted.intersection(self.inheritable);
        let refused = |set: CapabilitySet, reason| {
            Error::text(ErrorKind::InvalidCapability, &set.to_string(), reason)
        };
        let ambient = self.ambient.difference(kept);
        let unbounded = self.permitted.union(self.inheritable).difference(self.bounding);
        match (ambient.is_empty(), unbounded.is_empty()) {
            (false, _) => Err(refused(ambient, Reason::AmbientNotPermitted)),
            (_, false) => Err(refused(unbounded, Reason::PermittedNotBounded)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::last_capability;
    use proptest::prelude::*;

    fn any_capability() -> impl Strategy<Value = Capability> {
        prop::sample::select(Capability::ALL.to_vec())
    }

    #[test]
    fn names_in_every_spelling() {
        for (number, capability) in Capability::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(capability.number()), number);
            let name = capability.name();
            for spelling in [name, &name[4..], &name.to_lowercase(), &name[4..].to_lowercase()] {
                assert_eq!(spelling.parse::<Capability>().unwrap(), capability);
            }
        }
        for wrong in ["", "CAP_", "cap_cap_chown", "chown ", "41", "ALL"] {
            let error = wrong.parse::<Capability>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidCapability, "{wrong}");
        }
    }

    #[test]
    fn the_kernel_has_them() {
        let last = last_capability().unwrap();
        assert!(last >= Capability::CheckpointRestore.number());
        assert_eq!(CapabilitySet::supported().unwrap(), CapabilitySet::ALL);
    }

    #[test]
    fn the_container_default_is_podmans() {
        let names = "CAP_CHOWN,CAP_DAC_OVERRIDE,CAP_FOWNER,CAP_FSETID,CAP_KILL,CAP_SETGID,\
                     CAP_SETUID,CAP_SETPCAP,CAP_NET_BIND_SERVICE,CAP_SYS_CHROOT,CAP_SETFCAP";
        assert_eq!(CapabilitySet::container_default().to_string(), names);
        assert_eq!(CapabilitySet::EMPTY.to_string(), "none");
    }

    #[test]
    fn data_survives_json() {
        let sets = Capabilities::drop_all().add_ambient(Capability::Chown);
        let json = serde_json::to_string(&sets).unwrap();
        assert!(json.starts_with(r#"{"bounding":["CAP_CHOWN"]"#), "{json}");
        assert_eq!(serde_json::from_str::<Capabilities>(&json).unwrap(), sets);
        serde_json::from_str::<CapabilitySet>(r#"["CAP_X"]"#).unwrap_err();
    }

    #[test]
    fn only_ambient_ones_reach_an_ordinary_user() {
        let sets = Capabilities::default();
        assert_eq!(sets.usable_by(0), CapabilitySet::container_default());
        assert!(sets.usable_by(1000).is_empty());
        let kill = Capability::Kill;
        assert_eq!(sets.add_ambient(kill).usable_by(1000), [kill].into_iter().collect());
    }

    #[test]
    fn wrong_sets_are_refused() {
        let one = CapabilitySet::EMPTY.with(Capability::Chown);
        let none = Capabilities::drop_all();
        for wrong in [
            Capabilities { ambient: one, ..none },
            Capabilities { ambient: one, permitted: one, bounding: one, ..none },
            Capabilities { permitted: one, ..none },
            Capabilities { inheritable: one, ..none },
        ] {
            assert_eq!(wrong.validate().unwrap_err().kind(), ErrorKind::InvalidCapability);
        }
    }

    proptest! {
        #[test]
        fn setters_keep_the_rules(changes in prop::collection::vec((0..3, any_capability()), 0..20)) {
            let mut sets = Capabilities::default();
            for (change, capability) in changes {
                sets = match change {
                    0 => sets.add(capability),
                    1 => sets.drop(capability),
                    _ => sets.add_ambient(capability),
                };
                sets.validate().unwrap();
                prop_assert_eq!(sets.permitted.contains(capability), change != 1);
            }
        }

        #[test]
        fn set_operations_are_those_of_bits(a: u64, b: u64) {
            let (a, b) = (CapabilitySet::from_bits_truncate(a), CapabilitySet::from_bits_truncate(b));
            prop_assert_eq!(a.union(b).bits(), a.bits() | b.bits());
            prop_assert_eq!(a.intersection(b), a.difference(a.difference(b)));
            prop_assert_eq!(a.is_subset(b), a.union(b) == b);
            prop_assert_eq!(a.iter().collect::<CapabilitySet>(), a);
            prop_assert_eq!(usize::try_from(a.len()).unwrap(), a.iter().count());
        }
    }
}
