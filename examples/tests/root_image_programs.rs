//! Containers from images and builds, by the examples `sandbox --image`, `image build`, `only-image`, `pull-and-run` and
//! `build-and-run`.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod images;

use std::fs;

use images::{Place, Registry};

const FILE: &str = "\
ARG BASE=app:1
FROM ${BASE} AS tools
RUN [\"sh\", \"-c\", \"echo made > /made; echo from the build\"]
FROM app:1
ARG WHO=nobody
COPY --chown=me kept* /data/
COPY --from=tools /made /data/
RUN echo $WHO > /data/who
USER me
WORKDIR /data
CMD [\"sh\", \"-c\", \"id -u; cat who made; ls\"]
";

/// A store `S` with the image `app:1`.
fn stocked() -> Place {
    let place = Place::new();
    place.layout();
    place.run("image load --store S oci:L:x app:1");
    place
}

#[test]
fn a_sandbox_is_what_the_image_says_or_else() {
    let place = stocked();
    let sandbox = "sandbox --store S --image";
    assert_eq!(place.run(&format!("{sandbox} app:1")), "upper\n");
    assert_eq!(place.run(&format!("{sandbox} app:1 -- sh -c 'echo $A; id -u'")), "b\n0\n");
    let other = format!("{sandbox} app:1 --entrypoint sh --user me --env A=c --cwd /dir");
    let seen = place.run(&format!("{other} -- -c 'echo $A; id; pwd; test -e null || ls'"));
    assert_eq!(seen, "c\nuid=7(me) gid=8(me)\n/dir\nhard\nlink\n");
    place.fails(7, &format!("{sandbox} app:1 -- sh -c 'exit 7'"));
    // Layouts and archives by path.
    place.run("image save --store S app:1 o.tar; image save --store S app:1 docker-archive:d.tar");
    for path in ["./L", "oci:L:x", "./o.tar", "$PWD/d.tar"] {
        assert_eq!(place.run(&format!("sandbox --store N --image {path}")), "upper\n", "{path}");
    }
    let said = place.fails(125, &format!("{sandbox} none:1"));
    assert!(said.contains("there is no image"), "{said}");
    place.fails(125, &format!("{sandbox} app:1 --rootfs /"));
    place.fails(125, &format!("{sandbox} ./absent"));
}

#[test]
fn what_a_sandbox_wrote_is_kept() {
    let place = stocked();
    let sandbox = "sandbox --store S --image";
    let script = "rm -r /opaque; mkdir /opaque; echo new > /opaque/new; rm /dir/link";
    place.run(&format!("{sandbox} app:1 --commit one:1 -- sh -c '{script}'"));
    place.run(&format!("{sandbox} app:1 --root $PWD/W --commit two:1 -- sh -c '{script}'"));
    let changes = place.run("cat W/opaque/new; image diff --store S --userxattr app:1 W");
    for line in ["new\n", "D /dir/link\n", "A /opaque/new\n", "D /opaque/upper\n"] {
        assert!(changes.contains(line), "{line}: {changes}");
    }
    place.run("image commit --store S --userxattr app:1 W three:1");
    for name in ["one:1", "two:1", "three:1"] {
        let seen =
            place.run(&format!("{sandbox} {name} -- sh -c 'cd /opaque; cat *; ls . ../dir'"));
        assert_eq!(seen, "new\n.:\nnew\n\n../dir:\nhard\n", "{name}");
    }
}

#[test]
fn a_containerfile_is_built() {
    let place = stocked();
    fs::create_dir(place.at("C")).unwrap();
    fs::write(place.at("C/Containerfile"), FILE).unwrap();
    place.run("echo a > C/kept; echo b > C/kept-not; echo kept-not > C/.dockerignore");
    let build = "SOURCE_DATE_EPOCH=1700000000 image build --store S";
    let first = place.fails(0, &format!("{build} -t new:1 --build-arg WHO=me C"));
    assert!(first.contains("from the build\n") && !first.contains("cache"), "{first}");
    assert!(first.contains("line 8: RUN echo $WHO"), "{first}");
    let again = place.fails(0, &format!("{build} -t new:2 --build-arg WHO=me C"));
    assert_eq!(again.matches("from the cache").count(), 5, "{again}");
    let anew = format!("{build} -t new:3 --build-arg WHO=me --no-cache C");
    assert!(place.fails(0, &anew).contains("from the build"));
    let digests = "image inspect --store S new:1 | grep ^digest; image inspect --store S new:3";
    assert!(
        place.run(digests).matches(&digest(&first)).count() == 2,
        "built again, it is the same"
    );
    let seen = place.run("sandbox --store S --image new:1");
    assert_eq!(seen, "7\nme\nmade\nkept\nmade\nwho\n");
    place.run(&format!("{build} -t tools:1 --target tools --network none C"));
    assert_eq!(place.run("sandbox --store S --image tools:1 -- cat /made"), "made\n");
    let steps = "image ls --store S --all | wc -l; image gc --store S --steps > /dev/null; image ls --store S --all | wc -l; image ls --store S | wc -l";
    let lines: Vec<u32> = place.run(steps).lines().map(|line| line.parse().unwrap()).collect();
    assert!(lines[0] > lines[1] && lines[1..] == [6, 6], "{lines:?}");
}

#[test]
fn a_build_has_secrets_and_caches() {
    let place = stocked();
    let file = "FROM app:1\nRUN --mount=type=secret,id=token,required \
                --mount=type=cache,target=/cache wc -c < /run/secrets/token && touch /cache/kept\n";
    place.run("mkdir C; echo s3cret-token > token");
    fs::write(place.at("C/Containerfile"), file).unwrap();
    let build = "image build --store S -t new:1";
    assert!(place.fails(1, &format!("{build} C")).contains("\"token\""));
    let said = place.fails(0, &format!("{build} --secret id=token,src=token C"));
    assert!(said.contains("\n13\n"), "{said}");
    place.run("! grep -rq s3cret-token S");
    for wrong in ["id=token", "token", "id=a,id=b,src=token", "src=absent"] {
        place.fails(1, &format!("{build} --secret {wrong} C"));
    }
    // A file by its own name.
    place.fails(0, &format!("{build} --secret src=token --no-cache C"));
    assert!(!place.run("image gc --store S").contains("caches"));
    assert!(place.run("image gc --store S --caches").contains("removed: 1 caches of RUN\n"));
}

/// The digest in what a build says at last.
fn digest(said: &str) -> String {
    said.trim_end().rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn a_build_that_fails_says_the_line() {
    let place = stocked();
    let build = "mkdir -p C; image build --store S -t bad:1 -f F C";
    for (file, words) in [
        ("FROM app:1\nRUNN x\nCOPY a", ["F: line 2: unknown", "F: line 3: COPY"].as_slice()),
        ("FROM app:1\n\nRUN exit 3", &["F: line 3", "status 3"]),
        ("FROM app:1\nCOPY absent /", &["line 2", "absent"]),
        ("FROM localhost:1/none", &["line 1", "localhost:1"]),
    ] {
        fs::write(place.at("F"), file).unwrap();
        let said = place.fails(1, build);
        words.iter().for_each(|word| assert!(said.contains(word), "{word}: {said}"));
    }
    place.run("echo '[x' > C/.dockerignore");
    assert!(place.fails(1, build).contains(".dockerignore: line 1"));
    assert!(place.fails(1, "image inspect --store S bad:1").contains("there is no image"));
}

#[test]
fn the_small_examples() {
    let place = stocked();
    let said = place.run("only-image L O D; only-image L O D2; cat D/opaque/upper");
    for word in ["layer 2 of 2: Done", "layer 2 of 2: AlreadyThere", "0 are wrong", "upper\n"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let registry = Registry::start(&place);
    let name = format!("{}/app:1", registry.address);
    place.run(&format!("image push --store S app:1 {name}"));
    assert_eq!(place.run(&format!("pull-and-run --store P {name}")), "upper\n");
    place.fails(4, &format!("pull-and-run --store P {name} sh -c 'exit 4'"));
    let first = place.run("build-and-run --store S app:1");
    assert!(first.ends_with("hello, built as process 2\n") && !first.contains("cache"), "{first}");
    let again = place.run("build-and-run --store S app:1");
    assert!(again.contains("from the cache"), "{again}");
    for name in ["image", "only-image", "pull-and-run", "build-and-run", "sandbox"] {
        assert!(place.run(&format!("{name} --help")).contains("Usage: "), "{name}");
    }
    for verb in
        ["pull", "push", "ls", "inspect", "unpack", "mount", "diff", "commit", "build", "gc"]
    {
        assert!(place.run(&format!("image {verb} --help")).contains("Usage: image"), "{verb}");
    }
}
