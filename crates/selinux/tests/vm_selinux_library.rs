//! Both back ends with SELinux enforcing: they say the same of contexts, permissions and the labels of files.
//!
//! Kernel objects: selinuxfs, the labels of installed files. Invariant: the guest is unchanged.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use ampoule_selinux::libselinux::{self, DefaultLabels};
use ampoule_selinux::{Context, ErrorKind, FileLabels, SelinuxFs, State};

fn selinux() -> SelinuxFs {
    let selinux = SelinuxFs::open().expect("selinuxfs");
    selinux.expect("this test is of tier `vm` and needs SELinux: run it with `cargo xtask vm`")
}

fn all<'a>(kinds: &'a [&str], ranges: &'a [&str]) -> impl Iterator<Item = Context> + 'a {
    let texts = kinds.iter().flat_map(|kind| ranges.iter().map(move |range| (kind, range)));
    texts.map(|(kind, range)| format!("{kind}{range}").parse().expect("a context"))
}

#[test]
fn they_validate_alike() {
    let selinux = selinux();
    assert_eq!(libselinux::state().expect("a state"), State::Enforcing);
    let kinds = [
        "system_u:system_r:container_t",
        "system_u:object_r:container_file_t",
        "unconfined_u:unconfined_r:unconfined_t",
        "system_u:system_r:shadow_t",
        "system_u:system_r:nobody_has_this_t",
        "nobody_u:system_r:container_t",
        "system_u:nobody_r:container_t",
    ];
    let ranges =
        ["", ":s0", ":s0:c1,c2", ":s0:c3,c2,c1", ":s0-s0:c0.c1023", ":s0:c5-s0:c5,c7", ":s1000"];
    let mut known = 0;
    for context in all(&kinds, &ranges) {
        let (own, other) = (selinux.validate(&context), libselinux::validate(&context));
        match (&own, &other) {
            (Ok(own), Ok(other)) => assert_eq!(own, other, "{context}"),
            (Err(own), Err(other)) => {
                let kinds = (own.kind(), other.kind());
                let unknown = ErrorKind::UnknownContext;
                assert_eq!(kinds, (unknown, unknown), "{context}");
            }
            _ => panic!("{context}: {own:?}, but {other:?}"),
        }
        known += usize::from(own.is_ok());
    }
    assert!((10..40).contains(&known), "{known} are known");
}

#[test]
fn they_permit_alike() {
    let selinux = selinux();
    let sources = ["system_u:system_r:container_t", "unconfined_u:unconfined_r:unconfined_t"];
    let targets = [
        "system_u:object_r:container_file_t",
        "system_u:object_r:container_ro_file_t",
        "system_u:object_r:shadow_t",
        "system_u:system_r:container_t",
    ];
    let questions = [
        ("file", "read"),
        ("file", "write"),
        ("file", "entrypoint"),
        ("dir", "search"),
        ("process", "transition"),
        ("process", "ptrace"),
        ("process", "sigkill"),
        ("unix_stream_socket", "connectto"),
    ];
    let ranges = [":s0", ":s0:c1,c2", ":s0:c3,c4"];
    let mut answers = [0, 0];
    for source in all(&sources, &ranges) {
        for target in all(&targets, &ranges) {
            for question in questions {
                let own = selinux.allows(&source, &target, question).expect("an answer");
                let other = libselinux::allows(&source, &target, question).expect("an answer");
                assert_eq!(own, other, "{source} {target} {question:?}");
                answers[usize::from(own)] += 1;
            }
        }
    }
    assert!(answers.iter().all(|count| *count > 20), "{answers:?}");
    let context = all(&sources, &[":s0"]).next().expect("one");
    for question in [("file", "no_such"), ("no_such", "read")] {
        let own = selinux.allows(&context, &context, question).expect_err("unknown");
        let other = libselinux::allows(&context, &context, question).expect_err("unknown");
        assert_eq!((own.kind(), other.kind()), (ErrorKind::UnknownContext, own.kind()));
    }
}

/// The disk was labelled by the policy's rules: what the kernel has is what they say.
#[test]
fn files_have_the_labels_of_the_rules() {
    selinux();
    let rules = DefaultLabels::of_the_policy().expect("the policy's rules");
    let labels = FileLabels::open().expect("procfs");
    let below = |place| fs::read_dir(place).expect("a directory").map(|entry| entry.expect("it"));
    let mut paths: Vec<PathBuf> =
        ["/usr/bin", "/usr/sbin"].into_iter().flat_map(below).map(|entry| entry.path()).collect();
    paths.retain(|path| fs::symlink_metadata(path).is_ok_and(|found| found.is_file()));
    paths.extend(["/etc/passwd", "/etc/shadow", "/etc", "/usr", "/var/lib"].map(PathBuf::from));
    let mut kinds = std::collections::BTreeSet::new();
    for path in &paths {
        let file = File::open(path).expect("a file");
        let mode = file.metadata().expect("its mode").mode();
        let said = rules.get(path, mode).expect("an answer").expect("a rule");
        let found = labels.get(&file).expect("an answer").expect("a label");
        assert_eq!(found, said, "{}", path.display());
        kinds.insert(found.kind().to_owned());
    }
    assert!(paths.len() > 100 && kinds.len() > 5, "{} files, {kinds:?}", paths.len());
}
