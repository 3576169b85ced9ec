//! Credentials that `podman login` and `docker login` left behind.
//!
//! Kernel objects: files, and a credential helper's process if one is configured. Invariant: a file that is not there is
//! no error; one that cannot be used is, and no secret is in it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde_json::{Map, Value};

use super::credential_program;
use super::options::Credentials;
use super::trouble::Trouble;
use crate::error::errno_of;

/// The name under which Docker notes its own registry.
const DOCKER_KEY: &str = "https://index.docker.io/v1/";

/// Longest file, in bytes.
const FILE_MAX: u64 = 4 << 20;

/// Why what is noted cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("it cannot be read: {0}")]
    Unreadable(Errno),
    #[error("it has more than {0} bytes")]
    TooLarge(u64),
    #[error("it is no JSON object (line {line}, column {column})")]
    Malformed { line: usize, column: usize },
    #[error("the entry {key:?}: {reason}")]
    Entry { key: String, reason: String },
    #[error("the credential helper docker-credential-{name}: {problem}")]
    Helper { name: String, problem: credential_program::Problem },
}

/// What is noted for a registry, if anything; a helper may take this long.
pub(super) fn find(registry: &str, limit: Duration) -> Result<Option<Credentials>, Trouble> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let keys: &[&str] = if registry == crate::reference::DEFAULT_REGISTRY {
        &[registry, DOCKER_KEY]
    } else {
        &[registry]
    };
    for file in files(&|name| variable(name).map(PathBuf::from)) {
        let found = in_file(&file, keys, limit);
        if let Some(found) = found.map_err(|problem| Trouble::Credentials { file, problem })? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Where credentials are noted, in the order in which that counts: Podman's file first, as the tools do.
fn files(variable: &dyn Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    const NAME: &str = "containers/auth.json";
    let home = |below: &str| variable("HOME").map(|home| home.join(below));
    let mut files = Vec::new();
    match variable("REGISTRY_AUTH_FILE") {
        Some(file) => files.push(file),
        None => {
            let user = rustix::process::geteuid().as_raw();
            let without = || PathBuf::from(format!("/run/containers/{user}/auth.json"));
            files.push(variable("XDG_RUNTIME_DIR").map_or_else(without, |dir| dir.join(NAME)));
            let own = variable("XDG_CONFIG_HOME").or_else(|| home(".config"));
            files.extend(own.map(|dir| dir.join(NAME)));
        }
    }
    let docker = variable("DOCKER_CONFIG").or_else(|| home(".docker"));
    files.extend(docker.map(|dir| dir.join("config.json")));
    files
}

/// What one file says: the registry's own credential_program, else the file itself, else the helper of all.
fn in_file(path: &Path, keys: &[&str], limit: Duration) -> Result<Option<Credentials>, Problem> {
    let text = read(path)?;
    if text.trim_ascii().is_empty() {
        return Ok(None);
    }
    let mut file: Map<String, Value> = serde_json::from_slice(&text)
        .map_err(|error| Problem::Malformed { line: error.line(), column: error.column() })?;
    let (helpers, store) = (file.remove("credHelpers"), file.remove("credsStore"));
    let named = |value: Option<&Value>| {
        value.and_then(Value::as_str).filter(|name| !name.is_empty()).map(str::to_owned)
    };
    let store = named(store.as_ref());
    // Helpers are asked here, because the crate would wait for them without end.
    let rest = Value::Object(file).to_string();
    for key in keys {
        let own = helpers.as_ref().and_then(|helpers| named(helpers.get(key)));
        let entry = match own {
            Some(_) => None,
            None => in_entries(&rest, key)?,
        };
        let found = match (entry, own.or_else(|| store.clone())) {
            (Some(entry), _) => Some(entry),
            (None, Some(name)) => credential_program::ask(&name, key, limit)
                .map_err(|problem| Problem::Helper { name, problem })?,
            (None, None) => None,
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// What the file itself holds for a key.
fn in_entries(file: &str, key: &str) -> Result<Option<Credentials>, Problem> {
    match get_credential_from_reader(file.as_bytes(), key) {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            Ok(Some(Credentials::Password { user, password }))
        }
        Ok(DockerCredential::IdentityToken(token)) => Ok(Some(Credentials::IdentityToken(token))),
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(None),
        Err(error) => Err(Problem::Entry { key: key.to_owned(), reason: error.to_string() }),
    }
}

/// The content of a file; nothing where there is none. Nobody who holds the other end of a FIFO is waited for.
fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Vec::new()),
        Err(errno) => return Err(Problem::Unreadable(errno)),
    };
    let mut text = Vec::new();
    let read = file.take(FILE_MAX + 1).read_to_end(&mut text);
    read.map_err(|error| Problem::Unreadable(errno_of(&error)))?;
    if text.len() as u64 > FILE_MAX { Err(Problem::TooLarge(FILE_MAX)) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)]) -> Vec<PathBuf> {
        files(&|name| {
            let variable = variables.iter().find(|(own, _)| *own == name);
            variable.map(|(_, value)| PathBuf::from(value))
        })
    }

    #[test]
    fn files_are_looked_for_where_the_tools_leave_them() {
        let all = [("REGISTRY_AUTH_FILE", "/f"), ("XDG_RUNTIME_DIR", "/r"), ("HOME", "/h")];
        let paths = |texts: &[&str]| texts.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(found(&all), paths(&["/f", "/h/.docker/config.json"]));
        let usual = [
            "/r/containers/auth.json",
            "/h/.config/containers/auth.json",
            "/h/.docker/config.json",
        ];
        assert_eq!(found(&all[1..]), paths(&usual));
        let moved = [all[1], ("XDG_CONFIG_HOME", "/c"), ("DOCKER_CONFIG", "/d"), all[2]];
        let moved_to = ["/r/containers/auth.json", "/c/containers/auth.json", "/d/config.json"];
        assert_eq!(found(&moved), paths(&moved_to));
        assert!(found(&[])[0].starts_with("/run/containers"));
    }

    #[test]
    fn what_cannot_be_used_is_told_without_a_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("auth.json");
        let of = |text: &str| {
            std::fs::write(&path, text).unwrap();
            in_file(&path, &["r"], Duration::from_secs(1))
        };
        assert_eq!(in_file(&dir.path().join("none"), &["r"], Duration::ZERO), Ok(None));
        for nothing in
            ["", "\n", "{}", r#"{"auths":{}}"#, r#"{"auths":{"r":{}},"credHelpers":null}"#]
        {
            assert_eq!(of(nothing), Ok(None), "{nothing}");
        }
        let wrong = ["{", "[]", r#"{"auths":{"r":{"auth":"s3cret!"}}}"#, r#"{"auths":"s3cret"}"#];
        for wrong in wrong.into_iter().chain([r#"{"auths":{"r":{"auth":"czNjcmV0"}}}"#]) {
            let problem = of(wrong).expect_err(wrong).to_string();
            assert!(!problem.contains("s3cret") && !problem.contains("czNj"), "{problem}");
        }
        assert!(of(r#"{"credsStore":"../x"}"#).unwrap_err().to_string().contains("name"));
        assert_eq!(
            in_file(dir.path(), &["r"], Duration::ZERO),
            Err(Problem::Unreadable(Errno::ISDIR))
        );
        assert!(matches!(read(Path::new("/dev/zero")), Err(Problem::TooLarge(_))));
    }

    #[test]
    fn an_entry_is_a_password_or_a_token() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("auth.json");
        // `me:secret`, with a helper for all that is not asked.
        let text = r#"{"auths":{"r":{"auth":"bWU6c2VjcmV0"},"t":{"identitytoken":"T"}},"credsStore":"none"}"#;
        std::fs::write(&path, text).unwrap();
        let of = |key| in_file(&path, &[key], Duration::from_secs(1)).unwrap();
        let (user, password) = ("me".to_owned(), "secret".to_owned());
        assert_eq!(of("r"), Some(Credentials::Password { user, password }));
        assert_eq!(of("t"), Some(Credentials::IdentityToken("T".to_owned())));
    }
}
