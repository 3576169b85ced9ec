//! Builds in a store whose files belong to whom the images say, and with a single id.
//!
//! Kernel objects: as in [`super::owned_images`]. Invariant: the store is collected in the end.

use std::fs;

use ampoule::image::build::{Build, BuildEvent, ImageBuilder, Outcome as Step};
use ampoule::image::containerfile::{Containerfile, RunNetwork};
use ampoule::image::{ErrorKind as ImageError, Image};
use ampoule::{Container, ContainerWorkshop};

use super::images::{name, stocked};
use super::owned_images::{LOOK, Owned, SEEN, layer, one_file};
use super::printed;
use crate::oracle::fixture::{self, Rootfs};

/// Files of several owners are made, read from directories that the caller may not enter, and put into such ones.
const FILE: &str = "\
FROM localhost/owned:1 AS base
RUN mkdir -m 700 /srv/made /srv/made/in && echo made > /srv/made/in/file && chmod 600 /srv/made/in/file && \
    ln -s in/file /srv/made/link && chown -R -h 33:42 /srv/made
FROM localhost/owned:1
COPY --from=base --chown=1000:42 /srv/made /copied
COPY --from=base /srv/made/in/f* /plain/
COPY app/one /srv/secret/inner/one
COPY --chown=1000:42 --chmod=4750 app/main.sh /srv/closed/
COPY --chown=65535 app /srv/last/new/app/
ADD archive.tar /srv/archive/
WORKDIR /srv/secret/work
USER 33:33
RUN id -u > ../who && stat -c '%n %u:%g %a' .. .
";

const STAT: &str = "stat -c '%n %u:%g %a' /copied /copied/in /copied/in/file /copied/link /plain /plain/file \
    /srv/secret /srv/secret/inner /srv/secret/inner/one /srv/closed /srv/closed/main.sh /srv/last /srv/last/new/app \
    /srv/last/new/app/one /srv/secret/work /srv/secret/who; cat /copied/link /plain/file /srv/secret/inner/one";

const MADE: &str = "\
/copied 1000:42 700
/copied/in 1000:42 700
/copied/in/file 1000:42 600
/copied/link 1000:42 777
/plain 0:0 755
/plain/file 0:0 600
/srv/secret 33:33 700
/srv/secret/inner 1000:42 2700
/srv/secret/inner/one 0:0 644
/srv/closed 0:0 0
/srv/closed/main.sh 1000:42 4750
/srv/last 65535:65535 1777
/srv/last/new/app 65535:65535 755
/srv/last/new/app/one 65535:65535 644
/srv/secret/work 0:0 755
/srv/secret/who 33:33 644
made
made
1
";

fn context() -> Rootfs {
    let context = fixture::empty_rootfs()
        .with_file("app/main.sh", "#!/bin/sh\n", 0o755)
        .with_file("app/one", "1\n", 0o644);
    fs::write(context.path().join("archive.tar"), layer()).expect("written");
    context
}

fn build(owned: &Owned, context: &Rootfs, text: &str) -> (ampoule::image::Result<Image>, usize) {
    let file = Containerfile::parse(text).expect("it parses");
    let from_cache = std::sync::atomic::AtomicUsize::new(0);
    let events = |event: &BuildEvent<'_>| {
        if *event == BuildEvent::Done(Step::FromCache) {
            from_cache.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    };
    let workshop = ContainerWorkshop::new();
    let build = Build::new(&owned.store, &workshop).context(context.path()).events(&events);
    let image = build.network(RunNetwork::None).run(&file, &name("localhost/built:1"));
    (image, from_cache.into_inner())
}

fn shown(image: &Image, script: &str) -> String {
    let command = Container::from_image(image).user("0".parse().expect("a user"));
    printed(command.command("/bin/sh").args(["-c", script]).output().expect("it runs"))
}

pub(crate) fn a_build_gives_files_their_owners() {
    let (owned, context) = (Owned::new(), context());
    let (image, from_cache) = build(&owned, &context, FILE);
    let image = image.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(from_cache, 0);
    assert_eq!(shown(&image, STAT), MADE);
    assert_eq!(shown(&image, &LOOK.replace("cd /srv", "cd /srv/archive/srv")), SEEN);
    // What the image had is as it was, but for the links that the new names are.
    let kept = "stat -c '%n %u:%g %a' /srv/secret/file /srv/set-id /srv/capable";
    let kept = shown(&image, kept);
    assert_eq!(kept, "/srv/secret/file 33:33 600\n/srv/set-id 33:42 6755\n/srv/capable 0:42 755\n");
    let first = image.descriptor().digest;
    let (again, from_cache) = build(&owned, &context, FILE);
    assert_eq!(from_cache, 9, "nothing is done again");
    assert_eq!(again.expect("an image").config().rootfs, image.config().rootfs, "{first}");
    assert_eq!(owned.store.verify().expect("looked at").problems, []);
    let left = fs::read_dir(owned.store.path().join("pending")).expect("pending").count();
    assert_eq!(left, 0, "nothing is left behind");
}

pub(crate) fn a_recipe_gives_files_their_owners() {
    let (owned, context) = (Owned::new(), context());
    let recipe = ImageBuilder::from("localhost/owned:1")
        .copy(["app/one"], "/srv/secret/one")
        .run(["/bin/sh", "-c", "chown 33:42 /srv/secret/one && chmod 400 /srv/secret/one"])
        .user("33:42")
        .cmd(["/bin/cat", "/srv/roots"]);
    let workshop = ContainerWorkshop::new();
    let build = Build::new(&owned.store, &workshop).context(context.path());
    let image = build.run(&recipe.finish(), &name("localhost/recipe:1")).expect("an image");
    let seen = shown(&image, "stat -c '%u:%g %a' /srv/secret/one /srv/secret");
    assert_eq!(seen, "33:42 400\n33:33 700\n");
    let status = Container::from_image(&image).default_command().status().expect("it runs");
    assert!(!status.success(), "root's file is not readable for user 33");
}

pub(crate) fn a_build_that_asks_for_other_ids_says_so() {
    let (owned, context) = (Owned::new(), context());
    for (text, kind, words) in [
        ("COPY --chown=3000000 app /x", ImageError::NotMapped, "user 3000000"),
        ("COPY --chown=nobody-here app /x", ImageError::Workshop, "nobody-here"),
        ("RUN chown 3000000 /srv/file", ImageError::CommandFailed, "line 2"),
    ] {
        let (image, _) = build(&owned, &context, &format!("FROM localhost/owned:1\n{text}"));
        let error = image.expect_err(text);
        assert_eq!(error.kind(), kind, "{text}: {error}");
        assert!(error.to_string().contains(words), "{text}: {error}");
    }
    let left = fs::read_dir(owned.store.path().join("pending")).expect("pending").count();
    assert_eq!(left, 0, "nothing is left behind");
}

/// With one id an owner is kept in an attribute, and stands in the layer.
pub(crate) fn an_owner_that_nobody_has_is_kept() {
    let (stocked, context) = (stocked(|_| {}), context());
    fs::write(context.path().join("one.tar"), one_file(33)).expect("written");
    let text =
        "FROM localhost/base:1\nCOPY --chown=33:42 --chmod=640 app/one /srv/one\nADD one.tar /a/";
    let file = Containerfile::parse(text).expect("it parses");
    let workshop = ContainerWorkshop::new();
    let build = Build::new(&stocked.store, &workshop).context(context.path());
    let image = build.run(&file, &name("localhost/single:1")).unwrap_or_else(|e| panic!("{e}"));
    let layers = image.layers(&ampoule::image::store::Unpacker::form(&stocked.store.suited()));
    let layers = layers.expect("layers");
    let kept = |layer: usize, path: &str| {
        let mut value = [0; 64];
        let path = layers[layer].path().join(path);
        let len = rustix::fs::getxattr(path, "user.containers.override_stat", &mut value[..]);
        String::from_utf8_lossy(&value[..len.expect("an attribute")]).into_owned()
    };
    assert_eq!(kept(1, "srv/one"), "33:42:0640:file");
    assert_eq!(kept(2, "a/file"), "33:0:0600:file");
}

/// What the image's directories belong to does not matter for what is mounted below them.
pub(crate) fn mounts_are_seen_where_files_have_owners() {
    let (owned, context) = (Owned::new(), context());
    let text = "FROM localhost/owned:1 AS base\nFROM localhost/owned:1\n\
                RUN --mount=target=/ctx --mount=type=cache,target=/cache,mode=1777 \
                --mount=from=base,source=/srv,target=/stage \
                --mount=type=tmpfs,target=/made/memory \
                test $(stat -c %u:%g /ctx/app/one) = 0:0 && test $(stat -c %u:%g /stage/secret/file) = 33:33 && echo 1 > /cache/one && \
                chown 33:42 /cache/one && touch /made/memory/x\n\
                USER 33:42\n\
                RUN --mount=type=cache,target=/cache cat /cache/one && echo 2 > /cache/one";
    let (image, _) = build(&owned, &context, text);
    let image = image.unwrap_or_else(|error| panic!("{error}"));
    let seen =
        shown(&image, "ls -A / | grep -e ctx -e cache -e stage -e made; ls -A /srv/secret/inner");
    assert_eq!(seen, "file\n");
    let text = "FROM localhost/owned:1 AS base\nFROM localhost/owned:1\n\
                RUN --mount=from=base,source=/srv/secret,target=/stage true";
    let error = build(&owned, &context, text).0.expect_err("not readable from outside");
    assert_eq!(error.kind(), ImageError::Unsupported, "{error}");
    assert_eq!(owned.store.prune_run_caches().expect("pruned"), 1);
    assert_eq!(owned.store.verify().expect("looked at").problems, []);
}
