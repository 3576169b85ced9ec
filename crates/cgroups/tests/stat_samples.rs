//! Whole files as kernels write them, with numbers made up here.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use ampoule_cgroups::stat::{Cpu, MemoryEvents, MemoryStat, State, Stats};

/// `memory.stat` of a v2 group on Linux 6.18: every key, numbered in order.
const MEMORY_STAT: &str = "\
anon 1\nfile 2\nkernel 3\nkernel_stack 4\npagetables 5\nsec_pagetables 6\npercpu 7\nsock 8\n\
vmalloc 9\nshmem 10\nzswap 11\nzswapped 12\nfile_mapped 13\nfile_dirty 14\nfile_writeback 15\n\
swapcached 16\nanon_thp 17\nfile_thp 18\nshmem_thp 19\ninactive_anon 20\nactive_anon 21\n\
inactive_file 22\nactive_file 23\nunevictable 24\nslab_reclaimable 25\nslab_unreclaimable 26\n\
slab 27\nworkingset_refault_anon 28\nworkingset_refault_file 29\nworkingset_activate_anon 30\n\
workingset_activate_file 31\nworkingset_restore_anon 32\nworkingset_restore_file 33\n\
workingset_nodereclaim 34\npgdemote_kswapd 35\npgdemote_direct 36\npgdemote_khugepaged 37\n\
pgdemote_proactive 38\npgpromote_success 39\npswpin 40\npswpout 41\npgscan 42\npgsteal 43\n\
pgscan_kswapd 44\npgscan_direct 45\npgscan_khugepaged 46\npgscan_proactive 47\n\
pgsteal_kswapd 48\npgsteal_direct 49\npgsteal_khugepaged 50\npgsteal_proactive 51\npgfault 52\n\
pgmajfault 53\npgrefill 54\npgactivate 55\npgdeactivate 56\npglazyfree 57\npglazyfreed 58\n\
swpin_zero 59\nswpout_zero 60\nzswpin 61\nzswpout 62\nzswpwb 63\nthp_fault_alloc 64\n\
thp_collapse_alloc 65\nthp_swpout 66\nthp_swpout_fallback 67\nnuma_pages_migrated 68\n\
numa_pte_updates 69\nnuma_hint_faults 70\nnuma_task_migrated 71\nnuma_task_swapped 72\n\
hugetlb 73\n";

/// The fields of a statistic that have a value, by name.
fn fields(stat: &MemoryStat) -> Vec<(String, u64)> {
    let json = serde_json::to_value(stat).unwrap();
    let fields = json.as_object().unwrap().iter();
    fields.filter_map(|(name, value)| Some((name.clone(), value.as_u64()?))).collect()
}

#[test]
fn every_key_of_linux_6_18_has_a_field_of_its_name() {
    let stat = MemoryStat::parse(MEMORY_STAT);
    assert!(stat.other.is_empty(), "{:?}", stat.other);
    let mut read = fields(&stat);
    read.sort_by_key(|(_, value)| *value);
    let text: String = read.iter().map(|(name, value)| format!("{name} {value}\n")).collect();
    assert_eq!(text, MEMORY_STAT);
}

#[test]
fn an_older_kernel_has_fewer() {
    // Linux 5.15.
    let text = "anon 135168\nfile 4096\nkernel_stack 16384\npagetables 90112\npercpu 0\nsock 0\n\
                shmem 0\nfile_mapped 0\nfile_dirty 0\nfile_writeback 0\nswapcached 0\n\
                inactive_anon 131072\nactive_anon 4096\nworkingset_refault_anon 0\npgfault 693\n";
    let stat = MemoryStat::parse(text);
    assert_eq!((stat.anon, stat.pgfault, stat.kernel), (Some(135_168), Some(693), None));
    assert_eq!(fields(&stat).len(), text.lines().count());
}

#[test]
fn v1_is_told_in_the_words_of_v2() {
    let text = "cache 4096\nrss 8192\nrss_huge 0\nshmem 0\nmapped_file 0\ndirty 0\nwriteback 0\n\
                workingset_refault_anon 0\nworkingset_refault_file 9\nswap 0\nswapcached 0\n\
                pgpgin 44\npgpgout 22\npgfault 77\npgmajfault 1\ninactive_anon 8192\n\
                hierarchical_memory_limit 67108864\nhierarchical_memsw_limit 9223372036854771712\n\
                total_cache 1000\ntotal_rss 2000\ntotal_rss_huge 3\ntotal_shmem 4\n\
                total_mapped_file 5\ntotal_dirty 6\ntotal_writeback 7\n\
                total_workingset_refault_anon 8\ntotal_workingset_refault_file 9\ntotal_swap 10\n\
                total_swapcached 11\ntotal_pgpgin 12\ntotal_pgpgout 13\ntotal_pgfault 14\n\
                total_pgmajfault 15\ntotal_inactive_anon 16\ntotal_active_anon 17\n\
                total_inactive_file 18\ntotal_active_file 19\ntotal_unevictable 20\n";
    let stat = MemoryStat::parse_v1(text);
    let told: Vec<_> = fields(&stat).iter().map(|(_, value)| *value).collect();
    assert_eq!(told.len(), 17, "{stat:?}");
    assert_eq!((stat.file, stat.anon, stat.anon_thp), (Some(1000), Some(2000), Some(3)));
    assert_eq!(
        (stat.file_mapped, stat.file_dirty, stat.file_writeback),
        (Some(5), Some(6), Some(7))
    );
    assert_eq!(stat.inactive_file, Some(18));
    assert_eq!(stat.other.len(), text.lines().count() - told.len());
    assert_eq!(stat.other["hierarchical_memory_limit"], 64 << 20);
}

#[test]
fn a_sample_survives_json() {
    let mut stats = Stats::default();
    stats.memory.stat = MemoryStat::parse(MEMORY_STAT);
    stats.memory.events = MemoryEvents::parse("low 0\noom_kill 1\nsock_throttled 2\nlater 3\n");
    stats.cpu = Cpu::parse("usage_usec 1234567\nnr_periods 3\n");
    stats.state = State::parse("populated 1\nfrozen 0\n");
    let json = serde_json::to_string(&stats).unwrap();
    assert_eq!(serde_json::from_str::<Stats>(&json).unwrap(), stats);
    assert_eq!(stats.cpu.usage, Some(Duration::from_micros(1_234_567)));
}
