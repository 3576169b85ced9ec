//! `memory.stat`: what the memory of a group is used for.
//!
//! Kernel objects: the file `memory.stat` of cgroup v2 and of v1's memory controller. Invariant: all
//! numbers count the group with all groups below it, on both versions.

use super::keyed::{self, counters};

counters! {
    /// The file `memory.stat`: bytes by use, and counts of events in pages.
    ///
    /// A field is `None` where the kernel does not have the key. See the kernel's
    /// admin-guide/cgroup-v2.rst, and admin-guide/cgroup-v1/memory.rst for v1.
    MemoryStat {
        /// Bytes in anonymous mappings. v1: `rss`.
        anon,
        /// Bytes that cache files, tmpfs and shared memory included. v1: `cache`.
        file,
        /// Bytes used by the kernel for the group. Since Linux 5.18.
        kernel,
        /// Bytes of kernel stacks.
        kernel_stack,
        /// Bytes of page tables.
        pagetables,
        /// Bytes of secondary page tables (KVM, IOMMU). Since Linux 6.1.
        sec_pagetables,
        /// Bytes of per-processor kernel data.
        percpu,
        /// Bytes of network buffers.
        sock,
        /// Bytes allocated by vmalloc.
        vmalloc,
        /// Bytes of tmpfs, shm segments and shared anonymous mappings.
        shmem,
        /// Bytes that zswap takes.
        zswap,
        /// Bytes of the program's memory that zswap holds, before compression.
        zswapped,
        /// Bytes of mapped files. v1: `mapped_file`.
        file_mapped,
        /// Bytes changed and not yet written back. v1: `dirty`.
        file_dirty,
        /// Bytes being written back. v1: `writeback`.
        file_writeback,
        /// Bytes that are in swap and in memory.
        swapcached,
        /// Bytes of anonymous mappings in huge pages. v1: `rss_huge`.
        anon_thp,
        /// Bytes of cached files in huge pages.
        file_thp,
        /// Bytes of shared memory in huge pages.
        shmem_thp,
        /// Bytes on the inactive list of anonymous memory.
        inactive_anon,
        /// Bytes on the active list of anonymous memory.
        active_anon,
        /// Bytes on the inactive list of cached files: the first to be reclaimed.
        inactive_file,
        /// Bytes on the active list of cached files.
        active_file,
        /// Bytes that cannot be reclaimed, such as locked memory.
        unevictable,
        /// Bytes of slab that can be reclaimed, such as directory entries.
        slab_reclaimable,
        /// Bytes of slab that cannot be reclaimed.
        slab_unreclaimable,
        /// Bytes of kernel data structures.
        slab,
        /// Anonymous pages that were evicted and came back.
        workingset_refault_anon,
        /// File pages that were evicted and came back.
        workingset_refault_file,
        /// Anonymous pages that came back and were active at once.
        workingset_activate_anon,
        /// File pages that came back and were active at once.
        workingset_activate_file,
        /// Anonymous pages that were known to be in use before they were reclaimed.
        workingset_restore_anon,
        /// File pages that were known to be in use before they were reclaimed.
        workingset_restore_file,
        /// Shadow nodes reclaimed.
        workingset_nodereclaim,
        /// Pages read from swap. Since Linux 6.13.
        pswpin,
        /// Pages written to swap. Since Linux 6.13.
        pswpout,
        /// Pages scanned for reclaim.
        pgscan,
        /// Pages reclaimed.
        pgsteal,
        /// Pages scanned by kswapd.
        pgscan_kswapd,
        /// Pages scanned by tasks of the group that waited for memory.
        pgscan_direct,
        /// Pages scanned by khugepaged.
        pgscan_khugepaged,
        /// Pages scanned because of `memory.reclaim`.
        pgscan_proactive,
        /// Pages reclaimed by kswapd.
        pgsteal_kswapd,
        /// Pages reclaimed by tasks of the group that waited for memory.
        pgsteal_direct,
        /// Pages reclaimed by khugepaged.
        pgsteal_khugepaged,
        /// Pages reclaimed because of `memory.reclaim`.
        pgsteal_proactive,
        /// Page faults.
        pgfault,
        /// Page faults that read from a device.
        pgmajfault,
        /// Pages scanned on active lists.
        pgrefill,
        /// Pages moved to active lists.
        pgactivate,
        /// Pages moved to inactive lists.
        pgdeactivate,
        /// Pages whose freeing was put off (`MADV_FREE`).
        pglazyfree,
        /// Such pages that were freed.
        pglazyfreed,
        /// Pages of zeros brought back without reading. Since Linux 6.13.
        swpin_zero,
        /// Pages of zeros swapped out without writing. Since Linux 6.13.
        swpout_zero,
        /// Pages moved from zswap to memory.
        zswpin,
        /// Pages moved from memory to zswap.
        zswpout,
        /// Pages written from zswap to swap.
        zswpwb,
        /// Pages that zswap keeps as they are, because they do not compress.
        zswap_incomp,
        /// Huge pages allocated by a page fault.
        thp_fault_alloc,
        /// Huge pages allocated to join small ones.
        thp_collapse_alloc,
        /// Huge pages swapped out whole.
        thp_swpout,
        /// Huge pages split before they were swapped out.
        thp_swpout_fallback,
        /// Pages migrated by NUMA balancing.
        numa_pages_migrated,
        /// Page table entries marked by NUMA balancing.
        numa_pte_updates,
        /// Page faults that NUMA balancing caused.
        numa_hint_faults,
        /// Tasks migrated by NUMA balancing. Since Linux 6.17.
        numa_task_migrated,
        /// Tasks exchanged by NUMA balancing. Since Linux 6.17.
        numa_task_swapped,
        /// Pages moved to faster memory.
        pgpromote_success,
        /// Pages moved to slower memory by kswapd.
        pgdemote_kswapd,
        /// Pages moved to slower memory by tasks that waited for memory.
        pgdemote_direct,
        /// Pages moved to slower memory by khugepaged.
        pgdemote_khugepaged,
        /// Pages moved to slower memory because of `memory.reclaim`.
        pgdemote_proactive,
        /// Bytes of hugetlb pages, where the mount counts them (`memory_hugetlb_accounting`).
        hugetlb,
    }
}

/// Keys of v1 (without `total_`) that mean what another key of v2 means.
const V1_NAMES: [(&str, &str); 6] = [
    ("cache", "file"),
    ("rss", "anon"),
    ("rss_huge", "anon_thp"),
    ("mapped_file", "file_mapped"),
    ("dirty", "file_dirty"),
    ("writeback", "file_writeback"),
];

/// Keys of v1 that v2 has under the same name.
const V1_SHARED: [&str; 11] = [
    "shmem",
    "swapcached",
    "pgfault",
    "pgmajfault",
    "inactive_anon",
    "active_anon",
    "inactive_file",
    "active_file",
    "unevictable",
    "workingset_refault_anon",
    "workingset_refault_file",
];

impl MemoryStat {
    /// Reads the text of the file as v1 writes it.
    ///
    /// The keys with `total_` (the group with all below it) fill the fields; v1's other keys, such as
    /// `hierarchical_memory_limit`, `total_swap` and the group's own numbers, are in
    /// [`other`](Self::other) under their own names.
    #[must_use]
    pub fn parse_v1(text: &str) -> Self {
        let mut stat = Self::default();
        for (key, value) in keyed::flat(text) {
            match key.strip_prefix("total_").and_then(v2_name) {
                Some(name) => stat.set(name, value),
                None => {
                    stat.other.insert(key.to_owned(), value);
                }
            }
        }
        stat
    }
}

fn v2_name(key: &str) -> Option<&'static str> {
    let renamed = V1_NAMES.iter().find(|(v1, _)| *v1 == key).map(|(_, v2)| *v2);
    renamed.or_else(|| V1_SHARED.iter().find(|name| **name == key).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v2_keys_fill_fields() {
        let stat = MemoryStat::parse("anon 4096\nfile 8192\nnew_in_2030 7\nslab x\nsock\n");
        assert_eq!(
            (stat.anon, stat.file, stat.slab, stat.sock),
            (Some(4096), Some(8192), None, None)
        );
        assert_eq!(stat.other.get("new_in_2030"), Some(&7));
        assert_eq!(stat.other.len(), 1);
    }

    #[test]
    fn v1_counts_the_group_with_all_below() {
        let text = "cache 1\nrss 2\nshmem 3\nhierarchical_memory_limit 9\ntotal_cache 10\n\
                    total_rss 20\ntotal_shmem 30\ntotal_mapped_file 40\ntotal_swap 50\n";
        let stat = MemoryStat::parse_v1(text);
        assert_eq!((stat.file, stat.anon, stat.shmem), (Some(10), Some(20), Some(30)));
        assert_eq!(stat.file_mapped, Some(40));
        let other: Vec<_> = stat.other.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        let own = [("cache", 1), ("hierarchical_memory_limit", 9), ("rss", 2), ("shmem", 3)];
        assert_eq!(other, [own.as_slice(), &[("total_swap", 50)]].concat());
    }
}
