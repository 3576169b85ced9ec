//! Debian's own registry on the loopback, with and without a password.
//!
//! Kernel objects: its process, a port, a directory. Invariant: the process ends with the value that started it.

mod served;

use std::io::Read;

use ampoule_image::registry::{
    Credentials, Login, Options, Push, Registry, RegistryImage, RegistryWriter,
};
use ampoule_image::{
    Choice, Configuration, Digest, Error, ErrorKind, Manifest, NewImage, Platform, Pull, Reference,
    Store, copy,
};
use served::serve;
use tempfile::TempDir;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn options(credentials: Login) -> Options {
    let mut options = Options::default();
    options.credentials = credentials;
    options
}

fn password(password: &str) -> Login {
    Login::With(Credentials::Password { user: "me".to_owned(), password: password.to_owned() })
}

fn blob() -> Vec<u8> {
    (0..2_500_000_u32).flat_map(u32::to_le_bytes).collect()
}

/// How a blob came to a registry.
#[derive(Debug, PartialEq)]
enum Way {
    AlreadyThere,
    Mounted,
    Sent,
}

fn push(
    registry: &Registry,
    repository: &str,
    bytes: &[u8],
    from: Option<&str>,
) -> Result<Way, Error> {
    match registry.push_blob(repository, &Digest::of(bytes), from)? {
        Push::AlreadyThere => Ok(Way::AlreadyThere),
        Push::Mounted => Ok(Way::Mounted),
        Push::Send(mut upload) => {
            for chunk in bytes.chunks(1_000_000) {
                upload.send(chunk)?;
            }
            upload.commit().map(|()| Way::Sent)
        }
        other => panic!("{other:?}"),
    }
}

/// Pushes an image of one layer and reads it back.
fn round_trip(registry: &Registry, address: &str) -> Result<(), Error> {
    let layer = blob();
    let config = b"{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}";
    let describe = |media_type: &str, bytes: &[u8]| {
        let digest = Digest::of(bytes);
        format!(
            "{{\"mediaType\":\"{media_type}\",\"digest\":\"{digest}\",\"size\":{}}}",
            bytes.len()
        )
    };
    assert_eq!(push(registry, "team/app", &layer, None)?, Way::Sent);
    assert_eq!(push(registry, "team/app", &layer, None)?, Way::AlreadyThere);
    assert_eq!(push(registry, "team/other", &layer, Some("team/app"))?, Way::Mounted);
    assert_eq!(push(registry, "team/app", config, None)?, Way::Sent);
    let manifest = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{MANIFEST}\",\"config\":{},\"layers\":[{}]}}",
        describe("application/vnd.oci.image.config.v1+json", config),
        describe("application/vnd.oci.image.layer.v1.tar", &layer),
    );
    let reference: Reference = format!("{address}/team/app:1.0").parse()?;
    registry.push_manifest(&reference, MANIFEST, manifest.as_bytes())?;
    let fetched = registry.manifest(&reference)?;
    assert_eq!(
        (fetched.bytes.as_slice(), fetched.media_type.as_str()),
        (manifest.as_bytes(), MANIFEST)
    );
    let by_digest = registry.manifest(&reference.with_digest(fetched.digest))?;
    assert_eq!(by_digest, fetched);
    let mut read = Vec::new();
    let mut reader = registry.blob("team/app", &Digest::of(&layer), layer.len() as u64)?;
    reader.read_to_end(&mut read).expect("the whole blob");
    assert!(read == layer);
    assert_eq!(registry.tags("team/app")?, ["1.0"]);
    let absent = registry.manifest(&reference.with_tag("absent")?).expect_err("absent");
    assert_eq!(absent.kind(), ErrorKind::NotFound);
    let absent = registry.blob("team/app", &Digest::of(b"absent"), 6).expect_err("absent");
    assert_eq!(absent.kind(), ErrorKind::NotFound);
    Ok(())
}

#[test]
fn what_is_pushed_is_pulled() {
    let server = serve(false);
    let registry = Registry::new(&server.address, &options(Login::Anonymous)).unwrap();
    round_trip(&registry, &server.address).unwrap();
}

#[test]
fn a_password_is_asked_for() {
    let server = serve(true);
    let registry = Registry::new(&server.address, &options(password("secret"))).unwrap();
    round_trip(&registry, &server.address).unwrap();
    let reference: Reference = format!("{}/team/app:1.0", server.address).parse().unwrap();
    for login in [Login::Anonymous, password("wrong")] {
        let registry = Registry::new(&server.address, &options(login)).unwrap();
        let error = registry.manifest(&reference).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
        assert!(!error.to_string().contains("wrong"), "{error}");
        assert!(error.hint().is_some());
    }
}

/// A store with one image of two layers, made by hand.
fn stocked(files: &TempDir, reference: &Reference) -> Result<Store, Error> {
    use ampoule_image::{Compression, MediaType};
    let store = Store::open(files.path().join("stocked"))?;
    let layers = [blob(), vec![7; 1000]];
    let kind = MediaType::Layer(Compression::Uncompressed);
    let descriptors: Vec<_> =
        layers.iter().map(|bytes| store.put(kind.clone(), bytes)).collect::<Result<_, _>>()?;
    let mut config = Configuration::new(Platform::host());
    config.rootfs.diff_ids = descriptors.iter().map(|layer| layer.digest).collect();
    let config = store.put(MediaType::Config, &config.to_bytes()?)?;
    let manifest = Manifest::new(config, descriptors).to_bytes()?;
    let manifest = store.put(MediaType::Manifest, &manifest)?;
    store.tag(&manifest, reference)?;
    Ok(store)
}

#[test]
fn an_image_goes_from_store_to_registry_to_store() {
    let server = serve(true);
    let files = tempfile::tempdir().unwrap();
    let reference: Reference = format!("{}/team/app:1", server.address).parse().unwrap();
    let image = stocked(&files, &reference).unwrap().image(&reference).unwrap();
    let registry = Registry::new(&server.address, &options(password("secret"))).unwrap();
    let mut writer = RegistryWriter::new(&registry, &reference);
    copy(&image, &mut writer, None, &Choice::Host, &()).unwrap();
    // A second time nothing is sent; from another repository blobs are taken over.
    let other: Reference = format!("{}/team/copy:2", server.address).parse().unwrap();
    let mut writer = RegistryWriter::new(&registry, &other).mount_from("team/app");
    copy(&image, &mut writer, None, &Choice::Host, &()).unwrap();
    let store = Store::open(files.path().join("pulled")).unwrap();
    for reference in [&reference, &other] {
        let source = RegistryImage::new(&registry, reference);
        let pulled = store.pull(&source, reference, &Pull::new()).unwrap();
        assert_eq!(pulled.descriptor().digest, image.descriptor().digest);
        assert_eq!(pulled.config(), image.config());
    }
    assert_eq!(store.verify().unwrap().problems, []);
}

/// A layer with one file.
fn layer(file: &str) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_size(file.len() as u64);
    header.set_mode(0o644);
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_data(&mut header, file, file.as_bytes()).expect("a member");
    builder.into_inner().expect("a layer")
}

#[test]
fn podman_pulls_what_is_pushed() {
    let server = serve(true);
    let files = tempfile::tempdir_in("/dev/shm").unwrap();
    let reference: Reference = format!("{}/team/app:1", server.address).parse().unwrap();
    let store = Store::open(files.path().join("store")).unwrap();
    let (base, config) = ("base".parse().unwrap(), Configuration::new(Platform::host()));
    let new = NewImage::from_scratch(config, &base);
    let image = store.import(&new, layer("lower").as_slice()).unwrap();
    let image = store.import(&NewImage::on(&image, &reference), layer("upper").as_slice()).unwrap();
    let registry = Registry::new(&server.address, &options(password("secret"))).unwrap();
    let mut writer = RegistryWriter::new(&registry, &reference);
    copy(&image, &mut writer, None, &Choice::Host, &()).unwrap();
    // Its locks are in /dev/shm otherwise, and stay there.
    std::fs::write(files.path().join("containers.conf"), "[engine]\nlock_type = \"file\"\n")
        .unwrap();
    let script = "p=\"podman --root $PWD/storage --runroot $PWD/run --tmpdir $PWD/tmp --storage-driver vfs\"
        $p pull -q --tls-verify=false --creds me:secret $0 > /dev/null
        $p image inspect --format '{{.RootFS.Layers}}' $0
        cd $($p image mount $0); cat lower upper; cd /; $p image umount -f $0 > /dev/null; $p rmi -f -a > /dev/null";
    let mut shell = std::process::Command::new("sh");
    shell.args(["-ec", script]).arg(reference.to_string()).current_dir(files.path());
    shell.env("CONTAINERS_CONF", files.path().join("containers.conf"));
    let output = shell.output().expect("sh");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for diff_id in &image.config().rootfs.diff_ids {
        assert!(said.contains(&diff_id.to_string()), "{said}");
    }
    assert!(said.ends_with("lowerupper"), "{said}");
}

#[test]
fn many_threads_share_a_registry() {
    let server = serve(true);
    let registry = Registry::new(&server.address, &options(password("secret"))).unwrap();
    std::thread::scope(|scope| {
        for number in 0..8_u8 {
            let registry = &registry;
            scope.spawn(move || {
                let bytes = vec![number; 300_000];
                let digest = Digest::of(&bytes);
                let repository = format!("team/app{number}");
                push(registry, &repository, &bytes, None).unwrap();
                let mut read = Vec::new();
                let mut blob = registry.blob(&repository, &digest, 300_000).unwrap();
                blob.read_to_end(&mut read).unwrap();
                assert!(read == bytes);
            });
        }
    });
}
