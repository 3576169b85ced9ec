//! `RUN --mount`: what programs of a build see, and what stays of it.
//!
//! Kernel objects: a store of the test's own; those of the containers. Invariant: nothing of a mount is in a layer.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ampoule::ContainerWorkshop;
use ampoule::image::build::{Build, BuildEvent, ImageBuilder, Outcome as Step};
use ampoule::image::containerfile::{Containerfile, Ignore, RunMount, RunNetwork};
use ampoule::image::diff::Diff;
use ampoule::image::unpack::Unpack;
use ampoule::image::{Compression, Error, ErrorKind as ImageError, Image};

use super::image_layers::{members, names};
use super::images::{Stocked, name, stocked};
use crate::oracle::fixture::{self, Rootfs};

/// What a build gave, what its programs wrote, and how many steps were not done again.
struct Built {
    image: Result<Image, Error>,
    output: String,
    from_cache: usize,
}

/// A build of the image `localhost/base:1` and these instructions.
fn build(stocked: &Stocked, context: &Rootfs, text: &str, secret: Option<&str>) -> Built {
    let file = Containerfile::parse(&format!("FROM localhost/base:1 AS base\n{text}"));
    let file = file.unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
    run(stocked, context, &file, secret)
}

fn run(stocked: &Stocked, context: &Rootfs, file: &Containerfile, secret: Option<&str>) -> Built {
    let (output, from_cache) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
    let events = |event: &BuildEvent<'_>| match event {
        BuildEvent::Output(bytes) => output.lock().expect("the output").extend_from_slice(bytes),
        BuildEvent::Done(Step::FromCache) => drop(from_cache.fetch_add(1, Ordering::Relaxed)),
        _ => {}
    };
    let workshop = ContainerWorkshop::new();
    let mut diff = Diff::suited();
    diff.compression = Compression::Uncompressed;
    let unpack = Unpack::suited();
    let mut build = Build::new(&stocked.store, &workshop)
        .layers(&unpack, diff)
        .context(context.path())
        .ignore(Ignore::parse("**/hidden\nskipped").expect("patterns"))
        .network(RunNetwork::None)
        .events(&events);
    if let Some(bytes) = secret {
        build = build.secret("key", bytes);
    }
    let image = build.run(file, &name("localhost/mounts:1"));
    let output = std::mem::take(&mut *output.lock().expect("the output"));
    let output = String::from_utf8(output).expect("text");
    Built { image, output, from_cache: from_cache.load(Ordering::Relaxed) }
}

impl Built {
    fn image(&self) -> &Image {
        self.image.as_ref().unwrap_or_else(|error| panic!("{error}: {}", self.output))
    }
}

/// The members of the layer that the last instruction made.
fn layer(stocked: &Stocked, built: &Built) -> Vec<String> {
    let members = members(&stocked.store, built.image());
    names(&members).into_iter().map(str::to_owned).collect()
}

fn context() -> Rootfs {
    fixture::empty_rootfs()
        .with_file("src/main", "main\n", 0o644)
        .with_file("src/deep/hidden", "no\n", 0o644)
        .with_file("src/deep/seen", "yes\n", 0o644)
        .with_file("skipped/file", "no\n", 0o644)
        .with_symlink("link", "src/main")
}

/// Everything is below directories that were not there.
pub(crate) fn nothing_of_a_mount_is_in_the_layer() {
    let (stocked, context) = (stocked(|_| {}), context());
    let text = "RUN --mount=target=/made/context --mount=type=tmpfs,target=/made/memory \
                --mount=type=cache,target=/made/cache --mount=type=secret,id=key \
                --mount=type=bind,source=link,target=/data/deep/file \
                --mount=type=secret,id=key,target=/data/key \
                touch /made/memory/a /made/cache/b && cat /run/secrets/key > /dev/null && \
                test -e /data/kept && cat /data/deep/file && touch /new";
    let built = build(&stocked, &context, text, Some("secret"));
    assert_eq!(built.output, "main\n");
    assert_eq!(layer(&stocked, &built), ["new"]);
    let nothing = text.replace("touch /new", "true");
    let built = build(&stocked, &context, &nothing, Some("secret"));
    assert_eq!(built.image().manifest().layers.len(), 1, "nothing was changed");
    // What is made beside a mount stays, with the directories that it is in.
    let beside = text.replace("touch /new", "touch /made/file");
    let built = build(&stocked, &context, &beside, Some("secret"));
    assert_eq!(layer(&stocked, &built), ["made", "made/file"]);
    // The way to a mount can have links in it.
    let linked = "RUN mkdir /real && ln -s real /linked\n\
                  RUN --mount=type=tmpfs,target=/linked/a/b touch /linked/a/b/c /new";
    assert_eq!(layer(&stocked, &build(&stocked, &context, linked, None)), ["new"]);
    assert_eq!(stocked.store.verify().expect("looked at").problems, []);
    let left = std::fs::read_dir(stocked.store.path().join("pending")).expect("pending").count();
    assert_eq!(left, 0, "nothing is left behind");
}

pub(crate) fn the_context_is_seen_and_not_changed() {
    let (stocked, context) = (stocked(|_| {}), context());
    let seen = "RUN --mount=target=/ctx cd /ctx && find . | sort && cat link && ! touch src/x";
    let built = build(&stocked, &context, seen, None);
    built.image();
    let listed = ".\n./link\n./src\n./src/deep\n./src/deep/seen\n./src/main\nmain\n";
    assert!(built.output.starts_with(listed), "{}", built.output);
    assert!(built.output.contains("Read-only file system"), "{}", built.output);
    let write =
        "RUN --mount=target=src,source=src,rw echo new > /src/main && rm -r /src/deep && ls /src";
    let built = build(&stocked, &context, write, None);
    built.image();
    assert_eq!(built.output, "main\n");
    let main = std::fs::read_to_string(context.path().join("src/main")).expect("the file");
    assert_eq!(main, "main\n", "what is written is thrown away");
    assert!(context.path().join("src/deep/hidden").exists());
}

pub(crate) fn a_stage_is_seen_as_its_layers_make_it() {
    let (stocked, context) = (stocked(|_| {}), context());
    let text = "RUN mkdir -p /out/a /out/b /out/c && echo 1 > /out/a/one && echo 2 > /out/b/two && \
                touch /out/c/old && echo file > /out/file && ln -s out /way\n\
                RUN rm /out/a/one && rm -r /out/b && mkdir /out/b && echo 3 > /out/b/three && \
                rm -r /out/c && echo changed > /out/file\n\
                FROM localhost/base:1\n\
                RUN --mount=from=base,source=way,target=/t --mount=from=0,source=/out/b,target=/b \
                --mount=from=base,source=/out/file,target=/file \
                --mount=from=localhost/base:1,target=/all \
                cd /t && find . | sort && ls /b && cat /file /all/data/kept && ! touch /t/x";
    let built = build(&stocked, &context, text, None);
    assert_eq!(built.image().manifest().layers.len(), 1, "nothing was changed");
    let seen = ".\n./a\n./b\n./b/three\n./file\nthree\nchanged\nkept\n";
    assert!(built.output.starts_with(seen), "{}", built.output);
    let write = "RUN mkdir /out && echo 1 > /out/one\nFROM localhost/base:1\n\
                 RUN --mount=from=base,source=/out,target=/t,rw rm /t/one && touch /t/two && ls /t";
    let built = build(&stocked, &context, write, None);
    assert_eq!(built.image().manifest().layers.len(), 1, "nothing was changed");
    assert_eq!(built.output, "two\n");
}

pub(crate) fn a_cache_is_kept_for_later_builds() {
    let (stocked, context) = (stocked(|_| {}), context());
    let run = |options: &str, script: &str| {
        let text = format!("RUN --mount=type=cache,{options} {script}");
        let built = build(&stocked, &context, &text, None);
        built.image();
        built.output
    };
    assert_eq!(run("target=/c", "ls /c; echo 1 > /c/kept"), "");
    assert_eq!(run("target=/c,mode=700", "cat /c/kept; stat -c %a /c"), "1\n755\n", "as it was");
    assert_eq!(run("id=/c,target=/other,sharing=locked", "cat /other/kept"), "1\n");
    assert_eq!(run("id=mine,target=/c,mode=1777", "ls /c; stat -c %a /c"), "1777\n");
    let refused = run("target=/c,ro", "! touch /c/new");
    assert!(refused.contains("Read-only file system"), "{refused}");
    // The same cache twice, once for itself: that does not wait for itself.
    let twice = "target=/c --mount=type=cache,id=/c,target=/d,sharing=locked";
    assert_eq!(run(twice, "cat /d/kept"), "1\n");
    assert!(stocked.store.usage().expect("usage").caches > 0);
    assert_eq!(stocked.store.prune_run_caches().expect("pruned"), 2);
    assert_eq!(run("target=/c", "ls -a /c"), ".\n..\n");
}

pub(crate) fn a_secret_is_a_file_for_one_program() {
    let (stocked, context) = (stocked(|_| {}), context());
    let show = "RUN --mount=type=secret,id=key stat -c '%a %u:%g' /run/secrets/key && cat /run/secrets/key";
    let built = build(&stocked, &context, show, Some("s3cret"));
    built.image();
    assert_eq!(built.output, "400 0:0\ns3cret");
    let other = "RUN --mount=type=secret,target=/srv/key,mode=444 stat -c %a /srv/key";
    assert_eq!(build(&stocked, &context, other, Some("s3cret")).output, "444\n");
    // Without it: not seen, or an error.
    let absent = "RUN --mount=type=secret,id=none test ! -e /run/secrets/none";
    build(&stocked, &context, absent, Some("s3cret")).image();
    let required = "RUN --mount=type=secret,id=none,required true";
    let error = build(&stocked, &context, required, Some("s3cret")).image.expect_err("no secret");
    assert_eq!(error.kind(), ImageError::NotFound, "{error}");
    assert!(error.to_string().contains("line 2") && error.to_string().contains("\"none\""));
    // Neither a blob nor an unpacked layer has it.
    let mut grep = std::process::Command::new("grep");
    let found = grep.args(["-r", "-q", "s3cret"]).arg(stocked.store.path()).status();
    assert_eq!(found.expect("grep").code(), Some(1), "the store does not have it");
}

pub(crate) fn mounts_count_for_the_cache_of_steps() {
    let (stocked, context) = (stocked(|_| {}), context());
    let cached = |text: &str, secret| {
        let built = build(&stocked, &context, text, secret);
        built.image();
        built.from_cache
    };
    let bind = "RUN --mount=source=src,target=/src cat /src/main > /copy";
    assert_eq!((cached(bind, None), cached(bind, None)), (0, 1));
    let write = |path: &str| std::fs::write(context.path().join(path), "x\n").expect("written");
    write("src/deep/hidden");
    assert_eq!(cached(bind, None), 1, "what is ignored does not count");
    write("src/main");
    assert_eq!(cached(bind, None), 0, "the content of the source does");
    let secret = "RUN --mount=type=secret,id=key true";
    assert_eq!((cached(secret, None), cached(secret, Some("1"))), (0, 0), "that it is there does");
    assert_eq!(cached(secret, Some("2")), 1, "what a secret says does not");
    let stage = |line: &str| {
        format!("RUN {line}\nFROM localhost/base:1\nRUN --mount=from=base,target=/t true")
    };
    assert_eq!(cached(&stage("echo 1 > /a"), None), 0);
    assert_eq!(cached(&stage("echo 1 > /a"), None), 2);
    assert_eq!(cached(&stage("echo 2 > /a"), None), 0, "another stage, another result");
    let variable = "ARG DIR=/a\nRUN --mount=type=tmpfs,target=$DIR true";
    assert_eq!((cached(variable, None), cached(&variable.replace("/a", "/b"), None)), (0, 0));
}

pub(crate) fn a_mount_that_cannot_be_made_says_where() {
    let (stocked, context) = (stocked(|_| {}), context());
    for (options, kind, words) in [
        ("source=absent,target=/x", ImageError::NotFound, "absent"),
        ("source=skipped/file,target=/x", ImageError::NotFound, "skipped/file"),
        ("source=../../../etc/passwd,target=/x", ImageError::NotFound, "passwd"),
        ("from=base,source=/absent,target=/x", ImageError::NotFound, "nothing matches"),
        ("from=localhost/none:1,target=/x", ImageError::NotFound, "none"),
        ("target=/a/..", ImageError::InvalidContainerfile, "the target of a mount"),
        ("target=$EMPTY", ImageError::InvalidContainerfile, "the target of a mount"),
        ("source=link,target=/x,rw", ImageError::Unsupported, "one file"),
    ] {
        let text = format!("FROM localhost/base:1\nRUN --mount={options} true");
        let error = build(&stocked, &context, &text, None).image.expect_err(options);
        assert_eq!(error.kind(), kind, "{options}: {error}");
        let said = error.to_string();
        assert!(said.contains("line 3") && said.contains(words), "{options}: {said}");
    }
}

pub(crate) fn a_recipe_has_the_same_mounts() {
    let (stocked, context) = (stocked(|_| {}), context());
    let mounts = || {
        [
            RunMount::bind("src", "/made/src"),
            RunMount::bind_from("localhost/base:1", "/data", "/made/data"),
            RunMount::cache("/made/cache"),
            RunMount::tmpfs("/made/memory"),
            RunMount::secret("key"),
        ]
    };
    let script = "cat /made/src/main /made/data/kept /run/secrets/key; ! test -e /made/memory/a; \
                  touch /made/memory/a; cat /made/cache/n; echo next > /made/cache/n; touch /new";
    let recipe = |script: &str| {
        let base = ImageBuilder::from("localhost/base:1");
        base.run_mounted(mounts(), ["/bin/sh", "-c", script]).finish()
    };
    let built = run(&stocked, &context, &recipe(script), Some("s3cret\n"));
    assert_eq!(layer(&stocked, &built), ["new"], "{}", built.output);
    assert!(built.output.starts_with("main\nkept\ns3cret\n"), "{}", built.output);
    let base = ImageBuilder::from("localhost/base:1");
    let again = base.run_shell_mounted(mounts(), "cat /made/cache/n").finish();
    assert_eq!(run(&stocked, &context, &again, Some("s3cret\n")).output, "next\n");
    let error = run(&stocked, &context, &again, None).image.expect_err("no secret");
    assert_eq!(error.kind(), ImageError::NotFound, "{error}");
    // The image's history says it as a file would.
    let built = run(&stocked, &context, &recipe(script), Some("s3cret\n"));
    assert_eq!(built.from_cache, 1);
    let history = built.image().config().history.last().and_then(|one| one.created_by.clone());
    let said = history.unwrap_or_default();
    assert!(said.contains("--mount=type=cache,mode=755,target=/made/cache"), "{said}");
}
