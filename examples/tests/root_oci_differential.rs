//! The same bundles under `oci-runtime`, crun and runc: the programs in them see the same.
//!
//! By root. Kernel objects: containers of three runtimes. Invariant: what differs stands in a table with its reason.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod differential;
mod runtime;

use differential::Runtime;

const BUNDLES: [&str; 4] = ["plain", "limited", "user", "mapped"];

#[test]
fn programs_see_the_same() {
    differential::are_there();
    let mut unknown = Vec::new();
    for name in BUNDLES {
        let scene = differential::bundle(name);
        let ours = differential::shown(&scene, Runtime::Ours);
        for peer in [Runtime::Crun, Runtime::Runc] {
            let theirs = differential::shown(&scene, peer);
            let lines = ours.difference(&theirs).map(|line| format!("+ {line}"));
            let lines = lines.chain(theirs.difference(&ours).map(|line| format!("- {line}")));
            let lines = lines.filter(|line| !peer.is_known(name, line));
            unknown.extend(lines.map(|line| format!("{name} {peer:?} {line}")));
        }
    }
    assert!(unknown.is_empty(), "ours (+) and theirs (-):\n{}", unknown.join("\n"));
}
