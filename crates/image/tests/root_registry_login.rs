//! Who asks a registry, as `login` of other tools left it: files, and the helpers that they name.
//!
//! Kernel objects: Debian's registry with a password, a process for each host with variables of its own. Invariant: what
//! a helper started has ended when its host was told.

mod fake;
mod served;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ampoule_image::Reference;
use ampoule_image::registry::{Options, Registry};
use fake::{Fake, Reply};
use served::{Server, serve};
use tempfile::TempDir;

/// The registry's address, for the process that is started to ask it.
const ASKED: &str = "AMPOULE_ASKED";

/// The test that is also that process.
const HOST: &str = "files_are_read_where_other_tools_leave_them";

/// How long a helper may take.
const LIMIT: Duration = Duration::from_millis(1500);

/// `me:secret`.
const RIGHT: &str = "bWU6c2VjcmV0";

/// `me:wrong`.
const WRONG: &str = "bWU6d3Jvbmc=";

/// A helper that knows the password; it notes what it is asked for.
const GOOD: &str = "test \"$1\" = get; cat > \"$0.asked\"
    echo '{\"ServerURL\":\"x\",\"Username\":\"me\",\"Secret\":\"secret\"}'";

/// A directory for files and helpers, and a registry.
struct Place {
    files: TempDir,
    address: String,
    _server: Option<Server>,
}

impl Place {
    fn new() -> Self {
        let server = serve(true);
        let files = tempfile::tempdir().expect("a directory");
        Self { files, address: server.address.clone(), _server: Some(server) }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.files.path().join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("directories");
        fs::write(&path, text).expect("a file");
        path
    }

    /// A file with this password for the registry.
    fn auths(&self, name: &str, password: &str) -> PathBuf {
        let address = &self.address;
        self.write(name, &format!(r#"{{"auths":{{"{address}":{{"auth":"{password}"}}}}}}"#))
    }

    /// A program `docker-credential-NAME`, and a file that names it for all registries.
    fn helper(&self, name: &str, script: &str) -> PathBuf {
        let program =
            self.write(&format!("docker-credential-{name}"), &format!("#!/bin/sh -e\n{script}\n"));
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).expect("executable");
        self.write(&format!("{name}.json"), &format!(r#"{{"credsStore":"{name}"}}"#))
    }

    /// What a host with these variables is told; `NotFound` is for who may ask.
    fn told(&self, variables: &[(&str, &Path)]) -> String {
        let mut host = Command::new(std::env::current_exe().expect("own program"));
        host.args(["--exact", HOST, "--nocapture"]).env_clear().stdin(Stdio::null());
        host.env("PATH", format!("{}:/usr/bin:/bin", self.files.path().display()));
        host.env(ASKED, &self.address).envs(variables.iter().copied());
        let output = host.output().expect("a host");
        let said = String::from_utf8(output.stdout).expect("text");
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        let line = said.lines().find_map(|line| line.strip_prefix("told: "));
        line.expect("what it was told").to_owned()
    }

    /// The same for one file of Podman's.
    fn told_with(&self, file: &Path) -> String {
        self.told(&[("REGISTRY_AUTH_FILE", file)])
    }
}

/// Asks for an image that is not there.
fn ask(address: &str) {
    let mut options = Options::default();
    (options.helper, options.attempts) = (LIMIT, 1);
    let reference: Reference = format!("{address}/team/app:absent").parse().expect("a name");
    let answer = Registry::new(address, &options).and_then(|own| own.manifest(&reference));
    let error = answer.expect_err("it is not there");
    writeln!(std::io::stdout(), "\ntold: {:?}: {error}", error.kind()).expect("a pipe");
    let any = rustix::process::wait(rustix::process::WaitOptions::NOHANG);
    assert_eq!(any.map(drop), Err(rustix::io::Errno::CHILD), "a helper was not reaped");
}

#[test]
fn files_are_read_where_other_tools_leave_them() {
    if let Ok(address) = std::env::var(ASKED) {
        return ask(&address);
    }
    let place = Place::new();
    let (right, wrong) = (place.auths("right.json", RIGHT), place.auths("wrong.json", WRONG));
    let root = place.files.path();
    place.auths("run/containers/auth.json", RIGHT);
    place.auths("home/.config/containers/auth.json", RIGHT);
    place.auths("docker-home/.docker/config.json", RIGHT);
    place.auths("docker/config.json", RIGHT);
    let at = |name: &str| root.join(name);
    for variables in [
        [("REGISTRY_AUTH_FILE", right.clone())],
        [("XDG_RUNTIME_DIR", at("run"))],
        [("HOME", at("home"))],
        [("HOME", at("docker-home"))],
        [("DOCKER_CONFIG", at("docker"))],
    ] {
        let told = place.told(&variables.each_ref().map(|(name, path)| (*name, path.as_path())));
        assert!(told.starts_with("NotFound"), "{variables:?}: {told}");
    }
    // The first file that names the registry counts.
    let docker = at("docker");
    let both = [("REGISTRY_AUTH_FILE", wrong.as_path()), ("DOCKER_CONFIG", docker.as_path())];
    assert!(place.told(&both).starts_with("Unauthorized"));
    let other = place.write("other.json", r#"{"auths":{"other.example":{"auth":"eDp5"}}}"#);
    let both = [("REGISTRY_AUTH_FILE", other.as_path()), ("DOCKER_CONFIG", docker.as_path())];
    assert!(place.told(&both).starts_with("NotFound"));
    assert!(place.told(&[]).starts_with("Unauthorized"), "nobody asks");
    // What cannot be used is not passed over.
    let broken = place.write("broken.json", "{\"auths\": {\n\"secret");
    let told = place.told(&[("REGISTRY_AUTH_FILE", &broken), ("DOCKER_CONFIG", &docker)]);
    assert!(told.contains("broken.json") && told.contains("line 2"), "{told}");
    assert!(told.starts_with("Unauthorized") && !told.contains("secret"), "{told}");
}

#[test]
fn what_skopeo_noted_is_used() {
    let place = Place::new();
    let file = place.files.path().join("auth.json");
    let mut login = Command::new("skopeo");
    login.args(["login", "--tls-verify=false", "--username=me", "--password=secret", "--authfile"]);
    let status = login.arg(&file).arg(&place.address).stdout(Stdio::null()).status();
    assert!(status.expect("skopeo").success());
    assert!(place.told_with(&file).starts_with("NotFound"));
}

#[test]
fn helpers_are_asked() {
    let place = Place::new();
    let store = place.helper("good", GOOD);
    assert!(place.told_with(&store).starts_with("NotFound"));
    let asked = place.files.path().join("docker-credential-good.asked");
    assert_eq!(fs::read_to_string(&asked).expect("asked"), place.address);
    // An empty entry is what a login with a helper leaves; a registry's own helper goes first, and then the file.
    let address = &place.address;
    let own = format!(
        r#"{{"auths":{{"{address}":{{}}}},"credHelpers":{{"{address}":"good"}},"credsStore":"none"}}"#
    );
    assert!(place.told_with(&place.write("own.json", &own)).starts_with("NotFound"));
    fs::remove_file(&asked).expect("asked");
    let noted = format!(r#"{{"auths":{{"{address}":{{"auth":"{RIGHT}"}}}},"credsStore":"good"}}"#);
    assert!(place.told_with(&place.write("noted.json", &noted)).starts_with("NotFound"));
    let other = r#"{"credHelpers":{"other.example":"good"}}"#;
    assert!(place.told_with(&place.write("other.json", other)).starts_with("Unauthorized"));
    assert!(!asked.exists(), "nobody asked it");
    // One that does not read what it is asked.
    let blind = GOOD.replace("cat > \"$0.asked\"", "exec < /dev/null");
    assert!(place.told_with(&place.helper("blind", &blind)).starts_with("NotFound"));
    // One that knows nothing is no failure: nobody asks the registry.
    let ignorant = "echo credentials not found in native keychain; exit 1";
    let told = place.told_with(&place.helper("ignorant", ignorant));
    assert!(told.starts_with("Unauthorized") && told.contains("401"), "{told}");
}

#[test]
fn a_helper_that_fails_is_named() {
    let place = Place::new();
    let flood = "while :; do echo 0123456789012345678901234567890123456789; done";
    for (name, script, word) in [
        ("refuses", "echo the keychain is locked; exit 3", "the keychain is locked"),
        ("complains", "echo no keychain >&2; exit 3", "no keychain"),
        ("dies", "kill -9 $$", "signal: 9"),
        ("prose", "echo s3cret", "in JSON"),
        ("silent", "true", "in JSON"),
        ("half", "echo '{\"Username\":\"me\",\"S3cret\":\"s3cret\"}'", "in JSON"),
        ("late", "echo '{\"Username\":\"me\",\"Secret\":\"s3cret\"}'; exit 3", "exit status: 3"),
        ("flood", flood, "more than 65536 bytes"),
    ] {
        let told = place.told_with(&place.helper(name, script));
        assert!(told.starts_with("Unauthorized") && told.contains(word), "{name}: {told}");
        assert!(told.contains(&format!("docker-credential-{name}")), "{told}");
        assert!(!told.contains("s3cret"), "{told}");
    }
    let absent = place.write("absent.json", r#"{"credsStore":"absent"}"#);
    let told = place.told_with(&absent);
    assert!(told.contains("docker-credential-absent") && told.contains("No such file"), "{told}");
    place.write("evil", "#!/bin/sh\ntouch \"$0.ran\"\n");
    let path = place.write("path.json", r#"{"credsStore":"x/../../evil"}"#);
    assert!(place.told_with(&path).contains("no name of a program"));
}

/// Whether a process has ended; whoever is its parent now may not have reaped it.
fn has_ended(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}

#[test]
fn a_helper_that_hangs_is_killed_with_all_that_it_started() {
    let place = Place::new();
    let begin = Instant::now();
    let script = "echo $$ > \"$0.pids\"; sleep 1000 & echo $! >> \"$0.pids\"; wait";
    let told = place.told_with(&place.helper("hangs", script));
    assert!(told.starts_with("Timeout") && told.contains("1500 ms"), "{told}");
    assert!(begin.elapsed() >= LIMIT && begin.elapsed() < LIMIT * 4, "{:?}", begin.elapsed());
    // One that answers and leaves something behind that holds its outputs.
    let begin = Instant::now();
    let script = format!("{GOOD}\nsleep 1000 & echo $! > \"$0.pids\"");
    assert!(place.told_with(&place.helper("leaves", &script)).starts_with("NotFound"));
    assert!(begin.elapsed() < LIMIT, "{:?}", begin.elapsed());
    for name in ["hangs", "leaves"] {
        let pids = place.files.path().join(format!("docker-credential-{name}.pids"));
        let pids = fs::read_to_string(pids).expect("its processes");
        assert!(!pids.is_empty());
        for pid in pids.lines() {
            let begin = Instant::now();
            while !has_ended(pid) {
                assert!(begin.elapsed() < Duration::from_secs(5), "{name}: {pid} still runs");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

#[test]
fn a_helper_can_have_a_token() {
    let tokens = Fake::new(|heard, _| match heard.line.as_str() {
        "POST /token" => Reply::Answer("200 OK", Vec::new(), br#"{"access_token":"T1"}"#.to_vec()),
        _ => Reply::Answer("400 Bad", Vec::new(), Vec::new()),
    });
    let realm = format!("Bearer realm=\"http://{}/token\",service=\"s\"", tokens.address);
    let fake = Fake::new(move |heard, _| match heard.header("authorization") {
        Some("Bearer T1") => Reply::Answer("404 Not Found", Vec::new(), Vec::new()),
        _ => Reply::Answer("401 x", vec![("WWW-Authenticate", realm.clone())], Vec::new()),
    });
    let files = tempfile::tempdir().expect("a directory");
    let place = Place { files, address: fake.address.clone(), _server: None };
    let script = "cat > /dev/null; echo '{\"Username\":\"<token>\",\"Secret\":\"s3cret\"}'";
    let told = place.told_with(&place.helper("token", script));
    assert!(told.starts_with("NotFound"), "{told}");
    let body = String::from_utf8(tokens.heard()[0].body.clone()).expect("a form");
    assert!(body.contains("grant_type=refresh_token"), "{body}");
    assert!(body.contains("refresh_token=s3cret"), "{body}");
    assert!(fake.heard().iter().all(|heard| !heard.line.contains("s3cret")));
}
