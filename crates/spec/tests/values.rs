//! Mount options, paths of groups and versions: what is understood, and that it is written as it was read.

use ampoule_spec::mount_options::{CopyUp, MountFlags, Propagation, Reach, Remount};
use ampoule_spec::{CgroupsPath, MountOptions, NotAGroup, Version};
use proptest::prelude::*;

#[test]
fn mount_options() {
    let options = MountOptions::parse([
        "rbind",
        "ro",
        "nosuid",
        "suid",
        "rro",
        "rnoexec",
        "rslave",
        "idmap",
        "tmpcopyup",
        "size=1m",
        "remount",
        "relatime",
        "noatime",
        "defaults",
        "x",
    ]);
    assert_eq!(options.bind, Some(Reach::Recursive));
    assert_eq!(options.set, MountFlags::RDONLY | MountFlags::NOATIME);
    assert_eq!(options.clear, MountFlags::NOSUID);
    assert_eq!(options.recursive_set, MountFlags::RDONLY | MountFlags::NOEXEC);
    assert_eq!(options.recursive_clear, MountFlags::empty());
    assert_eq!(options.propagation, Some((Propagation::Slave, Reach::Recursive)));
    assert_eq!(options.idmap, Some(Reach::One));
    assert_eq!(options.copy_up, Some(CopyUp));
    assert_eq!(options.remount, Some(Remount));
    assert_eq!(options.data, ["size=1m", "x"]);
}

/// The whole table of the specification (`config.md`, "Linux mount options").
const TABLE: &str = "async atime bind defaults dev diratime dirsync exec idmap iversion lazytime loud mand noatime \
    nodev nodiratime noexec noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime \
    rbind rdev rdiratime relatime remount rexec ridmap rnoatime rnodev rnodiratime rnoexec rnorelatime rnostrictatime \
    rnosuid rnosymfollow ro rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw \
    shared silent slave strictatime suid symfollow sync tmpcopyup unbindable";

#[test]
fn every_option_of_the_specification_is_known() {
    let table: Vec<_> = TABLE.split_whitespace().collect();
    assert_eq!(MountOptions::names(), table);
    for option in table {
        let parsed = MountOptions::parse([option]);
        assert_eq!(parsed.data, Vec::<String>::new(), "{option}");
        assert_eq!(parsed == MountOptions::default(), option == "defaults", "{option}");
        let written = parsed.to_options();
        assert_eq!(
            written.first().map(String::as_str),
            Some(option).filter(|it| *it != "defaults")
        );
    }
}

#[test]
fn paths_of_groups() {
    let path = |text: &str| text.parse::<CgroupsPath>();
    assert_eq!(path("/a//b/"), Ok(CgroupsPath::Absolute("a/b".to_owned())));
    assert_eq!(path("a/b"), Ok(CgroupsPath::Relative("a/b".to_owned())));
    assert_eq!(path("/a:b:c"), Ok(CgroupsPath::Absolute("a:b:c".to_owned())));
    let CgroupsPath::Systemd(unit) = path("user.slice:libpod:web").unwrap() else { panic!() };
    assert_eq!(
        (unit.slice.as_str(), unit.unit_name().as_str()),
        ("user.slice", "libpod-web.scope")
    );
    let CgroupsPath::Systemd(unit) = path("::web").unwrap() else { panic!() };
    assert_eq!(unit.unit_name(), "web.scope");
    for bad in ["", "/", "..", "/a/../b", "./a", "a\nb", ":::", "a:b:", "slice:b:c", ".slice:b:c"] {
        let found = path(bad);
        let is_path = bad == ":::";
        assert_eq!(found.is_err(), !is_path, "{bad:?}: {found:?}");
    }
    assert_eq!(path(&"x".repeat(256)), Err(NotAGroup));
}

#[test]
fn versions() {
    for good in ["1.0.0", "1.0.2-dev", "1.3.0", "1.2.1+build.5", "1.1.0-rc.3"] {
        assert!(good.parse::<Version>().unwrap().is_known(), "{good}");
    }
    for other in ["0.5.0", "1.4.0", "2.0.0"] {
        assert!(!other.parse::<Version>().unwrap().is_known(), "{other}");
    }
    for bad in [
        "",
        "1",
        "1.0",
        "1.0.0.0",
        "01.0.0",
        "1.0.0-",
        "v1.0.0",
        "1.0.0-a..b",
        "1.-1.0",
        "1.0.4294967296",
    ] {
        assert!(bad.parse::<Version>().is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn options_are_written_as_they_were_read(
        options in proptest::collection::vec(
            prop_oneof![proptest::sample::select(MountOptions::names()), "[a-z]{0,4}=?[a-z0-9,]{0,4}"],
            0..12,
        )
    ) {
        let parsed = MountOptions::parse(&options);
        prop_assert_eq!(MountOptions::parse(parsed.to_options()), parsed);
    }

    #[test]
    fn groups_are_written_as_they_were_read(text in "[a-z/:.]{0,20}") {
        if let Ok(path) = text.parse::<CgroupsPath>() {
            prop_assert_eq!(path.to_string().parse(), Ok(path));
        }
    }
}
