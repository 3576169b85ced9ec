//! What programs of a build have of the host, what instructions leave in the configuration, and whose names are looked up.
//!
//! Kernel objects: a store of the test's own; those of the containers. Invariant: a build reads nothing of the host but what
//! its own files say.

use std::fs;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ampoule::image::build::{Build, BuildEvent};
use ampoule::image::containerfile::{Containerfile, RunNetwork};
use ampoule::image::{Configuration, Error, ErrorKind as ImageError, Image, Platform, Store};
use ampoule::{Container, ContainerWorkshop, Stdio};

use super::images::{Stocked, import, name, stocked};
use super::read_until;
use crate::oracle::fixture::{self, Rootfs};

/// A build of this text, and what its programs print.
fn build(
    store: &Store,
    context: &Rootfs,
    (text, target): (&str, &str),
    network: Option<RunNetwork>,
) -> (Result<Image, Error>, String) {
    let file = Containerfile::parse(text).unwrap_or_else(|wrong| panic!("{text}: {wrong:?}"));
    let output = Mutex::new(Vec::new());
    let events = |event: &BuildEvent<'_>| {
        if let BuildEvent::Output(bytes) = event {
            output.lock().expect("the output").extend_from_slice(bytes);
        }
    };
    let workshop = ContainerWorkshop::new();
    let mut build = Build::new(store, &workshop).context(context.path()).events(&events);
    if let Some(network) = network {
        build = build.network(network);
    }
    let image = build.run(&file, &name(target));
    let output = std::mem::take(&mut *output.lock().expect("the output"));
    let output = String::from_utf8(output).expect("text");
    (image, output)
}

/// What a program sees of the network: its namespace, how many lines there are of routes, and the files.
const NETWORK: &str = "readlink /proc/self/ns/net; grep -c . /proc/net/route; \
    for f in resolv.conf hosts; do (: > /etc/$f) 2>/dev/null && echo wrote $f; \
    mount -o remount,bind,rw /etc/$f 2>/dev/null && echo remounted $f; umount /etc/$f 2>/dev/null && echo bared $f; done; \
    echo end; cat /etc/resolv.conf 2>/dev/null; true";

pub(crate) fn programs_of_a_build_have_the_hosts_network_or_none() {
    let (stocked, context) = (stocked(|_| {}), fixture::empty_rootfs());
    let ours = fs::read_link("/proc/self/ns/net").expect("procfs").display().to_string();
    let host = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let before = [fs::read("/etc/resolv.conf").ok(), fs::read("/etc/hosts").ok()];
    let seen = |option: &str, network| {
        let text = format!("FROM localhost/base:1\nRUN {option} {NETWORK} # {network:?}");
        let (image, output) = build(&stocked.store, &context, (&text, "localhost/net:1"), network);
        image.unwrap_or_else(|error| panic!("{error}: {output}"));
        output
    };
    // As builders do, unless something else is said.
    for (option, network) in [
        ("", None),
        ("--network=default", Some(RunNetwork::Host)),
        ("--network=host", Some(RunNetwork::None)),
    ] {
        let output = seen(option, network);
        let (first, rest) = output.split_once('\n').expect("lines");
        assert_eq!(first, ours, "{option} {network:?}");
        let (_, rest) = rest.split_once('\n').expect("lines");
        let files = rest.strip_prefix("end\n");
        assert_eq!(files, Some(host.as_str()), "the host's, and nothing can be written: {output}");
    }
    for (option, network) in [
        ("", Some(RunNetwork::None)),
        ("--network=default", Some(RunNetwork::None)),
        ("--network=none", None),
    ] {
        let output = seen(option, network);
        let lines: Vec<&str> = output.lines().collect();
        assert_ne!(lines[0], ours, "{option} {network:?}");
        // The heading of the table, and of the host's names nothing.
        assert_eq!(lines[1], "1", "{output}");
        assert!(host.is_empty() || !output.contains(&host), "{output}");
    }
    assert_eq!([fs::read("/etc/resolv.conf").ok(), fs::read("/etc/hosts").ok()], before);
}

const SETTINGS: &str = "FROM localhost/base:1
HEALTHCHECK --interval=5s --timeout=2s --start-period=1m --retries=2 CMD test -e /data/kept
STOPSIGNAL SIGUSR1
ONBUILD RUN echo triggered > /triggered
ONBUILD ENV TRIGGERED=yes
ONBUILD COPY one /copied
EXPOSE 53/udp 80
VOLUME [\"/data\", \"/other\"]
LABEL a=1 b=\"x y\"
SHELL [\"/bin/sh\", \"-ec\"]
CMD trap 'exit 9' USR1; echo ready; while :; do sleep 0.02; done
";

pub(crate) fn instructions_reach_the_configuration() {
    let stocked = stocked(|_| {});
    let context = fixture::empty_rootfs().with_file("one", "1\n", 0o644);
    let built = |text: &str, target: &str| {
        let (image, output) = build(&stocked.store, &context, (text, target), None);
        image.unwrap_or_else(|error| panic!("{error}: {output}"))
    };
    let image = built(SETTINGS, "localhost/settings:1");
    let config = &image.config().config;
    let check = config.healthcheck.as_ref().expect("a check");
    assert_eq!(check.test, ["CMD-SHELL", "test -e /data/kept"]);
    let times = (check.interval, check.timeout, check.start_period, check.retries);
    let seconds = |seconds: u64| Some(seconds * 1_000_000_000);
    assert_eq!(times, (seconds(5), seconds(2), seconds(60), Some(2)));
    assert_eq!(config.stop_signal.as_deref(), Some("SIGUSR1"));
    let triggers = ["RUN echo triggered > /triggered", "ENV TRIGGERED=yes", "COPY one /copied"];
    assert_eq!(config.on_build, triggers);
    assert_eq!(config.exposed_ports.iter().collect::<Vec<_>>(), ["53/udp", "80/tcp"]);
    assert_eq!(config.volumes.iter().collect::<Vec<_>>(), ["/data", "/other"]);
    assert_eq!((config.labels["a"].as_str(), config.labels["b"].as_str()), ("1", "x y"));
    assert_eq!(
        config.cmd.as_deref().map(|cmd| &cmd[..2]),
        Some(&["/bin/sh".into(), "-ec".into()][..])
    );
    a_signal_of_the_image(&image);

    // What is built on it does what it left, first, and hands nothing of it on.
    let text = "FROM localhost/settings:1\nHEALTHCHECK NONE\n\
        RUN test \"$TRIGGERED\" = yes && cat /triggered /copied > /seen\nCMD cat /seen";
    let second = built(text, "localhost/second:1");
    let config = &second.config().config;
    assert!(config.on_build.is_empty());
    assert_eq!(
        config.healthcheck.as_ref().map(|check| check.test.as_slice()),
        Some(&["NONE".into()][..])
    );
    assert_eq!(config.shell, ["/bin/sh", "-ec"], "of the image below");
    let out = Container::from_image(&second).default_command().output().expect("it runs");
    assert_eq!(super::printed(out), "triggered\n1\n");
}

/// The signal that the image names ends its program.
fn a_signal_of_the_image(image: &Image) {
    let command = Container::from_image(image).default_command().stdout(Stdio::piped());
    let mut container = command.spawn().expect("it starts");
    read_until(container.stdout.as_mut().expect("a pipe"), "ready\n");
    let status = container.stop(Duration::from_secs(10)).expect("it ends");
    assert_eq!(status.code(), Some(9), "{status}");
}

/// A store with this root as the image `localhost/evil:1`.
fn evil(root: &Rootfs) -> Stocked {
    let files = fixture::directory("store");
    let store = Store::open(files.path().join("store")).expect("a store");
    let config = Configuration::new(Platform::host());
    let image = import(&store, root, config, &name("localhost/evil:1"));
    Stocked::new(store, image, files)
}

/// Files that a build must not read, and one that it must: where names of users stand.
pub(crate) fn names_of_a_build_are_looked_up_inside() {
    let canary = fixture::canary();
    // Who read these would find the name.
    let host = fixture::empty_rootfs()
        .with_file("passwd", "app:x:4242:4242::/:/bin/sh\n", 0o644)
        .with_file("group", "app:x:4242:\n", 0o644);
    let links = |target: &dyn Fn(&str) -> std::path::PathBuf| {
        fixture::rootfs()
            .with_symlink("etc/passwd", target("passwd"))
            .with_symlink("etc/group", target("group"))
    };
    let up = |file: &str| {
        let path = host.at(file);
        let below = path.strip_prefix("/").expect("an absolute path");
        std::path::Path::new("../../../../../../../../..").join(below)
    };
    let magic = |file: &str| std::path::Path::new("/proc/self/root").join(up(file));
    for (what, root) in [
        ("absolute", links(&|file| host.at(file))),
        ("up", links(&up)),
        ("magic", links(&magic)),
        ("secret", fixture::rootfs().with_user_links(canary.secret_file())),
        ("device", fixture::rootfs().with_user_links("/dev/zero")),
        ("loop", links(&|file| file.into())),
        ("directory", links(&|_| ".".into())),
        ("endless", fixture::rootfs().with_endless_users()),
        ("huge", fixture::rootfs().with_huge_users(5 << 20)),
    ] {
        refused(&evil(&root), what);
    }
    // A link that stays inside is followed.
    let inside = links(&|file| format!("../usr/{file}").into())
        .with_file("usr/passwd", "app:x:7:8::/:/bin/sh\n", 0o644)
        .with_file("usr/group", "app:x:8:\n", 0o644);
    let stocked = evil(&inside);
    let context = fixture::empty_rootfs().with_file("file", "x", 0o644);
    let text = "FROM localhost/evil:1\nCOPY --chown=app:app file /x";
    let (image, output) = build(&stocked.store, &context, (text, "localhost/new:1"), None);
    image.unwrap_or_else(|error| panic!("{error}: {output}"));
    canary.assert_untouched();
}

#[track_caller]
fn refused(stocked: &Stocked, what: &str) {
    let context = fixture::empty_rootfs().with_file("file", "x", 0o644);
    for line in ["COPY --chown=app file /x", "COPY --chown=0:app file /x", "USER app\nRUN id"] {
        let text = format!("FROM localhost/evil:1\n{line}");
        let begin = Instant::now();
        let (image, output) = build(&stocked.store, &context, (&text, "localhost/new:1"), None);
        let error = image.expect_err(what);
        assert_eq!(error.kind(), ImageError::Workshop, "{what}, {line}: {error}");
        assert!(!output.contains("4242") && !error.to_string().contains("4242"), "{what}: {error}");
        assert!(begin.elapsed() < Duration::from_secs(10), "{what}: {:?}", begin.elapsed());
    }
}
