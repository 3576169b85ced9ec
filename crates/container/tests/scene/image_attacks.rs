//! Images of an attacker: what their configuration says leads nowhere out of the root, and is taken or refused, never
//! guessed.
//!
//! Kernel objects: a store of the test's own, whole containers, a canary outside of them. Invariant: the canary is as it
//! was, and its secret is unread.

use ampoule::image::{Configuration, Image, NewImage, Platform, Store};
use ampoule::{Container, ErrorKind, Root};

use tempfile::TempDir;

use super::attacks::bounded;
use super::images::{import, name};
use crate::oracle::fixture::{self, Canary};

/// A store with an image whose root has links to the outside.
struct Evil {
    base: Image,
    _files: TempDir,
}

fn evil(canary: &Canary) -> Evil {
    let files = fixture::directory("store");
    let store = Store::open(files.path().join("store")).expect("a store");
    let mut up = std::path::PathBuf::from("../../../../../../../..");
    up.push(canary.open_dir().strip_prefix("/").expect("an absolute path"));
    let root = fixture::rootfs()
        .with_dir("data", 0o755)
        .with_symlink("srv/inner", "../data")
        .with_symlink("srv/way", canary.open_dir())
        .with_symlink("srv/up", up)
        .with_symlink("srv/top", "/../../..")
        .with_symlink("srv/proc", "/proc/1/root")
        .with_symlink("srv/fd", "/proc/self/fd")
        .with_symlink("srv/loop", "loop");
    let config = Configuration::new(Platform::host());
    Evil { base: import(&store, &root, config, &name("localhost/links:1")), _files: files }
}

impl Evil {
    /// One on top of it with this configuration, and an empty layer.
    fn image(&self, change: impl FnOnce(&mut Configuration)) -> Image {
        let target = name("localhost/evil:1");
        let new = NewImage::on(&self.base, &target).configure(change);
        let store = self.base.store();
        let image = store.import(&new, [0; 1024].as_slice()).expect("an image");
        store.unpack(&image, &store.suited(), &()).expect("unpacked");
        image
    }
}

/// Each path as the working directory and as a volume, with each kind of root.
pub(crate) fn directories_of_an_image_lead_nowhere() {
    let canary = fixture::canary();
    let evil = evil(&canary);
    let places = ["srv/way/made", "srv/up/made", "srv/up", "srv/top/made", "srv/loop/made"];
    let others = ["srv/proc/made", "srv/fd/3/made", "proc/self/cwd/made", "srv/../../../tmp/made"];
    for place in places.into_iter().chain(others).map(|place| format!("/{place}")) {
        let image = evil.image(|config| config.config.working_dir = Some(place.clone()));
        assert_inside(&canary, &image, "echo > here; mkdir deep; pwd -P; ls /; cat secret inside");
        let image = evil.image(|config| config.config.volumes = [place.clone()].into());
        let script = format!("cd {place} && echo > here; pwd -P; cat secret inside {place}/inside");
        assert_inside(&canary, &image, &script);
    }
    // A link that stays inside is followed.
    let image = evil.image(|config| {
        config.config.working_dir = Some("/srv/inner/made/deep".to_owned());
        config.config.volumes = ["/srv/inner/volume".to_owned()].into();
    });
    let script = "pwd -P; stat -f -c %T /data/volume";
    let command = Container::from_image(&image).command("/bin/sh").args(["-c", script]);
    let seen = bounded(&canary, |limit| command.timeout(limit).output()).expect("it runs");
    assert_eq!(String::from_utf8_lossy(&seen.stdout), "/data/made/deep\ntmpfs\n");
    canary.assert_untouched();
}

#[track_caller]
fn assert_inside(canary: &Canary, image: &Image, script: &str) {
    for root in [Root::ReadOnly, Root::Ephemeral { size: 8 << 20 }] {
        let builder = Container::from_image(image).root(root);
        let command = builder.command("/bin/sh").args(["-c", script]);
        // Refused, or somewhere in the root; the tree outside is the witness.
        drop(bounded(canary, |limit| command.timeout(limit).output()));
    }
    canary.assert_untouched();
}

/// Every value is a user of the root or an error before the payload runs.
pub(crate) fn users_of_an_image_are_exact_or_refused() {
    use ErrorKind::{InvalidSettings, User};
    let canary = fixture::canary();
    let evil = evil(&canary);
    for (user, kinds) in [
        ("4294967295", [InvalidSettings].as_slice()),
        ("4294967296", &[InvalidSettings]),
        ("18446744073709551616", &[InvalidSettings]),
        ("-1", &[InvalidSettings]),
        ("+0", &[InvalidSettings]),
        (" 0", &[InvalidSettings]),
        ("0 ", &[InvalidSettings]),
        ("0\n", &[InvalidSettings]),
        ("0\0", &[InvalidSettings]),
        ("0:", &[InvalidSettings]),
        (":0", &[InvalidSettings]),
        ("0:0:0", &[InvalidSettings]),
        ("0:4294967295", &[InvalidSettings]),
        ("0:-1", &[InvalidSettings]),
        ("0/0", &[InvalidSettings]),
        ("r\u{f6}\u{f6}t", &[InvalidSettings]),
        ("00", &[InvalidSettings]),
        // Names: nobody has them. A number in another base is one.
        ("0x0", &[User]),
        ("nobody-here", &[User]),
        ("0:nobody-here", &[User]),
    ] {
        let image = evil.image(|config| config.config.user = Some(user.to_owned()));
        let command = Container::from_image(&image).command("id");
        let error = bounded(&canary, |limit| command.timeout(limit).output()).expect_err(user);
        assert!(kinds.contains(&error.kind()), "{user:?}: {:?}: {error}", error.kind());
        let problem = error.problems().first().map(ampoule::Problem::setting);
        if error.kind() == InvalidSettings {
            assert_eq!(problem, Some("image: User"), "{user:?}: {error}");
        }
    }
    // An id that a range has not; who has one id can call it so.
    for (user, option) in [("4294967294", "-u"), ("0:4294967294", "-g")] {
        let image = evil.image(|config| config.config.user = Some(user.to_owned()));
        let command = Container::from_image(&image).command("id").arg(option);
        match bounded(&canary, |limit| command.timeout(limit).output()) {
            Ok(seen) => assert_eq!(seen.stdout, b"4294967294\n", "{user}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::IdMap, "{user}: {error}"),
        }
    }
    for user in ["0", "0:0", ""] {
        let image = evil.image(|config| config.config.user = Some(user.to_owned()));
        let command = Container::from_image(&image).command("id").args(["-u"]);
        let seen = bounded(&canary, |limit| command.timeout(limit).output()).expect(user);
        assert_eq!(seen.stdout, b"0\n", "{user:?}");
    }
}

/// A variable is what the image says or an error; the host's are nowhere.
pub(crate) fn variables_of_an_image_are_exact_or_refused() {
    let canary = fixture::canary();
    let evil = evil(&canary);
    let long = format!("A={}", "x".repeat(200_000));
    let refused = ["", "A", "=x", "=", "A\0B=1", "A=1\0", long.as_str()];
    for variable in refused {
        let shown = &variable[..variable.len().min(20)];
        let image = evil.image(|config| config.config.env = vec![variable.to_owned()]);
        let command = Container::from_image(&image).command("env");
        let error = bounded(&canary, |limit| command.timeout(limit).output()).expect_err(shown);
        let kind = error.kind();
        let too_long = variable == long && kind == ErrorKind::ArgumentsTooLong;
        assert!(kind == ErrorKind::InvalidSettings || too_long, "{shown:?}: {kind:?}: {error}");
    }
    let image = evil.image(|config| {
        let values = ["A=1", "A=2", "B=", "C=a=b", "D=two\nlines", "E=$HOME ${A}"];
        config.config.env = values.map(str::to_owned).into();
    });
    let command = Container::from_image(&image).command("env");
    let seen = bounded(&canary, |limit| command.timeout(limit).output()).expect("it runs");
    let text = String::from_utf8_lossy(&seen.stdout);
    for line in ["A=2", "B=", "C=a=b", "D=two", "lines", "E=$HOME ${A}"] {
        assert!(text.lines().any(|one| one == line), "{line:?}: {text}");
    }
    assert!(!text.contains("A=1\n"), "the last one counts: {text}");
    let known = ["A=", "B=", "C=", "D=", "lines", "E=", "PATH=", "HOME=", "LANG=C.UTF-8"];
    let foreign = text.lines().find(|line| !known.iter().any(|known| line.starts_with(known)));
    assert_eq!(foreign, None, "nothing of the host's");
}
