//! A directory with images that other tools made, and the example programs beside it.
//!
//! Kernel objects: files in memory, processes. Invariant: everything is gone at the end of the test.
#![allow(dead_code, reason = "each test program uses a part of it")]

#[path = "../commands/place.rs"]
mod place;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// An attribute.
const NOTE: &str = "user.note";

/// A directory in memory in which everything runs.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self(tempfile::tempdir_in("/dev/shm").unwrap());
        // podman's locks are in /dev/shm otherwise, and stay there.
        fs::write(place.at("containers.conf"), "[engine]\nlock_type = \"file\"\n").unwrap();
        place
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The attribute of a file of [`Place::layout`].
    pub(crate) fn note(&self, name: &str) -> String {
        let mut value = [0; 64];
        let len = rustix::fs::getxattr(self.at(name), NOTE, &mut value[..]).expect(name);
        String::from_utf8_lossy(&value[..len]).into_owned()
    }

    fn shell(&self, script: &str) -> Output {
        let mut path = place::example("image").parent().unwrap().as_os_str().to_owned();
        path.push(":/usr/sbin:/sbin:");
        path.push(std::env::var_os("PATH").unwrap());
        let mut shell = Command::new("timeout");
        shell.args(["--kill-after=5", "120", "sh", "-ec", script]).current_dir(self.0.path());
        shell.env("PATH", path).env("CONTAINERS_CONF", self.at("containers.conf"));
        shell.stdin(Stdio::null()).env_remove("SOURCE_DATE_EPOCH").output().unwrap()
    }

    /// Runs a shell script, in which the examples are programs; returns what it says.
    pub(crate) fn run(&self, script: &str) -> String {
        let done = self.shell(script);
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{script}\n{said}");
        String::from_utf8(done.stdout).unwrap()
    }

    /// Runs a script that has to end with this code; returns what it says of it.
    pub(crate) fn fails(&self, code: i32, script: &str) -> String {
        let done = self.shell(script);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(code), "{script}\n{said}");
        said + &String::from_utf8_lossy(&done.stdout)
    }

    /// A layout `L` of umoci's with the image `x`: a shell, two layers, every kind of file, whiteouts.
    pub(crate) fn layout(&self) {
        self.run(
            "mkdir -p one/bin one/etc one/dir one/opaque one/tmp two/opaque
             cp /usr/bin/busybox one/bin/; for name in sh cat ls id mkdir rm stat env sort; do ln -s busybox one/bin/$name; done
             echo root:x:0:0::/:/bin/sh > one/etc/passwd; echo me:x:7:8::/:/bin/sh >> one/etc/passwd
             printf 'root:x:0:\nme:x:8:\n' > one/etc/group
             echo first > one/file; ln one/file one/dir/hard; ln -s ../file one/dir/link
             mknod one/null c 1 3; mkfifo one/fifo; echo lower > one/opaque/lower
             chown 5:6 one/file; chmod 4711 one/file
             echo upper > two/opaque/upper; touch two/opaque/.wh..wh..opq two/.wh.file
             truncate -s 1M two/zeros",
        );
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(self.at("one/file"), NOTE, b"kept", flags).unwrap();
        self.run(
            "tar --xattrs --numeric-owner -cf one.tar -C one .
             tar --numeric-owner -cf two.tar -C two .
             umoci init --layout L
             umoci new --image L:x
             umoci raw add-layer --image L:x one.tar
             umoci raw add-layer --image L:x two.tar
             umoci config --image L:x --config.cmd cat --config.cmd /opaque/upper --config.env A=b
             umoci gc --layout L",
        );
    }
}

/// What find(1) and sha256sum(1) say of the trees `$1`: everything but times of directories and devices' numbers in links.
pub(crate) const TREE: &str = "tree() { (cd $1; find . -printf '%P %y %m %U:%G %n %l\\n' | sort;
     find . -type f -exec sha256sum {} + | sort); };";

/// Debian's registry on the loopback.
pub(crate) struct Registry {
    child: Child,
    pub(crate) address: String,
}

impl Registry {
    pub(crate) fn start(place: &Place) -> Self {
        // Free a moment ago; nothing else on this machine asks for it by number.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let address = free.unwrap().to_string();
        let files = place.at("registry");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: '{address}'}}\n",
            files.display()
        );
        fs::write(place.at("registry.yml"), text).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(place.at("registry.yml"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("docker-registry (Debian package docker-registry)");
        let registry = Self { child, address };
        let begin = Instant::now();
        while TcpStream::connect(&registry.address).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(20), "docker-registry does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
