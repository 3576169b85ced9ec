//! The system packages that verbs and tiers need, by their Debian and Ubuntu names.
//!
//! A package counts as there when its program is found. As root the missing ones are installed
//! with apt-get; otherwise the exact command is printed.

use std::collections::BTreeSet;
use std::process::Command;

use lexopt::prelude::*;

use crate::error::Error;
use crate::table::{Align, Table};
use crate::{Verdict, process};

pub(crate) const HELP: &str = "
cargo xtask packages [--install] [USE...]

Shows the system packages that the verbs and test tiers need, and which of them are missing.
USE is a verb or a tier: demo, none, user, subid, root, race, fault, soak, vm, bench, fuzz.

  --install   install the missing ones (as root), else print the command
";

/// A package, the program or library by which it is recognised, and what needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) program: &'static str,
    pub(crate) uses: &'static [&'static str],
    pub(crate) why: &'static str,
}

#[rustfmt::skip]
const PACKAGES: &[Package] = &[
    Package { name: "util-linux", program: "unshare", uses: &["user", "subid", "root", "race", "fault", "soak", "vm"], why: "probes what the kernel allows" },
    Package { name: "uidmap", program: "newuidmap", uses: &["subid", "vm"], why: "maps ranges of subordinate ids" },
    Package { name: "iproute2", program: "ip", uses: &["root", "demo"], why: "shows pinned network namespaces" },
    Package { name: "containernetworking-plugins", program: "/usr/lib/cni/bridge", uses: &["root", "bench"], why: "chains of CNI plugins" },
    Package { name: "netavark", program: "/usr/lib/podman/netavark", uses: &["bench"], why: "peer of networks" },
    Package { name: "passt", program: "pasta", uses: &["root"], why: "networks of ordinary users" },
    Package { name: "slirp4netns", program: "slirp4netns", uses: &["root"], why: "networks of ordinary users, without pasta" },
    Package { name: "openvswitch-switch", program: "ovs-vswitchd", uses: &["root"], why: "veth pairs in a switch of somebody else" },
    Package { name: "iptables", program: "iptables", uses: &["root"], why: "the portmap plugin runs it" },
    Package { name: "busybox-static", program: "busybox", uses: &["root", "subid", "race", "fault", "soak", "demo"], why: "a root file system from one static program" },
    Package { name: "strace", program: "strace", uses: &["fault"], why: "injects faults from outside" },
    Package { name: "libjemalloc2", program: "libjemalloc.so.2", uses: &["race"], why: "a host with another allocator" },
    Package { name: "libmimalloc-dev", program: "libmimalloc.so", uses: &["race"], why: "a host with another allocator" },
    Package { name: "docker-registry", program: "docker-registry", uses: &["root", "demo"], why: "a registry to push to and pull from" },
    Package { name: "mmdebstrap", program: "mmdebstrap", uses: &["vm", "demo"], why: "the virtual machine's disk; a real image" },
    Package { name: "debian-archive-keyring", program: "/usr/share/keyrings/debian-archive-keyring.gpg", uses: &["vm"], why: "checks Debian's packages" },
    Package { name: "e2fsprogs", program: "mkfs.ext4", uses: &["vm"], why: "the virtual machine's disk" },
    Package { name: "kmod", program: "depmod", uses: &["vm"], why: "the virtual machine's modules" },
    Package { name: "xz-utils", program: "xz", uses: &["vm"], why: "the virtual machine's kernel and modules" },
    Package { name: "zstd", program: "zstd", uses: &["vm"], why: "the virtual machine's kernel" },
    Package { name: "skopeo", program: "skopeo", uses: &["root", "bench"], why: "writes and reads images" },
    Package { name: "umoci", program: "umoci", uses: &["root", "bench"], why: "writes and reads images" },
    Package { name: "buildah", program: "buildah", uses: &["root"], why: "writes images; runs steps over the example runtime" },
    Package { name: "catatonit", program: "catatonit", uses: &["root"], why: "podman's --init" },
    Package { name: "containerd", program: "containerd", uses: &["root"], why: "runs containers over the example runtime" },
    Package { name: "podman", program: "podman", uses: &["root", "subid"], why: "reads images, calls the runtime" },
    Package { name: "bubblewrap", program: "bwrap", uses: &["bench"], why: "peer" },
    Package { name: "crun", program: "crun", uses: &["bench"], why: "peer" },
    Package { name: "runc", program: "runc", uses: &["bench", "root"], why: "peer; runs what podman reads" },
    Package { name: "hyperfine", program: "hyperfine", uses: &["bench"], why: "times command lines" },
    Package { name: "libseccomp-dev", program: "libseccomp.so", uses: &["none", "bench"], why: "the filters' second back end" },
    Package { name: "libselinux1-dev", program: "libselinux.so", uses: &["none"], why: "the labels' second back end" },
    Package { name: "clang", program: "clang", uses: &["none"], why: "makes the bindings of libselinux" },
    Package { name: "g++", program: "c++", uses: &["fuzz"], why: "builds libFuzzer" },
];

/// Shows the table, and installs with `--install`.
pub(crate) fn run(mut args: lexopt::Parser) -> Result<Verdict, Error> {
    let mut install_them = false;
    let mut uses = Vec::new();
    while let Some(arg) = args.next()? {
        match arg {
            Long("install") => install_them = true,
            Value(word) => uses.push(word.string()?),
            _ => return Err(arg.unexpected().into()),
        }
    }
    let uses: Vec<&str> = uses.iter().map(String::as_str).collect();
    let missing = if install_them { ensure(&uses)? } else { missing(&uses) };
    print!("{}", overview(&uses));
    if !missing.is_empty() {
        println!("\nmissing: {}", install_command(&missing));
    }
    Ok(Verdict::of_failures(if install_them { missing.len() } else { 0 }))
}

fn overview(uses: &[&str]) -> Table {
    let columns = ["package", "program", "there", "for", "why"].map(|name| (name, Align::Left));
    let mut table = Table::new(&columns);
    for package in chosen(uses) {
        let there = if process::find(package.program).is_some() { "yes" } else { "no" };
        let uses = package.uses.join(" ");
        table.row([package.name, package.program, there, &uses, package.why].map(str::to_owned));
    }
    table
}

fn chosen<'a>(uses: &'a [&str]) -> impl Iterator<Item = &'static Package> + 'a {
    let wanted =
        |package: &&Package| uses.is_empty() || package.uses.iter().any(|name| uses.contains(name));
    PACKAGES.iter().filter(wanted)
}

/// The packages needed for `uses` whose program is not found; every package for no `uses`.
pub(crate) fn missing(uses: &[&str]) -> Vec<&'static Package> {
    chosen(uses).filter(|package| process::find(package.program).is_none()).collect()
}

/// Installs what is missing for `uses` if we may; returns what is missing after that.
pub(crate) fn ensure(uses: &[&str]) -> Result<Vec<&'static Package>, Error> {
    let wanted = missing(uses);
    let apt = process::find("apt-get");
    if wanted.is_empty() || apt.is_none() || !rustix::process::geteuid().is_root() {
        return Ok(wanted);
    }
    println!("installing: {}", names(&wanted));
    if !process::status(apt_get().arg("update"))?.success() {
        println!("apt-get update failed; trying with the lists that are there");
    }
    let mut install = apt_get();
    install.args(["install", "--no-install-recommends"]);
    install.args(wanted.iter().map(|package| package.name));
    if !process::status(&mut install)?.success() {
        println!("apt-get install failed");
    }
    Ok(missing(uses))
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["--yes", "--quiet", "--option", "Acquire::Retries=3"])
        .args(["--option", "DPkg::Lock::Timeout=120"]);
    command
}

/// The command by which an ordinary user gets `packages`.
pub(crate) fn install_command(packages: &[&Package]) -> String {
    format!("sudo apt-get install --no-install-recommends {}", names(packages))
}

fn names(packages: &[&Package]) -> String {
    let names: BTreeSet<&str> = packages.iter().map(|package| package.name).collect();
    names.into_iter().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_use_needs() {
        let fault: Vec<&str> = chosen(&["fault"]).map(|package| package.name).collect();
        assert_eq!(fault, ["util-linux", "busybox-static", "strace"]);
    }

    #[test]
    fn the_command_names_each_package_once() {
        let all: Vec<&Package> = PACKAGES.iter().chain(PACKAGES).collect();
        assert_eq!(install_command(&all).matches("strace").count(), 1);
    }
}
