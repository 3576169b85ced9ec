//! Containers from images, images from containers, and builds.
//!
//! Kernel objects: a store of the test's own; those of the containers. Invariant: a store stays whole.

use std::fs;
use std::os::fd::AsFd;
use std::sync::Mutex;

use ampoule::image::build::{Build, BuildEvent, Cache, ImageBuilder, Outcome as Step};
use ampoule::image::containerfile::{Containerfile, Ignore, RunNetwork};
use ampoule::image::diff::Diff;
use ampoule::image::store::Patience;
use ampoule::image::unpack::{Ownership, Unpack, Whiteouts};
use ampoule::image::{
    Configuration, ErrorKind as ImageError, Image, NewImage, Platform, Reference, Store,
};
use ampoule::{Container, ContainerWorkshop, ErrorKind, Stage};
use tempfile::TempDir;

use super::{is_error, printed, read_until, refused};
use crate::oracle::fixture::{self, Rootfs};

/// A store with one image.
pub(crate) struct Stocked {
    pub(crate) store: Store,
    pub(crate) image: Image,
    _files: TempDir,
}

impl Stocked {
    pub(crate) fn new(store: Store, image: Image, files: TempDir) -> Self {
        Self { store, image, _files: files }
    }
}

pub(crate) fn name(text: &str) -> Reference {
    text.parse().expect("a reference")
}

/// A directory as an image.
pub(crate) fn import(
    store: &Store,
    root: &Rootfs,
    config: Configuration,
    name: &Reference,
) -> Image {
    let mut diff = Diff::default();
    diff.whiteouts = Whiteouts::Applied;
    if !rustix::process::geteuid().is_root() {
        diff.ownership = Ownership::Single;
    }
    let directory = fs::File::open(root.path()).expect("the root");
    let new = NewImage::from_scratch(config, name).created("2026-01-01T00:00:00Z");
    let image = store.commit(&new, directory.as_fd(), &diff).expect("an image");
    store.unpack(&image, &store.suited(), &()).expect("unpacked");
    image
}

/// The usual root as the image `localhost/base:1`.
pub(crate) fn stocked(change: impl FnOnce(&mut Configuration)) -> Stocked {
    let files = fixture::directory("store");
    let store = Store::open(files.path().join("store")).expect("a store");
    let mut config = Configuration::new(Platform::host());
    change(&mut config);
    let root = fixture::rootfs().with_file("data/kept", "kept\n", 0o644);
    let image = import(&store, &root, config, &name("localhost/base:1"));
    Stocked { store, image, _files: files }
}

fn texts<const N: usize>(words: [&str; N]) -> Option<Vec<String>> {
    Some(words.map(str::to_owned).into())
}

pub(crate) fn an_image_runs_as_it_says() {
    let stocked = stocked(|config| {
        config.config.entrypoint = texts(["/bin/sh", "-c"]);
        config.config.cmd =
            texts(["echo $GREETING; pwd; id -u; cat /data/kept; touch /data/new && ls /data"]);
        config.config.env = vec!["GREETING=hello world".to_owned()];
        config.config.working_dir = Some("/srv/made".to_owned());
        config.config.volumes = ["/data".to_owned()].into();
    });
    let out = Container::from_image(&stocked.image).default_command().output().expect("it runs");
    assert_eq!(printed(out), "hello world\n/srv/made\n0\nkept\nkept\nnew\n");
    let command = Container::from_image(&stocked.image)
        .env("GREETING", "mine")
        .default_command_with(["echo $GREETING; pwd"])
        .current_dir("/tmp");
    assert_eq!(printed(command.output().expect("it runs")), "mine\n/tmp\n");
    assert_eq!(stocked.store.verify().expect("looked at").problems, []);
}

pub(crate) fn the_user_of_an_image_is_looked_up_in_it() {
    let stocked = stocked(|config| {
        config.config.user = Some("0:extra".to_owned());
        config.config.cmd = texts(["id"]);
    });
    let out = Container::from_image(&stocked.image).default_command().output();
    // With a single id there is no other group.
    match out {
        Ok(out) => assert!(printed(out).contains("gid=2000(extra)")),
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::User | ErrorKind::IdMap), "{error}")
        }
    }
}

pub(crate) fn what_an_image_says_wrongly_is_told() {
    let stocked = stocked(|config| {
        config.config.user = Some("4294967296".to_owned());
        config.config.env = vec!["NONE".to_owned()];
        config.config.stop_signal = Some("SIGNONE".to_owned());
    });
    let error = refused(Container::from_image(&stocked.image).command("true").plan());
    is_error(&error, ErrorKind::InvalidSettings, Stage::Plan, &["NONE", "SIGNONE"]);
    let silent = self::stocked(|_| {});
    let error = refused(Container::from_image(&silent.image).default_command().plan());
    is_error(&error, ErrorKind::InvalidSettings, Stage::Plan, &["names no command", "command()"]);
    let [problem] = error.problems() else { panic!("{error}") };
    assert_eq!(problem.setting(), "default_command");
    let error = refused(
        Container::from_image(&silent.image).default_command_with(Vec::<String>::new()).plan(),
    );
    is_error(&error, ErrorKind::InvalidSettings, Stage::Plan, &["names no command"]);
    let error = refused(Container::host_view().default_command().plan());
    is_error(&error, ErrorKind::InvalidSettings, Stage::Plan, &["from an image", "from_image"]);
}

pub(crate) fn layers_are_held_by_the_plan() {
    let stocked = stocked(|_| {});
    let plan = Container::from_image(&stocked.image).command("/bin/true").plan().expect("a plan");
    let Stocked { store, image, _files } = stocked;
    let builder = Container::from_image(&image);
    drop(image);
    store.remove(&name("localhost/base:1")).expect("removed");
    store.gc(Patience::Wait).expect("collected");
    assert!(plan.launch().status().expect("it still runs").success());
    drop(plan);
    store.gc(Patience::Wait).expect("collected");
    let error = refused(builder.command("/bin/true").plan());
    is_error(&error, ErrorKind::Image, Stage::Plan, &["not unpacked"]);
}

pub(crate) fn what_a_container_wrote_becomes_an_image() {
    let stocked = stocked(|_| {});
    let script = "mkdir /srv; echo new > /srv/new; rm /data/kept; mkdir -p /a/b; ln -s b /a/c; echo ready; cat";
    let mut container = Container::from_image(&stocked.image)
        .command("/bin/sh")
        .args(["-c", script])
        .stdin(ampoule::Stdio::piped())
        .stdout(ampoule::Stdio::piped())
        .spawn()
        .expect("it starts");
    read_until(container.stdout.as_mut().expect("a pipe"), "ready\n");
    drop(container.stdin.take());
    container.wait().expect("it ends");
    let target = name("localhost/derived:1");
    let new = NewImage::on(&stocked.image, &target).created_by("a test");
    let derived = container.commit(&stocked.store, &new).expect("an image");
    assert_eq!(derived.config().rootfs.diff_ids.len(), 2);
    stocked.store.unpack(&derived, &Unpack::suited(), &()).expect("unpacked");
    let script = "cat /srv/new; ls -d /data/kept 2>&1; readlink /a/c; stat -c %u:%g /srv/new; ls -A /proc | head -1";
    let command = Container::from_image(&derived).command("/bin/sh").args(["-c", script]);
    let seen = printed(command.output().expect("it runs"));
    assert!(seen.starts_with("new\nls: /data/kept: No such file or directory\nb\n0:0\n"), "{seen}");
}

pub(crate) fn what_a_directory_keeps_becomes_an_image() {
    let stocked = stocked(|_| {});
    let kept = fixture::empty_rootfs();
    let mut container = Container::from_image(&stocked.image)
        .root(ampoule::Root::Persistent(kept.path().join("upper")))
        .command("/bin/sh")
        .args(["-c", "rm -r /data; mkdir /data; echo new > /data/new"])
        .spawn()
        .expect("it starts");
    assert!(container.wait().expect("it ends").success());
    let target = name("localhost/kept:1");
    let image = container.commit(&stocked.store, &NewImage::on(&stocked.image, &target));
    let image = image.expect("an image");
    stocked.store.unpack(&image, &Unpack::suited(), &()).expect("unpacked");
    let command = Container::from_image(&image).command("/bin/sh");
    let seen = command.args(["-c", "ls /data; stat -c %u:%g /data /data/new"]).output();
    assert_eq!(printed(seen.expect("it runs")), "new\n0:0\n0:0\n");
}

pub(crate) fn what_a_layer_hides_stays_hidden() {
    let stocked = stocked(|_| {});
    let upper = fixture::empty_rootfs().with_file("data/new", "new\n", 0o644);
    let opaque = upper.path().join("data");
    rustix::fs::setxattr(&opaque, "user.overlay.opaque", b"y", rustix::fs::XattrFlags::empty())
        .expect("an attribute");
    let mut diff = Diff::suited();
    diff.whiteouts = Whiteouts::User;
    let target = name("localhost/opaque:1");
    let new = NewImage::on(&stocked.image, &target);
    let upper = fs::File::open(upper.path()).expect("the upper directory");
    let image = stocked.store.commit(&new, upper.as_fd(), &diff).expect("an image");
    stocked.store.unpack(&image, &Unpack::suited(), &()).expect("unpacked");
    let see = |builder: ampoule::Builder| {
        let command = builder.command("/bin/sh").args(["-c", "ls /data; touch /data/x"]);
        let mut container = command.stdout(ampoule::Stdio::piped()).spawn().expect("it starts");
        let seen = read_until(container.stdout.as_mut().expect("a pipe"), "new\n");
        assert_eq!(seen, "new\n", "the lower layer's files are hidden");
        container.wait().expect("it ends");
        let changes = container.changes().expect("changes");
        let paths: Vec<_> = changes.iter().map(|change| change.path.as_path()).collect();
        assert_eq!(paths, [std::path::Path::new("/data/x")], "only the file is a change");
    };
    see(Container::from_image(&image));
    if rustix::process::geteuid().is_root() {
        see(Container::from_image(&image).share(ampoule::Namespace::User));
    }
}

/// A directory to copy from.
fn context() -> Rootfs {
    fixture::empty_rootfs()
        .with_file("app/main.sh", "#!/bin/sh\necho main\n", 0o755)
        .with_file("app/data/one", "1\n", 0o644)
        .with_file("app/secret", "secret\n", 0o600)
        .with_symlink("app/link", "data/one")
}

/// Is told what happens.
type Events<'a> = dyn Fn(&BuildEvent<'_>) + Sync + 'a;

/// What happened at each step.
fn steps(build: impl Fn(&Events<'_>)) -> Vec<Step> {
    let seen = Mutex::new(Vec::new());
    build(&|event| {
        if let BuildEvent::Done(outcome) = event {
            seen.lock().expect("the list").push(*outcome);
        }
    });
    seen.into_inner().expect("the list")
}

const FILE: &str = "\
FROM localhost/base:1 AS tools
RUN mkdir -p /out && echo made > /out/tool && touch -d '2020-01-01 00:00:00' /out/old
FROM localhost/base:1
ARG VERSION=1
ENV APP=/srv/app VERSION=$VERSION
WORKDIR $APP
COPY --chmod=750 app/ ./
COPY --from=tools /out/* /opt/
COPY <<name /srv/inline
version $VERSION
name
RUN rm /data/kept && echo $VERSION > version && id -u > /srv/user && test ! -e secret
LABEL version=$VERSION
CMD [\"/bin/sh\", \"-c\", \"./main.sh; cat version data/one link /opt/tool /srv/inline; ls /data\"]
";

pub(crate) fn a_file_is_built_and_runs() {
    let (stocked, context) = (stocked(|_| {}), context());
    let file = Containerfile::parse(FILE).expect("it parses");
    let workshop = ContainerWorkshop::new();
    let ignore = Ignore::parse("**/secret").expect("patterns");
    let target = name("localhost/app:1");
    let build = |epoch: u64, cache, events: &Events<'_>| {
        let build = Build::new(&stocked.store, &workshop).context(context.path());
        let build = build.ignore(ignore.clone()).argument("VERSION", "7").network(RunNetwork::None);
        let image = build.source_date_epoch(epoch).cache(cache).events(events).run(&file, &target);
        image.unwrap_or_else(|error| panic!("{error}"))
    };
    let first = steps(|events| drop(build(1_700_000_000, Cache::Used, events)));
    assert_eq!(first.iter().filter(|step| **step == Step::FromCache).count(), 0, "{first:?}");
    let again = steps(|events| drop(build(1_700_000_000, Cache::Used, events)));
    assert_eq!(again.iter().filter(|step| **step == Step::FromCache).count(), 6, "{again:?}");
    let image = stocked.store.image(&target).expect("the image");
    let anew = build(1_700_000_000, Cache::Passed, &|_| {});
    assert_eq!(anew.descriptor().digest, image.descriptor().digest, "built again, it is the same");
    let out = Container::from_image(&image).default_command().output().expect("it runs");
    assert_eq!(printed(out), "main\n7\n1\n1\nmade\nversion 7\n");
    assert_eq!(image.config().config.labels["version"], "7");
    let script = "stat -c '%a %u:%g' main.sh; stat -c %Y /opt/old; cat /srv/user; ls -A / /etc";
    let command = Container::from_image(&image).command("/bin/sh").args(["-c", script]);
    let seen = printed(command.output().expect("it runs"));
    assert!(seen.starts_with("750 0:0\n1577836800\n0\n"), "{seen}");
    assert!(!seen.contains("resolv.conf"), "{seen}");
    assert!(stocked.store.prune_build_cache().expect("pruned") > 0);
    assert_eq!(stocked.store.verify().expect("looked at").problems, []);
}

pub(crate) fn a_recipe_in_rust_is_built() {
    let (stocked, context) = (stocked(|_| {}), context());
    let recipe = ImageBuilder::from("localhost/base:1")
        .env("NAME", "$not a variable")
        .run(["/bin/sh", "-c", "mkdir /srv && echo \"$NAME\" > /srv/name"])
        .copy(["app/data"], "/srv/data")
        .workdir("/srv")
        .expose("80-81/tcp")
        .entrypoint(["cat"])
        .cmd(["name", "data/one"]);
    let workshop = ContainerWorkshop::new();
    let build = Build::new(&stocked.store, &workshop).context(context.path());
    let image = build.run(&recipe.finish(), &name("localhost/rust:1")).expect("an image");
    let out = Container::from_image(&image).default_command().output().expect("it runs");
    assert_eq!(printed(out), "$not a variable\n1\n");
    assert_eq!(image.config().config.exposed_ports.len(), 2);
    let history: Vec<_> = image.config().history.iter().map(|one| one.empty_layer).collect();
    assert_eq!(history.iter().filter(|empty| !**empty).count(), image.manifest().layers.len());
}

pub(crate) fn an_image_from_scratch_is_built() {
    let (stocked, context) = (stocked(|_| {}), fixture::rootfs());
    let recipe = ImageBuilder::from("scratch").copy(["."], "/").cmd(["/bin/echo", "from scratch"]);
    let workshop = ContainerWorkshop::new();
    let build = Build::new(&stocked.store, &workshop).context(context.path());
    let image = build.run(&recipe.finish(), &name("localhost/scratch:1")).expect("an image");
    assert_eq!(image.manifest().layers.len(), 1);
    let out = Container::from_image(&image).default_command().output().expect("it runs");
    assert_eq!(printed(out), "from scratch\n");
}

pub(crate) fn a_build_that_fails_says_where() {
    let (stocked, context) = (stocked(|_| {}), context());
    let workshop = ContainerWorkshop::new();
    let target = name("localhost/failed:1");
    for (text, kind, words) in [
        ("RUN exit 3", ImageError::CommandFailed, "line 2, RUN exit 3"),
        ("COPY absent /", ImageError::NotFound, "absent"),
        ("COPY ../../etc/passwd /x", ImageError::NotFound, "passwd"),
        ("COPY --from=none:1 /x /x", ImageError::NotFound, "none"),
        ("COPY --from=5 /x /x", ImageError::InvalidContainerfile, "5"),
        ("ENV a=${b:?needed}", ImageError::InvalidContainerfile, "needed"),
        ("EXPOSE 70000", ImageError::InvalidContainerfile, "70000"),
        ("USER nobody-here\nRUN true", ImageError::Workshop, "nobody-here"),
        ("RUN /no/such/program", ImageError::CommandFailed, "127"),
        ("RUN [\"/no/such/program\"]", ImageError::Workshop, "/no/such/program"),
    ] {
        let file = Containerfile::parse(&format!("FROM localhost/base:1\n{text}")).expect(text);
        let build = Build::new(&stocked.store, &workshop).context(context.path());
        let error = build.run(&file, &target).expect_err(text);
        assert_eq!(error.kind(), kind, "{text}: {error}");
        assert!(error.to_string().contains(words), "{text}: {error}");
        assert!(stocked.store.image(&target).is_err(), "{text}");
    }
    assert_eq!(stocked.store.verify().expect("looked at").problems, []);
    let left = fs::read_dir(stocked.store.path().join("pending")).expect("pending").count();
    assert_eq!(left, 0, "nothing is left behind");
}
