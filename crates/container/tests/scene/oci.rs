//! Bundles to look at: what `runc spec` and Podman write, with one property changed.
//!
//! Kernel objects: those of the container. Invariant: a property is looked at from inside, or in the kernel's files about
//! the payload.

use ampoule::oci::Config;
use ampoule::oci::spec::Document;
use ampoule::{Error, ErrorKind, Output};
use serde_json::{Value, json};

use crate::oracle::fixture::{self, Rootfs};
use crate::scene::{printed, refused};

/// What `runc spec` writes.
pub(crate) const RUNC: &str = include_str!("../../../spec/tests/bundles/runc.json");
/// What Podman writes.
pub(crate) const PODMAN: &str = include_str!("../../../spec/tests/bundles/podman.json");

/// A bundle: its root, and its configuration.
pub(crate) struct Bundled {
    pub(crate) root: Rootfs,
    pub(crate) json: Value,
}

/// The bundle of `runc spec` without terminal, for this shell script.
pub(crate) fn bundle(script: &str) -> Bundled {
    let root = fixture::rootfs();
    let json = serde_json::from_str(RUNC).expect("JSON");
    let bundled = Bundled { root, json }.with("/process/terminal", json!(false));
    bundled.with("/process/args", json!(["/bin/sh", "-c", script]))
}

impl Bundled {
    /// With a value at this place (RFC 6901), which its parent has or gets; `-` is behind the end of a list.
    pub(crate) fn with(mut self, pointer: &str, value: Value) -> Self {
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
        match self.json.pointer_mut(parent).expect("a parent") {
            Value::Object(object) => drop(object.insert(name.to_owned(), value)),
            Value::Array(list) if name == "-" => list.push(value),
            Value::Array(list) => list[name.parse::<usize>().expect("a number")] = value,
            other => panic!("{other} has nothing in it"),
        }
        self
    }

    /// With one more mount.
    pub(crate) fn mount(self, target: &str, kind: &str, source: &str, options: &[&str]) -> Self {
        self.with(
            "/mounts/-",
            json!({"destination": target, "type": kind, "source": source, "options": options}),
        )
    }

    /// With the namespaces of these types, and the mount namespace.
    pub(crate) fn namespaces(self, kinds: &[&str]) -> Self {
        let kinds = kinds.iter().chain(&["mount"]);
        self.with("/linux/namespaces", kinds.map(|kind| json!({"type": kind})).collect())
    }

    pub(crate) fn config(&self) -> Result<Config, Error> {
        let mut json = self.json.clone();
        json["root"]["path"] = json!(self.root.path());
        let document = Document::parse(json.to_string().as_bytes()).expect("a document");
        Config::from_document(&document, self.root.path())
    }

    #[track_caller]
    pub(crate) fn run(&self) -> Output {
        let config = self.config().unwrap_or_else(|error| panic!("{error}"));
        config.into_command().output().unwrap_or_else(|error| panic!("{error}"))
    }

    /// What the script prints; it must succeed.
    #[track_caller]
    pub(crate) fn print(&self) -> String {
        printed(self.run())
    }

    /// The places that are refused.
    #[track_caller]
    pub(crate) fn refused(&self) -> Vec<String> {
        let error = refused(self.config());
        assert_eq!(error.kind(), ErrorKind::InvalidSettings);
        error.problems().iter().map(|problem| problem.setting().to_owned()).collect()
    }
}
