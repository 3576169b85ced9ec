//! Networks of ordinary users. Needs root (it becomes an ordinary user), unshare(1), setpriv(1), ip(8), passt and
//! slirp4netns.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "the ordinary user tells its parent")]

mod host;

use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use ampoule_net::{ErrorKind, Netns, User, UserNetwork};
use host::{Server, ask, ask_from, inside, ip, outside};

/// What the process of the ordinary user does.
const ROLE: &str = "AMPOULE_TEST_USER";

/// An ordinary user's process with a container; it ends with its input.
struct Ordinary {
    child: Child,
    /// It goes on writing.
    _output: BufReader<ChildStdout>,
    netns: Netns,
}

impl Ordinary {
    fn start(test: &str, role: &str) -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]);
        command.arg(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(ROLE, role);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let path = loop {
            let mut line = String::new();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "it ended");
            if let Some((_, path)) = line.trim_end().split_once("namespace ") {
                break path.to_owned();
            }
        };
        let netns = Netns::open(Path::new(&path)).unwrap();
        Self { child, _output: output, netns }
    }

    /// Lets it end by itself.
    fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
        assert_eq!(carriers(), Vec::<String>::new());
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while !carriers().is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(carriers(), Vec::<String>::new());
    }
}

/// The programs that carry networks, of this network namespace.
fn carriers() -> Vec<String> {
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    let processes =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    let here = processes
        .filter(|path| std::fs::read_link(path.join("ns/net")).is_ok_and(|net| net == own));
    let names = here.filter_map(|path| std::fs::read_to_string(path.join("comm")).ok());
    let names = names.map(|name| name.trim().to_owned());
    names.filter(|name| name.starts_with("pasta") || name.starts_with("slirp")).collect()
}

/// The side of the ordinary user.
fn ordinary(role: &str) {
    assert_ne!(rustix::process::geteuid().as_raw(), 0);
    let netns = Netns::create().unwrap();
    let network = match role {
        "pasta" => user().publish("127.0.0.1:8080:80".parse().unwrap()).start(&netns).unwrap(),
        _ => {
            let directory = tempfile::tempdir().unwrap();
            let link = directory.path().join("slirp4netns");
            std::os::unix::fs::symlink("/usr/bin/slirp4netns", link).unwrap();
            user().start_from(&[directory.path()], &netns).unwrap()
        }
    };
    assert_eq!(network.program(), role);
    refused(&netns);
    let number = netns.as_fd().as_raw_fd();
    println!("\nnamespace /proc/{}/fd/{number}", std::process::id());
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    UserNetwork::stop(network).unwrap();
}

/// What cannot be is said, and names the package.
fn refused(netns: &Netns) {
    let empty = tempfile::tempdir().unwrap();
    let error = user().start_from(&[empty.path()], netns).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ProgramMissing, "{error}");
    assert!(error.hint().unwrap().contains("passt"));
    let mut other = Netns::create().unwrap();
    // Without CAP_NET_ADMIN there is no bridge, and nothing is left of the attempt.
    let state = empty.path().join("state");
    let bridges = ampoule_net::Host::at(&state);
    let error = bridges.attach(&host::network("web"), &host::endpoint(), &mut other).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.hint().unwrap().contains("CAP_NET_ADMIN"));
    assert!(!state.exists());
    let _taken = std::net::TcpListener::bind("127.0.0.1:8090").unwrap();
    let error = user().publish("127.0.0.1:8090:80".parse().unwrap()).start(&other).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ProgramFailed, "{error}");
}

fn user() -> User {
    User::new("eth0").unwrap()
}

/// A host with a way out, on which everybody may have tap devices.
fn with_outside(body: impl FnOnce(&Netns)) {
    let none = rustix::mount::MountFlags::empty();
    // It goes with the mount namespace.
    rustix::mount::mount("none", "/dev/net", "tmpfs", none, None).unwrap();
    let made = Command::new("mknod").args(["-m", "666", "/dev/net/tun", "c", "10", "200"]).status();
    assert!(made.unwrap().success());
    let (beyond, uplink) = outside();
    ip(&["route", "add", "default", "via", "192.0.2.2"]);
    body(&beyond);
    uplink.disconnect().unwrap();
}

fn fetch(container: &Netns, beyond: &Netns) {
    let _server = Server::tcp(beyond, "0.0.0.0:80");
    assert_eq!(ask_from(container, "192.0.2.2:80").unwrap().to_string(), "192.0.2.1");
}

#[test]
fn root_an_ordinary_user_over_pasta() {
    const TEST: &str = "root_an_ordinary_user_over_pasta";
    if let Ok(role) = std::env::var(ROLE) {
        return ordinary(&role);
    }
    inside(TEST, || {
        with_outside(|beyond| {
            let user = Ordinary::start(TEST, "pasta");
            fetch(&user.netns, beyond);
            let server = Server::tcp(&user.netns, "0.0.0.0:80");
            ask("127.0.0.1:8080").unwrap();
            drop(server);
            user.end();
            assert!(ask("127.0.0.1:8080").is_err());
            // A host that is killed takes it along.
            Ordinary::start(TEST, "pasta").kill();
        });
    });
}

#[test]
fn root_an_ordinary_user_over_slirp4netns() {
    const TEST: &str = "root_an_ordinary_user_over_slirp4netns";
    if let Ok(role) = std::env::var(ROLE) {
        return ordinary(&role);
    }
    inside(TEST, || {
        with_outside(|beyond| {
            let user = Ordinary::start(TEST, "slirp4netns");
            fetch(&user.netns, beyond);
            user.end();
            Ordinary::start(TEST, "slirp4netns").kill();
        });
    });
}
