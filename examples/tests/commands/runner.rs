//! What `test-runner` must do with a program that stands in a target directory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Done, command, finish};

/// A workspace with a package, and a script in the place of a test program.
struct Fixture {
    dir: tempfile::TempDir,
    program: PathBuf,
}

impl Fixture {
    fn new(script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for name in ["ws/package/src", "ws/target/debug/deps", "ws/target/tmp", "home"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        fs::write(root.join("ws/Cargo.toml"), "[workspace]\n").unwrap();
        fs::write(root.join("ws/other"), "of the workspace\n").unwrap();
        fs::write(root.join("outside"), "secret\n").unwrap();
        fs::write(root.join("home/file"), "secret\n").unwrap();
        fs::write(root.join("ws/target/CACHEDIR.TAG"), "").unwrap();
        let program = root.join("ws/target/debug/deps/fixture-1");
        fs::write(&program, format!("#!/bin/sh\n{script}")).unwrap();
        fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        Self { dir, program }
    }

    fn package(&self) -> PathBuf {
        self.dir.path().join("ws/package")
    }

    fn run(&self, settings: &[(&str, &str)]) -> Done {
        let mut runner = command("test-runner", &[self.program.to_str().unwrap(), "one", "two"]);
        runner.current_dir(self.package()).env("CARGO_MANIFEST_DIR", self.package());
        runner.env("HOME", self.dir.path().join("home")).env("TMPDIR", self.dir.path());
        runner.envs(settings.iter().copied());
        finish(runner.spawn().unwrap())
    }
}

fn run(script: &str) -> Done {
    Fixture::new(script).run(&[])
}

/// Arguments, environment, working directory, ids and exit codes are those of the plain run.
pub(crate) fn as_in_the_plain_run() {
    let fixture = Fixture::new("echo $*; pwd; id -u; umask; echo $SETTING; exit 101");
    let done = fixture.run(&[("SETTING", "kept")]);
    let uid = rustix::process::getuid().as_raw();
    let expected = format!("one two\n{}\n{uid}\n0022\nkept\n", fixture.package().display());
    assert_eq!((done.code, done.out, done.err.as_str()), (Some(101), expected, ""));
    assert_eq!(run("kill -ABRT $$").code, Some(134));
    assert_eq!(run("exit 0").code, Some(0));
    let late = Fixture::new("sleep 60").run(&[("AMPOULE_RUNNER_TIMEOUT", "0.3")]);
    assert_eq!(late.code, Some(124));
    assert!(late.err.contains("time limit"), "{}", late.err);
    let wrong = Fixture::new("exit 0").run(&[("AMPOULE_RUNNER_TIMEOUT", "soon")]);
    assert_eq!(wrong.code, Some(125));
}

/// The workspace is there, read-only; the target's tmp, /tmp and the home are writable; nothing else is there.
pub(crate) fn what_it_sees() {
    let script = "
cat ../other
echo x > ../other 2>/dev/null || echo workspace refused
echo x > ../target/debug/x 2>/dev/null || echo target refused
echo x > ../target/tmp/x && echo tmp written
echo x > $TMPDIR/x && echo $TMPDIR written
ls -A $HOME; echo x > $HOME/x && echo home written
cat ../../outside 2>/dev/null || echo outside hidden
grep -c : /proc/net/dev
";
    let fixture = Fixture::new(script);
    let done = fixture.run(&[]);
    let expected = "of the workspace\nworkspace refused\ntarget refused\ntmp written\n/tmp written\n\
                    home written\noutside hidden\n1\n";
    assert_eq!(done.out, expected, "{}", done.err);
    assert!(fixture.dir.path().join("ws/target/tmp/x").is_file());
    assert!(!fixture.dir.path().join("home/x").exists() && !Path::new("/tmp/x").exists());
}

/// More can be shown, by the environment.
pub(crate) fn more_is_shown() {
    let script = "
cat ../../seen/file
echo x > ../../seen/x || echo refused
echo x > ../../more/x && echo written";
    let fixture = Fixture::new(script);
    let [seen, more] = ["seen", "more"].map(|name| fixture.dir.path().join(name));
    [&seen, &more].into_iter().for_each(|dir| fs::create_dir(dir).unwrap());
    fs::write(seen.join("file"), "shown\n").unwrap();
    let done = fixture.run(&[
        ("AMPOULE_RUNNER_BIND", seen.to_str().unwrap()),
        ("AMPOULE_RUNNER_BIND_RW", more.to_str().unwrap()),
    ]);
    assert_eq!(done.out, "shown\nrefused\nwritten\n", "{}", done.err);
}

/// Modes and owners mean what they mean in the plain run.
pub(crate) fn modes_mean_what_they_meant() {
    let script = "
cd ../target/tmp
echo x > mine; chmod 000 mine; (cat mine) 2>/dev/null || echo denied
stat -c '%u %a' mine; mkdir -m 700 dir; stat -c '%u %a' dir ../debug
chown 1:1 mine 2>/dev/null && stat -c %u mine || echo chown denied
rm -rf mine dir";
    let fixture = Fixture::new(script);
    let plain = std::process::Command::new(&fixture.program)
        .current_dir(fixture.package())
        .output()
        .unwrap();
    assert_eq!(fixture.run(&[]).out, String::from_utf8(plain.stdout).unwrap());
}
