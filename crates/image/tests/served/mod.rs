//! Debian's own registry on the loopback.
//!
//! Kernel objects: its process, a port, a directory. Invariant: the process ends with the value that started it.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// `me` with the password `secret`, as bcrypt.
const HTPASSWD: &str = "me:$2b$04$dzse0hy2ae5Xv6EOHvy1zekSTeFsB.2pk82fjQRw8mmuPqPJ9.iwi\n";

/// The registry; it ends with this.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    _files: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn configuration(files: &Path, address: &str, auth: &str) -> String {
    let files = files.display();
    format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {files}}}}}\n\
         http: {{addr: '{address}'}}\n{auth}"
    )
}

/// One that wants a password or not.
pub(crate) fn serve(password: bool) -> Server {
    let files = tempfile::tempdir().expect("a directory");
    // Free a moment ago; nothing else on this machine asks for it by number.
    let port =
        TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let address = format!("127.0.0.1:{port}");
    let users = files.path().join("htpasswd");
    fs::write(&users, HTPASSWD).expect("the users");
    let auth = match password {
        true => format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", users.display()),
        false => String::new(),
    };
    let file = files.path().join("config.yml");
    fs::write(&file, configuration(files.path(), &address, &auth)).expect("the configuration");
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(file).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().expect("docker-registry (Debian package docker-registry)");
    let server = Server { child, address, _files: files };
    let begin = Instant::now();
    while TcpStream::connect(&server.address).is_err() {
        assert!(begin.elapsed() < Duration::from_secs(20), "docker-registry does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    server
}
