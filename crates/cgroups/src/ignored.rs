//! What the kernel takes without doing it: the file says afterwards that it is not so.
//!
//! Kernel objects: none; texts of interface files. Invariant: a limit that was written and is not in force is an error.

/// Files that have to be read after a write.
const DOUBTFUL: [&str; 2] = ["cpuset.cpus.partition", "memory.kmem.limit_in_bytes"];

/// Whether a write may succeed without an effect.
pub(crate) fn is_doubtful(file: &str) -> bool {
    DOUBTFUL.contains(&file)
}

/// Whether what was written to such a file had no effect.
pub(crate) fn is_ignored(set: &str, shown: &str) -> bool {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    match (number(set), number(shown)) {
        // What is in force was rounded to whole pages; what is ignored shows as no limit.
        (Some(asked), Some(shown)) => shown > asked,
        // `-1` asks for no limit, which is what is shown.
        (None, Some(_)) => set != "-1",
        // «root invalid (Parent is not a partition root)»
        _ => set != shown.trim(),
    }
}

#[cfg(test)]
mod tests {
    use super::is_ignored;

    #[test]
    fn what_is_shown_decides() {
        let none = "9223372036854771712\n";
        for (set, shown, ignored) in [
            ("67108864", none, true),
            ("67108865", "67108864\n", false),
            ("-1", none, false),
            ("root", "root\n", false),
            ("root", "root invalid (Parent is not a partition root)\n", true),
            ("isolated", "member\n", true),
        ] {
            assert_eq!(is_ignored(set, shown), ignored, "{set} {shown}");
        }
    }
}
