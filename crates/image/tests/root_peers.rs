//! Images that umoci, skopeo and buildah wrote, read by us; images that we wrote, read by skopeo,
//! umoci and podman.

use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use ampoule_image::destination::{
    DockerArchiveWriter, LayoutArchiveWriter, LayoutWriter, RootDirectory, RootTar, copy,
};
use ampoule_image::diff::Diff;
use ampoule_image::source::{DockerArchive, Layout, Source};
use ampoule_image::store::{Layer, Patience, Unpacker};
use ampoule_image::unpack::{Devices, Ownership, Unpack};
use ampoule_image::{
    Choice, Configuration, Destination, ErrorKind, Image, LayerState, NewImage, Platform, Pull,
    Reference, Store,
};

fn name(text: &str) -> Reference {
    text.parse().expect(text)
}

/// A directory in memory, and other tools that run in it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir_in("/dev/shm").expect("directory"));
        // podman's locks are in /dev/shm otherwise, and stay there.
        let config = "[engine]\nlock_type = \"file\"\n";
        fs::write(place.at("containers.conf"), config).expect("configuration");
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a shell script; returns what it says.
    fn run(&self, script: &str) -> String {
        let mut shell = Command::new("sh");
        shell.args(["-ec", script]).current_dir(self.0.path());
        shell.env("CONTAINERS_CONF", self.at("containers.conf"));
        let output = shell.output().expect("sh");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {said}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// A layout of umoci's with two layers: files of every kind, and whiteouts.
    fn layout(&self) {
        self.run(
            "mkdir -p one/dir one/opaque two/opaque
             echo first > one/file; ln one/file one/dir/hard; ln -s ../file one/dir/link
             mknod one/null c 1 3; mkfifo one/fifo; echo lower > one/opaque/lower
             chown 5:6 one/file; chmod 4711 one/file
             echo upper > two/opaque/upper; touch two/opaque/.wh..wh..opq two/.wh.file
             truncate -s 1M two/zeros
             tar --xattrs --numeric-owner -cf one.tar -C one .
             tar --numeric-owner -cf two.tar -C two .
             umoci init --layout L
             umoci new --image L:x
             umoci raw add-layer --image L:x one.tar
             umoci raw add-layer --image L:x two.tar
             umoci config --image L:x --config.cmd sh --config.env A=b --config.user 7:8
             umoci gc --layout L",
        );
    }

    fn store(&self, name: &str) -> Store {
        Store::open(self.at(name)).expect("store")
    }
}

/// The two unpacked layers of [`Place::layout`].
fn check_layers(layers: &[Layer]) {
    let [one, two] = layers else { panic!("{layers:?}") };
    let file = fs::metadata(one.path().join("file")).expect("file");
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777, file.nlink()), (5, 6, 0o4711, 2));
    assert_eq!(fs::read_link(one.path().join("dir/link")).expect("link"), Path::new("../file"));
    let null = fs::symlink_metadata(one.path().join("null")).expect("device");
    assert!(null.file_type().is_char_device());
    let gone = fs::symlink_metadata(two.path().join("file")).expect("whiteout");
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    assert_eq!(fs::metadata(two.path().join("zeros")).expect("zeros").len(), 1 << 20);
}

fn pull(store: &Store, source: &dyn Source, tag: &str) -> Image {
    let unpack = Unpack::default();
    store.pull(source, &name(tag), &Pull::new().unpack(&unpack)).expect("pull")
}

#[test]
fn what_others_wrote() {
    let place = Place::new();
    place.layout();
    place.run(
        "skopeo --insecure-policy copy -q oci:L:x docker-archive:docker.tar:team/x:1
         skopeo --insecure-policy copy -q oci:L:x oci-archive:oci.tar:x
         skopeo --insecure-policy copy -q --dest-compress-format zstd oci:L:x oci:Z:x
         tar -cf whole.tar -C L .",
    );
    let sources: Vec<(&str, Box<dyn Source>)> = vec![
        ("umoci", Box::new(Layout::directory(place.at("L"), Some("x")).expect("umoci"))),
        ("tar", Box::new(Layout::archive(place.at("whole.tar"), None).expect("tar"))),
        ("oci", Box::new(Layout::archive(place.at("oci.tar"), Some("x")).expect("oci"))),
        ("docker", {
            let archive = DockerArchive::open(place.at("docker.tar"), Some(&name("team/x:1")));
            Box::new(archive.expect("docker"))
        }),
    ];
    let shared = place.store("shared");
    for (at, (tag, source)) in sources.iter().enumerate() {
        let own = place.store(tag);
        let image = pull(&own, &**source, tag);
        check_layers(&image.layers(&Unpack::default().form()).expect("layers"));
        let config = &image.config().config;
        assert_eq!(
            (config.user.as_deref(), config.env.as_slice()),
            (Some("7:8"), ["A=b".to_owned()].as_slice())
        );
        assert_eq!(own.verify().expect("verify").problems, Vec::new());
        let seen = std::sync::Mutex::new(Vec::new());
        let watch = |event: &ampoule_image::Event| seen.lock().expect("seen").push(event.state);
        let unpack = Unpack::default();
        let how = Pull::new().unpack(&unpack).progress(&watch);
        shared.pull(&**source, &name(tag), &how).expect("pull");
        let unpacked = seen.into_inner().expect("seen").contains(&LayerState::Unpacking);
        assert_eq!(unpacked, at == 0, "{tag}: layers are unpacked once");
    }
    let verified = shared.verify().expect("verify");
    assert_eq!((verified.references, verified.layers, verified.problems), (4, 2, Vec::new()));
    let zstd = Layout::directory(place.at("Z"), None).expect("zstd");
    shared.pull(&zstd, &name("zstd"), &Pull::new()).expect("pull");
    assert_eq!(shared.verify().expect("verify").problems, Vec::new());
}

#[test]
fn what_buildah_wrote() {
    let place = Place::new();
    place.run(
        "b='buildah --root '$PWD'/storage --runroot '$PWD'/run --storage-driver vfs'
         mkdir files && echo hello > files/greeting
         c=$($b from scratch)
         $b copy -q $c files /srv
         $b config --entrypoint '[\"/bin/x\"]' --label a=b --onbuild 'RUN true' --port 80 $c
         $b commit -q --format oci $c oci-archive:$PWD/oci.tar:x
         $b commit -q --format docker $c docker-archive:$PWD/docker.tar:y:1
         $b rm $c > /dev/null",
    );
    let store = place.store("store");
    let archive = Layout::archive(place.at("oci.tar"), None).expect("oci");
    let image = pull(&store, &archive, "x");
    let layers = image.layers(&Unpack::default().form()).expect("layers");
    let greeting = layers.last().expect("a layer").path().join("srv/greeting");
    assert_eq!(fs::read_to_string(greeting).expect("greeting"), "hello\n");
    assert_eq!(image.config().config.entrypoint, Some(vec!["/bin/x".to_owned()]));
    assert!(image.config().config.exposed_ports.iter().any(|port| port.starts_with("80")));
    let archive = DockerArchive::open(place.at("docker.tar"), None).expect("docker");
    assert_eq!(archive.names(), [name("y:1")]);
    let image = pull(&store, &archive, "y");
    assert_eq!(image.config().config.on_build, ["RUN true"]);
    assert_eq!(image.config().config.labels.get("a").map(String::as_str), Some("b"));
    assert_eq!(store.verify().expect("verify").problems, Vec::new());
}

#[test]
fn what_podman_wrote() {
    let place = Place::new();
    place.layout();
    place.run(
        "skopeo --insecure-policy copy -q oci:L:x docker-archive:docker.tar:localhost/base:1
         p='podman --root '$PWD'/storage --runroot '$PWD'/run --tmpdir '$PWD'/tmp --storage-driver vfs'
         $p load -q -i docker.tar > /dev/null; echo podman > greeting
         c=$($p create --net none localhost/base:1); $p cp greeting $c:/opaque/greeting
         $p commit -q --change 'LABEL a=b' $c localhost/new:1 > /dev/null; $p rm $c > /dev/null
         $p save -q --format docker-archive -o saved-docker.tar localhost/new:1
         $p save -q --format oci-archive -o saved-oci.tar localhost/new:1
         $p save -q --format oci-dir -o saved-dir localhost/new:1; $p rmi -f -a > /dev/null",
    );
    let docker = DockerArchive::open(place.at("saved-docker.tar"), None).expect("docker");
    assert_eq!(docker.names(), [name("localhost/new:1")]);
    let sources: [(&str, Box<dyn Source>); 3] = [
        ("docker", Box::new(docker)),
        ("oci", Box::new(Layout::archive(place.at("saved-oci.tar"), None).expect("oci"))),
        ("dir", Box::new(Layout::directory(place.at("saved-dir"), None).expect("dir"))),
    ];
    let store = place.store("store");
    for (tag, source) in sources {
        let image = pull(&store, &*source, tag);
        let layers = image.layers(&Unpack::default().form()).expect("layers");
        check_layers(&layers[..2]);
        let greeting = layers.last().expect("a layer").path().join("opaque/greeting");
        assert_eq!(fs::read_to_string(greeting).expect("greeting"), "podman\n", "{tag}");
        let config = &image.config().config;
        assert_eq!(config.labels.get("a").map(String::as_str), Some("b"), "{tag}");
        assert_eq!(config.user.as_deref(), Some("7:8"), "{tag}");
    }
    let verified = store.verify().expect("verify");
    assert_eq!((verified.references, verified.problems), (3, Vec::new()));
}

fn save(image: &Image, destination: &mut dyn Destination, tag: &str) {
    copy(image, destination, Some(&name(tag)), &Choice::Host, &()).expect("copy");
}

#[test]
fn what_we_wrote() {
    let place = Place::new();
    place.layout();
    let store = place.store("store");
    let image = pull(&store, &Layout::directory(place.at("L"), None).expect("layout"), "x:1");
    save(&image, &mut LayoutWriter::open(place.at("O")).expect("layout"), "x:1");
    save(&image, &mut LayoutArchiveWriter::create(place.at("o.tar")).expect("archive"), "x:1");
    save(&image, &mut DockerArchiveWriter::create(place.at("d.tar")).expect("archive"), "x:1");
    let digest = image.descriptor().digest.to_string();
    for from in ["oci:O:1", "oci-archive:o.tar:1"] {
        let said = place.run(&format!("skopeo inspect --format '{{{{.Digest}}}}' {from}"));
        assert_eq!(said.trim(), digest);
    }
    let configs = ["oci:O:1", "oci-archive:o.tar:1", "docker-archive:d.tar:x:1"].map(|from| {
        place.run("rm -rf copied");
        place.run(&format!("skopeo --insecure-policy copy -q {from} oci:copied:x"));
        place.run("skopeo inspect --config --raw oci:copied:x").trim().to_owned()
    });
    assert!(configs.iter().all(|config| *config == configs[0]), "{configs:?}");
    assert!(configs[0].contains("\"A=b\""), "{}", configs[0]);
    place.run("umoci unpack --image O:1 B; test -u B/rootfs/dir/hard; test ! -e B/rootfs/file");
    assert_eq!(place.run("ls B/rootfs/opaque"), "upper\n");
    let podman =
        "podman --root $PWD/storage --runroot $PWD/run --tmpdir $PWD/tmp --storage-driver vfs";
    for archive in ["d.tar", "o.tar"] {
        place.run(&format!("{podman} load -q -i {archive}"));
        let said =
            place.run(&format!("{podman} image inspect --format '{{{{.RootFS.Layers}}}}' x:1"));
        for diff_id in &image.config().rootfs.diff_ids {
            assert!(said.contains(&diff_id.to_string()), "{archive}: {said}");
        }
        place.run(&format!("{podman} rmi -f -a > /dev/null"));
    }
}

#[test]
fn layers_in_use_are_not_collected() {
    let place = Place::new();
    place.layout();
    let store = place.store("store");
    let image = pull(&store, &Layout::directory(place.at("L"), None).expect("layout"), "x");
    let mut layers = image.layers(&Unpack::default().form()).expect("layers");
    drop(image);
    store.remove(&name("x")).expect("remove");
    drop(layers.remove(0));
    // Children of other tests hold copies of the locks until they execute their program.
    let collected = store.gc(Patience::Wait).expect("gc");
    assert_eq!((collected.layers, collected.in_use), (1, 1));
    assert!(layers[0].path().join("zeros").exists());
    drop(layers);
    assert_eq!(store.gc(Patience::Wait).expect("gc").layers, 1);
    assert_eq!(store.usage().expect("usage").layers, store_is_empty(&store));
}

/// What the directories of an empty store take.
fn store_is_empty(store: &Store) -> u64 {
    let empty = tempfile::tempdir_in(store.path().parent().expect("parent")).expect("directory");
    Store::open(empty.path()).expect("store").usage().expect("usage").layers
}

#[test]
fn a_root_directory_and_back() {
    let place = Place::new();
    place.layout();
    let layout = Layout::directory(place.at("L"), None).expect("layout");
    let unpack = Unpack::default();
    let mut root = RootDirectory::create(place.at("R"), &unpack).expect("directory");
    copy(&layout, &mut root, None, &Choice::Host, &()).expect("unpack");
    let error = RootDirectory::create(place.at("R"), &unpack).expect_err("full");
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    place.run("umoci unpack --image L:x B");
    let tree = "(find . -type d -printf 'd %m %U %G %P\\n'
         find . ! -type d -printf '%y %m %U %G %s %n %l %P\\n') | LC_ALL=C sort";
    assert_eq!(place.run(&format!("cd R; {tree}")), place.run(&format!("cd B/rootfs; {tree}")));
    place.run("tar --numeric-owner -czf root.tgz -C R .");
    let store = place.store("store");
    let tgz = || fs::File::open(place.at("root.tgz")).expect("tar");
    let (imported, other) = (name("imported"), name("other"));
    let config = Configuration::new(Platform::host());
    let new = NewImage::from_scratch(config.clone(), &imported).created_by("by hand");
    let image = store.import(&new, tgz()).expect("import");
    let layers = store.unpack(&image, &unpack, &()).expect("unpack");
    assert_eq!(
        place.run(&format!("cd {}; {tree}", layers[0].path().display())),
        place.run(&format!("cd R; {tree}"))
    );
    save(&image, &mut LayoutWriter::open(place.at("O")).expect("layout"), "i:1");
    assert!(place.run("skopeo inspect --config oci:O:1").contains("by hand"));
    let new = NewImage::from_scratch(config, &other);
    let error = store.import(&new, tgz().take(300)).expect_err("cut");
    assert_eq!(error.kind(), ErrorKind::InvalidArchive);
    let error = store.import(&new, b"junk".as_slice()).expect_err("junk");
    assert_eq!(error.kind(), ErrorKind::InvalidArchive);
    assert_eq!(store.list().expect("list").len(), 1);
    assert_eq!(fs::read_dir(store.path().join("pending")).expect("pending").count(), 0);
}

#[test]
fn forms_are_kept_apart() {
    let place = Place::new();
    place.layout();
    let store = place.store("store");
    let image = pull(&store, &Layout::directory(place.at("L"), None).expect("layout"), "x");
    let mut single = Unpack::default();
    single.ownership = Ownership::Single;
    single.devices = Devices::Skip;
    let error = image.layers(&single.form()).expect_err("not in this form");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let layers = store.unpack(&image, &single, &()).expect("unpack");
    assert!(!layers[0].path().join("null").exists(), "devices are passed over");
    let real = image.layers(&Unpack::default().form()).expect("layers");
    assert!(real[0].path().join("null").exists());
    let verified = store.verify().expect("verify");
    assert_eq!((verified.layers, verified.problems), (4, Vec::new()));
    drop((image, real));
    store.remove(&name("x")).expect("remove");
    // Children of other tests hold copies of the locks until they execute their program.
    let collected = store.gc(Patience::Wait).expect("gc");
    assert_eq!((collected.layers, collected.in_use), (2, 2));
}

#[test]
fn commits_are_what_others_see() {
    let place = Place::new();
    place.layout();
    let store = place.store("store");
    let image = pull(&store, &Layout::directory(place.at("L"), None).expect("layout"), "x");
    place.run("mkdir -p U/dir; echo new > U/dir/new; mknod U/zeros c 0 0; chown 9:9 U/dir/new");
    let upper = fs::File::open(place.at("U")).expect("upper");
    let mut diff = Diff::default();
    diff.source_date_epoch = Some(1_000_000_000);
    let reference = name("committed:1");
    let new = || {
        NewImage::on(&image, &reference)
            .configure(|config| config.config.working_dir = Some("/dir".to_owned()))
            .created("2001-09-09T01:46:40Z")
            .created_by("sh -c 'echo new'")
    };
    let made = store.commit(&new(), upper.as_fd(), &diff).expect("commit");
    assert_eq!((made.manifest().layers.len(), made.config().history.len()), (3, 4));
    let again = store.commit(&new(), upper.as_fd(), &diff).expect("commit");
    assert_eq!(again.descriptor(), made.descriptor(), "the same image every time");
    save(&made, &mut LayoutWriter::open(place.at("O")).expect("layout"), "committed:1");
    place.run("umoci unpack --image O:1 B; test ! -e B/rootfs/zeros; cat B/rootfs/dir/new");
    let (unpack, plain) = (Unpack::default(), Diff::default());
    let mut tar = RootTar::create(place.at("root.tar.gz"), &unpack, &plain).expect("tar");
    copy(&made, &mut tar, None, &Choice::Host, &()).expect("copy");
    drop(tar);
    let script =
        "mkdir T; tar --numeric-owner -xpf root.tar.gz -C T; ls; cd T; cat dir/new; ls -n dir/new";
    let said = place.run(script);
    assert!(said.contains("new\n") && said.contains(" 9 9 "), "{said}");
    assert!(!said.contains("pending"), "{said}");
    let tree = |at: &str| {
        place.run(&format!("cd {at}; find . ! -type d -printf '%y %m %U %G %s %l %P\\n' | sort"))
    };
    assert_eq!(tree("T"), tree("B/rootfs"));
    assert_eq!(store.verify().expect("verify").problems, Vec::new());
}
