//! From rules to the kernel's bits: what a version of the interface can restrict, and what it cannot.
//!
//! Kernel objects: the numbers of landlock(7). Invariant: a newer kernel gets the same bits as the newest one that is
//! known here, so that nothing is restricted that was not tested.

use ::landlock::{ABI, Access as _, AccessFs, AccessNet, BitFlags, Scope};
use ampoule_init::steps::landlock::Handled;

use super::{FileAccess, Landlock, LandlockScope};

/// The version with all rights that rules are made of.
const NEWEST: u32 = 6;

/// Rules for one version of the interface.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version(u32);

/// Something that was asked for and a version cannot restrict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) what: &'static str,
    /// The first version that can.
    pub(super) since: u32,
}

impl Version {
    /// The part of the kernel's version that is known here.
    pub(super) fn of_kernel(abi: u32) -> Self {
        Self(abi.min(NEWEST))
    }

    fn abi(self) -> ABI {
        ABI::from(i32::try_from(self.0).unwrap_or(0))
    }

    /// Every right to files that is denied without a rule.
    pub(super) fn files(self) -> BitFlags<AccessFs> {
        AccessFs::from_all(self.abi())
    }

    /// The rights of a rule, for a directory.
    pub(super) fn rights(self, access: FileAccess) -> BitFlags<AccessFs> {
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let rights = match access {
            FileAccess::Read => read,
            FileAccess::Execute => read | AccessFs::Execute,
            FileAccess::ReadWrite => {
                let nodes = AccessFs::MakeChar | AccessFs::MakeBlock;
                read | (AccessFs::from_write(self.abi()) & !nodes)
            }
        };
        rights & self.files()
    }

    /// Those of them that mean something for a file.
    pub(super) fn rights_of_file(self, access: FileAccess) -> BitFlags<AccessFs> {
        self.rights(access) & AccessFs::from_file(self.abi())
    }

    /// What rules handle.
    pub(super) fn handled(self, rules: &Landlock) -> Handled {
        let scope = |scope: &LandlockScope| match scope {
            LandlockScope::AbstractUnixSocket => Scope::AbstractUnixSocket,
            LandlockScope::Signal => Scope::Signal,
        };
        let scopes: BitFlags<Scope> = rules.scopes.iter().map(scope).collect();
        let files = if rules.files.is_empty() { BitFlags::EMPTY } else { self.files() };
        let net = if rules.tcp.is_some() { self.tcp() } else { BitFlags::EMPTY };
        Handled {
            access_fs: files.bits(),
            access_net: net.bits(),
            scoped: (scopes & Scope::from_all(self.abi())).bits(),
        }
    }

    fn tcp(self) -> BitFlags<AccessNet> {
        AccessNet::from_all(self.abi()) & (AccessNet::BindTcp | AccessNet::ConnectTcp)
    }

    /// The ports that are allowed; none where ports are not handled.
    pub(super) fn ports(self, rules: &Landlock) -> Vec<(u16, AccessNet)> {
        let Some(tcp) = rules.tcp.as_ref().filter(|_| !self.tcp().is_empty()) else {
            return Vec::new();
        };
        let connect = tcp.connect.iter().map(|port| (*port, AccessNet::ConnectTcp));
        connect.chain(tcp.bind.iter().map(|port| (*port, AccessNet::BindTcp))).collect()
    }

    /// What this version cannot restrict.
    pub(super) fn missing(self, rules: &Landlock) -> Vec<Missing> {
        let (files, tcp) = (!rules.files.is_empty(), rules.tcp.is_some());
        let all = [
            (files, "files", 1),
            (files, "truncation of files", 3),
            (files, "ioctl of devices", 5),
            (tcp, "TCP ports", 4),
            (!rules.scopes.is_empty(), "scopes", 6),
        ];
        let missing = all.into_iter().filter(|(asked, _, since)| *asked && *since > self.0);
        missing.map(|(_, what, since)| Missing { what, since }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> Landlock {
        let rules = Landlock::new().read("/a").connect_tcp(1).bind_tcp(2);
        rules.scope(LandlockScope::Signal).scope(LandlockScope::AbstractUnixSocket)
    }

    #[test]
    fn each_version_restricts_what_it_knows() {
        let handled = |abi| Version::of_kernel(abi).handled(&everything());
        let bits = |abi| {
            let Handled { access_fs, access_net, scoped } = handled(abi);
            (access_fs, access_net, scoped)
        };
        assert_eq!(bits(0), (0, 0, 0));
        assert_eq!(bits(1), (0x1fff, 0, 0));
        assert_eq!(bits(2), (0x3fff, 0, 0));
        assert_eq!(bits(3), (0x7fff, 0, 0));
        assert_eq!(bits(4), (0x7fff, 3, 0));
        assert_eq!(bits(5), (0xffff, 3, 0));
        assert_eq!(bits(6), (0xffff, 3, 3));
        assert_eq!(bits(99), bits(6), "what is not known is not asked for");
    }

    #[test]
    fn only_what_is_mentioned_is_handled() {
        let handled = |rules: &Landlock| Version::of_kernel(NEWEST).handled(rules);
        let none = Handled::default();
        let files = handled(&Landlock::new().read("/"));
        assert_eq!(files, Handled { access_fs: 0xffff, ..none });
        assert_eq!(handled(&Landlock::new().deny_tcp()), Handled { access_net: 3, ..none });
        let signal = handled(&Landlock::new().scope(LandlockScope::Signal));
        assert_eq!(signal, Handled { scoped: 2, ..none });
    }

    #[test]
    fn what_is_missing_is_named_with_its_version() {
        let missing = |abi, rules: &Landlock| {
            let missing = Version::of_kernel(abi).missing(rules);
            missing.iter().map(|one| (one.what, one.since)).collect::<Vec<_>>()
        };
        assert_eq!(missing(6, &everything()), []);
        assert_eq!(missing(5, &everything()), [("scopes", 6)]);
        assert_eq!(missing(3, &Landlock::new().deny_tcp()), [("TCP ports", 4)]);
        let files = Landlock::new().read("/");
        assert_eq!(missing(2, &files), [("truncation of files", 3), ("ioctl of devices", 5)]);
        assert_eq!(missing(0, &everything()).len(), 5);
    }

    #[test]
    fn writing_never_executes_and_makes_no_nodes() {
        let version = Version::of_kernel(NEWEST);
        let write = version.rights(FileAccess::ReadWrite);
        let never = AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock;
        assert!(!write.intersects(never));
        assert_eq!(write | never, version.files());
        let file = version.rights_of_file(FileAccess::ReadWrite);
        let wanted = AccessFs::ReadFile | AccessFs::WriteFile;
        assert_eq!(file, wanted | AccessFs::Truncate | AccessFs::IoctlDev);
        assert!(Version::of_kernel(0).rights(FileAccess::ReadWrite).is_empty());
        let ports = Version::of_kernel(3).ports(&everything());
        assert!(ports.is_empty(), "{ports:?}");
    }
}
