//! Credentials that `podman login` and `docker login` left behind.
//!
//! Kernel objects: files, and a credential helper's process if one is configured. Invariant: a file that is not there is
//! no error; one that cannot be used is.

use docker_credential::{
    CredentialRetrievalError, DockerCredential, get_credential, get_podman_credential,
};

use super::options::Credentials;
use super::trouble::Trouble;

/// The name under which Docker notes its own registry.
const DOCKER_KEY: &str = "https://index.docker.io/v1/";

/// A place where credentials are noted.
type Place = (&'static str, fn(&str) -> Result<DockerCredential, CredentialRetrievalError>);

/// Podman's file first, as the tools do.
const PLACES: [Place; 2] =
    [("auth.json", get_podman_credential), ("~/.docker/config.json", get_credential)];

/// What is noted for a registry, if anything.
pub(super) fn find(registry: &str) -> Result<Option<Credentials>, Trouble> {
    let keys: &[&str] = if registry == crate::reference::DEFAULT_REGISTRY {
        &[registry, DOCKER_KEY]
    } else {
        &[registry]
    };
    for (source_name, read) in PLACES {
        for key in keys {
            match read(key) {
                Ok(DockerCredential::UsernamePassword(user, password)) => {
                    return Ok(Some(Credentials::Password { user, password }));
                }
                Ok(DockerCredential::IdentityToken(token)) => {
                    return Ok(Some(Credentials::IdentityToken(token)));
                }
                Err(error) if is_absence(&error) => {}
                Err(error) => {
                    let reason = error.to_string();
                    return Err(Trouble::Credentials { source_name, reason });
                }
            }
        }
    }
    Ok(None)
}

/// Whether an error says only that there is nothing.
fn is_absence(error: &CredentialRetrievalError) -> bool {
    match error {
        CredentialRetrievalError::ConfigNotFound
        | CredentialRetrievalError::ConfigReadError
        | CredentialRetrievalError::NoCredentialConfigured => true,
        // What helpers say of a registry that they do not know.
        CredentialRetrievalError::HelperFailure { stdout, .. } => {
            stdout.contains("credentials not found")
        }
        _ => false,
    }
}
