//! The test tiers: their names, what they need, and which test files belong to them. Pure, but
//! for the listing of the test directories.

use std::path::Path;

use crate::error::Error;

/// Who runs the tests of a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunsAs {
    /// Whoever calls.
    Caller,
    /// An ordinary user, also when root calls.
    OrdinaryUser,
    /// Root.
    Root,
    /// Whoever the name of the test file says, in a virtual machine.
    Guest,
}

/// What a tier needs of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// The ordinary user may make user namespaces.
    UserNamespaces,
    /// The ordinary user has subordinate ids, and newuidmap is there.
    SubordinateIds,
    /// We are root, and may make namespaces.
    RootNamespaces,
    /// An emulated machine can be built, or was built before.
    Emulator,
}

/// One tier. Its files are `crates/*/tests/{name}_*.rs` and `examples/tests/{name}_*.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tier {
    pub(crate) name: &'static str,
    pub(crate) runs_as: RunsAs,
    pub(crate) needs: &'static [Need],
    pub(crate) about: &'static str,
}

const AS_ROOT: &[Need] = &[Need::RootNamespaces];

/// Every tier, in the order in which they run. All that no other tier claims is `unit`.
#[rustfmt::skip]
pub(crate) const TIERS: &[Tier] = &[
    Tier { name: "unit", runs_as: RunsAs::Caller, needs: &[], about: "all other tests, doc tests, examples build" },
    Tier { name: "user", runs_as: RunsAs::OrdinaryUser, needs: &[Need::UserNamespaces], about: "unprivileged user namespaces" },
    Tier { name: "subid", runs_as: RunsAs::OrdinaryUser, needs: &[Need::UserNamespaces, Need::SubordinateIds], about: "as user, with subordinate ids" },
    Tier { name: "root", runs_as: RunsAs::Root, needs: AS_ROOT, about: "root" },
    Tier { name: "race", runs_as: RunsAs::Root, needs: AS_ROOT, about: "races, as root" },
    Tier { name: "fault", runs_as: RunsAs::Root, needs: AS_ROOT, about: "injected faults, as root" },
    Tier { name: "soak", runs_as: RunsAs::Root, needs: AS_ROOT, about: "many and long, as root" },
    Tier { name: "vm", runs_as: RunsAs::Guest, needs: &[Need::Emulator], about: "pure cgroup v2, systemd, SELinux, other kernels, in a virtual machine" },
];

/// The tier of an integration test by the name of its binary; `unit` if no other claims it.
pub(crate) fn of_binary(name: &str) -> &'static str {
    let first = name.split('_').next().unwrap_or(name);
    TIERS.iter().map(|tier| tier.name).find(|tier| *tier == first).unwrap_or("unit")
}

/// The names of the integration-test binaries that the source tree at `root` holds.
pub(crate) fn binaries_in(root: &Path) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    let mut packages = entries(&root.join("crates"))?;
    packages.extend(["examples", "benches"].map(|name| root.join(name)));
    for package in packages {
        let tests = package.join("tests");
        if !tests.is_dir() {
            continue;
        }
        for entry in entries(&tests)? {
            let is_test = entry.extension().is_some_and(|extension| extension == "rs")
                || entry.join("main.rs").is_file();
            let stem = entry.file_stem().and_then(|stem| stem.to_str());
            names.extend(stem.filter(|_| is_test).map(ToOwned::to_owned));
        }
    }
    Ok(names)
}

fn entries(dir: &Path) -> Result<Vec<std::path::PathBuf>, Error> {
    let read = std::fs::read_dir(dir).map_err(|source| Error::io("list", dir, source))?;
    let paths = read.map(|entry| entry.map(|entry| entry.path()));
    paths.collect::<Result<_, _>>().map_err(|source| Error::io("list", dir, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_names_the_tier() {
        assert_eq!(of_binary("root_spawn"), "root");
        assert_eq!(of_binary("subid_maps"), "subid");
        assert_eq!(of_binary("user"), "user");
        assert_eq!(of_binary("rooted"), "unit");
        assert_eq!(of_binary("vm_user_host"), "vm");
        assert_eq!(of_binary("plan_snapshots"), "unit");
    }
}
