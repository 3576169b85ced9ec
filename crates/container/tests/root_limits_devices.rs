//! Limits of block devices and rules for device nodes: what the kernel's files say, and what a payload may open.
//!
//! Kernel objects: containers with groups of their own. Invariant: what is asserted comes from the kernel's files.

mod oracle;
mod scene;

use ampoule::{
    Builder, Bytes, Container, DeviceAccess, DeviceRule, ErrorKind, IoDevice, Limits, Mount,
    MountFlags, Stage, Weight,
};
use oracle::{tier, unchanged};
use scene::{group_files, is_error, refused, shell};

/// A block device that this machine has.
fn block_device() -> IoDevice {
    let text = std::fs::read_to_string("/proc/partitions").expect("procfs");
    let line = text.lines().nth(2).expect("a block device");
    let mut numbers = line.split_whitespace().map(|word| word.parse::<u32>().expect("a number"));
    IoDevice::new(numbers.next().expect("a major"), numbers.next().expect("a minor"))
}

#[test]
fn rates_of_a_device_are_what_the_kernel_shows() {
    tier::root();
    unchanged(|| {
        let device = block_device();
        let limited = device.read_bps(Bytes::mib(10)).write_bps(Bytes::mib(5));
        let builder = Container::host_view().io(limited.read_iops(100).write_iops(50));
        let builder = builder.io_weight(Weight::new(200).expect("a weight"));
        let container = shell(builder, "sleep 100").spawn().expect("a container");
        let line = |file| {
            let text = group_files::file(&container, file)?;
            text.lines().find(|line| line.starts_with(&format!("{device} "))).map(str::to_owned)
        };
        if let Some(max) = line("io.max") {
            let wanted = format!("{device} rbps=10485760 wbps=5242880 riops=100 wiops=50");
            assert_eq!(max, wanted);
            return;
        }
        for (file, value) in [
            ("blkio.throttle.read_bps_device", 10 << 20),
            ("blkio.throttle.write_bps_device", 5 << 20),
            ("blkio.throttle.read_iops_device", 100),
            ("blkio.throttle.write_iops_device", 50),
        ] {
            assert_eq!(line(file), Some(format!("{device} {value}")), "{file}");
        }
        let weight = group_files::file(&container, "blkio.bfq.weight").expect("a weight");
        assert!(weight.contains("200"), "{weight}");
    });
}

#[test]
fn a_device_that_cannot_be_limited_is_refused() {
    tier::root();
    unchanged(|| {
        let plan = |builder: Builder| refused(builder.command("true").plan());
        let device = block_device().read_bps(Bytes::mib(1));
        let twice = plan(Container::host_view().io(device).io(device));
        is_error(&twice, ErrorKind::InvalidSettings, Stage::Plan, &["named twice"]);
        let none = plan(Container::host_view().io(IoDevice::new(4095, 0).read_iops(7)));
        is_error(&none, ErrorKind::InvalidSettings, Stage::Plan, &["4095:0"]);
        let nothing = plan(Container::host_view().io(block_device().write_iops(0)));
        is_error(&nothing, ErrorKind::InvalidSettings, Stage::Plan, &["0 operations"]);
    });
}

/// A node of the kernel's log, which everybody may write to, at `/node` in the container.
fn with_node(directory: &std::path::Path) -> Builder {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    let node = directory.join("node");
    if !node.exists() {
        let made = mknodat(CWD, &node, FileType::CharacterDevice, Mode::empty(), makedev(1, 11));
        made.and_then(|()| rustix::fs::chmod(&node, Mode::from(0o666))).expect("a node");
    }
    let mut mount = Mount::bind_rw(&node, "/node");
    mount.recursive = MountFlags::empty();
    Container::host_view().mount(mount)
}

#[test]
fn nodes_open_by_the_rules() {
    tier::root();
    unchanged(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let script = "exec 2>&1; true > /dev/null && echo null; true < /dev/zero && echo zero; \
            true > /node && echo node; true < /dev/random && echo random";
        let run = |builder: Builder| {
            let output = shell(builder, script).output().expect("a run");
            let text = String::from_utf8(output.stdout).expect("text");
            let words = text.lines().filter(|line| !line.contains(' ')).collect::<Vec<_>>();
            (words.join(" "), text.contains("ermitted"))
        };
        let of = |words: &str, refused| (words.to_owned(), refused);
        let node = || with_node(directory.path());
        assert_eq!(run(node()), of("null zero node random", false));
        assert_eq!(run(node().devices([])), of("null zero random", true));
        let rule = DeviceRule::allow_char(1, 11, DeviceAccess::WRITE);
        assert_eq!(run(node().devices([rule])), of("null zero node random", false));
        let mut limits = Limits::default();
        limits.devices = vec![DeviceRule::allow_char(1, 3, DeviceAccess::all())];
        assert_eq!(run(node().limits(limits)), of("null", true));
    });
}
