//! Checks that the floor isolates what it claims: a shell in it looks around. Needs root.

use ampoule_benches::configuration::Configuration;
use ampoule_benches::contender::Contender;
use ampoule_benches::failure::Failure;
use ampoule_benches::floor::Floor;
use ampoule_benches::floor_calls;
use ampoule_benches::rootfs::StageDirectory;

/// What holds in both configurations; each line must succeed.
const COMMON: &str = "set -e
[ $$ = 1 ]
[ \"$(busybox hostname)\" = ampoule ]
busybox grep -q 'CapEff:.*00000000a80425fb' /proc/self/status
busybox grep -q 'CapBnd:.*00000000a80425fb' /proc/self/status
busybox grep -q 'NoNewPrivs:.*1' /proc/self/status
busybox grep -q 'Seccomp:.*2' /proc/self/status
echo x > /dev/null
[ -c /dev/urandom ] && [ -c /dev/pts/ptmx ] && [ -d /dev/shm ] && [ -d /dev/mqueue ]
[ ! -e /work ] && [ ! -e /var ] && [ -x /bin/busybox ]
";

/// What only the first configuration has.
const ALL: &str = "
busybox grep -q '0 *100000 *65536' /proc/self/uid_map
busybox grep -q ' / / .* overlay ' /proc/self/mountinfo
busybox grep -q '^0::/$' /proc/self/cgroup
busybox ifconfig lo | busybox grep -q UP
[ \"$(busybox wc -l < /proc/net/dev)\" -le 4 ]
";

/// One test, because a child cloned while another thread still writes its busybox keeps that file busy
/// (ETXTBSY) until the child's exec.
#[test]
fn root_floor_isolates_and_reports_failures() {
    let stage = StageDirectory::make(&std::env::temp_dir()).unwrap();
    let run = |configuration, payload: &[&str]| -> Result<(), Failure> {
        let recipe = floor_calls::recipe(configuration, &stage.rootfs(), payload)?;
        Floor::new(recipe).spawn().map(drop)
    };
    run(Configuration::Directory, &["/bin/sh", "-c", COMMON]).unwrap();
    run(Configuration::All, &["/bin/sh", "-c", &format!("{COMMON}{ALL}")]).unwrap();

    let ended = run(Configuration::All, &["/bin/sh", "-c", "exit 7"]);
    assert!(matches!(ended, Err(Failure::Payload(7))), "{ended:?}");
    let missing = run(Configuration::Directory, &["/missing"]);
    assert!(matches!(missing, Err(Failure::Call { call: "execve", .. })), "{missing:?}");
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count();
    run(Configuration::All, &["/bin/true"]).unwrap();
    assert_eq!(std::fs::read_dir("/proc/self/fd").unwrap().count(), open);
}
