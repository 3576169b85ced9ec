//! How registries are reached, from a command line.
//!
//! Kernel objects: connections while an image goes over them. Invariant: without the feature `registry` there are none,
//! and the error says so.

use ampoule::image::{Choice, Image, Progress, Pull, Reference, Source, Store};

use crate::arguments::Failure;

/// What the command line says of registries.
#[derive(Clone, Debug, Default)]
pub struct Access {
    #[cfg(feature = "registry")]
    options: ampoule::image::registry::Options,
}

/// What `--help` says of [`Access::take`].
pub const HELP: &str = "\
  --plain-http          registries without encryption; this machine's are reached so anyway
  --creds USER:PASS     who asks; otherwise whoever `podman login` or `docker login` has noted
  --ca FILE             trust the authority in this PEM file, and no other
";

#[cfg(feature = "registry")]
impl Access {
    /// Takes an option of these; whether it was one.
    ///
    /// # Errors
    /// A value that cannot be.
    pub fn take(&mut self, name: &str, from: &mut lexopt::Parser) -> Result<bool, Failure> {
        use ampoule::image::registry::{Credentials, Login, Scheme};
        use lexopt::ValueExt as _;
        match name {
            "plain-http" => self.options.scheme = Scheme::Http,
            "creds" => {
                let text = from.value()?.string()?;
                let (user, password) = text.split_once(':').ok_or("--creds takes USER:PASS")?;
                let (user, password) = (user.to_owned(), password.to_owned());
                self.options.credentials = Login::With(Credentials::Password { user, password });
            }
            "ca" => {
                let path = from.value()?;
                let read = std::fs::read(&path);
                let read = read.map_err(|error| format!("{}: {error}", path.display()))?;
                self.options.authorities.push(read);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Pulls from a registry.
    ///
    /// # Errors
    /// As [`Store::pull`].
    pub fn pull(
        &self,
        store: &Store,
        reference: &Reference,
        name: &Reference,
        how: &Pull<'_>,
    ) -> Result<Image, ampoule::image::Error> {
        use ampoule::image::registry::{Registry, RegistryImage};
        let registry = Registry::new(reference.registry(), &self.options)?;
        store.pull(&RegistryImage::new(&registry, reference), name, how)
    }

    pub(super) fn push(
        &self,
        image: &dyn Source,
        reference: &Reference,
        choice: &Choice,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        use ampoule::image::registry::{Registry, RegistryWriter};
        let registry = Registry::new(reference.registry(), &self.options)?;
        let mut writer = RegistryWriter::new(&registry, reference);
        ampoule::image::copy(image, &mut writer, None, choice, progress)?;
        Ok(())
    }
}

#[cfg(not(feature = "registry"))]
const NONE: &str = "registries need the feature `registry`";

#[cfg(not(feature = "registry"))]
impl Access {
    /// Takes no option.
    ///
    /// # Errors
    /// None.
    pub fn take(&mut self, _: &str, _: &mut lexopt::Parser) -> Result<bool, Failure> {
        Ok(false)
    }

    /// Pulls nothing.
    ///
    /// # Errors
    /// Always.
    pub fn pull(
        &self,
        _: &Store,
        _: &Reference,
        _: &Reference,
        _: &Pull<'_>,
    ) -> Result<Image, Failure> {
        Err(NONE.into())
    }

    pub(super) fn push(
        &self,
        _: &dyn Source,
        _: &Reference,
        _: &Choice,
        _: &dyn Progress,
    ) -> Result<(), Failure> {
        Err(NONE.into())
    }
}
