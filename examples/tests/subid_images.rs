//! The example `image` in a store whose files belong to many, for an ordinary user with ranges of `/etc/subuid`.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod images;

use std::fs;

use images::Place;

const BUILD: &str = "\
FROM app:1
RUN mkdir -m 700 /srv/a && echo x > /srv/a/f && chown -R 33:42 /srv/a
COPY --chown=1000:7 Containerfile /srv/a/g
";

/// Given to every verb.
const STORE: &str = "--store S --owners sub-ids";

#[test]
fn files_of_many_are_built_mounted_compared_and_committed() {
    let place = Place::new();
    fs::write(place.at("Containerfile"), BUILD).unwrap();
    place.run(
        "mkdir -p one/bin one/etc one/srv; cp /usr/bin/busybox one/bin/; \
         for name in sh chown chmod mkdir rm; do ln -s busybox one/bin/$name; done; \
         echo root:x:0:0::/:/bin/sh > one/etc/passwd",
    );
    place.run(&format!("image load {STORE} dir:one app:1"));
    place.run(&format!("image build {STORE} --network none -t app:2 ."));
    let mounted = place.run(&format!("image mount {STORE} app:2 -- stat -c '%u %a' srv srv/a"));
    let [all, other] = mounted.lines().collect::<Vec<_>>()[..] else { panic!("{mounted}") };
    assert_eq!(all, format!("{} 755", rustix::process::geteuid().as_raw()));
    assert!(other.ends_with(" 700") && !other.starts_with("33 "), "an id of the range: {other}");
    place.run(
        "sandbox --image app:2 --store S --owners sub-ids --root \"$PWD/U\" -- /bin/sh -c \
         'echo new > /srv/a/h && chown 5:6 /srv/a/h && chmod 600 /srv/a/h && rm /srv/a/f'",
    );
    let changes = place.run(&format!("image diff {STORE} app:2 U"));
    assert!(changes.contains("D /srv/a/f\nA /srv/a/h\n"), "{changes}");
    place.run(&format!("image commit {STORE} app:2 U app:3; image save {STORE} app:3 tar:t.tar"));
    let members = place.run("tar --numeric-owner -tvf t.tar");
    let of = |name: &str| {
        let line = members.lines().find(|line| line.ends_with(name)).unwrap_or_default();
        line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    };
    for (name, expected) in [
        ("srv/a", "drwx------ 33/42"),
        ("srv/a/g", "-rw-r--r-- 1000/7"),
        ("srv/a/h", "-rw------- 5/6"),
    ] {
        let found = of(name);
        assert_eq!(found, expected, "{name} in\n{members}");
    }
    assert!(!members.contains("srv/a/f"), "{members}");
    // What the user could not remove goes with the store's ids, and with the container's.
    place.run(&format!("image rm {STORE} app:1 app:2 app:3; image gc {STORE} --steps"));
    place.run("unshare --user --map-root-user --map-auto rm -r U U.work");
}
