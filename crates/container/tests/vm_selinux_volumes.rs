//! Volumes and memory between two containers with SELinux enforcing: `:Z` is one's own, `:z` is everybody's.
//!
//! Kernel objects: containers, volumes on the guest's disk and their labels, the kernel's log. Invariant: the guest is
//! unchanged but for its log.

mod oracle;
mod svirt;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use ampoule::{
    Builder, Container, Control, ErrorKind, Namespace, Relabel, Seccomp, Selinux, Stage, State,
};
use ampoule_selinux::FileLabels;
use oracle::fixture::{self, Gate};
use svirt::{denials, label_of, labelled, on_disk, payload, root, script};
use tempfile::TempDir;

fn volume() -> TempDir {
    let dir = on_disk();
    fs::create_dir(dir.path().join("deep")).expect("a directory");
    fs::write(dir.path().join("deep/file"), "mine\n").expect("a file");
    // For the containers' users, so that labels alone are between them.
    for path in [dir.path(), &dir.path().join("deep")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("its mode");
    }
    dir
}

fn with(builder: Builder, volume: &Path, relabel: Option<Relabel>) -> Builder {
    let builder = builder.bind_rw_to(volume, "/volume");
    relabel.into_iter().fold(builder, |builder, relabel| builder.relabel("/volume", relabel))
}

fn label_at(path: &Path) -> String {
    let file = File::open(path).expect("a file");
    let label = FileLabels::open().and_then(|labels| labels.get(file)).expect("labels");
    label.expect("a label").to_string()
}

/// ptrace(2).
const PTRACE: u32 = if cfg!(target_arch = "x86_64") { 101 } else { 117 };
const PTRACE_SEIZE: u64 = 0x4206;
const EACCES: i32 = 13;

const READ: &str = "/bin/busybox cat /volume/deep/file";

#[test]
fn a_private_volume_is_its_containers_alone() {
    oracle::tier::vm();
    let (root, volume) = (root(), volume());
    let one = with(labelled(root.path(), "c301,c302"), volume.path(), Some(Relabel::Private));
    let text = format!("{READ} && echo new > /volume/new && echo written");
    let (said, complaint) = script(one, &text);
    assert_eq!(said, "mine\nwritten\n", "{complaint}");
    for file in ["", "deep", "deep/file", "new"] {
        let label = label_at(&volume.path().join(file));
        assert_eq!(label, "system_u:object_r:container_file_t:s0:c301,c302", "{file}");
    }
    // Another container that sees the same directory and asks for nothing. The policy does not log a search that it
    // denies, so that it is given the file alone.
    let other = labelled(root.path(), "c303,c304");
    let file = volume.path().join("deep/file");
    let (said, complaint) = script(other.clone().bind_to(&file, "/file"), "/bin/busybox cat /file");
    assert_eq!(said, "");
    assert!(complaint.contains("Permission denied"), "{complaint}");
    let logged = denials(&["s0:c303,c304", "s0:c301,c302", "tclass=file", "{ read }"]);
    assert!(!logged.is_empty(), "nothing was logged");
    let (said, complaint) = script(with(other, volume.path(), None), READ);
    assert_eq!(said, "");
    assert!(complaint.contains("Permission denied"), "{complaint}");
}

#[test]
fn each_launch_has_its_own_label() {
    oracle::tier::vm();
    let (root, volume) = (root(), volume());
    let builder = with(Container::from_rootfs(root.path()), volume.path(), Some(Relabel::Private));
    let plan = builder.command("/bin/busybox").args(["sh", "-c", READ]).plan().expect("a plan");
    let state = plan.report().state(Control::Relabel).cloned();
    assert_eq!(state, Some(State::InForce("/volume private".into())));
    let labels = [1, 2].map(|_| {
        let output = plan.launch().output().expect("a run");
        assert_eq!(output.stdout, b"mine\n", "{}", String::from_utf8_lossy(&output.stderr));
        label_at(&volume.path().join("deep/file"))
    });
    assert!(labels.iter().all(|label| label.contains(":container_file_t:s0:c")), "{labels:?}");
    assert_ne!(labels[0], labels[1]);
}

#[test]
fn a_shared_volume_is_everybodys() {
    oracle::tier::vm();
    let (root, volume) = (root(), volume());
    let shared =
        |categories| with(labelled(root.path(), categories), volume.path(), Some(Relabel::Shared));
    let (said, complaint) =
        script(shared("c311,c312"), &format!("umask 0; echo two > /volume/two; {READ}"));
    assert_eq!(said, "mine\n", "{complaint}");
    let text = format!("{READ} && /bin/busybox cat /volume/two && echo three > /volume/two");
    let (said, complaint) = script(shared("c313,c314"), &text);
    assert_eq!((said.as_str(), complaint.as_str()), ("mine\ntwo\n", ""));
    let label = label_at(&volume.path().join("deep/file"));
    assert_eq!(label, "system_u:object_r:container_file_t:s0");
}

/// Two containers that see each other's processes and have the same user and capabilities: the label alone is between
/// them.
#[test]
fn memory_is_its_containers_alone() {
    oracle::tier::vm();
    let root = root();
    let open =
        |categories| labelled(root.path(), categories).share(Namespace::Pid).share(Namespace::User);
    let victim = open("c321,c322").command("/bin/busybox").args(["sleep", "100"]);
    let victim = victim.spawn().expect("a container");
    let pid = payload(&victim);
    assert_eq!(label_of(&pid), "system_u:system_r:container_t:s0:c321,c322");
    // The page of the program's own header.
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("its memory");
    let start = maps.split('-').next().expect("an address");
    let page = u64::from_str_radix(start, 16).expect("an address") / 4096;
    let text = format!(
        "/bin/busybox dd if=/proc/{pid}/mem bs=4096 skip={page} count=1 | /bin/busybox cut -b 2-4 | /bin/busybox head -n 1"
    );
    // The policy does not log who may not search the directory in procfs: a tracer, which is asked the same, shows it.
    let seize = fixture::one_call(Gate::Native, PTRACE, [PTRACE_SEIZE, pid_number(&pid), 0, 0, 0]);
    let tracer = |builder: Builder| {
        let builder =
            builder.seccomp(Seccomp::Unconfined).file_with_mode("/seize", seize.clone(), 0o755);
        builder.command("/seize").status().expect("a run").code()
    };
    // Nothing else is in the way: without a label both succeed.
    let (said, complaint) = script(open("c325,c326").selinux(Selinux::Disabled), &text);
    assert!(said.starts_with("ELF"), "{said:?} {complaint}");
    assert_eq!(tracer(open("c325,c326").selinux(Selinux::Disabled)), Some(0));
    let (said, complaint) = script(open("c323,c324"), &text);
    assert_eq!(said, "");
    assert!(complaint.contains("Permission denied"), "{complaint}");
    assert_eq!(tracer(open("c323,c324")), Some(EACCES));
    let logged = denials(&["{ ptrace }", "s0:c323,c324", "s0:c321,c322"]);
    assert!(!logged.is_empty(), "nothing was logged");
}

fn pid_number(pid: &str) -> u64 {
    pid.parse().expect("an id")
}

#[test]
fn what_cannot_be_relabelled_is_refused_before_anything_starts() {
    oracle::tier::vm();
    let root = root();
    let plan = |builder: Builder| builder.command("/bin/busybox").plan();
    let builder = || labelled(root.path(), "c331,c332");
    let refused = plan(with(builder(), Path::new("/etc"), Some(Relabel::Private)));
    let error = refused.map(|plan| plan.report().to_string()).expect_err("the system's");
    assert_eq!((error.kind(), error.stage()), (ErrorKind::Selinux, Stage::Plan), "{error}");
    // The programs' file system of the guest, all of which has one label by its mount.
    let plain = with(builder(), Path::new("/t"), Some(Relabel::Shared));
    let refused = plan(plain.clone()).map(|plan| plan.report().to_string());
    let error = refused.expect_err("one label for all");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    let report = plan(plain.best_effort(Control::Relabel)).expect("a plan").report().clone();
    assert!(matches!(report.state(Control::Relabel), Some(State::NotPossible(_))), "{report}");
    // Without a label volumes stay as they are.
    let volume = volume();
    let before = label_at(volume.path());
    let builder = Container::from_rootfs(root.path()).selinux(Selinux::Disabled);
    let builder = with(builder, volume.path(), Some(Relabel::Private));
    let (said, complaint) = script(builder.clone(), READ);
    assert_eq!(said, "mine\n", "{complaint}");
    assert_eq!(label_at(volume.path()), before);
    let state = plan(builder).expect("a plan").report().state(Control::Relabel).cloned();
    assert!(matches!(state, Some(State::NotPossible(_))), "{state:?}");
}
