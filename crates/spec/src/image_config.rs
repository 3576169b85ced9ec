//! A runtime configuration from an image's (`conversion.md` of the image specification).
//!
//! Kernel objects: none. Invariant: nothing that the image says is dropped: what this cannot decide without the root
//! file system, or is no part of a runtime configuration, is handed back.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use oci_spec::image::{Config, ImageConfiguration};

use crate::document::Document;
use crate::error::{Error, Result};
use crate::fields::IMAGE_FIELDS;
use crate::path::JsonPath;
use crate::problem::{Excerpt, Expected, Flaw, Problem};
use crate::{defaults, read, shape};

/// What an image says about a container of it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FromImage {
    /// The configuration: [`defaults::rootful`] with the image's arguments, environment, directory and annotations.
    pub document: Document,
    /// `User`, where names have to be looked up in the root file system: everything but `uid:gid`. Until then the
    /// configuration has the number that was given, or 0.
    pub user: Option<String>,
    /// Directories that are to outlive a container, by name.
    pub volumes: Vec<PathBuf>,
}

/// A runtime configuration from the JSON of an image's.
///
/// # Errors
/// [`TooLarge`](crate::ErrorKind::TooLarge), [`Malformed`](crate::ErrorKind::Malformed);
/// [`Invalid`](crate::ErrorKind::Invalid) with every problem, by its place in the image's configuration.
pub fn from_image_config(bytes: &[u8]) -> Result<FromImage> {
    let typed = shape::typed::<ImageConfiguration>(read::read(bytes, IMAGE_FIELDS)?);
    let located = |mut problem: Problem| {
        problem.position = read::position(bytes, &problem.path);
        problem
    };
    let image = match (typed.value, typed.problems) {
        (Some(image), problems) if problems.is_empty() => image,
        (_, problems) => return Err(Error::invalid(problems.into_iter().map(located).collect())),
    };
    let config = image.config().clone().unwrap_or_default();
    let mut document = defaults::rootful();
    let user = match ids(config.user().as_deref().unwrap_or_default()) {
        Ok(user) => user,
        Err(flaw) => {
            let path = JsonPath::root().key("config").key("User");
            return Err(Error::invalid(vec![located(Problem { path, flaw, position: None })]));
        }
    };
    let spec = document.spec_mut();
    if let Some(process) = spec.process_mut() {
        let words = [config.entrypoint(), config.cmd()];
        process.set_args(Some(words.into_iter().flatten().flatten().cloned().collect()));
        if let Some(env) = config.env().clone().filter(|env| !env.is_empty()) {
            process.set_env(Some(env));
        }
        let directory = config.working_dir().as_deref().filter(|it| !it.is_empty());
        process.set_cwd(directory.unwrap_or("/").into());
        process.set_terminal(None);
        process.user_mut().set_uid(user.uid).set_gid(user.gid);
    }
    spec.set_annotations(Some(annotations(&image, &config)));
    let volumes: BTreeSet<_> = config.volumes().iter().flatten().map(PathBuf::from).collect();
    Ok(FromImage { document, user: user.to_resolve, volumes: volumes.into_iter().collect() })
}

struct Ids {
    uid: u32,
    gid: u32,
    to_resolve: Option<String>,
}

/// A number is never a name: one that is no id is refused.
fn ids(text: &str) -> Result<Ids, Flaw> {
    if text.is_empty() {
        return Ok(Ids { uid: 0, gid: 0, to_resolve: None });
    }
    let refused = || Flaw::NotA { found: Excerpt::of(text), expected: Expected::Ids };
    let (user, group) =
        text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let id = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse().ok().filter(|id| *id != u32::MAX).map(Some).ok_or_else(refused),
        false => Ok(None),
    };
    let (uid, gid) = (id(user)?, group.map(id).transpose()?.flatten());
    let is_decided = uid.is_some() && gid.is_some();
    let to_resolve = (!is_decided).then(|| text.to_owned());
    Ok(Ids { uid: uid.unwrap_or(0), gid: gid.unwrap_or(0), to_resolve })
}

/// Labels count more than what the specification makes of the other fields.
fn annotations(image: &ImageConfiguration, config: &Config) -> HashMap<String, String> {
    let ports: BTreeSet<_> = config.exposed_ports().iter().flatten().cloned().collect();
    let list = |texts: Vec<String>| Some(texts.join(",")).filter(|text| !text.is_empty());
    let fields = [
        ("os", Some(image.os().to_string())),
        ("architecture", Some(image.architecture().to_string())),
        ("variant", image.variant().clone()),
        ("os.version", image.os_version().clone()),
        ("os.features", list(image.os_features().clone().unwrap_or_default())),
        ("author", image.author().clone()),
        ("created", image.created().clone()),
        ("stopSignal", config.stop_signal().clone()),
        ("exposedPorts", list(ports.into_iter().collect())),
    ];
    let named = |(name, value): (&str, Option<String>)| {
        Some((format!("org.opencontainers.image.{name}"), value?))
    };
    let mut annotations: HashMap<_, _> = fields.into_iter().filter_map(named).collect();
    annotations.extend(config.labels().clone().unwrap_or_default());
    annotations
}
