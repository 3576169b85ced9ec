//! Many groups, one after the other and at once.
//!
//! Kernel objects: groups below `/ampoule-test-soak`. Invariant: nothing is left.

use ampoule_cgroups::{
    Bytes, Controllers, Group, GroupPath, Hierarchies, Life, Limits, Place, owned_name,
};

fn place() -> Place {
    let path = GroupPath::new("/ampoule-test-soak").expect("a path");
    Place::open(&Hierarchies::detect().expect("control groups"), &path).expect("root's tier")
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.memory.max = Some(Bytes::mib(64).into());
    limits.pids_max = Some(8.into());
    limits
}

fn make(place: &Place) -> Group {
    let name = owned_name(None, Life::WithOwner).expect("a name");
    Group::create_in(place, &name, &limits(), Controllers::empty()).expect("a group")
}

fn left(place: &Place) -> usize {
    let groups = place.paths().flat_map(|path| std::fs::read_dir(path).expect("the place"));
    groups.filter(|entry| entry.as_ref().expect("an entry").path().is_dir()).count()
}

#[test]
fn many_groups() {
    let place = place();
    let long = std::env::var_os("AMPOULE_LONG").is_some_and(|value| value == "1");
    for _ in 0..if long { 10_000 } else { 500 } {
        make(&place).remove().expect("an empty group");
    }
    let alive: Vec<Group> = (0..1000).map(|_| make(&place)).collect();
    let descriptors = std::fs::read_dir("/proc/self/fd").expect("procfs").count();
    assert!(descriptors < 100, "{descriptors} descriptors for 1000 groups");
    alive.iter().for_each(|group| group.remove().expect("an empty group"));
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                (0..if long { 100 } else { 10 })
                    .for_each(|_| make(&place).remove().expect("an empty group"))
            });
        }
    });
    assert_eq!(left(&place), 0);
}
