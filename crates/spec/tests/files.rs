//! Bundles in directories, and configurations of images.

use ampoule_spec::{Bundle, CONFIG_JSON, ErrorKind, defaults, from_image_config};
use std::path::Path;

#[test]
fn a_bundle_is_saved_and_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let mut bundle = Bundle::new(directory.path(), defaults::rootful());
    bundle.save().unwrap();
    assert_eq!(Bundle::load(directory.path()).unwrap(), bundle);
    assert_eq!(bundle.root().unwrap(), directory.path().join("rootfs"));
    bundle.document_mut().spec_mut().set_hostname(None);
    bundle.save().unwrap();
    assert_eq!(Bundle::load(directory.path()).unwrap(), bundle);
    let names: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names, [CONFIG_JSON]);
}

#[test]
fn what_cannot_be_saved_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    // In the way: a directory is not replaced by a file.
    std::fs::create_dir(directory.path().join(CONFIG_JSON)).unwrap();
    let error = Bundle::new(directory.path(), defaults::rootful()).save().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::System);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    let error = Bundle::new(directory.path().join("x"), defaults::rootful()).save().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn what_is_no_file_is_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join(CONFIG_JSON);
    assert_eq!(Bundle::load(directory.path()).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(Bundle::load(directory.path()).unwrap_err().hint().is_some());
    rustix::fs::mknodat(rustix::fs::CWD, &config, rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    assert_eq!(Bundle::load(directory.path()).unwrap_err().kind(), ErrorKind::NotAFile);
    std::fs::remove_file(&config).unwrap();
    std::fs::create_dir(&config).unwrap();
    assert_eq!(Bundle::load(directory.path()).unwrap_err().kind(), ErrorKind::NotAFile);
    std::fs::remove_dir(&config).unwrap();
    std::fs::File::create(&config).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(Bundle::load(directory.path()).unwrap_err().kind(), ErrorKind::TooLarge);
}

const IMAGE: &str = r#"{
    "created": "2025-01-01T00:00:00Z", "author": "x", "architecture": "arm64", "variant": "v8", "os": "linux",
    "config": {
        "User": "33:44", "Env": ["PATH=/bin", "A=b"], "Entrypoint": ["/run"], "Cmd": ["-x"], "WorkingDir": "/srv",
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}}, "Volumes": {"/data": {}}, "StopSignal": "SIGQUIT",
        "Labels": {"k": "v", "org.opencontainers.image.author": "y"}
    },
    "rootfs": {"type": "layers", "diff_ids": []}
}"#;

#[test]
fn an_image_says_how_it_is_run() {
    let image = from_image_config(IMAGE.as_bytes()).unwrap();
    image.document.validate().unwrap();
    assert_eq!((image.user, image.volumes), (None, vec!["/data".into()]));
    let spec = image.document.spec();
    let process = spec.process().as_ref().unwrap();
    assert_eq!(process.args().as_ref().unwrap(), &["/run", "-x"]);
    assert_eq!(process.env().as_ref().unwrap(), &["PATH=/bin", "A=b"]);
    assert_eq!(process.cwd(), Path::new("/srv"));
    assert_eq!((process.user().uid(), process.user().gid()), (33, 44));
    let mut annotations: Vec<_> = spec.annotations().iter().flatten().collect();
    annotations.sort();
    let expected = [
        ("k", "v"),
        ("org.opencontainers.image.architecture", "arm64"),
        ("org.opencontainers.image.author", "y"),
        ("org.opencontainers.image.created", "2025-01-01T00:00:00Z"),
        ("org.opencontainers.image.exposedPorts", "53/udp,80/tcp"),
        ("org.opencontainers.image.os", "linux"),
        ("org.opencontainers.image.stopSignal", "SIGQUIT"),
        ("org.opencontainers.image.variant", "v8"),
    ];
    let found: Vec<_> =
        annotations.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(found, expected);
}

#[test]
fn users_of_images() {
    let with = |user: &str| from_image_config(IMAGE.replace("33:44", user).as_bytes());
    for (user, uid, resolve) in
        [("", 0, None), ("7", 7, Some("7")), ("www", 0, Some("www")), ("7:www", 7, Some("7:www"))]
    {
        let image = with(user).unwrap();
        let process = image.document.spec().process().as_ref().unwrap();
        assert_eq!((process.user().uid(), image.user.as_deref()), (uid, resolve), "{user}");
    }
    for user in ["4294967296", "4294967295", "0:99999999999", "00000000000000000000004294967296"] {
        let error = with(user).unwrap_err();
        assert_eq!(error.problems()[0].path.to_string(), "config.User", "{user}");
    }
}

#[test]
fn what_is_wrong_with_an_image() {
    let json = IMAGE.replace("[\"-x\"]", "7").replace("\"linux\"", "7");
    let error = from_image_config(json.as_bytes()).unwrap_err();
    let places: Vec<_> = error.problems().iter().map(|problem| problem.path.to_string()).collect();
    assert_eq!(places, ["config.Cmd", "os"]);
    let json = IMAGE.replace("\"Cmd\"", "\"entrypoint\": [], \"Cmd\"");
    assert!(from_image_config(json.as_bytes()).is_err());
}
