//! Fields that the types do not know are kept, listed, and written back where they belong; properties that a runtime
//! does not honour are named.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use ampoule_spec::{Document, oci};
use serde_json::{Value, json};

fn document() -> Document {
    let config = json!({
        "ociVersion": "1.3.0",
        "root": {"path": "rootfs", "vendor": {"a": [1, 2.5, null]}},
        "mounts": [
            {"destination": "/a", "type": "tmpfs"},
            {"destination": "/b", "type": "tmpfs", "x-b": true},
            {"destination": "/c", "type": "tmpfs", "x-c": true},
        ],
        "uidMappings": [{"containerID": 0, "hostID": 0, "size": 1}],
        "linux": {"namespaces": [{"type": "pid", "x": "y"}]},
        "later": null,
    });
    Document::parse(config.to_string().as_bytes()).unwrap()
}

fn written(document: &Document) -> Value {
    serde_json::from_str(&document.to_json().unwrap()).unwrap()
}

#[test]
fn they_are_listed() {
    let document = document();
    let list: Vec<_> =
        document.unknown().into_iter().map(|it| format!("{} = {}", it.path, it.json)).collect();
    assert_eq!(
        list,
        [
            "later = null",
            "uidMappings = [{\"containerID\":0,\"hostID\":0,\"size\":1}]",
            "linux.namespaces[0].x = \"y\"",
            "mounts[1][\"x-b\"] = true",
            "mounts[2][\"x-c\"] = true",
            "root.vendor = {\"a\":[1,2.5,null]}",
        ]
    );
}

#[test]
fn they_are_written_back() {
    let document = document();
    let value = written(&document);
    assert_eq!(value["root"]["vendor"], json!({"a": [1, 2.5, null]}));
    assert_eq!(value["later"], Value::Null);
    assert!(value.as_object().unwrap().contains_key("later"));
    let again = Document::parse(document.to_json().unwrap().as_bytes()).unwrap();
    assert_eq!(again, document);
}

#[test]
fn they_move_with_their_element() {
    let mut document = document();
    let mounts = document.spec_mut().mounts_mut().as_mut().unwrap();
    mounts.remove(0);
    mounts.swap(0, 1);
    let mut new = oci::Mount::default();
    new.set_destination("/new".into()).set_typ(Some("proc".to_owned()));
    mounts.push(new);
    assert_eq!(
        written(&document)["mounts"],
        json!([
            {"destination": "/c", "type": "tmpfs", "x-c": true},
            {"destination": "/b", "type": "tmpfs", "x-b": true},
            {"destination": "/new", "type": "proc"},
        ])
    );
}

#[test]
fn a_changed_element_keeps_them_and_a_removed_one_takes_them_away() {
    let mut document = document();
    let mounts = document.spec_mut().mounts_mut().as_mut().unwrap();
    mounts[1].set_options(Some(vec!["ro".to_owned()]));
    mounts.remove(2);
    document.spec_mut().set_root(None);
    let value = written(&document);
    assert_eq!(value["mounts"][1]["x-b"], json!(true));
    assert!(!value.to_string().contains("x-c"));
    assert!(!value.to_string().contains("vendor"));
}

#[test]
fn what_a_runtime_does_not_honour_is_named() {
    let document = Document::parse(include_bytes!("bundles/every-property.json")).unwrap();
    let beyond = |supported: &[&str]| -> Vec<String> {
        let paths = document.not_among(supported).unwrap();
        paths.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        beyond(&[]),
        [
            "annotations",
            "domainname",
            "hooks",
            "hostname",
            "linux",
            "mounts",
            "ociVersion",
            "process",
            "root",
        ]
    );
    let most = [
        "annotations",
        "domainname",
        "hooks.poststop",
        "hostname",
        "ociVersion",
        "process",
        "root",
        "mounts[].destination",
        "mounts[].type",
        "mounts[].source",
        "mounts[].options",
        "linux.namespaces[].type",
        "linux.resources.memory.limit",
        "linux.resources.pids",
        "linux.seccompx",
        "linux.sysctl",
    ];
    let found = beyond(&most);
    for named in [
        "hooks.createContainer",
        "mounts[1].uidMappings",
        "mounts[1].gidMappings",
        "linux.namespaces[1].path",
        "linux.resources.memory.swap",
        "linux.resources.cpu",
        "linux.seccomp",
        "linux.intelRdt",
    ] {
        assert!(found.iter().any(|path| path == named), "{named}: {found:?}");
    }
    for honoured in ["linux.sysctl", "linux.resources.memory.limit", "mounts[1].options", "process"]
    {
        assert!(!found.iter().any(|path| path.starts_with(honoured)), "{honoured}: {found:?}");
    }
}
