//! Debian's own registry over TLS: which certificates are believed, and what is said of the others.
//!
//! Kernel objects: its process, a port, a directory. Invariant: the process ends with the value that started it; the
//! system's own list of authorities is not changed.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ampoule_image::registry::{Credentials, Login, Options, Push, Registry, Scheme};
use ampoule_image::{Digest, Error, ErrorKind};
use tempfile::TempDir;

/// What openssl(1) reads besides its arguments: nothing of the machine's.
const OPENSSL_CONFIG: &str = "[req]\ndistinguished_name = name\n[name]\n";

/// How long a certificate is good, as openssl(1) writes times.
struct Validity(&'static str, &'static str);

const NOW: Validity = Validity("20200101000000Z", "20991231235959Z");
const PAST: Validity = Validity("20200101000000Z", "20210101000000Z");
const FUTURE: Validity = Validity("20980101000000Z", "20991231235959Z");

/// A directory with an authority `ca.pem` and whatever it signs.
struct Authority(TempDir);

impl Authority {
    fn new() -> Self {
        let files = tempfile::tempdir_in("/dev/shm").expect("a directory");
        fs::write(files.path().join("openssl.cnf"), OPENSSL_CONFIG).expect("the configuration");
        let own = Self(files);
        let extensions = "basicConstraints=critical,CA:TRUE";
        own.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=ca \
             -addext {extensions} -keyout ca.key -out ca.pem"
        ));
        fs::write(own.0.path().join("index"), "").expect("the index");
        own
    }

    fn openssl(&self, words: &str) {
        let mut command = Command::new("openssl");
        command.args(words.split_whitespace()).current_dir(self.0.path());
        command.env("OPENSSL_CONF", self.0.path().join("openssl.cnf"));
        let output = command.output().expect("openssl (Debian package openssl)");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Signs a certificate for a host, `server.pem` with `server.key`.
    fn sign(&self, host: &str, Validity(from, to): &Validity) {
        let text = format!(
            "{OPENSSL_CONFIG}[ca]\ndefault_ca = own\n[own]\ndatabase = index\nrand_serial = yes\n\
             new_certs_dir = .\ncertificate = ca.pem\nprivate_key = ca.key\ndefault_md = sha256\n\
             policy = any\nunique_subject = no\nx509_extensions = server\n[any]\ncommonName = supplied\n\
             [server]\nsubjectAltName = {host}\nbasicConstraints = CA:FALSE\n"
        );
        fs::write(self.0.path().join("openssl.cnf"), text).expect("the configuration");
        self.openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=server \
             -keyout server.key -out server.csr",
        );
        self.openssl(&format!(
            "ca -batch -notext -in server.csr -out server.pem -startdate {from} -enddate {to}"
        ));
    }

    fn pem(&self) -> Vec<u8> {
        fs::read(self.0.path().join("ca.pem")).expect("the authority")
    }
}

struct Server {
    child: Child,
    address: String,
    authority: Authority,
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
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {files}/store}}}}\n\
         http: {{addr: '{address}', tls: {{certificate: {files}/server.pem, key: {files}/server.key}}}}\n{auth}"
    )
}

/// A registry whose certificate is for this host, and good so long.
fn serve(host: &str, validity: &Validity) -> Server {
    serve_with(host, validity, |_| String::new())
}

/// The same with a configuration of who may ask, told where its files are.
fn serve_with(host: &str, validity: &Validity, auth: impl Fn(&Path) -> String) -> Server {
    let authority = Authority::new();
    authority.sign(host, validity);
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
    let address = port.to_string();
    let files = authority.0.path();
    let file = files.join("config.yml");
    fs::write(&file, configuration(files, &address, &auth(files))).expect("the configuration");
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(file).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().expect("docker-registry (Debian package docker-registry)");
    let server = Server { child, address, authority };
    let begin = Instant::now();
    while TcpStream::connect(&server.address).is_err() {
        assert!(begin.elapsed() < Duration::from_secs(20), "docker-registry does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    server
}

fn options(authorities: Vec<Vec<u8>>) -> Options {
    let mut options = Options::default();
    (options.scheme, options.credentials) = (Scheme::Https, Login::Anonymous);
    (options.authorities, options.attempts) = (authorities, 2);
    options.back_off = Duration::from_millis(1);
    options
}

/// Puts a blob there and asks for it.
fn round_trip(server: &Server, options: &Options) -> Result<(), Error> {
    let registry = Registry::new(&server.address, options)?;
    let (bytes, digest) = (vec![7; 100_000], Digest::of(&vec![7; 100_000]));
    if let Push::Send(mut upload) = registry.push_blob("a", &digest, None)? {
        upload.send(&bytes)?;
        upload.commit()?;
    }
    let mut found = Vec::new();
    std::io::Read::read_to_end(&mut registry.blob("a", &digest, 100_000)?, &mut found)
        .expect("the blob");
    assert_eq!(found, bytes);
    Ok(())
}

/// What is said of a certificate that is not believed.
fn refused(server: &Server, authorities: Vec<Vec<u8>>) -> String {
    let error = round_trip(server, &options(authorities)).expect_err("it is not believed");
    assert_eq!(error.kind(), ErrorKind::Certificate, "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("authority")), "{error}");
    error.to_string()
}

#[test]
fn an_authority_of_ones_own_is_believed() {
    let server = serve("IP:127.0.0.1", &NOW);
    round_trip(&server, &options(vec![server.authority.pem()])).expect("it is believed");
    // Among others.
    let other = Authority::new();
    round_trip(&server, &options(vec![other.pem(), server.authority.pem()])).expect("believed");
}

/// A token service that is not encrypted is never asked, with a password or without.
#[test]
fn an_encrypted_registry_leads_to_nothing_that_is_not() {
    let tokens = TcpListener::bind("127.0.0.1:0").expect("a port");
    tokens.set_nonblocking(true).expect("a listener");
    let at = tokens.local_addr().expect("an address");
    let server = serve_with("IP:127.0.0.1", &NOW, |files| {
        let files = files.display();
        format!(
            "auth: {{token: {{realm: 'http://{at}/token', service: s, issuer: i, rootcertbundle: {files}/ca.pem}}}}\n"
        )
    });
    let mut options = options(vec![server.authority.pem()]);
    let (user, password) = ("me".to_owned(), "secret".to_owned());
    for login in [Login::With(Credentials::Password { user, password }), Login::Anonymous] {
        options.credentials = login;
        let error = round_trip(&server, &options).expect_err("it is not asked");
        assert_eq!(error.kind(), ErrorKind::Certificate, "{error}");
        assert!(error.to_string().contains("not encrypted"), "{error}");
    }
    let nobody = tokens.accept().expect_err("nobody came");
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn an_authority_that_is_not_known_is_not() {
    let server = serve("IP:127.0.0.1", &NOW);
    let text = refused(&server, vec![Authority::new().pem()]);
    assert!(text.contains("UnknownIssuer") || text.contains("BadSignature"), "{text}");
    // The system's do not know it either.
    refused(&server, Vec::new());
}

#[test]
fn a_certificate_of_another_host_is_not() {
    for host in ["IP:127.0.0.2", "DNS:localhost"] {
        let server = serve(host, &NOW);
        let text = refused(&server, vec![server.authority.pem()]);
        assert!(text.contains("not valid for name"), "{text}");
    }
}

#[test]
fn a_certificate_has_its_time() {
    for (validity, word) in [(PAST, "expired"), (FUTURE, "not valid yet")] {
        let server = serve("IP:127.0.0.1", &validity);
        let text = refused(&server, vec![server.authority.pem()]);
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn what_is_no_certificate_is_told_at_once() {
    let server = serve("IP:127.0.0.1", &NOW);
    let nonsense = b"-----BEGIN CERTIFICATE-----\nnonsense\n".to_vec();
    for wrong in [nonsense, b"nothing".to_vec()] {
        let text = refused(&server, vec![wrong]);
        assert!(!text.is_empty());
    }
}
