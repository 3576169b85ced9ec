//! One stage: the image as it is so far.
//!
//! Kernel objects: none. Invariant: there are as many layers as diff ids.

use super::trouble::Trouble;
use super::variables::Arguments;
use crate::config::{Configuration, History};
use crate::containerfile::{ProblemKind, Word};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::Result;
use crate::manifest::Manifest;
use crate::media_type::MediaType;
use crate::platform::Platform;
use crate::store::{Form, Image, Layer, Store};

/// What a stage has become.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub(super) config: Configuration,
    pub(super) layers: Vec<Descriptor>,
    pub(super) arguments: Arguments,
    /// Whether CMD stands in this very file.
    pub(super) cmd_is_own: bool,
}

impl Stage {
    /// An empty one.
    pub(super) fn scratch(platform: &Platform, arguments: Arguments) -> Self {
        let config = Configuration::new(platform.clone());
        Self { config, layers: Vec::new(), arguments, cmd_is_own: false }
    }

    /// One that goes on from an image.
    pub(super) fn of_image(image: &Image, arguments: Arguments) -> Self {
        let mut stage = Self::scratch(&Platform::host(), arguments);
        stage.take_over(image);
        stage
    }

    /// Becomes what an image is.
    pub(super) fn take_over(&mut self, image: &Image) {
        self.config = image.config().clone();
        self.layers = image.manifest().layers.iter().map(as_oci).collect();
    }

    /// A word's value at this place.
    pub(super) fn expand(&self, word: &Word) -> Result<String, ProblemKind> {
        word.expand(&|name| self.arguments.value(name, &self.config.config.env))
    }

    /// An absolute path, from the working directory on.
    pub(super) fn absolute(&self, path: &str) -> String {
        let dir = self.config.config.working_dir.as_deref().unwrap_or("/");
        match path.starts_with('/') {
            true => path.to_owned(),
            false => format!("{}/{path}", dir.trim_end_matches('/')),
        }
    }

    /// Notes how the next layer was made, or that none was.
    pub(super) fn note(&mut self, created: &str, by: &str, empty_layer: bool) {
        let (created, created_by) = (Some(created.to_owned()), Some(by.to_owned()));
        self.config.created.clone_from(&created);
        self.config.history.push(History {
            created,
            created_by,
            empty_layer,
            ..History::default()
        });
    }

    /// Its unpacked layers, held as long as the result lives.
    pub(super) fn open_layers(&self, store: &Store, form: &Form) -> Result<Vec<Layer>, Trouble> {
        let ids = self.config.rootfs.diff_ids.iter();
        let open = |id: &Digest| {
            store
                .layer(id, form)?
                .ok_or_else(|| Trouble::Inner(crate::error::Error::absent("unpacked layer", *id)))
        };
        ids.map(open).collect()
    }

    /// What later steps depend on: times left out, so that a build that was done again is the same.
    pub(super) fn identity(&self) -> Result<Digest> {
        let mut config = self.config.clone();
        config.created = None;
        config.history.iter_mut().for_each(|history| history.created = None);
        Ok(Digest::of(&config.to_bytes()?))
    }

    /// Puts it into the store as an image; nothing names it yet.
    pub(super) fn put(&self, store: &Store) -> Result<Descriptor> {
        let config = store.put(MediaType::Config, &self.config.to_bytes()?)?;
        let manifest = Manifest::new(config, self.layers.clone());
        store.put(MediaType::Manifest, &manifest.to_bytes()?)
    }
}

/// A layer as an OCI manifest names it; its bytes are the same in Docker's.
fn as_oci(layer: &Descriptor) -> Descriptor {
    let mut layer = layer.bare();
    if let Some(compression) = layer.media_type.compression() {
        layer.media_type = MediaType::Layer(compression);
    }
    layer
}
