//! Configurations that runtimes and engines wrote are read, valid, and written back the same.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use ampoule_spec::{Document, defaults, features, oci};
use serde_json::Value;

const RUNC: &str = include_str!("bundles/runc.json");
const CRUN: &str = include_str!("bundles/crun.json");
const RUNC_ROOTLESS: &str = include_str!("bundles/runc-rootless.json");
const CRUN_ROOTLESS: &str = include_str!("bundles/crun-rootless.json");
const PODMAN: &str = include_str!("bundles/podman.json");
const EVERY_PROPERTY: &str = include_str!("bundles/every-property.json");

/// JSON in which the order of capabilities, which are a set, does not count.
fn value(json: &str) -> Value {
    let mut value: Value = serde_json::from_str(json).unwrap();
    if let Some(Value::Object(sets)) = value.pointer_mut("/process/capabilities") {
        for set in sets.values_mut() {
            set.as_array_mut().unwrap().sort_by_key(|name| name.as_str().unwrap().to_owned());
        }
    }
    value
}

#[test]
fn what_others_wrote_is_written_back() {
    for json in [RUNC, CRUN, RUNC_ROOTLESS, CRUN_ROOTLESS, PODMAN, EVERY_PROPERTY] {
        let document = Document::check(json.as_bytes()).unwrap();
        assert_eq!(document.unknown(), []);
        let written = document.to_json().unwrap();
        assert_eq!(value(&written), value(json));
        assert_eq!(Document::check(written.as_bytes()).unwrap(), document);
    }
}

/// Every field of the specification is in one of the types, so that nothing of it is only kept.
#[test]
fn the_types_know_every_property() {
    let document = Document::parse(EVERY_PROPERTY.as_bytes()).unwrap();
    let alone = Document::new(document.into_spec()).to_json().unwrap();
    assert_eq!(value(&alone), value(EVERY_PROPERTY));
}

/// The one place that is spelled otherwise by the types is spelled as the kernel does, and not otherwise.
#[test]
fn names_are_those_of_the_specification() {
    let wrong = EVERY_PROPERTY.replace("SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_D_L_OVERRUN");
    let error = Document::parse(wrong.as_bytes()).unwrap_err();
    let [problem] = error.problems() else { panic!("{error}") };
    assert_eq!(problem.path.to_string(), "process.scheduler.flags[2]");
    let wrong = EVERY_PROPERTY.replace("enableCMT", "enableCmt");
    assert!(Document::parse(wrong.as_bytes()).is_err(), "a field in another case");
}

/// `theirs` with what differs by intention: version, name, capabilities that no kernel takes, the cgroup namespace.
fn ours(theirs: &str) -> oci::Spec {
    let mut spec = Document::parse(theirs.as_bytes()).unwrap().into_spec();
    spec.set_version("1.3.0".to_owned()).set_hostname(Some("ampoule".to_owned()));
    let process = spec.process_mut().as_mut().unwrap();
    let mut capabilities = process.capabilities().clone().unwrap();
    capabilities.set_inheritable(None).set_ambient(None);
    process.set_capabilities(Some(capabilities));
    let mut cgroup = oci::LinuxNamespace::default();
    cgroup.set_typ(oci::LinuxNamespaceType::Cgroup);
    let linux = spec.linux_mut().as_mut().unwrap();
    let namespaces = linux.namespaces_mut().as_mut().unwrap();
    let user = |namespace: &oci::LinuxNamespace| namespace.typ() == oci::LinuxNamespaceType::User;
    let end = namespaces.iter().position(user).unwrap_or(namespaces.len());
    namespaces.insert(end, cgroup);
    spec
}

#[test]
fn defaults_are_those_of_runc_and_crun() {
    let rootful = defaults::rootful();
    rootful.validate().unwrap();
    assert_eq!(*rootful.spec(), ours(RUNC));
    assert_eq!(*rootful.spec(), ours(CRUN));
    let rootless = defaults::rootless(defaults::Caller { uid: 0, gid: 0 });
    rootless.validate().unwrap();
    assert_eq!(*rootless.spec(), ours(RUNC_ROOTLESS));
    let other = defaults::rootless(defaults::Caller { uid: 1000, gid: 100 });
    let linux = other.spec().linux().as_ref().unwrap();
    assert_eq!(linux.uid_mappings().as_ref().unwrap()[0].host_id(), 1000);
    assert_eq!(linux.gid_mappings().as_ref().unwrap()[0].host_id(), 100);
}

#[test]
fn features_of_a_runtime() {
    let json = include_str!("bundles/runc-features.json");
    let runc = features::parse(json.as_bytes()).unwrap();
    assert_eq!(value(&features::to_json(&runc).unwrap()), value(json));
    let known = features::known();
    let ours = known.mount_options().as_ref().unwrap();
    // Of an access control list, the specification knows nothing: it is data of the file system.
    let theirs = runc.mount_options().iter().flatten().filter(|name| !name.ends_with("acl"));
    let missing: Vec<_> = theirs.filter(|name| !ours.contains(name)).collect();
    assert_eq!(missing, Vec::<&String>::new());
    let written = features::to_json(&known).unwrap();
    assert_eq!(features::parse(written.as_bytes()).unwrap(), known);
    let error =
        features::parse(br#"{"ociVersionMin": 1, "linux": {"cgroup": {"v1": 2}}}"#).unwrap_err();
    let places: Vec<_> = error.problems().iter().map(|problem| problem.path.to_string()).collect();
    assert_eq!(places, ["linux.cgroup.v1", "ociVersionMin", "ociVersionMax"]);
}
