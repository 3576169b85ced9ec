//! One sample of a whole group.
//!
//! Kernel objects: the files of a group's directories. Invariant: each file is opened, read once and
//! closed; a source without a directory is not read.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::files::{Dir, Files};
use super::{Cpu, Stats, cpu, io, memory, pids, resources, tree};
use crate::controller::Controller;
use crate::error::Result;

/// Reads all statistics of a group.
///
/// `dir` gives the open directory of the group for each controller, `None` for one that is not there or
/// not wanted; on v2 all of it is one directory. Where [`Controller::Cpu`] is on v1,
/// [`Controller::CpuAcct`] may be a v2 directory that the group has besides: it counts the same time.
/// What costs most is `memory.stat` ([`Controller::Memory`]): the kernel has to collect the counts of all
/// processors.
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when the group has been removed, `Denied`
/// without permission, `System` otherwise.
pub fn read<'a>(dir: &dyn Fn(Controller) -> Option<Dir<'a>>) -> Result<Stats> {
    read_with(&mut Files::new(), dir)
}

/// The same, with the reader that is given.
pub(crate) fn read_with<'a>(
    files: &mut Files,
    dir: &dyn Fn(Controller) -> Option<Dir<'a>>,
) -> Result<Stats> {
    let group = dir(Controller::Core);
    let v1 = [Controller::Freezer, Controller::Pids, Controller::Memory].into_iter().find_map(dir);
    Ok(Stats {
        memory: part(dir(Controller::Memory), |dir| memory::read(files, dir))?,
        cpu: read_cpu(files, dir)?,
        pids: part(dir(Controller::Pids), |dir| pids::read(files, dir))?,
        io: part(dir(Controller::Io), |dir| io::read(files, dir))?,
        hugetlb: part(dir(Controller::HugeTlb), |dir| {
            resources::read_hugetlb(files, dir, huge_page_sizes())
        })?,
        rdma: part(dir(Controller::Rdma), |dir| resources::read_rdma(files, dir))?,
        misc: part(dir(Controller::Misc), |dir| resources::read_scalar(files, dir))?,
        cpuset: part(dir(Controller::CpuSet), |dir| tree::read_cpuset(files, dir))?,
        state: tree::read_state(files, group, v1)?,
        descendants: part(group, |dir| tree::read_descendants(files, dir))?,
    })
}

fn part<'a, T: Default>(
    dir: Option<Dir<'a>>,
    read: impl FnOnce(Dir<'a>) -> Result<T>,
) -> Result<T> {
    dir.map_or_else(|| Ok(T::default()), read)
}

fn read_cpu<'a>(files: &mut Files, dir: &dyn Fn(Controller) -> Option<Dir<'a>>) -> Result<Cpu> {
    let controller = dir(Controller::Cpu);
    let mut cpu = part(controller, |dir| cpu::read(files, dir))?;
    if matches!(controller, Some(Dir::V2(_))) {
        return Ok(cpu);
    }
    match dir(Controller::CpuAcct) {
        Some(dir @ Dir::V1(_)) => cpu::read_cpuacct(files, dir, &mut cpu)?,
        Some(dir @ Dir::V2(_)) => {
            let times = cpu::read(files, dir)?;
            cpu = Cpu { usage: times.usage, user: times.user, system: times.system, ..cpu };
        }
        None => {}
    }
    Ok(cpu)
}

/// The sizes of huge pages in the words of the hugetlb controller; they are fixed at boot.
fn huge_page_sizes() -> &'static [String] {
    static SIZES: OnceLock<Vec<String>> = OnceLock::new();
    SIZES.get_or_init(|| {
        let entries = std::fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten();
        let names = entries.flatten().map(|entry| entry.file_name());
        let sizes: BTreeMap<u64, String> =
            names.filter_map(|name| huge_page_size(name.to_str()?)).collect();
        sizes.into_values().collect()
    })
}

/// `hugepages-2048kB` is `2MB` in the names of files.
fn huge_page_size(name: &str) -> Option<(u64, String)> {
    let kib = name.strip_prefix("hugepages-")?.strip_suffix("kB")?;
    let kib = super::keyed::number(kib)?;
    let text = match kib {
        _ if kib >= 1 << 20 => format!("{}GB", kib >> 20),
        _ if kib >= 1 << 10 => format!("{}MB", kib >> 10),
        _ => format!("{kib}KB"),
    };
    Some((kib, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_pages_are_named_as_the_kernel_does() {
        let sizes = [("2048", "2MB"), ("1048576", "1GB"), ("64", "64KB"), ("16777216", "16GB")];
        for (kib, text) in sizes {
            let (_, name) = huge_page_size(&format!("hugepages-{kib}kB")).unwrap();
            assert_eq!(name, text);
        }
        assert_eq!(huge_page_size("hugepages-xkB"), None);
    }

    #[test]
    fn no_directory_no_numbers() {
        assert_eq!(read(&|_| None).unwrap(), Stats::default());
    }
}
