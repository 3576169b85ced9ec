//! Documents: a new `config.json`, and what this runtime can do.

use std::path::Path;

use ampoule::oci::spec::{Bundle, CONFIG_JSON, defaults, features as written};
use ampoule_examples::arguments::{Failure, print};
use ampoule_examples::verbs::Call;

pub(crate) fn version() -> String {
    let (own, spec) = (env!("CARGO_PKG_VERSION"), ampoule::oci::spec::Version::NEWEST);
    format!("oci-runtime version {own}\nspec: {spec}\n")
}

/// Writes the configuration that others are made of.
pub(crate) fn spec(call: &Call) -> Result<(), Failure> {
    let directory = call.path("bundle").unwrap_or(Path::new("."));
    if directory.join(CONFIG_JSON).exists() {
        return Err(format!("{CONFIG_JSON} exists already, remove it first").into());
    }
    let document = match call.has("rootless") {
        false => defaults::rootful(),
        true => defaults::rootless(defaults::Caller {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }),
    };
    Ok(Bundle::new(directory, document).save()?)
}

pub(crate) fn features() -> Result<(), Failure> {
    print(&written::to_json(&ampoule::oci::features()?)?)
}
